// The index: what the loader knows of every rule without reading its description (abi.h, hw_index_entry). So a command
// reads the descriptions of the rules it is about, however many there are.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// Rules, by their entries. Good until the next commit() or grow_index().
using Entries = std::vector<const hw_index_entry*>;

// All that it says of a record with ids and devices, but for what commit() knows: rank, shapes, versions.
hw_index_entry make_entry(const RuleRecord& record);

bool is_in_version(const hw_index_entry& entry, std::uint64_t version);
// In no order.
Entries entries_in_force(const Instance& instance);
// What is not in `gone`.
Entries without(const Entries& entries, const std::vector<RuleRecord>& gone);
Entries pointers_to(const std::vector<hw_index_entry>& entries);

std::string rule_name(const hw_index_entry& entry);
bool has_name(const hw_index_entry& entry, std::string_view name);
// FNV-1a.
std::uint64_t hash_of(std::string_view text);
std::uint32_t hash_of(const LocalClock& clock);

// Neither asked for by a user nor to be seen by one: see Guard.
bool is_guard(const hw_index_entry& entry);
// As the rule was before a change that waits. (One whose time has come is a rule like any other.)
bool is_former(const hw_index_entry& entry, std::uint64_t now);
// Of a change that waits to be confirmed, before or after it.
bool is_pending(const hw_index_entry& entry, std::uint64_t now);
bool is_expired(const hw_index_entry& entry, std::uint64_t now);
bool is_at_default_devices(const hw_index_entry& entry);
bool is_at(const hw_index_entry& entry, std::uint16_t slot);
// Slots of hw_control.devices, as in an entry.
using Slots = std::array<__u64, HW_MAX_DEVICES / 64>;
void add(Slots& slots, std::size_t slot);
bool is_at_any(const hw_index_entry& entry, const Slots& slots);
bool is_within(const hw_index_entry& entry, const Slots& slots);

// Their descriptions, by id: oldest first.
Result<std::vector<RuleRecord>> read_records(const Instance& instance, const Entries& entries);

}  // namespace headwind
