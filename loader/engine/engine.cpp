// SPDX-License-Identifier: MIT
// Puts the steps of each operation in order: lock, plan, apply, trim or tear down, tell.
#include "engine/engine.h"

#include <atomic>
#include <set>

#include <fmt/ranges.h>

#include <headwind/index.h>

#include "datapath/attached.h"
#include "datapath/note_device.h"
#include "engine/apply.h"
#include "engine/changed.h"
#include "engine/panic_state.h"
#include "engine/plan.h"
#include "engine/reconcile.h"
#include "engine/removal.h"
#include "engine/ssh_guard.h"
#include "engine/view.h"
#include "engine/write_session.h"
#include "line/reclaim.h"
#include "ruleset/leases.h"

namespace headwind {
namespace {

// Tells what a command finds to have become of rules before it does anything itself.
void tell_found(const Reconciled& done)
{
    Changed changed;
    changed.meanwhile = events_of(done);
    tell(changed);
}

// Opens a session whose rules are where they should be.
Result<WriteSession> begin()
{
    HW_TRY(auto session, open_for_change());
    tell_found(catch_up(session));
    return session;
}

// Makes an instance without rules, after removing what a killed command left.
Status start_instance(WriteSession& session, const Plan& plan)
{
    HW_TRY(const auto lost, tear_down(session.instance));
    static_cast<void>(lost);
    auto created = create_instance(plan.max_held != 0 ? plan.max_held : default_max_held, plan.max_rules);
    if (!created) {
        static_cast<void>(tear_down(session.instance));
        return pass_error(created);
    }
    session.instance = std::move(*created);
    return note_device(*session.instance, loopback_index);  // our network namespace
}

Result<Entries> rules_to_delete(const WriteSession& session, const std::vector<std::string>& names, bool if_exists)
{
    const auto named = find_named(session.rules, names);
    Entries gone;
    std::set<std::uint32_t> taken;  // ids: a name may be given twice
    for (const auto& name : names) {
        const auto [begin, end] = named.equal_range(name);
        if (begin == end && !if_exists) return fail_no_rule(name);
        for (auto one = begin; one != end; ++one) {
            if (is_pending(one->second, boottime_ns())) return fail_pending(name);
            if (taken.insert(one->second->id).second) gone.push_back(one->second);
        }
    }
    return gone;
}

Entries rules_to_clear(const WriteSession& session, const std::optional<std::string>& owner)
{
    if (!owner) return session.rules;
    return session.rules.where(
        [hash = hash_of(*owner)](const auto& rule) { return rule.rest().owner_hash == hash && !is_guard(rule); });
}

// What look(session) returns, where nobody changes rules meanwhile; nothing is changed.
template <class Look>
auto rehearse(const Look& look) -> std::invoke_result_t<Look, WriteSession&>
{
    for (int looks = 1;; ++looks) {
        auto session = look_for_change();
        if (!session && looks < 10) continue;  // perhaps an instance was made just now
        if (!session) return pass_error(session);
        const auto& instance = session->instance;
        const auto version = instance ? instance->control->version : 0;
        auto out = look(*session);
        if (looks == 100 || !instance || instance->control->version == version) return out;
    }
}

// Takes off what was attached for a failed change; if no rule is left, the instance goes.
void undo(WriteSession& session)
{
    session.look_again();
    if (!session.instance) return;
    if (session.rules.empty())
        static_cast<void>(drain_and_tear_down(session, default_drain, [](std::uint32_t) {}));
    else
        static_cast<void>(trim_hooks(*session.instance, session.rules));
}

// Which rules are meant, without former ones, which a change that waits may bring back.
class Filter {
public:
    explicit Filter(const RuleFilter& filter) : filter_(filter), names_(filter.names)
    {
        if (filter.owner) owner_ = hash_of(*filter.owner);
    }
    bool has(const RuleRef& rule) const
    {
        const bool meant = filter_.all || names_.has(rule) || (owner_ && rule.rest().owner_hash == *owner_);
        return meant && !is_former(rule, now_);
    }

private:
    const RuleFilter& filter_;
    NameSet names_;
    std::optional<std::uint64_t> owner_;
    std::uint64_t now_ = boottime_ns();
};

Result<std::vector<RuleRecord>> read_filtered(const Instance& instance, const Entries& rules, const RuleFilter& filter)
{
    if (filter.names.empty() && !filter.owner && !filter.all) return std::vector<RuleRecord>{};
    const Filter meant(filter);
    return read_records(instance, rules.where([&meant](const auto& rule) { return meant.has(rule); }));
}

// What is to be done, before anything is done.
struct Prepared {
    Changes changes;
    Plan plan;
    std::vector<std::vector<netlink::Link>> devices;  // of each of plan.add
};

// Prepares the changes that `decide` makes of the rules that match. nullopt: it makes none.
Result<std::optional<Prepared>> prepare(WriteSession& session, const RuleFilter& filter, const Decide& decide)
{
    std::vector<RuleInfo> found;
    if (session.instance) {
        HW_TRY(const auto records, read_filtered(*session.instance, session.rules, filter));
        found.assign(records.begin(), records.end());
    }
    Prepared out;
    HW_TRY(out.changes, decide(found));
    if (out.changes.empty()) return std::nullopt;
    if (!out.changes.add.empty()) HW_CHECK(refuse_in_panic());
    HW_TRY(out.plan, make_plan(session, out.changes));
    HW_CHECK(plan_guards(session, out.plan));
    HW_CHECK(complete_plan(session, out.changes, out.plan));
    HW_TRY(out.devices, find_devices(out.plan, out.changes.may_wait));
    return out;
}

// The leases of the rules of these names: stable_id and ns. usage: one of them has none.
Result<std::vector<std::pair<std::uint32_t, std::uint64_t>>> leases_of(const Instance& instance,
                                                                       const std::vector<std::string>& names)
{
    const auto named = find_named(entries_in_force(instance), names);
    for (const auto& name : names) {
        const auto found = named.find(name);
        if (found == named.end()) return fail_no_rule(name);
        const auto flags = found->second->flags;
        if (!(flags & HW_INDEX_LEASED) || (flags & HW_INDEX_CHECKED))
            return fail(ErrorKind::usage, "{} has no lease: give it one with `headwind add --replace --lease 30s ...`",
                        name);
    }
    std::vector<std::pair<std::uint32_t, std::uint64_t>> out;
    for (const auto& [name, rule] : named) {
        HW_TRY(const auto record, read_record(instance, rule->id));
        out.emplace_back(record.stable_id, record.lease);
    }
    return out;
}

}  // namespace

Result<Snapshot> take_snapshot()
{
    HW_TRY(const bool panic, is_panic_on());
    // No lock is taken: if a transaction commits meanwhile, all is read again.
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance(Access::read));
        if (!instance) {
            const auto no_programs = check_no_programs();
            if (!no_programs && looks < 10) continue;  // perhaps an instance was made just now
            HW_CHECK(no_programs);
            Snapshot nothing;
            nothing.panic = panic;
            return nothing;
        }
        const auto version = instance->control->version;
        auto out = look_at(*instance, true);
        if (out) out->panic = panic;
        const auto after = find_control(Access::read);
        if (looks == 100 || (after && (*after)->version == version)) return out;
    }
}

Result<RulesHere> rules_here(const RuleFilter& filter)
{
    const Filter meant(filter);
    HW_TRY(const auto found, look_without_lock([&](const Instance& instance) -> Result<RulesHere> {
               const auto rules = entries_in_force(instance);
               RulesHere out;
               out.count = rules
                               .where([&](const auto& rule) {
                                   return meant.has(rule) && !is_undone(rule, boottime_ns()) &&
                                          !(filter.owner && is_guard(rule));
                               })
                               .size();
               // A name only: without it the rules are there all the same.
               out.subject = subject_there(instance, rules).value_or(std::nullopt);
               return out;
           }));
    return found.value_or(RulesHere());
}

Result<std::vector<RuleView>> apply_changes(const Changes& changes)
{
    return change_rules({}, [&changes](const auto&) { return changes; });
}

Result<std::vector<RuleInfo>> find_rules(const RuleFilter& filter)
{
    HW_TRY(const auto found, look_without_lock([&filter](const Instance& instance) {
               return read_filtered(instance, entries_in_force(instance), filter);
           }));
    return found ? std::vector<RuleInfo>(found->begin(), found->end()) : std::vector<RuleInfo>();
}

Result<std::vector<RuleView>> change_rules(const RuleFilter& filter, const Decide& decide)
{
    HW_TRY(auto session, begin());
    HW_TRY(auto prepared, prepare(session, filter, decide));
    if (!prepared) return std::vector<RuleView>{};
    auto& [changes, plan, devices] = *prepared;
    if (!session.instance) HW_CHECK(start_instance(session, plan));
    if (auto status = apply(session, plan, devices); !status) {
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
    Damage damage;  // none: what there was is mended
    damage.blind = find_blind_hooks(*session.instance);
    std::vector<RuleView> out;
    std::vector<Viewed> viewed;
    out.reserve(plan.add.size());
    for (const auto& record : plan.add) {
        if (record.former) continue;
        HW_TRY(auto one, view(*session.instance, record, links, damage));
        out.push_back(std::move(one));
        viewed.push_back({&record, &out.back()});
    }
    // The change is done, whatever can be said of it.
    static_cast<void>(look_at_ranks(*session.instance, viewed, false));
    auto changed = changes_of(plan, out);
    changed.confirm = changes.confirm;
    tell(changed);
    return out;
}

Result<std::vector<RuleView>> rehearse_changes(const RuleFilter& filter, const Decide& decide)
{
    HW_TRY(const bool panic, is_panic_on());
    return rehearse([&](WriteSession& session) -> Result<std::vector<RuleView>> {
        HW_TRY(const auto prepared, prepare(session, filter, decide));
        std::vector<RuleView> out;
        if (!prepared) return out;
        for (std::size_t i = 0; i < prepared->plan.add.size(); ++i) {
            const auto& record = prepared->plan.add[i];
            if (record.former) continue;
            RuleView one;
            one.record = record;
            for (const auto& device : prepared->devices[i]) one.devices.push_back(device.name);
            look_at_hours(record, one);
            if (one.devices.empty() && !record.everywhere) one.state = RuleState::waiting;
            if (panic) one.state = RuleState::panicked;
            out.push_back(std::move(one));
        }
        return out;
    });
}

Result<Removed> rehearse_removal(const std::vector<std::string>& names, bool if_exists)
{
    return rehearse([&](WriteSession& session) -> Result<Removed> {
        HW_TRY(const auto gone, rules_to_delete(session, names, if_exists));
        return foretell_removal(session, gone);
    });
}

Result<Removed> rehearse_clear(const std::optional<std::string>& owner)
{
    auto out = rehearse([&](WriteSession& session) -> Result<Removed> {
        auto removed = foretell_removal(session, rules_to_clear(session, owner));
        HW_TRY(removed.left, rules_left(session));
        return removed;
    });
    if (out || owner) return out;
    HW_TRY(const auto programs, own_programs_here());
    Removed found;
    found.programs = plain(programs);
    found.instance_gone = true;
    return found;
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
    HW_TRY(const auto gone, rules_to_delete(session, names, if_exists));
    return remove_rules(session, gone, progress, drain);
}

Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress, std::chrono::nanoseconds drain)
{
    auto session = open_for_change(Sweep::all);
    if (!session && !owner && session.error().kind != ErrorKind::busy)
        return clear_by_devices(session.error(), progress, drain);
    if (!session) return pass_error(session);
    Reconciled found;
    found.removed = session->removed;
    tell_found(found);
    HW_TRY(auto out, remove_rules(*session, rules_to_clear(*session, owner), progress, drain));
    HW_TRY(out.left, rules_left(*session));
    if (!owner && !session->instance) {
        HW_TRY(auto rest, reclaim(drain, progress));
        out.programs = plain(rest.programs);
        out.packets_lost += rest.packets_lost;
    }
    return out;
}

Status renew_lease(std::uint32_t stable_id, std::uint64_t lease)
{
    HW_TRY(const auto instance, open_instance());
    if (!instance) return fail(ErrorKind::not_found, "the rule was removed");
    return renew_lease(*instance, stable_id, lease);
}

Status renew_leases(const std::vector<std::string>& names, bool rehearsal)
{
    if (names.empty()) return {};
    HW_TRY(const auto leases,
           look_without_lock([&names](const Instance& instance) { return leases_of(instance, names); }));
    if (!leases) return fail_no_rule(names.front());
    if (rehearsal) return {};
    for (const auto& [stable_id, lease] : *leases) HW_CHECK(renew_lease(stable_id, lease));
    return {};
}

Result<Settled> settle_pending(bool undo, const Progress& progress)
{
    HW_TRY(auto session, open_for_change());
    Reconciled found;
    found.removed = session.removed;
    tell_found(found);
    const auto waiting = session.rules.where([now = boottime_ns()](const auto& rule) { return is_pending(rule, now); });
    if (waiting.empty()) return fail_nothing_pending();
    Plan plan;
    Settled out;
    HW_TRY(plan.remove, read_records(*session.instance, waiting));
    for (const auto& record : plan.remove) {
        if (record.former != undo) continue;
        auto staying = record;
        staying.pending = 0;
        staying.former = false;
        out.rules.push_back(staying.rule.name);
        plan.add.push_back(std::move(staying));
    }
    remove(session.rules, plan.remove);
    HW_TRY(const auto devices, find_devices(plan, true));
    HW_CHECK(apply(session, plan, devices));
    Changed changed;
    changed.event = undo ? "undone" : "confirmed";
    changed.words = fmt::format("{} what waited to be confirmed; in force: {}", undo ? "undid" : "confirmed",
                                out.rules.empty() ? "nothing" : fmt::format("{}", fmt::join(out.rules, ", ")));
    changed.about = out.rules;
    tell(changed);
    if (only_guards(session.rules)) {
        HW_TRY(out.packets_lost, drain_and_tear_down(session, default_drain, progress));
    } else {
        HW_CHECK(trim_hooks(*session.instance, session.rules));
    }
    return out;
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

}  // namespace headwind
