// SPDX-License-Identifier: MIT
// Writes the next version beside the one in force, switches to it, and erases what went; repairs what was cut short.
#include "ruleset/transaction.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <span>
#include <unordered_set>
#include <utility>

#include <headwind/index.h>
#include <headwind/model.h>

#include "ruleset/chances.h"
#include "ruleset/counters.h"
#include "ruleset/index.h"
#include "ruleset/port_classes.h"
#include "ruleset/shapes.h"
#include "ruleset/stops.h"
#include "ruleset/timelines.h"

namespace headwind {

class VersionWriter {
public:
    static hw_control& of(Instance& instance) { return instance.control.writable(); }
    static hw_port_classes& port_classes(Instance& instance) { return instance.port_classes.writable(); }
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

void note_hold(Instance& instance, const hw_impairment& impairment, const std::optional<hw_law>& law)
{
    auto& longest = VersionWriter::of(instance).longest_hold;
    std::atomic_ref(longest).store(std::max<std::uint64_t>(longest, longest_hold(impairment, law)));
}

Status write_rule(Instance& instance, const CompiledRule& compiled, std::uint64_t version)
{
    const auto& record = *compiled.record;
    const auto law = compile_law(record.rule.impairment);
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
            for (const auto& step : steps) note_hold(instance, step.impairment, law);
            HW_CHECK(make_timeline(instance, record.id, steps));
        }
        rule.timeline = record.timeline;
        rule.steps = timeline->phases;
        rule.period = timeline->repeat ? timeline->length : 0;
    }
    if (record.rule.max_share) rule.max_share = static_cast<__u32>(record.rule.max_share->threshold);
    rule.stoppable = is_stoppable(record.rule) ? 1 : 0;
    rule.impairment = compile_impairment(record.rule.impairment);
    if (law) rule.impairment.law = key_of(*law);
    if (is_for_xdp(record.rule)) rule.impairment.flags |= HW_AT_XDP;
    HW_CHECK(write_chances(instance, record, law));
    note_hold(instance, rule.impairment, law);
    const auto hold = rule.timeline != 0 ? instance.control->longest_hold : longest_hold(rule.impairment, law);
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
    return instance.rules.put(record.id, rule);
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

// Notes what the next version's rules have: those that are added, and those that stay.
void note_rules(const std::vector<RuleRecord>& add, const Entries& stay, TableNotes& notes)
{
    notes.shares = stay.have(HW_INDEX_SHARE);
    notes.flows = stay.have(HW_INDEX_FLOWS);
    for (const auto& record : add) {
        notes.shares = notes.shares || record.rule.max_share;
        notes.flows = notes.flows || record.rule.selector.flows;
    }
}

// stable_ids and timelines of rules that go, which other rules have, too, or go on with.
struct Inherited {
    std::unordered_set<std::uint32_t> states, timelines;
};

// Erases the rule, its description last: as long as it is there, the rest can be found again.
Status erase_rule(const Instance& instance, const RuleRecord& record, const Inherited& inherited)
{
    HW_CHECK(erase_chances(instance, record));
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

// What the next version adds, and its tables.
struct NextVersion {
    std::vector<CompiledRule> add;
    ShapeSet shapes;
    std::optional<PortClasses> port_classes;  // if they are others
    TableNotes notes;
};

Status write_entries(const Instance& instance, const CompiledRule& rule, const std::set<std::uint32_t>& leaving)
{
    for (const auto& entry : rule.entries) HW_CHECK(add_to_entry(instance, entry.key, rule, leaving));
    return {};
}

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
        if (!rule.stays) {
            while (index[place].id != 0) ++place;
            HW_CHECK(write_entry(instance, place, rule, next));
            HW_CHECK(write_rule(instance, rule, next));
        }
        HW_CHECK(write_entries(instance, rule, leaving));
    }
    for (const auto& record : transaction.remove) HW_CHECK(mark_dead(instance, record.id, next));
    if (to.port_classes)
        std::ranges::copy(to.port_classes->table(), VersionWriter::port_classes(instance).of[to.notes.port_classes]);
    write_table(table_of(instance, next), to.shapes, to.notes);
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

// Erases rules, and entries of others, that nobody sees any more, but for packets on their way.
Status erase_rules(Instance& instance, const std::vector<RuleRecord>& records, const std::vector<CompiledRule>& rules,
                   const Inherited& inherited)
{
    HW_CHECK(grace_period());
    std::set<std::uint32_t> states;  // of rules with a --max-share
    for (const auto& rule : rules) {
        for (const auto& entry : rule.entries) HW_CHECK(remove_from_entry(instance, entry.key, rule.record->id));
        if (rule.stays) continue;
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

// Whether packets of the version in force may look up this entry, for its classes.
bool has_class_in_force(const hw_key& key, std::span<const hw_shape> shapes, const std::vector<bool>& classes)
{
    const auto shape =
        std::find_if(shapes.begin(), shapes.end(), [&key](const auto& one) { return one.id == key.shape; });
    if (shape == shapes.end()) return true;
    if ((shape->port_classes & HW_CLASS_OF_LOCAL_PORT) && !classes[key.local_port]) return false;
    return !(shape->port_classes & HW_CLASS_OF_REMOTE_PORT) || classes[key.remote_port];
}

// Erases what is of no rule alive, and of a class that is not in force: its number may become another one's.
Status repair_entries(const Instance& instance, const std::set<std::uint32_t>& alive)
{
    const auto& table = instance.control->tables[instance.control->version & 1];
    const auto shapes = std::span(table.shapes).first(std::min<std::size_t>(table.count, HW_MAX_SHAPES));
    std::vector<bool> classes(HW_PORTS);
    for (const auto number : classes_in_force(instance)) classes[number] = true;
    for (const auto& key : instance.entries.keys()) {
        HW_TRY(const auto entry, instance.entries.find(key));
        if (!entry) continue;
        const bool in_force = has_class_in_force(key, shapes, classes);
        for (const auto id : entry->rules)
            if (id != 0 && (!in_force || !alive.contains(id))) HW_CHECK(remove_from_entry(instance, key, id));
    }
    return {};
}

}  // namespace

Status commit(Instance& instance, const Transaction& transaction)
{
    HW_CHECK(make_room_in_index(instance, transaction.add.size()));
    NextVersion next;
    const auto stay = entries_in_force(instance, transaction.remove);
    HW_TRY(auto ports, change_ports(instance, transaction.add, transaction.remove, stay));
    const auto old_classes = classes_in_force(instance);
    HW_TRY(next.add, compile_all(transaction.add, ports.classes ? ports.classes->table() : old_classes));
    HW_TRY(auto remove, compile_all(transaction.remove, old_classes));
    next.add.insert(next.add.end(), ports.gain.begin(), ports.gain.end());
    remove.insert(remove.end(), ports.loss.begin(), ports.loss.end());
    const auto old_shapes = shapes_in_force(instance);
    HW_TRY(next.shapes, shapes_needed(old_shapes, stay, next.add));
    put_shape_ids(next.add, next.shapes);
    put_shape_ids(remove, old_shapes);
    note_rules(transaction.add, stay, next.notes);
    HW_TRY(next.notes.stale, settle_filters(instance, {next.add, remove, stay.size()}, next.shapes));
    const auto table = table_of(instance, instance.control->version).port_classes;
    next.notes.port_classes = ports.classes ? 1 - table : table;
    next.notes.stale_classes = ports.stale;
    next.port_classes = std::move(ports.classes);
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
    write_table(table_of(instance, next), {}, {.port_classes = table_of(instance, next - 1).port_classes});
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
        if (!rule || !alive.contains(id)) continue;
        if (rule->died != never) HW_CHECK(unmark_dead(instance, id, *rule));
    }
    HW_CHECK(repair_entries(instance, alive));
    for (const auto& key : instance.states.keys())
        if (!states.contains(key.state)) HW_CHECK(erase_state(instance, key.state));
    for (const auto& key : instance.timelines.keys())
        if (!timelines.contains(key)) HW_CHECK(instance.timelines.erase(key));
    HW_CHECK(repair_chances(instance, alive));
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
