// SPDX-License-Identifier: MIT
// Finds rules that must move and programs that are missing, and puts both right.
#include "engine/reconcile.h"

#include <net/if.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include <headwind/index.h>

#include "container/placement.h"
#include "datapath/device_table.h"
#include "engine/apply.h"
#include "engine/view.h"
#include "host/clock.h"
#include "host/devices.h"
#include "host/host.h"
#include "line/damage.h"
#include "line/line.h"

namespace headwind {
namespace {

using Links = std::vector<netlink::Link>;

const netlink::Link* find_link(const Links& links, std::uint32_t index)
{
    const auto found = std::find_if(links.begin(), links.end(),
                                    [index](const auto& link) { return link.index == static_cast<int>(index); });
    return found == links.end() ? nullptr : &*found;
}

// The devices that are now the host side of the rule's pod. They are known by ifindex: another pod's may get their
// names. If they are gone, the container's are looked for anew, by its id, and `record` names them from then on.
Links host_side_now(RuleRecord& record, const Links& links)
{
    Links out;
    for (const auto& device : record.devices)
        if (const auto* link = find_link(links, static_cast<std::uint32_t>(device.ifindex))) out.push_back(*link);
    const auto& subject = *record.rule.subject;
    if (!out.empty() || subject.id.empty()) return out;
    const auto place = find_place({.container = subject.id, .pod = {}, .pid = {}, .at = "host"}, host_root());
    if (!place) return out;
    out = present_devices(links, place->devices);
    if (!out.empty()) record.rule.selector.devices = place->devices;
    return out;
}

Links devices_now(RuleRecord& record, const Links& links)
{
    return is_at_peer(record.rule) ? host_side_now(record, links)
                                   : present_devices(links, record.rule.selector.devices);
}

bool is_where(const RuleRecord& record, const Links& devices)
{
    std::set<int> before, now;
    for (const auto& device : record.devices) before.insert(device.ifindex);
    for (const auto& link : devices) now.insert(link.index);
    return before == now;
}

// Renews cgroups that were made anew; true: there was one. A subject's is never renewed: a container that starts again
// is another one.
bool renew_cgroups(RuleRecord& record)
{
    bool renewed = false;
    if (record.rule.subject) return false;
    for (auto& cgroup : record.cgroups) {
        if (!is_gone(cgroup)) continue;
        const auto found = find_cgroup(cgroup.path);
        if (!found) continue;
        cgroup = *found;
        renewed = true;
    }
    return renewed;
}

// The host's clock. It changes with the zone, with the next change of the zone's offset, and with TAI as time servers
// tell it. Nullopt: no rule has hours, or the zone cannot be read, and rules keep their clocks.
std::optional<LocalClock> clock_now(const Entries& rules)
{
    if (!rules.may_have(HW_INDEX_HOURS)) return std::nullopt;
    const auto clock = host_clock();
    return clock ? std::optional(*clock) : std::nullopt;
}

// `lost`: the slots whose device is gone. `changed`: these, and the slots whose device bears another name than when it
// was attached.
struct ChangedSlots {
    Slots lost{}, changed{};
    bool any = false;
};

ChangedSlots changed_slots(const Instance& instance, const Links& links)
{
    ChangedSlots out;
    for (std::size_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = instance.control->devices[slot];
        if (device.ifindex == 0) continue;
        const auto* link = find_link(links, device.ifindex);
        if (link == nullptr) add(out.lost, slot);
        if (link != nullptr && link->name == device.name) continue;
        add(out.changed, slot);
        out.any = true;
    }
    return out;
}

// Tells from the index whether a rule may have to move. The rule's description then says whether it does.
class MoveHints {
public:
    MoveHints(const Instance& instance, const Links& links, const std::optional<LocalClock>& clock)
        : slots_(changed_slots(instance, links)), cgroups_(instance)
    {
        if (clock) clock_ = hash_of(*clock);
    }

    // Whether any rule may have to move: mostly, nothing has happened.
    bool may_any_move(const Entries& rules) const
    {
        return slots_.any || rules.may_have(HW_INDEX_WAITING | HW_INDEX_CGROUP | HW_INDEX_HOURS);
    }

    Result<bool> may_move(const RuleRef& rule)
    {
        if (clock_ && (rule->flags & HW_INDEX_HOURS) && rule.rest().clock != *clock_) return true;
        if (rule->flags & HW_INDEX_WAITING) return true;
        if (slots_.any && (rule->flags & HW_INDEX_NAMED)) {
            const bool at_peer = rule->device_flags & HW_DEVICE_PEER;  // its device is known by ifindex, not by name
            if (is_at_any(rule, at_peer ? slots_.lost : slots_.changed)) return true;
        }
        if (rule->flags & HW_INDEX_SUBJECT) return false;
        return cgroups_.any_of(rule);
    }

private:
    ChangedSlots slots_;
    GoneCgroups cgroups_;
    std::optional<std::uint32_t> clock_;
};

Result<std::vector<Move>> find_moves(const Instance& instance, const Entries& rules, const Links& links)
{
    std::vector<Move> out;
    const auto clock = clock_now(rules);
    MoveHints hints(instance, links, clock);
    if (!hints.may_any_move(rules)) return out;
    for (const auto& rule : rules) {
        HW_TRY(const bool may_move, hints.may_move(rule));
        if (!may_move) continue;
        HW_TRY(const auto record, read_record(instance, rule->id));
        Move move{record, record, {}, false, false};
        move.devices = devices_now(move.after, links);
        move.renewed = renew_cgroups(move.after);
        move.clock = clock && record.rule.hours && record.clock != *clock;
        if (move.clock) move.after.clock = *clock;
        const bool named = !record.rule.selector.devices.empty();
        const bool other = move.renewed || move.clock;
        if (other && record.is_at_default_devices()) move.devices = default_devices_of(record.rule, links);
        if (other || (named && !is_where(record, move.devices))) out.push_back(std::move(move));
    }
    return out;
}

// Moves the rules in one instant. On failure all are where they were.
Status apply_moves(WriteSession& session, const std::vector<Move>& moves)
{
    Plan plan;
    std::vector<Links> devices;
    for (const auto& move : moves) {
        plan.remove.push_back(move.before);
        plan.add.push_back(move.after);
        devices.push_back(move.devices);
    }
    remove(session.rules, plan.remove);
    auto status = apply(session, plan, devices);
    session.look_again();
    return status;
}

// Moves all rules at once; if that fails, each one that can be moved. The error is that of the first attempt.
Status move_rules(WriteSession& session, const std::vector<Move>& moves, Reconciled& out)
{
    const auto note = [&out](const Move& move) {
        Moved moved{move.after.rule.name, {}, move.before.devices.empty(), move.renewed, move.clock};
        for (const auto& link : move.devices) moved.devices.push_back(link.name);
        out.moved.push_back(std::move(moved));
    };
    if (moves.empty()) return {};
    auto status = apply_moves(session, moves);
    if (status) {
        std::for_each(moves.begin(), moves.end(), note);
        return status;
    }
    for (const auto& move : moves)
        if (moves.size() > 1 && apply_moves(session, {move})) note(move);
    return status;
}

// Does all work that can be done; returns the first error.
Status do_work(WriteSession& session, const Work& work, Reconciled& out)
{
    Status first;
    const auto keep_first = [&first](Status status) {
        if (!status && first) first = std::move(status);
    };
    auto& instance = *session.instance;
    if (!session.rules.empty()) {
        const auto prepared = prepare_line(instance, session.rules);
        if (prepared) out.mended = work.line;
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
    // No rule names these devices any more: trim_hooks() may free their slots.
    for (const auto slot : work.lost) {
        const auto& device = instance.control->devices[slot];
        if (device.flags & HW_DEVICE_DEFAULT) out.lost.emplace_back(device.name);
        clear_device_flags(instance, slot, HW_DEVICE_DEFAULT);
    }
    keep_first(trim_hooks(instance, session.rules));
    return first;
}

Status bring_up_to_date(WriteSession& session, Reconciled& out)
{
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(const auto work, find_work(*session.instance, session.rules, links));
    if (work.any() || !session.removed.empty()) HW_CHECK(do_work(session, work, out));
    note_links(*session.instance, links);
    return {};
}

}  // namespace

Result<Work> find_work(const Instance& instance, const Entries& rules, const Links& links)
{
    Work out;
    HW_TRY(out.moves, find_moves(instance, rules, links));
    std::set<std::uint32_t> defaults;  // ifindexes of devices that rules without --dev are at
    const auto& control = *instance.control;
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = control.devices[slot];
        if (device.ifindex == 0) continue;
        if (device.flags & HW_DEVICE_DEFAULT) defaults.insert(device.ifindex);
        const auto* link = find_link(links, device.ifindex);
        if (link == nullptr)
            out.lost.push_back(slot);
        else if (lost_hooks(instance, slot) != 0) {
            out.attach.emplace_back(*link, device.flags);
            out.taken_off.push_back(link->name);
        }
    }
    __u32 flags = 0, at_loopback = 0;
    for (const auto& rule : rules) {
        if (!is_at_default_devices(rule)) continue;
        flags |= rule->device_flags;
        if (!(rule->flags & HW_INDEX_NOT_LO)) at_loopback |= rule->device_flags;
    }
    if (flags != 0)
        for (const auto& link : default_devices(links)) {
            const auto wanted = link.index == loopback_index ? at_loopback : flags;
            if (wanted != 0 && !defaults.contains(static_cast<std::uint32_t>(link.index)))
                out.attach.emplace_back(link, wanted);
        }
    out.line = line_damage(instance, links).value_or("");
    return out;
}

Result<Reconciled> reconcile()
{
    Reconciled out;
    HW_TRY(auto session, open_for_change());
    out.removed = session.removed;
    if (!session.instance) return out;
    if (!session.rules.empty()) {
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

Reconciled catch_up(WriteSession& session)
{
    Reconciled done;
    done.removed = session.removed;
    if (session.instance && !session.rules.empty()) static_cast<void>(bring_up_to_date(session, done));
    return done;
}

Status sweep_host()
{
    HW_TRY(auto session, open_for_change());
    HW_TRY(const bool others, other_instances_exist());
    HW_TRY(const auto host, open_host_map());
    if (session.instance || others || !host) return {};
    HW_TRY(const auto lost, tear_down(session.instance));
    static_cast<void>(lost);
    return {};
}

}  // namespace headwind
