// SPDX-License-Identifier: MIT
// Makes the view of each rule that callers see: state, trouble, devices, hours and counters.
#include "engine/view.h"

#include <net/if.h>

#include <algorithm>
#include <span>

#include <fmt/ranges.h>

#include <headwind/model.h>

#include "engine/write_session.h"
#include "host/cgroup.h"
#include "host/clock.h"
#include "host/devices.h"
#include "line/damage.h"
#include "line/line.h"
#include "precedence/standing.h"
#include "ruleset/counters.h"
#include "ruleset/stops.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

// `line`: a rule needs the line.
Result<Damage> find_damage(const Instance& instance, const std::vector<netlink::Link>& links, bool line)
{
    Damage out;
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto ifindex = instance.control->devices[slot].ifindex;
        if (ifindex == 0) continue;
        // Where XDP is missing, tc decides.
        const auto lost = lost_hooks(instance, slot) & ~static_cast<__u32>(HW_DEVICE_XDP);
        if (lost != 0) out.hooks[ifindex] = lost;
    }
    out.blind = find_blind_hooks(instance);
    if (!line) return out;
    HW_TRY(out.line, line_damage(instance, links));
    HW_TRY(out.guests, line_guests(instance, links));
    return out;
}

constexpr const char* remedy = "`headwind agent` and the next change put it back";

// Those of `hooks` (by ifindex) at this device that the rule needs.
__u32 of_rule(const std::map<std::uint32_t, __u32>& hooks, const netlink::Link& link, const Rule& rule)
{
    const auto found = hooks.find(static_cast<std::uint32_t>(link.index));
    const auto needed = link.flags & IFF_LOOPBACK ? __u32{HW_DEVICE_EGRESS} : attach_flags(rule);
    return found == hooks.end() ? 0 : found->second & needed;
}

// `hooks`: those of the device that see nothing.
std::string why_blind(const netlink::Link& link, __u32 hooks)
{
    if (hooks & HW_DEVICE_EGRESS)
        return fmt::format(
            "sees nothing here: {} sends, but nothing by Headwind (as with PACKET_QDISC_BYPASS or AF_XDP)", link.name);
    return fmt::format(
        "sees nothing here: {} receives, but nothing comes to Headwind (XDP or AF_XDP take it before, or it goes "
        "another way, as with ipvlan in l3s mode)",
        link.name);
}

// Where a rule sees nothing. Of several devices one may be odd: `everywhere` is for all of them but lo.
struct Blindness {
    std::string why;
    bool everywhere = false;
};
Blindness blindness_of(const Rule& rule, const std::vector<const netlink::Link*>& devices, const Damage& damage)
{
    Blindness out;
    std::size_t others = devices.size(), blind = 0;
    for (const auto* link : devices) {
        const auto hooks = of_rule(damage.blind, *link, rule);
        const bool counts = devices.size() == 1 || (link->flags & IFF_LOOPBACK) == 0;
        others -= counts ? 0 : 1;
        blind += counts && hooks != 0 ? 1 : 0;
        if (hooks != 0 && out.why.empty()) out.why = why_blind(*link, hooks);
    }
    out.everywhere = blind != 0 && blind == others;
    return out;
}

// A rule that selects cgroups has no effect once all of them are gone, or others of their names.
std::string trouble_of_cgroups(const RuleRecord& record)
{
    if (record.cgroups.empty() || record.rule.subject || !std::ranges::all_of(record.cgroups, is_gone)) return "";
    const auto& path = record.cgroups.front().path;
    return find_cgroup(path) ? fmt::format("cgroup {} was made anew: {}", path, remedy)
                             : fmt::format("cgroup {} is gone", path);
}

// Sets the state and the trouble of a rule that is live.
void look_for_trouble(RuleView& out, const RuleRecord& record, const std::vector<netlink::Link>& links,
                      const Damage& damage)
{
    if (record.guard != Guard::no) return;  // a guard has nothing to lose
    std::vector<const netlink::Link*> devices;
    for (const auto& link : links)
        if (std::ranges::find(out.devices, link.name) != out.devices.end()) devices.push_back(&link);
    const auto lost =
        std::ranges::find_if(devices, [&](const auto* link) { return of_rule(damage.hooks, *link, record.rule) != 0; });
    const auto blindness = blindness_of(record.rule, devices, damage);
    const bool in_line = needs_line(record.rule.impairment);

    out.trouble = trouble_of_cgroups(record);
    if (out.trouble.empty() && lost != devices.end())
        out.trouble = fmt::format("somebody took Headwind's program off {}: {}", (*lost)->name, remedy);
    if (out.trouble.empty() && blindness.everywhere) out.trouble = blindness.why;
    if (out.trouble.empty() && !damage.line.empty() && in_line)
        out.trouble = fmt::format("the line that it needs is not as it was made, {}: {}", damage.line, remedy);
    if (!out.trouble.empty())
        out.state = RuleState::broken;
    else if (!damage.guests.empty() && in_line)
        out.trouble = fmt::format("others' tc programs or filters at {} may drop or change its packets",
                                  fmt::join(damage.guests, ", "));
    else
        out.trouble = blindness.why;
}

IngressHook ingress_hook(const Instance& instance, const Rule& rule, const netlink::Link& link, std::uint16_t slot)
{
    IngressHook hook{link.name, Xdp::off, 0};
    if (!is_for_xdp(rule)) return hook;
    hook.xdp = xdp_mode_at(instance, slot);
    if (hook.xdp == Xdp::off) hook.other = link.xdp_program;
    return hook;
}

// Adds the names of the rule's devices, and the hooks that decide incoming packets.
void add_devices(RuleView& out, const Instance& instance, const RuleRecord& record,
                 const std::vector<netlink::Link>& links)
{
    for (const auto& link : links) {
        for (unsigned probe = 0; probe < HW_DEVICE_PROBES; ++probe) {
            const auto slot = static_cast<std::uint16_t>((static_cast<__u32>(link.index) + probe) % HW_MAX_DEVICES);
            const auto& device = instance.control->devices[slot];
            if (device.ifindex != static_cast<__u32>(link.index)) continue;
            const bool named = std::any_of(record.devices.begin(), record.devices.end(),
                                           [&link](const auto& d) { return d.ifindex == link.index; });
            const bool by_default = record.is_at_default_devices() && (device.flags & HW_DEVICE_DEFAULT) &&
                                    (link.index != loopback_index || record.is_at_loopback());
            if (!named && !by_default && !record.everywhere) continue;
            out.devices.push_back(link.name);
            if (device.flags & HW_DEVICE_INGRESS)
                out.ingress.push_back(ingress_hook(instance, record.rule, link, slot));
        }
    }
}

static_assert(HW_DROP_REASONS == drop_reasons && HW_DROP_LOSS == static_cast<int>(DropReason::loss) &&
              HW_DROP_PARTITION == static_cast<int>(DropReason::partition) &&
              HW_DROP_QUEUE == static_cast<int>(DropReason::queue) &&
              HW_DROP_HELD == static_cast<int>(DropReason::held) &&
              HW_DROP_LINE == static_cast<int>(DropReason::line) &&
              HW_DROP_REJECT == static_cast<int>(DropReason::reject));

static_assert(HW_EXEMPTIONS == exemptions && HW_EXEMPT_UNSTAMPABLE == static_cast<int>(Exemption::unstampable) &&
              HW_EXEMPT_SHARED == static_cast<int>(Exemption::shared) &&
              HW_EXEMPT_IPSEC == static_cast<int>(Exemption::ipsec) &&
              HW_EXEMPT_KTLS == static_cast<int>(Exemption::ktls) &&
              HW_EXEMPT_LINE == static_cast<int>(Exemption::line));

Counters plain(const hw_counters& from)
{
    Counters out;
    out.packets = from.packets;
    out.bytes = from.bytes;
    std::copy(std::begin(from.dropped), std::end(from.dropped), out.dropped.begin());
    out.corrupted = from.corrupted;
    out.duplicated = from.duplicated;
    out.delayed = from.delayed;
    out.reordered = from.reordered;
    std::copy(std::begin(from.exempt), std::end(from.exempt), out.exempt.begin());
    return out;
}

// The rules that rules with `pass` are compared with, at most: those of highest rank.
constexpr std::size_t most_compared = 1024;

// These rules in force.
Result<std::vector<RuleRecord>> read_highest(const Instance& instance)
{
    std::vector<RuleRef> rules;
    for (const auto& rule : entries_in_force(instance))
        if (!is_guard(rule)) rules.push_back(rule);
    const auto count = std::min(rules.size(), most_compared);
    const auto is_higher = [](const RuleRef& a, const RuleRef& b) { return a->rank > b->rank; };
    std::partial_sort(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(count), rules.end(), is_higher);
    Entries highest;
    for (const auto& rule : std::span(rules).first(count)) highest.push_back(rule);
    return read_records(instance, highest);
}

bool has_place(const RuleView& view)
{
    return view.state == RuleState::live && view.record.guard == Guard::no;
}

void note_pending(const RuleRecord& record, Snapshot& out)
{
    const auto now = boottime_ns();
    if (record.pending <= now) return;
    if (!out.pending)
        out.pending = Pending{wall_seconds() + static_cast<std::int64_t>((record.pending - now) / 1'000'000'000), {}};
    if (record.former) out.pending->comes_back.push_back(record.rule.name);
}

}  // namespace

void look_at_hours(const RuleRecord& record, RuleView& out)
{
    if (!record.rule.hours || out.state != RuleState::live) return;
    const auto hours = compile_hours(*record.rule.hours, record.clock);
    const auto now = tai_ns();
    if (hw_in_hours(&hours, now)) return;
    out.state = RuleState::off_hours;
    const auto now_s = now / 1'000'000'000, next = next_opening(hours, now_s);
    out.opening = {wall_seconds() + static_cast<std::int64_t>(next - now_s), hw_second_of_week(&hours, next)};
}

Result<RuleView> view(const Instance& instance, const RuleRecord& record, const std::vector<netlink::Link>& links,
                      const Damage& damage)
{
    RuleView out;
    HW_TRY(out.state, read_state(instance, record));
    add_devices(out, instance, record, links);
    if (record.rule.direction == Direction::out && !is_at_peer(record.rule)) out.ingress.clear();
    if (out.state == RuleState::live && out.devices.empty()) out.state = RuleState::waiting;
    if (out.state == RuleState::live) look_for_trouble(out, record, links, damage);
    if (out.state == RuleState::stopped) {
        HW_TRY(out.trouble, why_stopped(instance, record));
    }
    look_at_hours(record, out);
    for (const auto& [direction, key] : {std::pair{Direction::out, HW_OUT}, {Direction::in, HW_IN}}) {
        if (record.rule.direction != Direction::both && record.rule.direction != direction) continue;
        HW_TRY(const auto counters, read_counters(instance, {record.stable_id, static_cast<__u32>(key)}));
        out.counters.push_back({direction, plain(counters)});
    }
    out.record = record;
    return out;
}

Status look_at_ranks(const Instance& instance, const std::vector<Viewed>& rules, bool all)
{
    const auto space = space_in_force(instance);
    const auto is_exclusion = [](const Viewed& one) {
        return has_place(*one.view) && one.record->rule.impairment.pass;
    };
    std::vector<RuleRecord> read;
    std::vector<const RuleRecord*> highest;  // what exclusions are compared with
    if (!all && std::ranges::any_of(rules, is_exclusion)) {
        HW_TRY(read, read_highest(instance));
        for (const auto& record : read) highest.push_back(&record);
    }
    for (const auto& [record, view] : rules) {
        if (!has_place(*view)) continue;
        HW_TRY(auto standing, standing_of(space, *record, highest));
        if (!standing.hidden_by.empty()) view->state = RuleState::hidden;
        if (!standing.words.empty() && !view->trouble.empty()) standing.words += "; ";
        view->trouble.insert(0, standing.words);
        view->hidden_by = std::move(standing.hidden_by);
        view->loses_to = std::move(standing.loses_to);
        const bool counts = all && !record->rule.impairment.pass && view->hidden_by.empty();
        if (counts && highest.size() < most_compared) highest.push_back(record);
    }
    return {};
}

Result<Snapshot> look_at(const Instance& instance, bool ranks)
{
    Snapshot out;
    out.exists = true;
    out.tcx = instance.control->tcx != 0;
    out.own_programs = runs_own_programs(instance);
    out.max_held = instance.control->max_held;
    HW_TRY(auto records, load_records(instance));
    HW_TRY(const auto links, netlink::list_links());
    const bool needed =
        std::ranges::any_of(records, [](const auto& one) { return needs_line(one.record.rule.impairment); });
    HW_TRY(const auto damage, find_damage(instance, links, needed));
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.rank > b.rank; });
    std::vector<Viewed> viewed;
    out.rules.reserve(records.size());
    for (const auto& [record, rank] : records) {
        note_pending(record, out);
        if (record.former) continue;
        HW_TRY(auto one, view(instance, record, links, damage));
        if (one.state == RuleState::undone) continue;
        out.rules.push_back(std::move(one));
        viewed.push_back({&record, &out.rules.back()});
    }
    if (ranks) HW_CHECK(look_at_ranks(instance, viewed, true));
    HW_TRY(const auto line, line_stats(instance, links));
    out.line = {line.held_packets, line.held_bytes, line.dropped_packets};
    return out;
}

Result<std::optional<Subject>> subject_there(const Instance& instance, const Entries& rules)
{
    if (!rules.may_have(HW_INDEX_SUBJECT)) return std::nullopt;
    for (const auto& rule : rules) {
        if (!(rule->flags & HW_INDEX_SUBJECT) || (rule->device_flags & HW_DEVICE_PEER)) continue;
        HW_TRY(const auto record, read_record(instance, rule->id));
        return record.rule.subject;
    }
    return std::nullopt;
}

}  // namespace headwind
