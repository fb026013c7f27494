#include "engine/session.h"

#include <net/if.h>

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "datapath/hooks.h"
#include "engine/reclaim.h"
#include "host/devices.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "ruleset/xdp.h"

namespace headwind {
namespace {

// Of a rule for a container, a pod or a process: its cgroup is gone or, without one, the host side of its devices. (A
// pod's namespace takes its instance with it.)
bool is_orphaned(const RuleRecord& record)
{
    if (!record.rule.party) return false;
    const auto& cgroups = record.cgroups;
    if (!cgroups.empty()) return std::all_of(cgroups.begin(), cgroups.end(), is_gone);
    const auto lost = [](const AttachedDevice& device) { return is_lost(device.ifindex); };
    return is_far(record.rule) && std::all_of(record.devices.begin(), record.devices.end(), lost);
}

RuleState state_of(const RuleRecord& record, const hw_lease* lease, bool stopped, bool panic)
{
    const auto now = boottime_ns();
    if (is_orphaned(record)) return RuleState::orphaned;
    if (record.pending != 0 && !record.former && now >= record.pending) return RuleState::undone;
    if (record.deadline != 0 && now >= record.deadline) return RuleState::expired;
    if (stopped) return RuleState::stopped;
    if (record.lease != 0 && (lease == nullptr || now >= lease->until)) return RuleState::unleased;
    return panic ? RuleState::panicked : RuleState::live;
}

}  // namespace

bool is_lost(int ifindex)
{
    char name[IF_NAMESIZE];
    return if_indextoname(static_cast<unsigned>(ifindex), name) == nullptr;
}

Result<std::vector<Swept>> stale_rules(const Instance& instance, const std::vector<RuleRecord>& records)
{
    std::vector<Swept> out;
    for (const auto& record : records) {
        HW_TRY(const auto state, read_state(instance, record));
        const bool long_expired = state == RuleState::expired && boottime_ns() > record.deadline + keep_expired;
        const bool left = state == RuleState::unleased || state == RuleState::orphaned || state == RuleState::undone;
        if (left || long_expired) out.push_back({record, state});
    }
    return out;
}

Result<RuleState> read_state(const Instance& instance, const RuleRecord& record)
{
    const bool panic = std::atomic_ref(instance.host->panic).load() != 0;
    bool stopped = false;
    if (is_stoppable(record.rule)) {
        HW_TRY(const auto stop, instance.stops.find(record.state));
        stopped = stop.has_value();
    }
    if (record.lease == 0) return state_of(record, nullptr, stopped, panic);
    HW_TRY(const auto lease, instance.leases.find(record.state));
    return state_of(record, lease ? &*lease : nullptr, stopped, panic);
}

bool is_pending(const std::vector<RuleRecord>& records)
{
    return std::any_of(records.begin(), records.end(), [](const auto& record) { return record.pending != 0; });
}

bool only_guards(const std::vector<RuleRecord>& records)
{
    return std::all_of(records.begin(), records.end(), [](const auto& record) { return record.guard != Guard::no; });
}

__u32 lost_hooks(const Instance& instance, std::uint16_t slot)
{
    const auto& device = instance.control->devices[slot];
    const auto there = [&](hw_direction side) { return is_attached(instance, static_cast<int>(device.ifindex), side); };
    __u32 lost = 0;
    if ((device.flags & HW_DEVICE_EGRESS) && !there(HW_OUT)) lost |= HW_DEVICE_EGRESS;
    if ((device.flags & HW_DEVICE_INGRESS) && !there(HW_IN)) lost |= HW_DEVICE_INGRESS;
    if ((device.flags & HW_DEVICE_XDP) && front_on(instance, slot) == Xdp::off) lost |= HW_DEVICE_XDP;
    return lost;
}

void subtract(std::vector<RuleRecord>& from, const std::vector<RuleRecord>& gone)
{
    std::unordered_set<std::uint32_t> ids;
    for (const auto& record : gone) ids.insert(record.id);
    std::erase_if(from, [&ids](const auto& record) { return ids.contains(record.id); });
}

Result<Session> begin(Sweep sweep)
{
    Session session;
    HW_TRY(auto lock, InstanceLock::take());
    session.lock.emplace(std::move(lock));
    sweep_dead_instances();
    sweep_command_cgroups(sweep);
    HW_TRY(session.instance, open_instance());
    if (!session.instance) {
        HW_CHECK(check_no_programs());
        return session;
    }
    HW_CHECK(repair(*session.instance));
    HW_TRY(session.records, load_records(*session.instance));
    HW_TRY(session.swept, stale_rules(*session.instance, session.records));
    if (session.swept.empty()) return session;
    std::vector<RuleRecord> stale;
    for (const auto& swept : session.swept) stale.push_back(swept.record);
    subtract(session.records, stale);
    if (only_guards(session.records)) {
        stale.insert(stale.end(), session.records.begin(), session.records.end());
        session.records.clear();
    }
    HW_CHECK(commit(*session.instance, {session.records, {}, stale}));
    for (const auto& record : stale)
        for (const auto& cgroup : record.cgroups) sweep_command_cgroup(cgroup.path);
    return session;
}

Status trim_hooks(Instance& instance, const std::vector<RuleRecord>& records)
{
    const bool default_in_use =
        std::any_of(records.begin(), records.end(), [](const auto& record) { return record.is_at_default_devices(); });
    HW_CHECK(settle_fronts(instance, records));
    HW_TRY(const auto line, line_stats(instance));
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        auto& device = instance.control->devices[slot];
        if (device.ifindex == 0) continue;
        const auto sits_here = [slot](const RuleRecord& record) {
            return std::any_of(record.devices.begin(), record.devices.end(),
                               [slot](const auto& d) { return d.slot == slot; });
        };
        const bool named = std::any_of(records.begin(), records.end(), sits_here);
        const bool far = std::any_of(records.begin(), records.end(), [&sits_here](const auto& record) {
            return is_far(record.rule) && sits_here(record);
        });
        if (!far) device.flags &= ~static_cast<__u32>(HW_DEVICE_FAR);
        if (!default_in_use) device.flags &= ~static_cast<__u32>(HW_DEVICE_DEFAULT);
        if (named || (device.flags & HW_DEVICE_DEFAULT)) continue;
        HW_CHECK(detach_device(instance, slot));
        if (line.held_packets == 0) release_device(instance, slot);
    }
    return {};
}

// Order matters: what still uses something goes before it, and the pins that know of it go last.
Result<std::uint32_t> tear_down(std::optional<Instance>& instance)
{
    std::uint32_t lost = 0;
    if (instance) {
        for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot)
            if (instance->control->devices[slot].ifindex != 0) HW_CHECK(detach_device(*instance, slot));
        HW_TRY(lost, drain_line(*instance, {}, [](std::uint32_t) {}));
    }
    HW_CHECK(remove_line(instance ? &*instance : nullptr));
    HW_CHECK(remove_instance_pins());
    instance.reset();
    return lost;
}

Result<std::uint32_t> drain_and_tear_down(Session& session, std::chrono::nanoseconds drain, const Progress& progress)
{
    if (!session.instance) return tear_down(session.instance);  // what a killed command left
    HW_CHECK(trim_hooks(*session.instance, {}));
    session.lock.reset();
    HW_TRY(const auto left, drain_line(*session.instance, drain, progress));
    static_cast<void>(left);
    session.instance.reset();
    HW_TRY(auto now, begin());
    session.lock.emplace(std::move(*now.lock));
    session.instance = std::move(now.instance);
    session.records = std::move(now.records);
    if (!session.instance || !session.records.empty()) return 0U;
    return tear_down(session.instance);
}

}  // namespace headwind
