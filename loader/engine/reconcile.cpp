#include "engine/reconcile.h"

#include <net/if.h>

#include <algorithm>
#include <set>

#include "container/placement.h"
#include "datapath/hooks.h"
#include "engine/plan.h"
#include "host/clock.h"
#include "host/devices.h"
#include "host/host.h"
#include "ruleset/stops.h"

namespace headwind {
namespace {

using Links = std::vector<netlink::Link>;

constexpr std::uint64_t share_interval = 1'000'000'000;  // ns; how soon the agent tells what --max-share stopped
constexpr std::uint64_t look_again = 1'000'000'000;      // ns; where packets in the line are waited for

const netlink::Link* find_link(const Links& links, std::uint32_t index)
{
    const auto found = std::find_if(links.begin(), links.end(),
                                    [index](const auto& link) { return link.index == static_cast<int>(index); });
    return found == links.end() ? nullptr : &*found;
}

// A rule that is to be at other devices, to select other cgroups, or to have its hours at other times than it does.
struct Move {
    RuleRecord before, after;
    Links devices;         // of `after`
    bool renewed = false;  // its cgroups
    bool clock = false;    // the host's is another
};

struct Work {
    std::vector<Move> moves;
    std::vector<std::pair<netlink::Link, __u32>> attach;  // with hw_device_flags
    std::vector<std::uint16_t> lost;                      // slots of devices that are gone
    bool line = false;                                    // somebody took it apart
    bool any() const { return !moves.empty() || !attach.empty() || !lost.empty() || line; }
};

// The host side of a pod is known by its index: another pod's may get its name. If it is gone, that of the container,
// which has an id of its own, is looked for anew.
Links host_side_now(RuleRecord& record, const Links& links)
{
    Links out;
    for (const auto& device : record.devices)
        if (const auto* link = find_link(links, static_cast<std::uint32_t>(device.ifindex))) out.push_back(*link);
    const auto& party = *record.rule.party;
    if (!out.empty() || party.id.empty()) return out;
    const auto place = find_place({.container = party.id, .pod = {}, .pid = {}, .at = "host"}, host_root());
    if (!place) return out;
    out = present_devices(links, place->devices);
    if (!out.empty()) record.rule.selector.devices = place->devices;
    return out;
}

Links devices_now(RuleRecord& record, const Links& links)
{
    return is_far(record.rule) ? host_side_now(record, links) : present_devices(links, record.rule.selector.devices);
}

bool is_at(const RuleRecord& record, const Links& devices)
{
    std::set<int> before, now;
    for (const auto& device : record.devices) before.insert(device.ifindex);
    for (const auto& link : devices) now.insert(link.index);
    return before == now;
}

// Cgroups that were made anew. A container's is never: a container that starts again is another one.
bool renew_cgroups(RuleRecord& record)
{
    bool renewed = false;
    if (record.rule.party) return false;
    for (auto& cgroup : record.cgroups) {
        if (!is_gone(cgroup)) continue;
        const auto found = find_cgroup(cgroup.path);
        if (!found) continue;
        cgroup = *found;
        renewed = true;
    }
    return renewed;
}

// Of the zone, the next change of its offset, or TAI as time servers tell it. A zone that cannot be read keeps what
// was.
std::optional<LocalClock> clock_now(const std::vector<RuleRecord>& records)
{
    if (std::none_of(records.begin(), records.end(), [](const auto& record) { return record.rule.hours.has_value(); }))
        return std::nullopt;
    const auto clock = host_clock();
    return clock ? std::optional(*clock) : std::nullopt;
}

std::vector<Move> find_moves(const std::vector<RuleRecord>& records, const Links& links)
{
    std::vector<Move> out;
    const auto clock = clock_now(records);
    for (const auto& record : records) {
        if (record.rule.selector.devices.empty() && record.cgroups.empty() && !record.rule.party && !record.rule.hours)
            continue;
        Move move{record, record, {}, false, false};
        move.devices = devices_now(move.after, links);
        move.renewed = renew_cgroups(move.after);
        move.clock = clock && record.rule.hours && record.clock != *clock;
        if (move.clock) move.after.clock = *clock;
        const bool named = !record.rule.selector.devices.empty();
        const bool other = move.renewed || move.clock;
        if (other && record.is_at_default_devices()) move.devices = default_devices(links);
        if (other || (named && !is_at(record, move.devices))) out.push_back(std::move(move));
    }
    return out;
}

Work find_work(const Instance& instance, const std::vector<RuleRecord>& records, const Links& links)
{
    Work out;
    out.moves = find_moves(records, links);
    std::set<std::uint32_t> defaults;  // devices that rules without --dev are at
    const auto& control = *instance.control;
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = control.devices[slot];
        if (device.ifindex == 0) continue;
        if (device.flags & HW_DEVICE_DEFAULT) defaults.insert(device.ifindex);
        const auto* link = find_link(links, device.ifindex);
        if (link == nullptr)
            out.lost.push_back(slot);
        else if (lost_hooks(instance, slot) != 0)
            out.attach.emplace_back(*link, device.flags);
    }
    __u32 flags = 0;
    for (const auto& record : records)
        if (record.is_at_default_devices()) flags |= attach_flags(record.rule);
    if (flags != 0)
        for (const auto& link : default_devices(links))
            if (!defaults.contains(static_cast<std::uint32_t>(link.index))) out.attach.emplace_back(link, flags);
    const auto intact = is_line_intact(instance);
    out.line = intact && !*intact;
    return out;
}

// On failure everything is where it was.
Status carry_out_moves(Session& session, const std::vector<Move>& moves)
{
    Plan plan;
    std::vector<Links> devices;
    for (const auto& move : moves) {
        plan.gone.push_back(move.before);
        plan.fresh.push_back(move.after);
        devices.push_back(move.devices);
    }
    subtract(session.records, plan.gone);
    auto status = carry_out(session, plan, devices);
    if (!status) session.records.insert(session.records.end(), plan.gone.begin(), plan.gone.end());
    return status;
}

// All at once; if that fails, those that can.
Status move_rules(Session& session, const std::vector<Move>& moves, Followed& out)
{
    const auto note = [&out](const Move& move) {
        Moved moved{move.after.rule.name, {}, move.renewed, move.clock};
        for (const auto& link : move.devices) moved.devices.push_back(link.name);
        out.moved.push_back(std::move(moved));
    };
    if (moves.empty()) return {};
    auto status = carry_out_moves(session, moves);
    if (status) {
        std::for_each(moves.begin(), moves.end(), note);
        return status;
    }
    for (const auto& move : moves)
        if (moves.size() > 1 && carry_out_moves(session, {move})) note(move);
    return status;
}

// Does all that can be done; the first thing that could not is the error.
Status do_work(Session& session, const Work& work, const Links& links, Followed& out)
{
    Status first;
    const auto keep_first = [&first](Status status) {
        if (!status && first) first = std::move(status);
    };
    auto& instance = *session.instance;
    Links devices;  // where rules are, or are to be
    for (const auto& [link, flags] : work.attach) devices.push_back(link);
    for (const auto& device : instance.control->devices)
        if (const auto* link = device.ifindex != 0 ? find_link(links, device.ifindex) : nullptr)
            devices.push_back(*link);
    if (!session.records.empty()) {
        const auto prepared = prepare_line(instance, session.records, {}, has_loopback(devices));
        out.mended = work.line && prepared;
        keep_first(prepared);
    }
    for (const auto& [link, flags] : work.attach) {
        const auto slot = attach_device(instance, link, flags);
        if (slot)
            out.attached.push_back(link.name);
        else if (!is_lost(link.index))
            keep_first(tl::unexpected(slot.error()));
    }
    keep_first(move_rules(session, work.moves, out));
    // No rule names them any more: trim_hooks() may take them.
    for (const auto slot : work.lost) instance.control->devices[slot].flags &= ~static_cast<__u32>(HW_DEVICE_DEFAULT);
    keep_first(trim_hooks(instance, session.records));
    return first;
}

Status bring_up_to_date(Session& session, Followed& out)
{
    HW_TRY(const auto links, netlink::list_links());
    const auto work = find_work(*session.instance, session.records, links);
    return work.any() || !session.swept.empty() ? do_work(session, work, links, out) : Status{};
}

// The datapath tells nobody that it stopped a rule.
Status find_stops(const Instance& instance, const std::vector<RuleRecord>& records, Outlook& out)
{
    for (const auto& record : records) {
        if (!is_stoppable(record.rule)) continue;
        HW_TRY(const auto stop, instance.stops.find(record.state));
        const auto& name = record.rule.name;
        if (stop && stop->told == 0) out.stopped.push_back({record.state, name, describe(*stop, record.rule)});
        if (stop) continue;
        if (!record.rule.stop_if.empty()) out.checks.push_back({record.state, name, record.rule.stop_if});
        const auto soon = boottime_ns() + share_interval;
        if (record.rule.max_share) out.next = out.next == 0 ? soon : std::min(out.next, soon);
    }
    return {};
}

// When the rules' own clocks make them stale.
Result<std::uint64_t> next_end(const Instance& instance, const std::vector<RuleRecord>& records)
{
    std::uint64_t next = 0;
    const auto sooner = [&next](std::uint64_t time) { next = next == 0 ? time : std::min(next, time); };
    for (const auto& record : records) {
        if (record.pending != 0) sooner(record.pending);
        if (record.deadline != 0) sooner(record.deadline + keep_expired + 1);
        if (record.lease == 0) continue;
        HW_TRY(const auto lease, instance.leases.find(record.state));
        if (lease) sooner(lease->until);
    }
    return next;
}

}  // namespace

Status heed_check(const StopCheck& check, const std::string& failure)
{
    if (failure.empty()) {
        auto renewed = renew_lease(check.state, check_lease);
        if (renewed || renewed.error().kind == ErrorKind::not_found) return {};
        return renewed;
    }
    HW_TRY(const auto instance, open_instance());
    return instance ? stop_for_check(*instance, check.state, failure) : Status{};
}

Status note_told(const std::vector<Stopped>& stopped)
{
    HW_TRY(const auto instance, open_instance());
    for (const auto& one : stopped) {
        if (!instance) return {};
        HW_TRY(auto stop, instance->stops.find(one.state));
        if (!stop) continue;
        stop->told = 1;
        HW_CHECK(instance->stops.put(one.state, *stop));
    }
    return {};
}

Result<Outlook> look_ahead()
{
    Outlook out;
    HW_TRY(const auto instance, open_instance());
    if (!instance) return out;
    out.exists = true;
    HW_TRY(const auto records, load_records(*instance));
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(const auto stale, stale_rules(*instance, records));
    HW_TRY(out.next, next_end(*instance, records));
    auto work = find_work(*instance, records, links);
    if (records.empty() || !work.lost.empty()) {
        HW_TRY(const auto line, line_stats(*instance));
        if (line.held_packets != 0) {
            work.lost.clear();
            out.next = boottime_ns() + look_again;
        } else {
            out.due = true;
        }
    }
    HW_CHECK(find_stops(*instance, records, out));
    out.due = out.due || work.any() || !stale.empty() || instance->control->dirty != 0;
    const auto mount = cgroup2_mount();
    if (!mount) return out;
    for (const auto& record : records)
        for (const auto& cgroup : record.cgroups) out.cgroups.push_back(*mount + cgroup.path);
    return out;
}

Result<Followed> follow()
{
    Followed out;
    HW_TRY(auto session, begin());
    out.removed = session.swept;
    if (!session.instance) return out;
    if (!session.records.empty()) {
        HW_CHECK(bring_up_to_date(session, out));
        return out;
    }
    HW_TRY(const auto line, line_stats(*session.instance));
    if (line.held_packets != 0) return out;
    HW_TRY(const auto lost, tear_down(session.instance));
    static_cast<void>(lost);
    out.instance_gone = true;
    return out;
}

void catch_up(Session& session)
{
    Followed done;
    if (session.instance && !session.records.empty()) static_cast<void>(bring_up_to_date(session, done));
}

Status sweep_host()
{
    HW_TRY(auto session, begin());
    HW_TRY(const bool others, other_instances_exist());
    HW_TRY(const auto host, open_host_map());
    if (session.instance || others || !host) return {};
    HW_TRY(const auto lost, tear_down(session.instance));
    static_cast<void>(lost);
    return {};
}

}  // namespace headwind
