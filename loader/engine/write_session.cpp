// SPDX-License-Identifier: MIT
// Judges which rules are stale, opens write sessions, and takes off what no rule needs any more.
#include "engine/write_session.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>

#include <headwind/index.h>

#include "datapath/attached.h"
#include "datapath/device_table.h"
#include "datapath/hooks.h"
#include "datapath/programs.h"
#include "host/devices.h"
#include "line/line.h"
#include "line/reclaim.h"
#include "ruleset/leases.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

// Whether the rule's subject (container, pod or process) is gone: its cgroup or, without one, the host side of its
// devices. (A pod's namespace takes its instance with it.)
bool is_orphaned(const RuleRecord& record)
{
    if (!record.rule.subject) return false;
    const auto& cgroups = record.cgroups;
    if (!cgroups.empty()) return std::all_of(cgroups.begin(), cgroups.end(), is_gone);
    const auto lost = [](const AttachedDevice& device) { return is_lost(device.ifindex); };
    return is_at_peer(record.rule) && std::all_of(record.devices.begin(), record.devices.end(), lost);
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

// The slots whose device is gone, and free slots. They are asked for only for rules with a subject.
Slots lost_slots(const Instance& instance, const Entries& rules)
{
    Slots out{};
    if (!rules.may_have(HW_INDEX_SUBJECT)) return out;
    for (std::size_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto ifindex = instance.control->devices[slot].ifindex;
        if (ifindex == 0 || is_lost(static_cast<int>(ifindex))) add(out, slot);
    }
    return out;
}

// Judges from the index what became of rules.
class Judge {
public:
    static Result<Judge> make(const Instance& instance, const Entries& rules)
    {
        Judge out(instance, rules);
        HW_TRY(out.leases_, read_leases(instance, rules));
        return out;
    }

    // The fate of the rule: unless it is `live`, open_for_change() removes the rule.
    Result<RuleState> fate_of(const RuleRef& rule)
    {
        HW_TRY(const bool orphaned, is_orphaned(rule));
        if (orphaned) return RuleState::orphaned;
        const bool as_changed = (rule->flags & HW_INDEX_PENDING) && !(rule->flags & HW_INDEX_FORMER);
        if (as_changed && now_ >= rule.rest().pending) return RuleState::undone;
        if (is_expired(rule, now_)) return now_ > rule->deadline + keep_expired ? RuleState::expired : RuleState::live;
        if (!(rule->flags & HW_INDEX_LEASED)) return RuleState::live;
        const auto lease = leases_.find(rule->state);
        if (lease != leases_.end() && now_ < lease->second) return RuleState::live;
        if (!(rule->flags & (HW_INDEX_CHECKED | HW_INDEX_SHARE))) return RuleState::unleased;
        HW_TRY(const auto stop, instance_.stops.find(rule->state));
        return stop ? RuleState::live : RuleState::unleased;
    }

private:
    Judge(const Instance& instance, const Entries& rules)
        : instance_(instance), cgroups_(instance), lost_(lost_slots(instance, rules))
    {
    }

    // Whether the rule's subject is gone: see is_orphaned() above.
    Result<bool> is_orphaned(const RuleRef& rule)
    {
        if (!(rule->flags & HW_INDEX_SUBJECT)) return false;
        if (rule->flags & HW_INDEX_CGROUP) return cgroups_.all_of(rule);
        if (!(rule->device_flags & HW_DEVICE_PEER)) return false;
        return is_within(rule, lost_);
    }

    const Instance& instance_;
    GoneCgroups cgroups_;
    Slots lost_;
    std::map<std::uint32_t, std::uint64_t> leases_;
    std::uint64_t now_ = boottime_ns();
};

}  // namespace

void WriteSession::look_again()
{
    rules = instance ? entries_in_force(*instance) : Entries{};
}

Result<bool> GoneCgroups::first_of(const RuleRef& rule)
{
    if (const auto known = gone_.find(rule.rest().cgroup); known != gone_.end()) return known->second;
    HW_TRY(const auto record, read_record(instance_, rule->id));
    const bool gone = !record.cgroups.empty() && is_gone(record.cgroups.front());
    gone_[rule.rest().cgroup] = gone;
    return gone;
}

Result<bool> GoneCgroups::all_of(const RuleRef& rule)
{
    if (!(rule->flags & HW_INDEX_CGROUP)) return false;
    if (!(rule->flags & HW_INDEX_CGROUPS)) return first_of(rule);
    HW_TRY(const auto record, read_record(instance_, rule->id));
    return std::all_of(record.cgroups.begin(), record.cgroups.end(), is_gone);
}

Result<bool> GoneCgroups::any_of(const RuleRef& rule)
{
    if (!(rule->flags & HW_INDEX_CGROUP)) return false;
    if (!(rule->flags & HW_INDEX_CGROUPS)) return first_of(rule);
    HW_TRY(const auto record, read_record(instance_, rule->id));
    return std::any_of(record.cgroups.begin(), record.cgroups.end(), is_gone);
}

Named find_named(const Entries& rules, const std::vector<std::string>& names)
{
    const NameSet wanted(names);
    Named out;
    for (const auto& rule : rules)
        if (wanted.has(rule)) out.emplace(rule_name(rule), rule);
    return out;
}

bool is_lost(int ifindex)
{
    char name[IF_NAMESIZE];
    return if_indextoname(static_cast<unsigned>(ifindex), name) == nullptr;
}

Result<std::vector<RemovedRule>> stale_rules(const Instance& instance, const Entries& rules)
{
    std::vector<RemovedRule> out;
    HW_TRY(auto judge, Judge::make(instance, rules));
    for (const auto& rule : rules) {
        HW_TRY(const auto fate, judge.fate_of(rule));
        if (fate == RuleState::live) continue;
        HW_TRY(auto record, read_record(instance, rule->id));
        out.push_back({std::move(record), fate});
    }
    return out;
}

Result<RuleState> read_state(const Instance& instance, const RuleRecord& record)
{
    const bool panic = std::atomic_ref(instance.host->panic).load() != 0;
    bool stopped = false;
    if (is_stoppable(record.rule)) {
        HW_TRY(const auto stop, instance.stops.find(record.stable_id));
        stopped = stop.has_value();
    }
    if (record.lease == 0) return state_of(record, nullptr, stopped, panic);
    HW_TRY(const auto lease, instance.leases.find(record.stable_id));
    return state_of(record, lease ? &*lease : nullptr, stopped, panic);
}

bool only_guards(const Entries& rules)
{
    return std::all_of(rules.begin(), rules.end(), [](const auto& rule) { return is_guard(rule); });
}

bool runs_own_programs(const Instance& instance)
{
    return instance.control->programs == own_programs();
}

__u32 lost_hooks(const Instance& instance, std::uint16_t slot)
{
    const auto& device = instance.control->devices[slot];
    const auto there = [&](hw_direction side) { return is_attached(instance, static_cast<int>(device.ifindex), side); };
    __u32 lost = 0;
    if ((device.flags & HW_DEVICE_EGRESS) && !there(HW_OUT)) lost |= HW_DEVICE_EGRESS;
    if ((device.flags & HW_DEVICE_INGRESS) && !there(HW_IN)) lost |= HW_DEVICE_INGRESS;
    if ((device.flags & HW_DEVICE_XDP) && xdp_mode_at(instance, slot) == Xdp::off) lost |= HW_DEVICE_XDP;
    return lost;
}

Result<WriteSession> open_for_change(Sweep sweep)
{
    WriteSession session;
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
    session.look_again();
    HW_TRY(session.removed, stale_rules(*session.instance, session.rules));
    if (session.removed.empty()) return session;
    std::vector<RuleRecord> stale;
    for (const auto& removed : session.removed) stale.push_back(removed.record);
    auto left = session.rules;
    remove(left, stale);
    if (only_guards(left)) {
        HW_TRY(const auto guards, read_records(*session.instance, left));
        stale.insert(stale.end(), guards.begin(), guards.end());
    }
    HW_CHECK(commit(*session.instance, {{}, stale}));
    session.look_again();
    for (const auto& record : stale)
        for (const auto& cgroup : record.cgroups) sweep_command_cgroup(cgroup.path);
    return session;
}

Result<WriteSession> look_for_change()
{
    WriteSession session;
    HW_TRY(session.instance, open_instance());
    if (!session.instance) {
        HW_CHECK(check_no_programs());
        return session;
    }
    session.look_again();
    HW_TRY(session.removed, stale_rules(*session.instance, session.rules));
    std::vector<RuleRecord> stale;
    for (const auto& removed : session.removed) stale.push_back(removed.record);
    remove(session.rules, stale);
    if (!stale.empty() && only_guards(session.rules)) session.rules = {};
    return session;
}

Status trim_hooks(Instance& instance, const Entries& rules)
{
    bool default_in_use = false, loopback_in_use = false;  // lo as a default device
    Slots named{}, at_peer{};
    for (const auto& rule : rules) {
        if (is_at_default_devices(rule)) {
            default_in_use = true;
            loopback_in_use = loopback_in_use || !(rule->flags & HW_INDEX_NOT_LO);
        }
        if (!(rule->flags & HW_INDEX_NAMED)) continue;
        add_slots(rule, named);
        if (rule->device_flags & HW_DEVICE_PEER) add_slots(rule, at_peer);
    }
    HW_CHECK(settle_xdp(instance, rules));
    HW_TRY(const auto line, line_stats(instance));
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = instance.control->devices[slot];
        if (device.ifindex == 0) continue;
        if (!has(at_peer, slot)) clear_device_flags(instance, slot, HW_DEVICE_PEER);
        if (!(device.flags & HW_DEVICE_LOOPBACK ? loopback_in_use : default_in_use))
            clear_device_flags(instance, slot, HW_DEVICE_DEFAULT);
        if (has(named, slot) || (device.flags & HW_DEVICE_DEFAULT)) continue;
        HW_CHECK(detach_device(instance, slot));
        if (line.held_packets == 0) release_device(instance, slot);
    }
    return trim_line(instance, rules.have(HW_INDEX_LO_TIME));
}

// Order matters: a user goes before the thing it uses, and the pins that know of all go last.
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

Result<std::uint32_t> drain_and_tear_down(WriteSession& session, std::chrono::nanoseconds drain,
                                          const Progress& progress)
{
    if (!session.instance) return tear_down(session.instance);  // left by a killed command
    HW_CHECK(trim_hooks(*session.instance, {}));
    session.lock.reset();
    HW_TRY(const auto left, drain_line(*session.instance, drain, progress));
    static_cast<void>(left);
    session.instance.reset();
    HW_TRY(auto now, open_for_change());
    session.lock.emplace(std::move(*now.lock));
    session.instance = std::move(now.instance);
    session.look_again();
    if (!session.instance || !session.rules.empty()) return 0U;
    return tear_down(session.instance);
}

}  // namespace headwind
