#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <fmt/ranges.h>

#include <headwind/model.h>

#include "datapath/attached.h"
#include "datapath/hooks.h"
#include "datapath/line.h"
#include "engine/changed.h"
#include "engine/panic_state.h"
#include "engine/plan.h"
#include "engine/reclaim.h"
#include "engine/reconcile.h"
#include "engine/session.h"
#include "engine/takeover.h"
#include "host/clock.h"
#include "host/devices.h"
#include "ruleset/counters.h"
#include "ruleset/stops.h"
#include "ruleset/transaction.h"
#include "ruleset/xdp.h"

namespace headwind {
namespace {

// What others took away.
struct Damage {
    std::map<std::uint32_t, __u32> hooks;  // by ifindex, see lost_hooks
    bool line = false;
};

Result<Damage> find_damage(const Instance& instance)
{
    Damage out;
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto ifindex = instance.control->devices[slot].ifindex;
        if (ifindex == 0) continue;
        // Where XDP is missing, tc decides.
        const auto lost = lost_hooks(instance, slot) & ~static_cast<__u32>(HW_DEVICE_XDP);
        if (lost != 0) out.hooks[ifindex] = lost;
    }
    HW_TRY(const bool intact, is_line_intact(instance));
    out.line = !intact;
    return out;
}

std::string trouble_of(const RuleView& view, const RuleRecord& record, const std::vector<netlink::Link>& links,
                       const Damage& damage)
{
    if (record.guard != Guard::no) return "";  // nothing to lose
    constexpr const char* remedy = "`headwind agent` and the next change put it back";
    for (const auto& link : links) {
        const auto lost = damage.hooks.find(static_cast<std::uint32_t>(link.index));
        if (lost == damage.hooks.end() || (lost->second & attach_flags(record.rule)) == 0) continue;
        if (std::find(view.devices.begin(), view.devices.end(), link.name) != view.devices.end())
            return fmt::format("somebody took Headwind's program off {}: {}", link.name, remedy);
    }
    if (damage.line && needs_line(record.rule.impairment))
        return fmt::format("somebody took the line apart ({}): {}", fmt::join(line_names, ", "), remedy);
    return "";
}

IngressHook ingress_hook(const Instance& instance, const Rule& rule, const netlink::Link& link, std::uint16_t slot)
{
    IngressHook hook{link.name, Xdp::off, 0};
    if (!is_for_xdp(rule)) return hook;
    hook.xdp = front_on(instance, slot);
    if (hook.xdp == Xdp::off) hook.other = link.xdp_program;
    return hook;
}

// Names, and who decides what comes in.
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
            const bool by_default = record.is_at_default_devices() && (device.flags & HW_DEVICE_DEFAULT);
            if (!named && !by_default && !record.everywhere) continue;
            out.devices.push_back(link.name);
            if (device.flags & HW_DEVICE_INGRESS)
                out.ingress.push_back(ingress_hook(instance, record.rule, link, slot));
        }
    }
}

// Judged as the datapath does it.
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

static_assert(HW_CAUSES == drop_reasons && HW_CAUSE_LOSS == static_cast<int>(DropReason::loss) &&
              HW_CAUSE_PARTITION == static_cast<int>(DropReason::partition) &&
              HW_CAUSE_QUEUE == static_cast<int>(DropReason::queue) &&
              HW_CAUSE_HELD == static_cast<int>(DropReason::held) &&
              HW_CAUSE_LINE == static_cast<int>(DropReason::line) &&
              HW_CAUSE_REJECT == static_cast<int>(DropReason::reject));

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
    out.unstampable = from.unstampable;
    out.shared = from.shared;
    return out;
}

Result<RuleView> view(const Instance& instance, RuleRecord record, const std::vector<netlink::Link>& links,
                      const Damage& damage)
{
    RuleView out;
    HW_TRY(out.state, read_state(instance, record));
    add_devices(out, instance, record, links);
    if (record.rule.direction == Direction::out && !is_far(record.rule)) out.ingress.clear();
    if (out.state == RuleState::live && out.devices.empty()) out.state = RuleState::waiting;
    if (out.state == RuleState::live) out.trouble = trouble_of(out, record, links, damage);
    if (!out.trouble.empty()) out.state = RuleState::broken;
    if (out.state == RuleState::stopped) {
        HW_TRY(out.trouble, why_stopped(instance, record));
    }
    look_at_hours(record, out);
    for (const auto& [direction, key] : {std::pair{Direction::out, HW_OUT}, {Direction::in, HW_IN}}) {
        if (record.rule.direction != Direction::both && record.rule.direction != direction) continue;
        HW_TRY(const auto counters, read_counters(instance, {record.state, static_cast<__u32>(key)}));
        out.counters.push_back({direction, plain(counters)});
    }
    out.record = std::move(record);
    return out;
}

using Links = std::vector<netlink::Link>;

Result<Links> devices_for(const std::vector<std::string>& names, const Links& links, bool may_wait)
{
    if (!names.empty()) return may_wait ? present_devices(links, names) : named_devices(links, names);
    auto found = default_devices(links);
    if (found.empty())
        return fail(ErrorKind::not_found, "no device of this network namespace is up: name one with --dev");
    return found;
}

// From nothing, or from what a killed command left, to an instance without rules.
Status start_instance(Session& session, const Plan& plan)
{
    HW_TRY(const auto lost, tear_down(session.instance));
    static_cast<void>(lost);
    auto created = create_instance(plan.max_held != 0 ? plan.max_held : default_max_held, plan.max_rules);
    if (!created) {
        static_cast<void>(tear_down(session.instance));
        return pass_error(created);
    }
    session.instance = std::move(*created);
    return {};
}

// After a failed change: what was attached for it goes again, all of it if no rule is left.
void undo(Session& session)
{
    session.look_again();
    if (!session.instance) return;
    if (session.rules.empty())
        static_cast<void>(drain_and_tear_down(session, default_drain, [](std::uint32_t) {}));
    else
        static_cast<void>(trim_hooks(*session.instance, session.rules));
}

void tell_removed(const std::vector<std::string>& names)
{
    Changed changed;
    changed.removed = names;
    tell(changed);
}

// Each once: one name has two rules, while it waits to be confirmed. Oldest first.
std::vector<std::string> names_of(const Entries& rules)
{
    std::vector<RuleRef> sorted(rules.begin(), rules.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
    std::vector<std::string> out;
    std::set<std::string> seen;
    for (const auto& rule : sorted)
        if (auto name = rule_name(rule); seen.insert(name).second) out.push_back(std::move(name));
    return out;
}

// All rules go, and with them all that there is. `asked`: not what only guards.
Result<Removed> remove_all(Session& session, const Entries& asked, const Progress& progress,
                           std::chrono::nanoseconds drain)
{
    Removed out;
    out.rules = names_of(asked);
    const auto names =
        names_of(session.rules.where([](const auto& rule) { return (rule->flags & HW_INDEX_SSH) == 0; }));
    if (session.instance && !session.rules.empty()) HW_CHECK(retire(*session.instance));
    session.look_again();
    tell_removed(names);
    HW_TRY(out.packets_lost, drain_and_tear_down(session, drain, progress));
    out.instance_gone = !session.instance;
    return out;
}

// Read from one description for each owner.
Result<std::vector<LeftRule>> rules_left(const Session& session)
{
    std::vector<LeftRule> out;
    std::map<std::uint64_t, std::string> owners;  // by hash
    for (const auto& rule : session.rules) {
        if (is_guard(rule)) continue;
        auto owner = owners.find(rule.rest().owner_hash);
        if (owner == owners.end()) {
            HW_TRY(const auto record, read_record(*session.instance, rule->id));
            owner = owners.emplace(rule.rest().owner_hash, record.owner).first;
        }
        out.push_back({rule_name(rule), owner->second});
    }
    return out;
}

Result<Removed> remove_rules(Session& session, const Entries& gone, const Progress& progress,
                             std::chrono::nanoseconds drain)
{
    std::set<std::uint32_t> going;
    for (const auto& rule : gone) going.insert(rule->id);
    const auto staying = session.rules.where([&going](const auto& rule) { return !going.contains(rule->id); });
    if (only_guards(staying)) return remove_all(session, gone, progress, drain);
    Removed out;
    if (!gone.empty()) {
        out.rules = names_of(gone);
        HW_TRY(const auto records, read_records(*session.instance, gone));
        const auto committed = commit(*session.instance, {{}, records});
        session.look_again();
        HW_CHECK(committed);
        tell_removed(out.rules);
    }
    HW_CHECK(trim_hooks(*session.instance, session.rules));
    return out;
}

std::vector<ProgramAt> plain(const std::vector<AttachedProgram>& programs)
{
    std::vector<ProgramAt> out;
    for (const auto& program : programs) out.push_back({program.device, program.hook, program.id});
    return out;
}

// Without what is pinned, which cannot be opened: `why`.
Result<Removed> clear_by_devices(const Error& why, const Progress& progress, std::chrono::nanoseconds drain)
{
    Removed out;
    const auto lock = InstanceLock::take();
    if (!lock && lock.error().kind == ErrorKind::busy) return tl::unexpected(lock.error());
    auto reclaimed = reclaim(drain, progress);
    if (!reclaimed) return tl::unexpected(why);
    out.programs = plain(reclaimed->programs);
    out.packets_lost = reclaimed->packets_lost;
    out.instance_gone = true;
    if (const auto removed = remove_instance_pins(); !removed)
        return fail(removed.error().kind, "{}, but of the pins there is left: {}",
                    out.programs.empty() ? "no program of Headwind's is at a device of this network namespace"
                                         : "programs taken off: " + describe(out.programs),
                    removed.error().message);
    return out;
}

tl::unexpected<Error> no_rule(const std::string& name)
{
    return fail(ErrorKind::not_found, "no rule is called {}: see `headwind list`", name);
}

Status renew(const Instance& instance, std::uint32_t state, std::uint64_t lease)
{
    HW_TRY(const auto present, instance.leases.find(state));
    if (!present) return fail(ErrorKind::not_found, "the rule was removed");
    hw_lease renewed{};
    renewed.until = boottime_ns() + lease;
    return instance.leases.rewrite(state, renewed);
}

void note_pending(const RuleRecord& record, Overview& out)
{
    const auto now = boottime_ns();
    if (record.pending <= now) return;
    if (!out.pending)
        out.pending = Pending{wall_seconds() + static_cast<std::int64_t>((record.pending - now) / 1'000'000'000), {}};
    if (record.former) out.pending->comes_back.push_back(record.rule.name);
}

Result<Overview> look_at(const Instance& instance)
{
    Overview out;
    out.exists = true;
    out.tcx = instance.control->tcx != 0;
    out.own_programs = runs_own_programs(instance);
    out.max_held = instance.control->max_held;
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(const auto damage, find_damage(instance));
    HW_TRY(auto records, load_records(instance));
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.rank > b.rank; });
    for (auto& [record, rank] : records) {
        note_pending(record, out);
        if (record.former) continue;
        HW_TRY(auto one, view(instance, std::move(record), links, damage));
        if (one.state != RuleState::undone) out.rules.push_back(std::move(one));
    }
    HW_TRY(const auto line, line_stats(instance));
    out.line = {line.held_packets, line.held_bytes, line.dropped_packets};
    return out;
}

// Without what a change that waits brings back.
Result<std::vector<RuleRecord>> read_filtered(const Instance& instance, const Entries& rules, const RuleFilter& filter)
{
    std::unordered_set<std::uint32_t> names;
    for (const auto& name : filter.names) names.insert(name_hash(name));
    const auto owner = filter.owner ? hash_of(*filter.owner) : 0;
    if (names.empty() && !filter.owner && !filter.all) return std::vector<RuleRecord>{};
    const auto found = rules.where([&, now = boottime_ns()](const auto& rule) {
        const bool meant =
            filter.all || names.contains(rule->name_hash) || (filter.owner && rule.rest().owner_hash == owner);
        return meant && !is_former(rule, now);
    });
    return read_records(instance, found);
}

}  // namespace

Result<std::vector<Links>> find_devices(const Plan& plan, bool may_wait)
{
    HW_TRY(const auto links, netlink::list_links());
    std::unordered_map<std::uint32_t, const std::vector<std::string>*> before;  // by state
    for (const auto& record : plan.gone) before[record.state] = &record.rule.selector.devices;
    std::vector<Links> out;
    for (const auto& record : plan.fresh) {
        const auto& names = record.rule.selector.devices;
        const auto old = before.find(record.state);
        const bool keeps = old != before.end() && *old->second == names;
        Links devices;
        if (!record.everywhere) {
            HW_TRY(devices, devices_for(names, links, may_wait || keeps));
        }
        out.push_back(std::move(devices));
    }
    return out;
}

Result<Overview> overview()
{
    HW_TRY(const bool panic, is_panic_on());
    // No lock is taken: what a transaction changed meanwhile is looked at again.
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance(Access::read));
        if (!instance) {
            HW_CHECK(check_no_programs());
            Overview nothing;
            nothing.panic = panic;
            return nothing;
        }
        const auto version = instance->control->version;
        auto out = look_at(*instance);
        if (out) out->panic = panic;
        HW_TRY(const auto after, open_instance(Access::read));
        if (looks == 100 || (after && after->control->version == version)) return out;
    }
}

Result<std::vector<RuleView>> apply_changes(const Changes& changes)
{
    return change_rules({}, [&changes](const auto&) { return changes; });
}

Result<std::vector<RuleInfo>> find_rules(const RuleFilter& filter)
{
    // No lock is taken: what a transaction changed meanwhile is looked at again.
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance());
        if (!instance) return std::vector<RuleInfo>{};
        const auto version = instance->control->version;
        auto out = read_filtered(*instance, entries_in_force(*instance), filter);
        if (looks != 100 && instance->control->version != version) continue;
        if (!out) return pass_error(out);
        return std::vector<RuleInfo>(out->begin(), out->end());
    }
}

Result<std::vector<RuleView>> change_rules(const RuleFilter& filter, const Decide& decide)
{
    HW_TRY(auto session, begin());
    catch_up(session);
    std::vector<RuleInfo> found;
    if (session.instance) {
        HW_TRY(const auto records, read_filtered(*session.instance, session.rules, filter));
        found.assign(records.begin(), records.end());
    }
    HW_TRY(const auto changes, decide(found));
    if (changes.empty()) return std::vector<RuleView>{};
    if (!changes.add.empty()) HW_CHECK(refuse_in_panic());
    HW_TRY(auto plan, make_plan(session, changes));
    HW_TRY(const auto devices, find_devices(plan, changes.may_wait));
    if (!session.instance) HW_CHECK(start_instance(session, plan));
    if (auto status = carry_out(session, plan, devices); !status) {
        undo(session);
        return pass_error(status);
    }
    if (session.rules.empty()) {
        HW_TRY(const auto lost, drain_and_tear_down(session, default_drain, [](std::uint32_t) {}));
        static_cast<void>(lost);
        tell(changes_of(plan, {}));
        return std::vector<RuleView>{};
    }
    HW_CHECK(trim_hooks(*session.instance, session.rules));
    HW_TRY(const auto links, netlink::list_links());
    std::vector<RuleView> out;
    for (auto& record : plan.fresh) {
        if (record.former) continue;
        HW_TRY(auto one, view(*session.instance, std::move(record), links, {}));
        out.push_back(std::move(one));
    }
    auto changed = changes_of(plan, out);
    changed.confirm = changes.confirm;
    tell(changed);
    return out;
}

Result<RuleView> add_rule(const AddRequest& request)
{
    Changes changes;
    changes.add = {request};
    HW_TRY(auto views, apply_changes(changes));
    return std::move(views.front());
}

Result<Removed> delete_rules(const std::vector<std::string>& names, bool if_exists, const Progress& progress,
                             std::chrono::nanoseconds drain)
{
    HW_TRY(auto session, begin());
    catch_up(session);
    const auto named = find_named(session.rules, names);
    Entries gone;
    std::set<std::uint32_t> taken;  // ids: a name may be given twice
    for (const auto& name : names) {
        const auto [begin, end] = named.equal_range(name);
        if (begin == end && !if_exists) return no_rule(name);
        for (auto one = begin; one != end; ++one) {
            if (is_pending(one->second, boottime_ns())) return fail_pending(name);
            if (taken.insert(one->second->id).second) gone.push_back(one->second);
        }
    }
    return remove_rules(session, gone, progress, drain);
}

Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress, std::chrono::nanoseconds drain)
{
    auto session = begin(Sweep::all);
    if (!session && !owner && session.error().kind != ErrorKind::busy)
        return clear_by_devices(session.error(), progress, drain);
    if (!session) return pass_error(session);
    auto gone = session->rules;
    if (owner)
        gone = gone.where(
            [hash = hash_of(*owner)](const auto& rule) { return rule.rest().owner_hash == hash && !is_guard(rule); });
    HW_TRY(auto out, remove_rules(*session, gone, progress, drain));
    if (session->instance) {
        HW_TRY(out.left, rules_left(*session));
    }
    if (!owner && !session->instance) {
        HW_TRY(auto rest, reclaim(drain, progress));
        out.programs = plain(rest.programs);
        out.packets_lost += rest.packets_lost;
    }
    return out;
}

Status renew_lease(std::uint32_t state, std::uint64_t lease)
{
    HW_TRY(const auto instance, open_instance());
    if (!instance) return fail(ErrorKind::not_found, "the rule was removed");
    return renew(*instance, state, lease);
}

Status renew_leases(const std::vector<std::string>& names)
{
    HW_TRY(const auto instance, open_instance());
    Named named;
    if (instance) named = find_named(entries_in_force(*instance), names);
    for (const auto& name : names) {
        const auto found = named.find(name);
        if (found == named.end()) return no_rule(name);
        const auto flags = found->second->flags;
        if (!(flags & HW_INDEX_LEASED) || (flags & HW_INDEX_CHECKED))
            return fail(ErrorKind::usage, "{} has no lease: give it one with `headwind add --replace --lease 30s ...`",
                        name);
    }
    for (const auto& [name, rule] : named) {
        HW_TRY(const auto record, read_record(*instance, rule->id));
        HW_CHECK(renew(*instance, record.state, record.lease));
    }
    return {};
}

std::string describe(const std::vector<ProgramAt>& programs)
{
    std::vector<AttachedProgram> all;
    for (const auto& [device, hook, id] : programs) {
        AttachedProgram program;
        program.device = device;
        program.hook = hook;
        program.id = id;
        all.push_back(std::move(program));
    }
    return describe(all);
}

std::string_view format_state(RuleState state)
{
    switch (state) {
        case RuleState::live: return "live";
        case RuleState::expired: return "expired";
        case RuleState::unleased: return "lease ended";
        case RuleState::panicked: return "off (panic)";
        case RuleState::orphaned: return "gone";
        case RuleState::waiting: return "no device";
        case RuleState::broken: return "not effective";
        case RuleState::stopped: return "stopped";
        case RuleState::undone: return "undone";
        case RuleState::off_hours: return "off hours";
    }
    return "?";
}

}  // namespace headwind
