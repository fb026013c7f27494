// SPDX-License-Identifier: MIT
// Applies a plan: finds devices and attaches to them, makes the line, settles XDP, commits the rules.
#include "engine/apply.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include <headwind/index.h>

#include "datapath/device_table.h"
#include "host/devices.h"
#include "line/line.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

using Links = std::vector<netlink::Link>;

// The slots that attach_device() has given so far, by ifindex and flags.
using Attached = std::map<std::pair<int, __u32>, std::uint16_t>;

Status attach_devices(Instance& instance, const Links& devices, Attached& attached, RuleRecord& record)
{
    const auto flags = attach_flags(record.rule);
    for (const auto& link : devices) {
        auto done = attached.find({link.index, flags});
        if (done == attached.end()) {
            const auto slot = attach_device(instance, link, flags);
            if (!slot && is_lost(link.index)) continue;  // gone since it was looked for
            if (!slot) return tl::unexpected(slot.error());
            done = attached.emplace(std::pair(link.index, flags), *slot).first;
        }
        if (!record.rule.selector.devices.empty()) record.devices.push_back({link.name, link.index, done->second});
    }
    return {};
}

LineNeeds line_needs(const Entries& rules)
{
    LineNeeds out;
    out.time = rules.have(HW_INDEX_TIME);
    out.loopback_time = rules.have(HW_INDEX_LO_TIME);
    out.loopback_segment = rules.have(HW_INDEX_LO_SEGMENT);
    return out;
}

// Makes the line that the rules that stay and the added ones need.
Status prepare_line_for(Instance& instance, const Entries& rules, const Plan& plan, const std::vector<Links>& devices)
{
    const auto any = [&plan](bool (*needs)(const Impairment&)) {
        return std::any_of(plan.add.begin(), plan.add.end(),
                           [needs](const auto& record) { return needs(record.rule.impairment); });
    };
    if (!any(needs_line) && !rules.have(HW_INDEX_LINE)) return {};
    auto needs = line_needs(rules);
    needs.time = needs.time || any(needs_time);
    for (std::size_t i = 0; i < plan.add.size(); ++i) {
        if (!has_loopback(devices[i])) continue;
        needs.loopback_time = needs.loopback_time || needs_time(plan.add[i].rule.impairment);
        needs.loopback_segment = needs.loopback_segment || needs_segmenting(plan.add[i].rule.impairment);
    }
    return ensure_line(instance, needs);
}

// Settles XDP for the rules that it may decide, among those that stay and those that are added.
Status settle_xdp_for(Instance& instance, const Entries& rules, const Plan& plan)
{
    std::vector<NewEntry> fresh;
    fresh.reserve(plan.add.size());
    for (const auto& record : plan.add) fresh.push_back(make_entry(record));
    auto all = rules.with(HW_INDEX_XDP);
    for (const auto& one : fresh) all.push_back(RuleRef(one));
    return settle_xdp(instance, all);
}

Result<Links> devices_for(const Rule& rule, const Links& links, bool may_wait)
{
    const auto& names = rule.selector.devices;
    if (!names.empty()) return may_wait ? present_devices(links, names) : named_devices(links, names);
    auto found = default_devices_of(rule, links);
    if (!found.empty()) return found;
    if (!default_devices(links).empty())
        return fail(
            ErrorKind::not_found,
            "only lo is up here, where rules for containers, pods, processes and cgroups are only with --loopback");
    return fail(ErrorKind::not_found, "no device of this network namespace is up: name one with --dev");
}

}  // namespace

Result<std::vector<Links>> find_devices(const Plan& plan, bool may_wait)
{
    HW_TRY(const auto links, netlink::list_links());
    std::unordered_map<std::uint32_t, const std::vector<std::string>*> before;  // by stable_id
    for (const auto& record : plan.remove) before[record.stable_id] = &record.rule.selector.devices;
    std::vector<Links> out;
    for (const auto& record : plan.add) {
        const auto& names = record.rule.selector.devices;
        const auto old = before.find(record.stable_id);
        const bool keeps = old != before.end() && *old->second == names;
        Links devices;
        if (!record.everywhere) {
            HW_TRY(devices, devices_for(record.rule, links, may_wait || keeps));
        }
        out.push_back(std::move(devices));
    }
    return out;
}

Links default_devices_of(const Rule& rule, const Links& links)
{
    auto out = default_devices(links);
    if (spares_loopback(rule)) std::erase_if(out, [](const auto& link) { return link.index == loopback_index; });
    return out;
}

Status prepare_line(Instance& instance, const Entries& rules)
{
    return rules.have(HW_INDEX_LINE) ? ensure_line(instance, line_needs(rules)) : Status{};
}

Status apply(WriteSession& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices)
{
    auto& instance = *session.instance;
    if (plan.max_held != 0) set_max_held(instance, plan.max_held);
    HW_CHECK(prepare_line_for(instance, session.rules, plan, devices));
    Attached attached;
    for (std::size_t i = 0; i < plan.add.size(); ++i) {
        auto& record = plan.add[i];
        record.devices.clear();
        HW_CHECK(attach_devices(instance, devices[i], attached, record));
        record.id = next_rule_id(instance);
        if (record.stable_id == 0) record.stable_id = record.id;
        if (record.rule.timeline && record.timeline == 0) record.timeline = record.id;
    }
    HW_CHECK(settle_xdp_for(instance, session.rules, plan));
    const auto committed = commit(instance, {plan.add, plan.remove});
    session.look_again();
    HW_CHECK(committed);
    for (const auto state : plan.go_on) HW_CHECK(start_again(instance, state));
    return {};
}

}  // namespace headwind
