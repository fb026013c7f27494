// SPDX-License-Identifier: MIT
// Finds the shapes that a set of rules needs, and writes the table of a version.
#include "ruleset/shapes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <span>

#include <headwind/model.h>

namespace headwind {
namespace {

// The filters are made exact after as many removals as there are rules, and not before this many. So the average cost
// of a change does not depend on the number of rules.
constexpr std::uint32_t least_stale = 64;

// The shape without the fields that only the table gives it: id, max_rank and filter.
hw_shape naked(hw_shape shape)
{
    shape.id = 0;
    shape.max_rank = 0;
    std::fill(std::begin(shape.filter), std::end(shape.filter), 0);
    return shape;
}

// The highest rank of the rules that stay, by shape id; 0: none of them has an entry of that shape.
using TopRanks = std::array<std::uint64_t, HW_SHAPE_IDS>;

TopRanks top_ranks(const Entries& stay)
{
    TopRanks out{};
    for (const auto& entry : stay)
        for (auto shapes = entry->shapes; shapes != 0; shapes &= shapes - 1) {
            auto& top = out[static_cast<std::size_t>(std::countr_zero(shapes))];
            top = std::max<std::uint64_t>(top, entry->rank);
        }
    return out;
}

void set_filter_bit(hw_shape& shape, const hw_key& key)
{
    const auto bit = hw_filter_bit(&key);
    shape.filter[bit / 64] |= 1ULL << bit % 64;
}

Status make_filters_exact(const Instance& instance, ShapeSet& shapes)
{
    std::array<hw_shape*, HW_SHAPE_IDS> by_id{};
    for (auto& [key, shape] : shapes) {
        by_id[shape.id] = &shape;
        std::fill(std::begin(shape.filter), std::end(shape.filter), 0);
    }
    HW_TRY(const auto entries, instance.entries.items());
    for (const auto& [key, entry] : entries)
        if (auto* shape = by_id[key.shape]) set_filter_bit(*shape, key);
    return {};
}

}  // namespace

Result<std::vector<CompiledRule>> compile_all(const std::vector<RuleRecord>& records, PortTable classes)
{
    std::vector<CompiledRule> out;
    out.reserve(records.size());
    for (const auto& record : records) {
        CompiledRule rule;
        rule.record = &record;
        HW_TRY(rule.entries, compile_selector(record.rule, record.resolved(), classes));
        const auto share = record.rule.selector.flows ? specificity_per_bit : 0;
        rule.rank = rank(record.priority(), specificity(rule.entries) + share, record.stable_id);
        out.push_back(std::move(rule));
    }
    return out;
}

ShapeSet shapes_in_force(const Instance& instance)
{
    ShapeSet out;
    const auto& table = instance.control->tables[instance.control->version & 1];
    for (const auto& shape : std::span(table.shapes).first(std::min<std::size_t>(table.count, HW_MAX_SHAPES)))
        out[naked(shape)] = shape;
    return out;
}

Result<ShapeSet> shapes_needed(const ShapeSet& in_force, const Entries& stay, const std::vector<CompiledRule>& add)
{
    ShapeSet out;
    std::set<unsigned> used;
    const auto tops = top_ranks(stay);
    for (const auto& [key, shape] : in_force) {
        used.insert(shape.id);
        if (tops[shape.id] == 0) continue;
        out[key] = shape;
        out[key].max_rank = tops[shape.id];
    }
    for (const auto& rule : add) {
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
                        "the rules would look at packets in more than {} different ways (combinations of selector kinds, prefix lengths and cgroup depths): use fewer kinds or prefix lengths",
                        +HW_MAX_SHAPES);
            }
            place->second.max_rank = std::max<__u64>(place->second.max_rank, rule.rank);
            set_filter_bit(place->second, entry.key);
        }
    }
    return out;
}

void put_shape_ids(std::vector<CompiledRule>& rules, const ShapeSet& shapes)
{
    for (auto& rule : rules)
        for (auto& entry : rule.entries)
            if (const auto found = shapes.find(naked(entry.shape)); found != shapes.end())
                entry.key.shape = found->second.id;
}

__u64 shape_bits(const CompiledRule& rule)
{
    __u64 out = 0;
    for (const auto& entry : rule.entries) out |= 1ULL << entry.key.shape;
    return out;
}

Result<std::uint32_t> settle_filters(const Instance& instance, const FilterChange& change, ShapeSet& shapes)
{
    std::size_t going = 0;
    for (const auto& rule : change.remove) going += rule.entries.size();
    const auto& table = instance.control->tables[instance.control->version & 1];
    if (table.stale <= std::max<std::size_t>(change.staying, least_stale))
        return static_cast<std::uint32_t>(table.stale + going);
    HW_CHECK(make_filters_exact(instance, shapes));
    for (const auto& rule : change.add)
        for (const auto& entry : rule.entries) set_filter_bit(shapes.at(naked(entry.shape)), entry.key);
    return static_cast<std::uint32_t>(going);
}

void write_table(hw_shape_table& table, const ShapeSet& shapes, const TableNotes& notes)
{
    std::vector<hw_shape> sorted;
    for (const auto& [key, shape] : shapes) sorted.push_back(shape);
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.max_rank > b.max_rank; });
    table.count = table.directions = 0;
    table.shares = notes.shares ? 1 : 0;
    table.transport = notes.flows || std::any_of(sorted.begin(), sorted.end(), looks_at_transport) ? 1 : 0;
    table.stale = notes.stale;
    table.port_classes = notes.port_classes;
    table.has_classes =
        std::any_of(sorted.begin(), sorted.end(), [](const auto& shape) { return shape.port_classes != 0; }) ? 1 : 0;
    table.stale_classes = notes.stale_classes;
    for (const auto& shape : sorted) table.directions |= shape.directions;
    std::copy(sorted.begin(), sorted.end(), table.shapes);
    table.count = static_cast<__u32>(sorted.size());
}

}  // namespace headwind
