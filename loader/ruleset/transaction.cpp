// SPDX-License-Identifier: MIT
// Writes the next version beside the one in force, switches to it, and erases what went; repairs what was cut short.
#include "ruleset/transaction.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <span>
#include <unordered_set>
#include <utility>

#include <headwind/model.h>

#include "ruleset/counters.h"
#include "ruleset/index.h"
#include "ruleset/shapes.h"
#include "ruleset/stops.h"
#include "ruleset/timelines.h"

namespace headwind {

class VersionWriter {
public:
    static hw_control& of(Instance& instance) { return instance.control.writable(); }
};

namespace {

constexpr std::uint64_t never = ~0ULL;

hw_shape_table& table_of(Instance& instance, std::uint64_t version)
{
    return VersionWriter::of(instance).tables[version & 1];
}

std::vector<hw_state_key> state_keys(const RuleRecord& record)
{
    std::vector<hw_state_key> out;
    if (record.rule.direction != Direction::in) out.push_back({record.stable_id, HW_OUT});
    if (record.rule.direction != Direction::out) out.push_back({record.stable_id, HW_IN});
    return out;
}

Status add_to_entry(const Instance& instance, const hw_key& key, const CompiledRule& rule,
                    const std::set<std::uint32_t>& leaving)
{
    HW_TRY(auto entry, instance.entries.find(key));
    if (!entry) {
        hw_entry fresh{};
        fresh.rules[0] = rule.record->id;
        return instance.entries.put(key, fresh);
    }
    auto* const end = std::end(entry->rules);
    if (std::find(entry->rules, end, rule.record->id) != end) return {};
    auto* const place = std::find(entry->rules, end, 0U);
    const auto staying = std::count_if(entry->rules, end, [&](__u32 id) { return id != 0 && !leaving.contains(id); });
    if (place == end || staying >= HW_MAX_ALIKE)
        return fail(ErrorKind::usage,
                    "{} rules select exactly the same packets as \"{}\" already; at most {} can: delete one",
                    +HW_MAX_ALIKE, rule.record->rule.name, +HW_MAX_ALIKE);
    *place = rule.record->id;
    return instance.entries.rewrite(key, *entry);
}

Status remove_from_entry(const Instance& instance, const hw_key& key, std::uint32_t id)
{
    HW_TRY(auto entry, instance.entries.find(key));
    if (!entry) return {};
    std::replace(std::begin(entry->rules), std::end(entry->rules), id, 0U);
    const bool empty =
        std::all_of(std::begin(entry->rules), std::end(entry->rules), [](__u32 rule) { return rule == 0; });
    return empty ? instance.entries.erase(key) : instance.entries.rewrite(key, *entry);
}

// Writes the rule's entry at a free place of the index. Its id is written last.
Status write_entry(const Instance& instance, std::size_t place, const CompiledRule& compiled, std::uint64_t version)
{
    auto [entry, rest] = make_entry(*compiled.record);
    entry.born = version;
    entry.died = never;
    entry.rank = compiled.rank;
    entry.shapes = shape_bits(compiled);
    const auto id = std::exchange(entry.id, 0);
    HW_CHECK(instance.index->rests.put(place, rest));
    auto& here = instance.index->entries.all()[place];
    here = entry;
    std::atomic_ref(here.id).store(id);
    return {};
}

void note_hold(Instance& instance, const hw_impairment& impairment)
{
    auto& longest = VersionWriter::of(instance).longest_hold;
    std::atomic_ref(longest).store(std::max<std::uint64_t>(longest, longest_hold(impairment)));
}

Status write_rule(Instance& instance, const CompiledRule& compiled, std::uint64_t version,
                  const std::set<std::uint32_t>& leaving)
{
    const auto& record = *compiled.record;
    hw_rule rule{};
    rule.state = record.stable_id;
    rule.rank = compiled.rank;
    rule.born = version;
    rule.died = never;
    rule.start = record.former ? record.pending : 0;
    rule.deadline = record.deadline;
    if (record.pending != 0 && !record.former && (record.deadline == 0 || record.pending < record.deadline))
        rule.deadline = record.pending;
    rule.leased = record.lease != 0 ? 1 : 0;
    const auto& selector = record.rule.selector;
    if (selector.flows) rule.flows = static_cast<__u32>(selector.flows->threshold);  // 2^32 (all) becomes 0
    rule.flow_seed = selector.flow_seed;
    if (const auto& flap = record.rule.flap) {
        rule.flap_period = flap->up + flap->down;
        rule.flap_up = flap->up;
    }
    if (record.rule.hours) rule.hours = compile_hours(*record.rule.hours, record.clock);
    rule.since = record.since;
    if (const auto& timeline = record.rule.timeline) {
        if (record.timeline == record.id) {
            const auto steps = compile_steps(record.rule);
            for (const auto& step : steps) note_hold(instance, step.impairment);
            HW_CHECK(make_timeline(instance, record.id, steps));
        }
        rule.timeline = record.timeline;
        rule.steps = timeline->phases;
        rule.period = timeline->repeat ? timeline->length : 0;
    }
    if (record.rule.max_share) rule.max_share = static_cast<__u32>(record.rule.max_share->threshold);
    rule.stoppable = is_stoppable(record.rule) ? 1 : 0;
    rule.impairment = compile_impairment(record.rule.impairment);
    if (is_for_xdp(record.rule)) rule.impairment.flags |= HW_AT_XDP;
    note_hold(instance, rule.impairment);
    const auto hold = rule.timeline != 0 ? instance.control->longest_hold : longest_hold(rule.impairment);
    rule.held_shift = static_cast<__u16>(held_shift(hold));
    HW_CHECK(store_record(instance, record));
    for (const auto& key : state_keys(record)) {
        HW_TRY(const auto state, instance.states.find(key));
        if (!state) HW_CHECK(instance.states.put(key, hw_state{}));
        HW_CHECK(make_local(instance, key));
    }
    if (record.lease != 0) {
        hw_lease lease{};
        lease.until = boottime_ns() + record.lease;
        HW_CHECK(instance.leases.put(record.stable_id, lease));
    }
    HW_CHECK(instance.rules.put(record.id, rule));
    for (const auto& entry : compiled.entries) HW_CHECK(add_to_entry(instance, entry.key, compiled, leaving));
    return {};
}

Status mark_dead(const Instance& instance, std::uint32_t id, std::uint64_t version)
{
    HW_TRY(auto rule, instance.rules.find(id));
    if (!rule) return {};
    rule->died = version;
    return instance.rules.rewrite(id, *rule);
}

Status erase_state(const Instance& instance, std::uint32_t state)
{
    for (const __u32 direction : {HW_OUT, HW_IN}) {
        HW_CHECK(instance.states.erase({state, direction}));
        HW_CHECK(remove_local(instance, {state, direction}));
    }
    HW_CHECK(instance.stops.erase(state));
    return instance.leases.erase(state);
}

// Of the next version's rules: those that are added, and those that stay.
RuleFacts facts_of(const std::vector<RuleRecord>& add, const Entries& stay)
{
    RuleFacts out{stay.have(HW_INDEX_SHARE), stay.have(HW_INDEX_FLOWS)};
    for (const auto& record : add) {
        out.shares = out.shares || record.rule.max_share;
        out.flows = out.flows || record.rule.selector.flows;
    }
    return out;
}

// stable_ids and timelines of rules that go, which other rules have, too, or go on with.
struct Inherited {
    std::unordered_set<std::uint32_t> states, timelines;
};

// Erases the rule, its description last: as long as it is there, the rest can be found again.
Status erase_rule(const Instance& instance, const RuleRecord& record, const Inherited& inherited)
{
    HW_CHECK(instance.rules.erase(record.id));
    if (record.timeline != 0 && !inherited.timelines.contains(record.timeline))
        HW_CHECK(instance.timelines.erase(record.timeline));
    if (!inherited.states.contains(record.stable_id)) HW_CHECK(erase_state(instance, record.stable_id));
    return erase_record(instance, record.id);
}

// The places of these rules in the index.
std::vector<std::size_t> places_of(std::span<const hw_index_entry> index, const std::vector<RuleRecord>& records)
{
    std::vector<std::size_t> out;
    if (records.empty()) return out;
    const auto ids = sorted_ids(records);
    for (std::size_t i = 0; i < index.size() && out.size() < ids.size(); ++i)
        if (index[i].id != 0 && std::binary_search(ids.begin(), ids.end(), index[i].id)) out.push_back(i);
    return out;
}

// The rules that the next version adds, and its table of shapes.
struct NextVersion {
    std::vector<CompiledRule> add;
    ShapeSet shapes;
    RuleFacts facts;
    std::uint32_t stale = 0;
};

// Writes rules and entries of the next version beside those in force, and its table.
Status write_next_version(Instance& instance, const Transaction& transaction, const NextVersion& to)
{
    const std::uint64_t next = instance.control->version + 1;
    std::set<std::uint32_t> leaving;
    for (const auto& record : transaction.remove) leaving.insert(record.id);
    const auto index = instance.index->entries.all();
    for (const auto place : places_of(index, transaction.remove)) std::atomic_ref(index[place].died).store(next);
    std::size_t place = 0;
    for (const auto& rule : to.add) {
        while (index[place].id != 0) ++place;
        HW_CHECK(write_entry(instance, place, rule, next));
        HW_CHECK(write_rule(instance, rule, next, leaving));
    }
    for (const auto& record : transaction.remove) HW_CHECK(mark_dead(instance, record.id, next));
    write_table(table_of(instance, next), to.shapes, to.facts, to.stale);
    return {};
}

// Puts the rules of this version in force.
void set_version(Instance& instance, std::uint64_t version)
{
    std::atomic_ref(VersionWriter::of(instance).version).store(version);
}

void set_dirty(Instance& instance, bool dirty)
{
    std::atomic_ref(VersionWriter::of(instance).dirty).store(dirty ? 1 : 0);
}

// Takes away the mark that a transaction left on a rule it did not get to remove.
Status unmark_dead(const Instance& instance, std::uint32_t id, hw_rule rule)
{
    rule.died = never;
    return instance.rules.rewrite(id, rule);
}

// The parts of `gone` that rules in `stay` or `add` inherit.
Inherited inherited_from(const std::vector<RuleRecord>& gone, const Entries& stay, const std::vector<RuleRecord>& add)
{
    Inherited out;
    std::unordered_set<std::uint32_t> states, timelines;
    for (const auto& record : gone) {
        states.insert(record.stable_id);
        if (record.timeline != 0) timelines.insert(record.timeline);
    }
    const auto look = [&](std::uint32_t state, std::uint32_t timeline) {
        if (states.contains(state)) out.states.insert(state);
        if (timelines.contains(timeline)) out.timelines.insert(timeline);
    };
    // A rule that stays has the stable_id of one that goes if both are the same rule, before and after a change that
    // waits.
    const bool shared = stay.may_have(HW_INDEX_PENDING);
    for (const auto& entry : shared ? stay : Entries())
        look(entry->state, entry->flags & HW_INDEX_TIMELINE ? entry.rest().timeline : 0);
    for (const auto& record : add) look(record.stable_id, record.timeline);
    return out;
}

Status make_room_in_index(Instance& instance, std::size_t fresh)
{
    const auto index = instance.index->entries.all();
    const auto used = std::count_if(index.begin(), index.end(), [](const auto& entry) { return entry.id != 0; });
    return grow_index(instance, static_cast<std::size_t>(used) + fresh);
}

// Erases rules that nobody sees any more, but for packets on their way.
Status erase_rules(Instance& instance, const std::vector<RuleRecord>& records, const std::vector<CompiledRule>& rules,
                   const Inherited& inherited)
{
    HW_CHECK(grace_period());
    std::set<std::uint32_t> states;  // of rules with a --max-share
    for (const auto& rule : rules) {
        for (const auto& entry : rule.entries) HW_CHECK(remove_from_entry(instance, entry.key, rule.record->id));
        HW_CHECK(erase_rule(instance, *rule.record, inherited));
        if (rule.record->rule.max_share && !inherited.states.contains(rule.record->stable_id))
            states.insert(rule.record->stable_id);
    }
    if (!states.empty())
        HW_CHECK(erase_shares(instance, [&states](std::uint32_t state) { return states.contains(state); }));
    const auto index = instance.index->entries.all();
    for (const auto place : places_of(index, records)) std::atomic_ref(index[place].id).store(0);
    return {};
}

}  // namespace

Status commit(Instance& instance, const Transaction& transaction)
{
    HW_CHECK(make_room_in_index(instance, transaction.add.size()));
    NextVersion next;
    HW_TRY(next.add, compile_all(transaction.add));
    HW_TRY(auto remove, compile_all(transaction.remove));
    const auto stay = entries_in_force(instance, transaction.remove);
    const auto old_shapes = shapes_in_force(instance);
    HW_TRY(next.shapes, shapes_needed(old_shapes, stay, next.add));
    put_shape_ids(next.add, next.shapes);
    put_shape_ids(remove, old_shapes);
    next.facts = facts_of(transaction.add, stay);
    HW_TRY(next.stale, settle_filters(instance, {next.add, remove, stay.size()}, next.shapes));
    const auto inherited = inherited_from(transaction.remove, stay, transaction.add);

    // Readers of the version before last may still walk the table that is written next.
    HW_CHECK(grace_period());
    set_dirty(instance, true);
    if (auto status = write_next_version(instance, transaction, next); !status) {
        HW_CHECK(repair(instance));
        return status;
    }
    set_version(instance, instance.control->version + 1);
    if (!remove.empty()) HW_CHECK(erase_rules(instance, transaction.remove, remove, inherited));
    set_dirty(instance, false);
    return {};
}

Status retire(Instance& instance)
{
    HW_CHECK(grace_period());
    set_dirty(instance, true);
    const auto next = instance.control->version + 1;
    for (auto& entry : instance.index->entries.all())
        if (is_in_version(entry, instance.control->version)) std::atomic_ref(entry.died).store(next);
    HW_TRY(const auto rules, instance.rules.items());
    for (auto [id, rule] : rules) {
        if (!hw_in_version(&rule, instance.control->version)) continue;
        rule.died = next;
        HW_CHECK(instance.rules.rewrite(id, rule));
    }
    write_table(table_of(instance, next), {}, {}, 0);
    set_version(instance, next);
    return {};
}

Status repair(Instance& instance)
{
    if (instance.control->dirty == 0) return {};
    HW_CHECK(grace_period());
    const auto version = instance.control->version;
    std::set<std::uint32_t> alive, states, timelines;  // states (stable_ids) and timelines: of the rules alive
    for (const auto& entry : instance.index->entries.all()) {
        if (!is_in_version(entry, version)) continue;
        alive.insert(entry.id);
        states.insert(entry.state);
        if (entry.flags & HW_INDEX_TIMELINE) timelines.insert(RuleRef(*instance.index, entry).rest().timeline);
    }
    for (const auto id : instance.rules.keys()) {
        HW_TRY(const auto rule, instance.rules.find(id));
        if (rule && alive.contains(id) && rule->died != never) HW_CHECK(unmark_dead(instance, id, *rule));
    }
    for (const auto& key : instance.entries.keys()) {
        HW_TRY(const auto entry, instance.entries.find(key));
        if (!entry) continue;
        for (const auto id : entry->rules)
            if (id != 0 && !alive.contains(id)) HW_CHECK(remove_from_entry(instance, key, id));
    }
    for (const auto& key : instance.states.keys())
        if (!states.contains(key.state)) HW_CHECK(erase_state(instance, key.state));
    for (const auto& key : instance.timelines.keys())
        if (!timelines.contains(key)) HW_CHECK(instance.timelines.erase(key));
    for (const auto& key : instance.leases.keys())
        if (!states.contains(key)) HW_CHECK(instance.leases.erase(key));
    for (const auto& key : instance.stops.keys())
        if (!states.contains(key)) HW_CHECK(instance.stops.erase(key));
    HW_CHECK(erase_shares(instance, [&states](std::uint32_t state) { return !states.contains(state); }));
    for (const auto id : instance.rules.keys())
        if (!alive.contains(id)) HW_CHECK(instance.rules.erase(id));
    for (auto& entry : instance.index->entries.all()) {
        if (entry.id != 0 && !alive.contains(entry.id)) std::atomic_ref(entry.id).store(0);
        if (entry.id != 0) std::atomic_ref(entry.died).store(never);
    }
    // erase_record stops at the first missing chunk; a kill may have left later ones.
    for (const auto& key : instance.texts.keys())
        if (!alive.contains(key.rule)) HW_CHECK(instance.texts.erase(key));
    set_dirty(instance, false);
    return {};
}

std::uint32_t next_rule_id(Instance& instance)
{
    return std::atomic_ref(VersionWriter::of(instance).next_rule).fetch_add(1);
}

}  // namespace headwind
