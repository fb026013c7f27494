// What becomes of an instance without a command: devices that come, go or change their names, cgroups that come and go,
// deadlines that pass, and the host's local time. Done by the agent when it happens, and by each command that changes
// something.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/session.h"
#include "ruleset/stops.h"

namespace headwind {

struct Stopped {
    std::uint32_t state = 0;  // RuleRecord::state
    std::string rule, why;
};

// Of the network namespace of the calling thread.
struct Outlook {
    bool exists = false;               // there is an instance
    bool due = false;                  // follow() has something to do
    std::uint64_t next = 0;            // CLOCK_BOOTTIME ns at which it will have, as things are; 0: not by time alone
    std::vector<std::string> cgroups;  // directories of the rules' cgroups; some may be gone
    std::vector<StopCheck> checks;     // of rules with --stop-if, the stopped ones left out
    std::vector<Stopped> stopped;      // which nobody has told yet
};
// Needs no lock and changes nothing.
Result<Outlook> look_ahead();

// What a check had to say (Checks::Outcome): the rule lives on, or stops. One that is gone is no error.
Status heed_check(const StopCheck& check, const std::string& failure);
// Outlook::stopped was told.
Status note_told(const std::vector<Stopped>& stopped);

struct Moved {
    std::string rule;
    std::vector<std::string> devices;  // where it is now; may be none
    bool cgroup = false;               // its cgroup was made anew
    bool clock = false;                // the host's local time is another: of rules with hours
};
struct Followed {
    std::vector<Swept> removed;
    std::vector<Moved> moved;           // rules with --dev, --cgroup or hours
    std::vector<std::string> attached;  // devices that are new to the rules without --dev, or had lost our programs
    bool mended = false;                // the line: somebody had taken it apart
    bool instance_gone = false;         // the last rule went, and with it everything Headwind had on this namespace
};
// Takes the InstanceLock. Never waits for packets in the line: what they hold up stays due.
Result<Followed> follow();

// The part of follow() that keeps rules, for commands that then do what they were told. Best effort: a device that
// cannot be attached is no reason to refuse that.
void catch_up(Session& session);

// Instances of network namespaces that are gone; after the last one all that Headwind had on the host.
Status sweep_host();

}  // namespace headwind
