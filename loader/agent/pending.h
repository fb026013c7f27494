// SPDX-License-Identifier: MIT
// What the agent looks for in an instance: work that is due now or later, stops and ends that nobody has told yet, what
// others did to what rules need, and hooks that may see nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "datapath/sight.h"
#include "rule/rule.h"
#include "ruleset/stops.h"
#include "util/result.h"

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
    std::optional<Subject> subject;    // RulesHere::subject
};
// Needs no lock. Changes no rule, but each minute since when hooks are watched (watch_on()). `before`, `now`:
// CLOCK_BOOTTIME ns of the look before and of this one.
Result<PendingWork> find_pending_work(std::uint64_t before, std::uint64_t now);

// What others did to what rules need, a sentence for each ("headwind0 is down"), and the rules that have no effect, for
// it or since they see nothing: their names and RuleView::trouble.
struct Trouble {
    std::vector<std::string> damage;
    BlindHooks suspect;  // suspect_hooks()
    std::map<std::string, std::string> not_effective;
    std::set<std::string> effective;  // names of the others that are in force
};
// Takes the InstanceLock: a command takes the line apart, too. Without `all` rules are looked at only if something is
// amiss.
Result<Trouble> find_trouble(bool all);

// Heeds the outcome of a check (Checks::Outcome): the rule's lease is renewed or, after a failure, the rule stops. A
// rule that is gone is no error.
Status heed_check(const StopCheck& check, const std::string& failure);
// Notes that these stops (PendingWork::stopped) were told.
Status note_told(const std::vector<Stopped>& stopped);

}  // namespace headwind
