#include "ruleset/transaction.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <span>

#include <headwind/model.h>

#include "ruleset/counters.h"
#include "ruleset/stops.h"
#include "ruleset/timelines.h"

namespace headwind {
namespace {

constexpr std::uint64_t never = ~0ULL;

struct CompiledRule {
    const RuleRecord* record = nullptr;
    std::vector<SelectorEntry> entries;  // with shape ids once assign_shapes has run
    std::uint64_t rank = 0;
};

// The shape without what is the table's: id, max_rank and filter.
hw_shape naked(hw_shape shape)
{
    shape.id = 0;
    shape.max_rank = 0;
    std::fill(std::begin(shape.filter), std::end(shape.filter), 0);
    return shape;
}

struct ShapeLess {
    bool operator()(const hw_shape& a, const hw_shape& b) const { return std::memcmp(&a, &b, sizeof(a)) < 0; }
};
// naked shape -> shape with id, max_rank and filter
using ShapeSet = std::map<hw_shape, hw_shape, ShapeLess>;

hw_shape_table& table_of(Instance& instance, std::uint64_t version)
{
    return instance.control->tables[version & 1];
}

Result<std::vector<CompiledRule>> compile_all(const std::vector<RuleRecord>& records)
{
    std::vector<CompiledRule> out;
    out.reserve(records.size());
    for (const auto& record : records) {
        CompiledRule rule;
        rule.record = &record;
        HW_TRY(rule.entries, compile_selector(record.rule, record.resolved()));
        rule.rank =
            rank(record.priority(), specificity(rule.entries) + (record.rule.selector.flows ? 1 : 0), record.state);
        out.push_back(std::move(rule));
    }
    return out;
}

ShapeSet shapes_in_force(Instance& instance)
{
    ShapeSet out;
    const auto& table = table_of(instance, instance.control->version);
    for (const auto& shape : std::span(table.shapes).first(std::min<std::size_t>(table.count, HW_MAX_SHAPES)))
        out[naked(shape)] = shape;
    return out;
}

void put_shape_ids(std::vector<CompiledRule>& rules, const ShapeSet& shapes)
{
    for (auto& rule : rules)
        for (auto& entry : rule.entries)
            if (const auto found = shapes.find(naked(entry.shape)); found != shapes.end())
                entry.key.shape = found->second.id;
}

// The shapes that the new set needs. Those in force keep their ids; a new one gets an id that is not in use.
Result<ShapeSet> shapes_needed(const ShapeSet& in_force, const std::vector<CompiledRule>& keep,
                               const std::vector<CompiledRule>& add)
{
    ShapeSet out;
    std::set<unsigned> used;
    for (const auto& [key, shape] : in_force) used.insert(shape.id);
    for (const auto* rules : {&keep, &add}) {
        for (const auto& rule : *rules) {
            for (const auto& entry : rule.entries) {
                const auto key = naked(entry.shape);
                auto [place, is_new] = out.try_emplace(key, key);
                if (is_new) {
                    const auto old = in_force.find(key);
                    unsigned id = 0;
                    while (old == in_force.end() && used.contains(id)) ++id;
                    place->second.id = old == in_force.end() ? static_cast<__u8>(id) : old->second.id;
                    used.insert(place->second.id);
                    if (out.size() > HW_MAX_SHAPES)
                        return fail(
                            ErrorKind::usage,
                            "the rules would look at packets in more than {} different ways (combinations of "
                            "selector kinds, prefix lengths and cgroup depths): use fewer kinds or prefix lengths",
                            +HW_MAX_SHAPES);
                }
                place->second.max_rank = std::max<__u64>(place->second.max_rank, rule.rank);
                const auto bit = hw_filter_bit(&entry.key);
                place->second.filter[bit / 64] |= 1ULL << bit % 64;
            }
        }
    }
    return out;
}

void write_table(hw_shape_table& table, const ShapeSet& shapes, bool shares)
{
    std::vector<hw_shape> sorted;
    for (const auto& [key, shape] : shapes) sorted.push_back(shape);
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.max_rank > b.max_rank; });
    table.count = table.directions = 0;
    table.shares = shares ? 1 : 0;
    for (const auto& shape : sorted) table.directions |= shape.directions;
    std::copy(sorted.begin(), sorted.end(), table.shapes);
    table.count = static_cast<__u32>(sorted.size());
}

std::vector<hw_state_key> state_keys(const RuleRecord& record)
{
    std::vector<hw_state_key> out;
    if (record.rule.direction != Direction::in) out.push_back({record.state, HW_OUT});
    if (record.rule.direction != Direction::out) out.push_back({record.state, HW_IN});
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

Status write_rule(const Instance& instance, const CompiledRule& compiled, std::uint64_t version,
                  const std::set<std::uint32_t>& leaving)
{
    const auto& record = *compiled.record;
    hw_rule rule{};
    rule.state = record.state;
    rule.rank = compiled.rank;
    rule.born = version;
    rule.died = never;
    rule.start = record.former ? record.pending : 0;
    rule.deadline = record.deadline;
    if (record.pending != 0 && !record.former && (record.deadline == 0 || record.pending < record.deadline))
        rule.deadline = record.pending;
    rule.leased = record.lease != 0 ? 1 : 0;
    const auto& selector = record.rule.selector;
    if (selector.flows) rule.flows = static_cast<__u32>(selector.flows->threshold);  // 2^32, all of them: 0
    rule.flow_seed = selector.flow_seed;
    if (const auto& flap = record.rule.flap) {
        rule.flap_period = flap->up + flap->down;
        rule.flap_up = flap->up;
    }
    if (record.rule.hours) rule.hours = compile_hours(*record.rule.hours, record.clock);
    rule.since = record.since;
    if (const auto& timeline = record.rule.timeline) {
        if (record.timeline == record.id) HW_CHECK(make_timeline(instance, record.id, compile_steps(record.rule)));
        rule.timeline = record.timeline;
        rule.steps = timeline->phases;
        rule.period = timeline->repeat ? timeline->length : 0;
    }
    if (record.rule.max_share) rule.max_share = static_cast<__u32>(record.rule.max_share->threshold);
    rule.stoppable = is_stoppable(record.rule) ? 1 : 0;
    rule.impairment = compile_impairment(record.rule.impairment);
    if (is_for_xdp(record.rule)) rule.impairment.flags |= HW_AT_XDP;
    HW_CHECK(store_record(instance, record));
    for (const auto& key : state_keys(record)) {
        HW_TRY(const auto state, instance.states.find(key));
        if (!state) HW_CHECK(instance.states.put(key, hw_state{}));
        HW_CHECK(make_local(instance, key));
    }
    if (record.lease != 0) {
        hw_lease lease{};
        lease.until = boottime_ns() + record.lease;
        HW_CHECK(instance.leases.put(record.state, lease));
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

bool any_share(const std::vector<CompiledRule>& rules)
{
    return std::any_of(rules.begin(), rules.end(),
                       [](const auto& rule) { return rule.record->rule.max_share.has_value(); });
}

// What of a rule that goes others have, too, or go on with.
struct Inherited {
    std::set<std::uint32_t> states, timelines;
};

// The description goes last: as long as it is there, the rest can be found again.
Status erase_rule(const Instance& instance, const RuleRecord& record, const Inherited& inherited)
{
    HW_CHECK(instance.rules.erase(record.id));
    if (record.timeline != 0 && !inherited.timelines.contains(record.timeline))
        HW_CHECK(instance.timelines.erase(record.timeline));
    if (!inherited.states.contains(record.state)) HW_CHECK(erase_state(instance, record.state));
    return erase_record(instance, record.id);
}

Status write_next_version(Instance& instance, const Transaction& transaction, const std::vector<CompiledRule>& add,
                          const ShapeSet& shapes, bool shares)
{
    const std::uint64_t next = instance.control->version + 1;
    std::set<std::uint32_t> leaving;
    for (const auto& record : transaction.remove) leaving.insert(record.id);
    for (const auto& rule : add) HW_CHECK(write_rule(instance, rule, next, leaving));
    for (const auto& record : transaction.remove) HW_CHECK(mark_dead(instance, record.id, next));
    write_table(table_of(instance, next), shapes, shares);
    return {};
}

void set_dirty(Instance& instance, bool dirty)
{
    std::atomic_ref(instance.control->dirty).store(dirty ? 1 : 0);
}

// A mark that a transaction left on a rule it did not get to remove.
Status unmark_dead(const Instance& instance, std::uint32_t id, hw_rule rule)
{
    rule.died = never;
    return instance.rules.rewrite(id, rule);
}

}  // namespace

Status commit(Instance& instance, const Transaction& transaction)
{
    HW_TRY(auto keep, compile_all(transaction.keep));
    HW_TRY(auto add, compile_all(transaction.add));
    HW_TRY(auto remove, compile_all(transaction.remove));
    const auto old_shapes = shapes_in_force(instance);
    HW_TRY(const auto new_shapes, shapes_needed(old_shapes, keep, add));
    put_shape_ids(add, new_shapes);
    put_shape_ids(remove, old_shapes);

    // Readers of the version before last may still walk the table that is written next.
    HW_CHECK(grace_period());
    set_dirty(instance, true);
    const bool shares = any_share(keep) || any_share(add);
    if (auto status = write_next_version(instance, transaction, add, new_shapes, shares); !status) {
        HW_CHECK(repair(instance));
        return status;
    }
    std::atomic_ref(instance.control->version)
        .store(instance.control->version + 1);  // from here on the new set is in force
    if (!remove.empty()) {
        HW_CHECK(grace_period());
        Inherited inherited;
        for (const auto* records : {&transaction.add, &transaction.keep}) {
            for (const auto& record : *records) {
                inherited.states.insert(record.state);
                inherited.timelines.insert(record.timeline);
            }
        }
        for (const auto& rule : remove) {
            for (const auto& entry : rule.entries) HW_CHECK(remove_from_entry(instance, entry.key, rule.record->id));
            HW_CHECK(erase_rule(instance, *rule.record, inherited));
        }
        if (any_share(remove)) {
            std::set<std::uint32_t> gone;
            for (const auto& rule : remove)
                if (!inherited.states.contains(rule.record->state)) gone.insert(rule.record->state);
            HW_CHECK(erase_shares(instance, [&gone](std::uint32_t state) { return gone.contains(state); }));
        }
    }
    set_dirty(instance, false);
    return {};
}

Status repair(Instance& instance)
{
    if (instance.control->dirty == 0) return {};
    HW_CHECK(grace_period());
    const auto version = instance.control->version;
    std::set<std::uint32_t> alive, dead, states, timelines;  // states, timelines: of those alive
    for (const auto id : instance.rules.keys()) {
        HW_TRY(const auto rule, instance.rules.find(id));
        if (!rule) continue;
        const bool lives = hw_in_version(&*rule, version) != 0;
        (lives ? alive : dead).insert(id);
        if (lives) states.insert(rule->state);
        if (lives) timelines.insert(rule->timeline);
        if (lives && rule->died != never) HW_CHECK(unmark_dead(instance, id, *rule));
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
    for (const auto id : dead) HW_CHECK(instance.rules.erase(id));
    // erase_record stops at the first missing chunk; a kill may have left later ones.
    for (const auto& key : instance.texts.keys())
        if (!alive.contains(key.rule)) HW_CHECK(instance.texts.erase(key));
    set_dirty(instance, false);
    return {};
}

std::uint32_t next_rule_id(Instance& instance)
{
    return std::atomic_ref(instance.control->next_rule).fetch_add(1);
}

}  // namespace headwind
