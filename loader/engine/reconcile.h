// SPDX-License-Identifier: MIT
// Reconciles an instance with the host: with devices that come, go or change their names, cgroups that come and go,
// deadlines that pass, and the host's local time. The agent does it when something happens, and so does each command
// that changes something.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/write_session.h"
#include "host/netlink.h"

namespace headwind {

// A rule that must be at other devices, select other cgroups, or have its hours at other times than it does now.
struct Move {
    RuleRecord before, after;
    std::vector<netlink::Link> devices;  // of `after`
    bool renewed = false;                // its cgroups were made anew
    bool clock = false;                  // the host's clock is another
};

// What reconcile() has to do.
struct Work {
    std::vector<Move> moves;
    std::vector<std::pair<netlink::Link, __u32>> attach;  // with hw_device_flags
    std::vector<std::uint16_t> lost;                      // slots of devices that are gone
    std::vector<std::string> taken_off;                   // names of devices of `attach` that had lost our programs
    std::string line;                                     // line_damage()
    bool any() const { return !moves.empty() || !attach.empty() || !lost.empty() || !line.empty(); }
};

// `rules`: those in force. `links`: all of the thread's network namespace.
Result<Work> find_work(const Instance& instance, const Entries& rules, const std::vector<netlink::Link>& links);

struct Moved {
    std::string rule;
    std::vector<std::string> devices;  // where it is now; may be none
    bool was_nowhere = false;          // none of those it names was there before
    bool cgroup = false;               // its cgroup was made anew
    bool clock = false;                // the host's local time is another: only for rules with hours
};
struct Reconciled {
    std::vector<RemovedRule> removed;
    std::vector<Moved> moved;           // rules with --dev, --cgroup or hours
    std::vector<std::string> attached;  // devices that are new to the rules without --dev, or had lost our programs
    std::vector<std::string> lost;      // devices of rules without --dev that are gone
    std::string mended;                 // what somebody had done to the line, which is whole again; empty: nothing
    bool instance_gone = false;         // the last rule went, and with it everything Headwind had on this namespace
};
// Takes the InstanceLock. Never waits for packets in the line: what they hold up stays due.
Result<Reconciled> reconcile();

// The part of reconcile() that keeps the rules, for commands before their own work. Best effort: a device that cannot
// be attached is no reason to refuse a command. Returns what was done, and what open_for_change() had done.
Reconciled catch_up(WriteSession& session);

// Removes the instances of network namespaces that are gone; after the last instance, all that Headwind had on the
// host.
Status sweep_host();

}  // namespace headwind
