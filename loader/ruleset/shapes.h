// SPDX-License-Identifier: MIT
// The shapes of a version: the ways in which packets look for rules, with ids, highest ranks and filters (abi.h,
// hw_shape_table; tuple space search, Srinivasan 1999).
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include <headwind/abi.h>
#include <headwind/index.h>

#include "datapath/instance.h"
#include "ruleset/compile.h"
#include "ruleset/index.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

struct CompiledRule {
    const RuleRecord* record = nullptr;
    std::vector<SelectorEntry> entries;  // with shape ids once put_shape_ids() has run
    std::uint64_t rank = 0;
    bool stays = false;  // in force before and after: these are the entries that it gets or loses
};
Result<std::vector<CompiledRule>> compile_all(const std::vector<RuleRecord>& records, PortTable classes);

struct ShapeLess {
    bool operator()(const hw_shape& a, const hw_shape& b) const { return std::memcmp(&a, &b, sizeof(a)) < 0; }
};
// The shapes with id, max_rank and filter, by the same shape without them.
using ShapeSet = std::map<hw_shape, hw_shape, ShapeLess>;

ShapeSet shapes_in_force(const Instance& instance);
// The shapes that the new set needs. Shapes in force keep their ids and filters; a new one gets an id that is not in
// use.
Result<ShapeSet> shapes_needed(const ShapeSet& in_force, const Entries& stay, const std::vector<CompiledRule>& add);
void put_shape_ids(std::vector<CompiledRule>& rules, const ShapeSet& shapes);
// The rule's hw_index_entry.shapes.
__u64 shape_bits(const CompiledRule& rule);

// The change that a transaction makes to the filters: entries come, many stay, others go.
struct FilterChange {
    const std::vector<CompiledRule>&add, &remove;
    std::size_t staying = 0;  // number of rules
};
// Returns the new hw_shape_table.stale. A filter keeps the bits of removed entries; once so many are kept that it says
// little, all filters are made anew. (An entry that goes with this transaction counts once more.)
Result<std::uint32_t> settle_filters(const Instance& instance, const FilterChange& change, ShapeSet& shapes);

// The rest of a hw_shape_table. `shares`, `flows`: some rule has a max_share; has flows.
struct TableNotes {
    bool shares = false, flows = false;
    std::uint32_t stale = 0, stale_classes = 0;
    std::uint16_t port_classes = 0;
};
void write_table(hw_shape_table& table, const ShapeSet& shapes, const TableNotes& notes);

}  // namespace headwind
