// SPDX-License-Identifier: MIT
// Reconciles an instance with the host: with devices that come, go or change their names, cgroups that come and go,
// deadlines that pass, and the host's local time. The agent does it when something happens, and so does each command
// that changes something.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "datapath/sight.h"
#include "engine/write_session.h"
#include "ruleset/stops.h"

namespace headwind {

struct Stopped {
    std::uint32_t stable_id = 0;  // RuleInfo::stable_id
    std::string rule, why;
};

// The work that the instance of the calling thread's network namespace needs, now and later.
struct PendingWork {
    bool exists = false;               // there is an instance
    bool due = false;                  // reconcile() has something to do
    std::uint64_t next = 0;            // CLOCK_BOOTTIME ns at which work is due, as things are; 0: not by time alone
    std::vector<std::string> cgroups;  // directories of the rules' cgroups; some may be gone
    std::vector<StopCheck> checks;     // one for each rule with --stop-if that is not stopped
    std::vector<Stopped> stopped;      // rules whose stop nobody has told yet
    std::vector<std::string> expired;  // names of rules whose deadline passed since the look before
    std::vector<std::string> damage;   // Trouble::damage, unless a command at work is what is seen
    BlindHooks suspect;                // suspect_hooks()
};
// Needs no lock. Changes no rule, but each minute since when hooks are watched (watch_on()). `before`, `now`:
// CLOCK_BOOTTIME ns of the look before and of this one.
Result<PendingWork> find_pending_work(std::uint64_t before, std::uint64_t now);

// What others did to what rules need, a sentence for each ("headwind0 is down"), and the rules that have no effect, for
// it or since they see nothing: their names and RuleView::trouble.
struct Trouble {
    std::vector<std::string> damage;
    std::map<std::string, std::string> not_effective;
};
// Takes the InstanceLock: a command takes the line apart, too.
Result<Trouble> find_trouble();

// Heeds the outcome of a check (Checks::Outcome): the rule's lease is renewed or, after a failure, the rule stops. A
// rule that is gone is no error.
Status heed_check(const StopCheck& check, const std::string& failure);
// Notes that these stops (PendingWork::stopped) were told.
Status note_told(const std::vector<Stopped>& stopped);

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
