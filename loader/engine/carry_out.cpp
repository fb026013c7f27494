// Plans, as they become true: devices, line, rules.
#include <algorithm>
#include <map>

#include "datapath/device_table.h"
#include "datapath/line.h"
#include "engine/plan.h"
#include "host/devices.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "ruleset/xdp.h"

namespace headwind {
namespace {

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

bool takes_line(const RuleRef& rule)
{
    return (rule->flags & HW_INDEX_LINE) != 0;
}

// Some fresh rule makes packets on lo take the line.
bool uses_loopback(const Entries& others, const Plan& plan, const std::vector<Links>& devices)
{
    const bool line = others.may_have(HW_INDEX_LINE) && std::any_of(others.begin(), others.end(), takes_line);
    for (std::size_t i = 0; i < plan.fresh.size(); ++i)
        if ((line || needs_line(plan.fresh[i].rule.impairment)) && has_loopback(devices[i])) return true;
    return false;
}

std::vector<NewEntry> entries_of(const std::vector<RuleRecord>& records)
{
    std::vector<NewEntry> out;
    for (const auto& record : records) out.push_back(make_entry(record));
    return out;
}

Entries joined(Entries entries, const std::vector<NewEntry>& more)
{
    for (const auto& one : more) entries.push_back({one.entry, one.rest});
    return entries;
}

}  // namespace

Status prepare_line(Instance& instance, const Entries& rules, bool loopback)
{
    if (!rules.may_have(HW_INDEX_LINE) || std::none_of(rules.begin(), rules.end(), takes_line)) return {};
    LineNeeds needs;
    needs.time = rules.may_have(HW_INDEX_TIME) &&
                 std::any_of(rules.begin(), rules.end(), [](const auto& rule) { return rule->flags & HW_INDEX_TIME; });
    needs.loopback = loopback;
    return ensure_line(instance, needs);
}

Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices)
{
    auto& instance = *session.instance;
    if (plan.max_held != 0) set_max_held(instance, plan.max_held);
    HW_CHECK(prepare_line(instance, joined(session.rules, entries_of(plan.fresh)),
                          uses_loopback(session.rules, plan, devices)));
    Attached attached;
    for (std::size_t i = 0; i < plan.fresh.size(); ++i) {
        auto& record = plan.fresh[i];
        record.devices.clear();
        HW_CHECK(attach_devices(instance, devices[i], attached, record));
        record.id = next_rule_id(instance);
        if (record.state == 0) record.state = record.id;
        if (record.rule.timeline && record.timeline == 0) record.timeline = record.id;
    }
    HW_CHECK(settle_fronts(instance, joined(session.rules, entries_of(plan.fresh))));
    const auto committed = commit(instance, {plan.fresh, plan.gone});
    session.look_again();
    HW_CHECK(committed);
    for (const auto state : plan.go_on) HW_CHECK(start_again(instance, state));
    return {};
}

}  // namespace headwind
