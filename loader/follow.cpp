#include "follow.h"

#include <linux/if.h>

#include <algorithm>
#include <set>

#include "devices.h"
#include "hooks.h"
#include "plan.h"

namespace headwind {
namespace {

using Links = std::vector<netlink::Link>;

constexpr std::uint64_t look_again = 1'000'000'000;  // ns; where packets in the line are waited for

const netlink::Link* find_link(const Links& links, std::uint32_t index)
{
    const auto found = std::find_if(links.begin(), links.end(),
                                    [index](const auto& link) { return link.index == static_cast<int>(index); });
    return found == links.end() ? nullptr : &*found;
}

// A rule that is to be at other devices, or to select other cgroups, than it does.
struct Move {
    RuleRecord before, after;
    Links devices;         // of `after`
    bool renewed = false;  // its cgroups
};

struct Work {
    std::vector<Move> moves;
    std::vector<std::pair<netlink::Link, __u32>> attach;  // with hw_device_flags
    std::vector<std::uint16_t> lost;                      // slots of devices that are gone
    bool line = false;                                    // its devices were removed
    bool any() const { return !moves.empty() || !attach.empty() || !lost.empty() || line; }
};

// The host side of a pod is known by its index: another pod's may get its name.
Links devices_now(const RuleRecord& record, const Links& links)
{
    const auto& names = record.rule.selector.devices;
    if (!is_far(record.rule)) return present_devices(links, names);
    Links out;
    for (const auto& device : record.devices)
        if (const auto* link = find_link(links, static_cast<std::uint32_t>(device.ifindex))) out.push_back(*link);
    return out;
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

std::vector<Move> find_moves(const std::vector<RuleRecord>& records, const Links& links)
{
    std::vector<Move> out;
    for (const auto& record : records) {
        Move move{record, record, devices_now(record, links), false};
        move.renewed = renew_cgroups(move.after);
        const bool named = !record.rule.selector.devices.empty();
        if (move.renewed && !named) move.devices = default_devices(links);
        if (move.renewed || (named && !is_at(record, move.devices))) out.push_back(std::move(move));
    }
    return out;
}

bool has_lost_programs(const Instance& instance, const hw_device& device)
{
    const auto lost = [&](__u32 flag, hw_direction direction) {
        return (device.flags & flag) && !is_attached(instance, static_cast<int>(device.ifindex), direction);
    };
    return lost(HW_DEVICE_EGRESS, HW_OUT) || lost(HW_DEVICE_INGRESS, HW_IN);
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
        else if (has_lost_programs(instance, device))
            out.attach.emplace_back(*link, device.flags);
    }
    __u32 flags = 0;
    for (const auto& record : records)
        if (record.rule.selector.devices.empty()) flags |= attach_flags(record.rule);
    if (flags != 0)
        for (const auto& link : default_devices(links))
            if (!defaults.contains(static_cast<std::uint32_t>(link.index))) out.attach.emplace_back(link, flags);
    out.line = control.line_cut != 0 &&
               (find_link(links, control.line_cut) == nullptr || find_link(links, control.line_return) == nullptr);
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
        Moved moved{move.after.rule.name, {}, move.renewed};
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
    if (!session.records.empty())
        keep_first(prepare_line(instance, session.records.front().rule, session.records, devices));
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

// When the rules' own clocks make them stale.
Result<std::uint64_t> next_end(const Instance& instance, const std::vector<RuleRecord>& records)
{
    std::uint64_t next = 0;
    const auto sooner = [&next](std::uint64_t time) { next = next == 0 ? time : std::min(next, time); };
    for (const auto& record : records) {
        if (record.deadline != 0) sooner(record.deadline + keep_expired + 1);
        if (record.lease == 0) continue;
        HW_TRY(const auto lease, instance.leases.find(record.state));
        if (lease) sooner(lease->until);
    }
    return next;
}

}  // namespace

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
    HW_TRY(const auto lost, tear_down(session.instance, {}, [](std::uint32_t) {}));
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
    HW_TRY(const auto lost, tear_down(session.instance, {}, [](std::uint32_t) {}));
    static_cast<void>(lost);
    return {};
}

}  // namespace headwind
