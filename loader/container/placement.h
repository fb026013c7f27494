// SPDX-License-Identifier: MIT
// The place of a rule for a container, a pod or a process named on the command line: where the rule sits, and what it
// selects.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "container/container.h"
#include "rule/rule.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// The values of --container, --pod, --pid and --at, as typed.
struct SubjectArgs {
    std::string container, pod, pid, at;
    bool given() const { return !container.empty() || !pod.empty() || !pid.empty(); }
};

// The side that a rule sits at. host: on the host side of the subject's veth pair, in the network namespace of the
// calling thread. pod: in the subject's own.
enum class Side { pod, host };

// The facts that the choice of a side depends on.
struct Surroundings {
    bool own_netns = false;              // the subject has another network namespace than the calling thread
    std::vector<std::string> host_side;  // the peers of its devices in this namespace
};

struct Choice {
    Side side = Side::pod;
    std::string reason;  // half a sentence: what this side means, and why it is chosen
};

// `at`: host, pod, or empty: as is best. Errors name --at. Pure.
Result<Choice> choose_side(const std::string& at, const Surroundings& found);

struct Place {
    Subject subject;
    std::string cgroup;                // below the cgroup2 mount; empty: all that passes the devices
    std::vector<std::string> devices;  // empty: the lowest devices of the namespace
    Fd netns;                          // to be entered for the rule; none: the rule sits in this one
    std::string netns_path;            // of `netns`, for errors
    std::string reason;                // Choice::reason
};

// Finds the place of the one container, pod or process that `words` name. Looks from the network namespace of the
// calling thread, and stays there. `root`: where the host's file system is seen, as in container.h.
Result<Place> find_place(const SubjectArgs& words, const std::string& root);

// Makes the RuleSpec as typed one for the subject: it selects the subject's cgroup and, at the host side, the subject's
// devices. --cgroup beside it, and --dev beside the host side, are refused.
Status select_subject(const Place& place, RuleSpec& text);

// Enters the place's namespace, if it is another one.
Status enter(const Place& place);

// Enters the network namespace of the container, pod or process that `words` name.
Status enter_netns_of(const SubjectArgs& words, const std::string& root);

}  // namespace headwind
