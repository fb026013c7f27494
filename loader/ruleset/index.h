// SPDX-License-Identifier: MIT
// The index: what the loader knows of every rule without reading its description (abi.h, hw_index_entry). So a command
// reads only the descriptions of the rules it is about, however many there are.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <headwind/index.h>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// The index entry of a record that has ids and devices, without rank, shapes and versions, which commit() knows.
struct NewEntry {
    hw_index_entry entry{};
    hw_index_rest rest{};
};
NewEntry make_entry(const RuleRecord& record);

// A reference to a rule in the index, or to a NewEntry. Valid until the next commit(), or as long as the NewEntry
// lives.
class RuleRef {
public:
    RuleRef(const IndexMemory& index, const hw_index_entry& entry) : entry_(&entry), index_(&index) {}
    explicit RuleRef(const NewEntry& fresh) : entry_(&fresh.entry) {}
    const hw_index_entry* operator->() const { return entry_; }
    const hw_index_rest& rest() const;

private:
    const hw_index_entry* entry_;
    const IndexMemory* index_ = nullptr;  // null: *entry_ is part of a NewEntry
};

// References to rules, in no order.
class Entries {
public:
    auto begin() const { return rules_.begin(); }
    auto end() const { return rules_.end(); }
    bool empty() const { return rules_.empty(); }
    std::size_t size() const { return rules_.size(); }
    void reserve(std::size_t size) { rules_.reserve(size); }
    void push_back(const RuleRef& rule)
    {
        rules_.push_back(rule);
        flags_ |= rule->flags;
    }
    // Whether a rule may have one of these hw_index_flags: if not, there is no need to look.
    bool may_have(__u32 flags) const { return (flags_ & flags) != 0; }
    bool have(__u32 flags) const
    {
        const auto has_one = [flags](const RuleRef& rule) { return (rule->flags & flags) != 0; };
        return may_have(flags) && std::any_of(begin(), end(), has_one);
    }
    // The rules that have one of these flags.
    Entries with(__u32 flags) const
    {
        return may_have(flags) ? where([flags](const RuleRef& rule) { return (rule->flags & flags) != 0; }) : Entries();
    }
    template <class Predicate>
    Entries where(const Predicate& predicate) const
    {
        Entries out;
        for (const auto& rule : rules_)
            if (predicate(rule)) out.push_back(rule);
        return out;
    }

    template <class Predicate>
    void remove_if(const Predicate& predicate)
    {
        std::erase_if(rules_, predicate);
    }

private:
    std::vector<RuleRef> rules_;
    __u32 flags_ = 0;  // of all rules, removed ones included
};

bool is_in_version(const hw_index_entry& entry, std::uint64_t version);
std::vector<std::uint32_t> sorted_ids(const std::vector<RuleRecord>& records);
// The rules in force that are not in `gone`.
Entries entries_in_force(const Instance& instance, const std::vector<RuleRecord>& gone = {});
void remove(Entries& entries, const std::vector<RuleRecord>& gone);

std::string rule_name(const RuleRef& rule);
bool has_name(const RuleRef& rule, std::string_view name);

// A set of names, to look many rules up in.
class NameSet {
public:
    explicit NameSet(const std::vector<std::string>& names);
    bool has(const RuleRef& rule) const;

private:
    std::unordered_multimap<std::uint32_t, std::string> names_;  // by name_hash()
};

// FNV-1a hashes.
std::uint64_t hash_of(std::string_view text);
std::uint32_t name_hash(std::string_view name);  // as in an entry
std::uint32_t hash_of(const LocalClock& clock);

// Whether the rule is a guard, of SSH connections or by --protect: see Guard.
bool is_guard(const RuleRef& rule);
// Whether this is a rule as it was before a change that waits. (Once its time has come, it is a rule like any other.)
bool is_former(const RuleRef& rule, std::uint64_t now);
// Whether this is a rule as it is before or after a change that waits to be confirmed.
bool is_pending(const RuleRef& rule, std::uint64_t now);
// Whether this is a rule as it is after a change that nobody confirmed in time.
bool is_undone(const RuleRef& rule, std::uint64_t now);
bool is_expired(const RuleRef& rule, std::uint64_t now);
bool is_at_default_devices(const RuleRef& rule);

// Slots of hw_control.devices.
using Slots = std::array<__u64, HW_MAX_DEVICES / 64>;
void add(Slots& slots, std::size_t slot);
bool has(const Slots& slots, std::size_t slot);
bool is_at(const RuleRef& rule, std::uint16_t slot);
bool is_at_any(const RuleRef& rule, const Slots& slots);
// Whether the rule is at none but these.
bool is_within(const RuleRef& rule, const Slots& slots);
void add_slots(const RuleRef& rule, Slots& to);

// The records of the rules, by id: oldest first.
Result<std::vector<RuleRecord>> read_records(const Instance& instance, const Entries& entries);

}  // namespace headwind
