// How a command begins and ends its work on the rules of this network namespace: for the rest of the engine.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/instance.h"
#include "engine/types.h"
#include "host/cgroup.h"
#include "ruleset/index.h"

namespace headwind {

// A rule that was removed since it had no effect any more.
struct Swept {
    RuleRecord record;
    RuleState why = RuleState::orphaned;
};

// What every changing function starts with: the lock, and the rules in force.
struct Session {
    std::optional<InstanceLock> lock;
    std::optional<Instance> instance;
    Entries rules;             // in force
    std::vector<Swept> swept;  // by begin()
    // After a commit(): `rules` as they are now.
    void look_again();
};

// Takes the InstanceLock, repairs what a killed command left and removes rules whose owner is gone.
Result<Session> begin(Sweep sweep = Sweep::empty);

// The network namespace of the calling thread has no such device (any more).
bool is_lost(int ifindex);

// Of those given, the rules that begin() would remove now.
Result<std::vector<Swept>> stale_rules(const Instance& instance, const Entries& rules);

// Which of the cgroups that rules are for are gone, or were made anew: looked at once each, however many rules name
// one.
class GoneCgroups {
public:
    explicit GoneCgroups(const Instance& instance) : instance_(instance) {}
    // All of the rule's cgroups. False of a rule that has none.
    Result<bool> all_of(const RuleRef& rule);
    Result<bool> any_of(const RuleRef& rule);

private:
    Result<bool> first_of(const RuleRef& rule);
    const Instance& instance_;
    std::map<std::uint64_t, bool> gone_;  // by id
};

// Those of these names. (One that has expired may share it with another.)
using Named = std::unordered_multimap<std::string, RuleRef>;
Named find_named(const Entries& rules, const std::vector<std::string>& names);

// Rules that expired are listed this long (ns), then the next change removes them.
constexpr std::uint64_t keep_expired = 600'000'000'000;

Result<RuleState> read_state(const Instance& instance, const RuleRecord& record);

// Rules that nobody asked for.
bool only_guards(const Entries& rules);

// Of the device's HW_DEVICE_EGRESS, _INGRESS and _XDP, those where our program is to be and is not: somebody took it
// off.
__u32 lost_hooks(const Instance& instance, std::uint16_t slot);

// Hooks that no rule needs any more are taken off; a slot is freed once nothing in the line can come back to it.
Status trim_hooks(Instance& instance, const Entries& rules);

// Removes the instance, if there is one, and all that Headwind has in this namespace, at once. Returns the packets that
// the line still held.
Result<std::uint32_t> tear_down(std::optional<Instance>& instance);
// The same once what the line holds has gone out, or `drain` has passed: meanwhile the lock is given back, and nothing
// is taken down if somebody else has added rules then.
Result<std::uint32_t> drain_and_tear_down(Session& session, std::chrono::nanoseconds drain, const Progress& progress);

}  // namespace headwind
