// How a command begins and ends its work on the rules of this network namespace: for engine.cpp and plan.cpp.
#pragma once

#include <optional>
#include <vector>

#include "engine/engine.h"
#include "host/cgroup.h"

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
    std::vector<RuleRecord> records;
    std::vector<Swept> swept;  // by begin()
};

// Takes the InstanceLock, repairs what a killed command left and removes rules whose owner is gone.
Result<Session> begin(Sweep sweep = Sweep::empty);

// The network namespace of the calling thread has no such device (any more).
bool is_lost(int ifindex);

// Of those given, the rules that begin() would remove now.
Result<std::vector<Swept>> stale_rules(const Instance& instance, const std::vector<RuleRecord>& records);

// Rules that expired are listed this long (ns), then the next change removes them.
constexpr std::uint64_t keep_expired = 600'000'000'000;

Result<RuleState> read_state(const Instance& instance, const RuleRecord& record);

// One of them is of a change that waits to be confirmed.
bool is_pending(const std::vector<RuleRecord>& records);

// Rules that nobody asked for.
bool only_guards(const std::vector<RuleRecord>& records);

// Of the device's HW_DEVICE_EGRESS, _INGRESS and _XDP, those where our program is to be and is not: somebody took it
// off.
__u32 lost_hooks(const Instance& instance, std::uint16_t slot);

// Moves out of `from` what is in `gone`.
void subtract(std::vector<RuleRecord>& from, const std::vector<RuleRecord>& gone);

// Hooks that no rule needs any more are taken off; a slot is freed once nothing in the line can come back to it.
Status trim_hooks(Instance& instance, const std::vector<RuleRecord>& records);

// Removes the instance, if there is one, and all that Headwind has in this namespace, at once. Returns the packets that
// the line still held.
Result<std::uint32_t> tear_down(std::optional<Instance>& instance);
// The same once what the line holds has gone out, or `drain` has passed: meanwhile the lock is given back, and nothing
// is taken down if somebody else has added rules then.
Result<std::uint32_t> drain_and_tear_down(Session& session, std::chrono::nanoseconds drain, const Progress& progress);

}  // namespace headwind
