// A container, a pod or a process named on the command line: where the rule for it sits, and what it selects.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "container/container.h"
#include "rule/rule.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// As typed: --container, --pod, --pid, --at.
struct PartyWords {
    std::string container, pod, pid, at;
    bool given() const { return !container.empty() || !pod.empty() || !pid.empty(); }
};

// host: on the host side of its veth pair, in the network namespace of the calling thread. pod: in its own.
enum class Side { pod, host };

// What the choice of a side depends on.
struct Surroundings {
    bool own_netns = false;              // it has another network namespace than the calling thread
    std::vector<std::string> host_side;  // its devices' other ends in this namespace
};

struct Choice {
    Side side = Side::pod;
    std::string reason;  // half a sentence: what this side means, and why it
};

// `at`: host, pod, or empty: as is best. Errors name --at. Pure.
Result<Choice> choose_side(const std::string& at, const Surroundings& found);

struct Place {
    Party party;
    std::string cgroup;                // below the cgroup2 mount; empty: all that passes the devices
    std::vector<std::string> devices;  // empty: the lowest of the namespace
    Fd netns;                          // to be entered for the rule; none: it sits in this one
    std::string netns_path;            // of `netns`, for errors
    std::string reason;                // of the choice
};

// Exactly one of container, pod and pid is given. Looks from the network namespace of the calling thread, and stays
// there. `root`: where the host's file system is seen, as in container.h.
Result<Place> find_place(const PartyWords& words, const std::string& root);

// The rule as typed becomes one for the party: its cgroup and, at the host side, its devices are what it selects.
// --cgroup beside it, and --dev beside the host side, are refused.
Status select_party(const Place& place, RuleText& text);

// Enters the place's namespace, if it is another one.
Status enter(const Place& place);

// Enters the network namespace of what is named.
Status enter_netns_of(const PartyWords& words, const std::string& root);

}  // namespace headwind
