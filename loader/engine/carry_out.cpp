// Plans, as they become true: devices, line, rules.
#include <algorithm>
#include <atomic>
#include <map>

#include "datapath/hooks.h"
#include "datapath/line.h"
#include "engine/plan.h"
#include "host/devices.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "ruleset/xdp.h"

namespace headwind {
namespace {

bool needs_time(const Impairment& impairment)
{
    return impairment.delay != 0 || impairment.rate != 0;
}

bool takes_line(const RuleRecord& record)
{
    return needs_line(record.rule.impairment);
}

using Links = std::vector<netlink::Link>;

// Slots of devices where our programs are already, by index and flags.
using Attached = std::map<std::pair<int, __u32>, std::uint16_t>;

Status attach_devices(Instance& instance, const Links& devices, Attached& attached, RuleRecord& record)
{
    const auto flags = attach_flags(record.rule);
    for (const auto& link : devices) {
        auto done = attached.find({link.index, flags});
        if (done == attached.end()) {
            const auto slot = attach_device(instance, link, flags);
            if (!slot && is_lost(link.index)) continue;  // since it was looked for
            if (!slot) return tl::unexpected(slot.error());
            done = attached.emplace(std::pair(link.index, flags), *slot).first;
        }
        if (!record.rule.selector.devices.empty()) record.devices.push_back({link.name, link.index, done->second});
    }
    return {};
}

// Some fresh rule makes packets on lo take the line.
bool uses_loopback(const std::vector<RuleRecord>& others, const Plan& plan, const std::vector<Links>& devices)
{
    const bool line = std::any_of(others.begin(), others.end(), takes_line);
    for (std::size_t i = 0; i < plan.fresh.size(); ++i)
        if ((line || takes_line(plan.fresh[i])) && has_loopback(devices[i])) return true;
    return false;
}

}  // namespace

bool needs_line(const Impairment& impairment)
{
    return needs_time(impairment) || impairment.loss || impairment.corrupt || impairment.duplicate ||
           impairment.reject != Reject::no;
}

__u32 attach_flags(const Rule& rule)
{
    const bool far = is_far(rule);
    __u32 flags = rule.selector.devices.empty() ? HW_DEVICE_DEFAULT : 0;
    if (far) flags |= HW_DEVICE_FAR;
    if (rule.direction != (far ? Direction::out : Direction::in)) flags |= HW_DEVICE_EGRESS;
    if (rule.direction != (far ? Direction::in : Direction::out)) flags |= HW_DEVICE_INGRESS;
    return flags;
}

Status prepare_line(Instance& instance, const std::vector<RuleRecord>& records, const std::vector<RuleRecord>& fresh,
                    bool loopback)
{
    LineNeeds needs;
    bool line = false;
    for (const auto* rules : {&records, &fresh}) {
        for (const auto& record : *rules) {
            needs.time = needs.time || needs_time(record.rule.impairment);
            line = line || needs_line(record.rule.impairment);
        }
    }
    needs.loopback = loopback;
    return line ? ensure_line(instance, needs) : Status{};
}

Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices)
{
    auto& instance = *session.instance;
    if (plan.max_held != 0) std::atomic_ref(instance.control->max_held).store(plan.max_held);
    HW_CHECK(prepare_line(instance, session.records, plan.fresh, uses_loopback(session.records, plan, devices)));
    Attached attached;
    for (std::size_t i = 0; i < plan.fresh.size(); ++i) {
        auto& record = plan.fresh[i];
        record.devices.clear();
        HW_CHECK(attach_devices(instance, devices[i], attached, record));
        record.id = next_rule_id(instance);
        if (record.state == 0) record.state = record.id;
        if (record.rule.timeline && record.timeline == 0) record.timeline = record.id;
    }
    auto records = session.records;
    records.insert(records.end(), plan.fresh.begin(), plan.fresh.end());
    HW_CHECK(settle_fronts(instance, records));
    HW_CHECK(commit(instance, {session.records, plan.fresh, plan.gone}));
    for (const auto state : plan.go_on) HW_CHECK(start_again(instance, state));
    session.records = std::move(records);
    return {};
}

}  // namespace headwind
