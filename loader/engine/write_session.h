// SPDX-License-Identifier: MIT
// Write sessions: how a command begins and ends its work on the rules of this network namespace. For the rest of the
// engine.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "datapath/instance.h"
#include "engine/types.h"
#include "host/cgroup.h"
#include "ruleset/index.h"

namespace headwind {

// A rule that open_for_change() removed, since it had no effect any more.
struct RemovedRule {
    RuleRecord record;
    RuleState why = RuleState::orphaned;
};

// The start of every function that changes rules: the lock, the instance and its rules in force.
struct WriteSession {
    std::optional<InstanceLock> lock;
    std::optional<Instance> instance;
    Entries rules;                     // in force
    std::vector<RemovedRule> removed;  // by open_for_change()
    // Reads `rules` anew, as after a commit().
    void look_again();
};

// Takes the InstanceLock, repairs what a killed command left and removes stale_rules().
Result<WriteSession> open_for_change(Sweep sweep = Sweep::empty);

// What open_for_change() would find, without the lock and without changing anything: for a rehearsal.
Result<WriteSession> look_for_change();

// The result of look(instance) without the InstanceLock; nullopt: there is no instance. What Extent::index leaves out
// is not open. Where a transaction commits meanwhile, the index and the descriptions may change under its hands: then
// the instance is opened and looked at anew.
template <class Look>
auto look_without_lock(const Look& look)
    -> Result<std::optional<typename std::invoke_result_t<Look, const Instance&>::value_type>>
{
    constexpr int most_looks = 100;
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance(Access::change, Extent::index));
        if (!instance) return std::nullopt;
        const auto version = instance->control->version;
        auto out = look(*instance);
        if (looks != most_looks && instance->control->version != version) continue;
        if (!out) return pass_error(out);
        return std::move(*out);
    }
}

// Whether the network namespace of the calling thread has no device of this index (any more).
bool is_lost(int ifindex);

// The subset of `rules` that open_for_change() would remove now.
Result<std::vector<RemovedRule>> stale_rules(const Instance& instance, const Entries& rules);

// Tells whether cgroups that rules are for are gone or were made anew. Each is looked at once, however many rules name
// it.
class GoneCgroups {
public:
    explicit GoneCgroups(const Instance& instance) : instance_(instance) {}
    // Whether all of the rule's cgroups are gone. False if it has none.
    Result<bool> all_of(const RuleRef& rule);
    Result<bool> any_of(const RuleRef& rule);

private:
    Result<bool> first_of(const RuleRef& rule);
    const Instance& instance_;
    std::map<std::uint64_t, bool> gone_;  // by id
};

// The rules with these names, by name. (An expired rule may share its name with another.)
using Named = std::unordered_multimap<std::string, RuleRef>;
Named find_named(const Entries& rules, const std::vector<std::string>& names);

// ns that expired rules are listed; then the next change removes them.
constexpr std::uint64_t keep_expired = 600'000'000'000;

Result<RuleState> read_state(const Instance& instance, const RuleRecord& record);

// Whether all rules are guards, or there is none.
bool only_guards(const Entries& rules);

// The hooks of the device (HW_DEVICE_EGRESS, _INGRESS and _XDP) where our program is to be and is not: somebody took it
// off.
__u32 lost_hooks(const Instance& instance, std::uint16_t slot);

// Whether all programs of the instance are of this build of headwind.
bool runs_own_programs(const Instance& instance);

// Takes our programs off hooks that no rule needs any more; frees a slot once nothing in the line can come back to it.
Status trim_hooks(Instance& instance, const Entries& rules);

// Removes the instance, if there is one, and all that Headwind has in this namespace, at once. Returns the packets that
// the line still held.
Result<std::uint32_t> tear_down(std::optional<Instance>& instance);
// Does the same once the packets in the line have gone out, or `drain` has passed. Meanwhile the lock is given back,
// and nothing is torn down if somebody else has added rules by then.
Result<std::uint32_t> drain_and_tear_down(WriteSession& session, std::chrono::nanoseconds drain,
                                          const Progress& progress);

}  // namespace headwind
