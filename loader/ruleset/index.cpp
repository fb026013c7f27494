// SPDX-License-Identifier: MIT
// Makes a rule's entry of the index, and answers questions about rules from it.
#include "ruleset/index.h"

#include <algorithm>
#include <cstring>

#include <headwind/index.h>

#include "host/devices.h"
#include "ruleset/compile.h"

namespace headwind {
namespace {

std::uint64_t fnv(const void* bytes, std::size_t size)
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const auto* at = static_cast<const unsigned char*>(bytes); size != 0; ++at, --size)
        hash = (hash ^ *at) * 0x100000001b3;
    return hash;
}

bool has_single_local_port(const Selector& selector)
{
    const auto single = [](const PortRange& range) { return range.first == range.last; };
    return std::any_of(selector.local_ports.begin(), selector.local_ports.end(), single) ||
           std::any_of(selector.ports.begin(), selector.ports.end(), single);
}

// Whether a device may come that the rule is to be at.
bool is_waiting(const RuleRecord& record)
{
    const auto& names = record.rule.selector.devices;
    if (names.empty()) return false;
    if (is_at_peer(record.rule)) return record.devices.empty();
    return record.devices.size() < names.size() || std::any_of(names.begin(), names.end(), is_pattern);
}

__u32 flags_of(const RuleRecord& record)
{
    const auto& rule = record.rule;
    const std::pair<bool, hw_index_flags> flags[] = {
        {record.former, HW_INDEX_FORMER},
        {record.pending != 0, HW_INDEX_PENDING},
        {record.guard == Guard::ssh, HW_INDEX_SSH},
        {record.guard == Guard::protect, HW_INDEX_PROTECT},
        {record.everywhere, HW_INDEX_EVERYWHERE},
        {!rule.selector.devices.empty(), HW_INDEX_NAMED},
        {is_waiting(record), HW_INDEX_WAITING},
        {record.devices.size() > std::size(hw_index_entry{}.slots), HW_INDEX_SLOTS},
        {rule.subject.has_value(), HW_INDEX_SUBJECT},
        {!record.cgroups.empty(), HW_INDEX_CGROUP},
        {record.cgroups.size() > 1, HW_INDEX_CGROUPS},
        {rule.hours.has_value(), HW_INDEX_HOURS},
        {record.lease != 0, HW_INDEX_LEASED},
        {!rule.stop_if.empty(), HW_INDEX_CHECKED},
        {rule.max_share.has_value(), HW_INDEX_SHARE},
        {needs_time(rule.impairment), HW_INDEX_TIME},
        {needs_line(rule.impairment), HW_INDEX_LINE},
        {is_for_xdp(rule), HW_INDEX_XDP},
        {has_single_local_port(rule.selector), HW_INDEX_PORT},
        {record.timeline != 0, HW_INDEX_TIMELINE},
        {rule.selector.flows.has_value(), HW_INDEX_FLOWS},
        {record.is_at_default_devices() && spares_loopback(rule), HW_INDEX_NOT_LO},
        {record.is_at_loopback() && needs_time(rule.impairment), HW_INDEX_LO_TIME},
        {record.is_at_loopback() && needs_segmenting(rule.impairment), HW_INDEX_LO_SEGMENT},
        {has_classes(rule.selector), HW_INDEX_RANGES},
    };
    __u32 out = 0;
    for (const auto& [is_set, flag] : flags)
        if (is_set) out |= static_cast<__u32>(flag);
    return out;
}

void put_ports(const Selector& selector, hw_index_rest& rest)
{
    rest.ports[0] = HW_PORTS - 1;
    for (const auto& ports : port_lists(selector)) {
        rest.ports[0] = std::min(rest.ports[0], ports.front().first);
        rest.ports[1] = std::max(rest.ports[1], ports.back().last);
    }
}

}  // namespace

const hw_index_rest& RuleRef::rest() const
{
    if (index_ == nullptr) return reinterpret_cast<const NewEntry*>(entry_)->rest;  // *entry_ is its first member
    return index_->rests.at(static_cast<std::size_t>(entry_ - index_->entries.all().data()));
}

NewEntry make_entry(const RuleRecord& record)
{
    NewEntry out;
    auto& [entry, rest] = out;
    entry.id = record.id;
    entry.flags = flags_of(record);
    entry.died = ~0ULL;
    entry.name_hash = name_hash(record.rule.name);
    entry.deadline = record.deadline;
    entry.state = record.stable_id;
    entry.device_flags = record.everywhere ? 0 : static_cast<__u8>(attach_flags(record.rule));
    entry.xdp = static_cast<__u8>(record.rule.xdp);
    rest.owner_hash = hash_of(record.owner);
    rest.pending = record.pending;
    rest.cgroup = record.cgroups.empty() ? 0 : record.cgroups.front().id;
    rest.timeline = record.timeline;
    rest.clock = hash_of(record.clock);
    record.rule.name.copy(rest.name, sizeof(rest.name) - 1);
    put_ports(record.rule.selector, rest);
    for (std::size_t i = 0; i < record.devices.size(); ++i) {
        const auto slot = record.devices[i].slot;
        rest.slots[slot / 64] |= 1ULL << slot % 64;
        if (i < std::size(entry.slots)) entry.slots[i] = static_cast<__u16>(slot + 1);
    }
    return out;
}

bool is_in_version(const hw_index_entry& entry, std::uint64_t version)
{
    return entry.id != 0 && entry.born <= version && version < entry.died;
}

std::vector<std::uint32_t> sorted_ids(const std::vector<RuleRecord>& records)
{
    std::vector<std::uint32_t> out;
    out.reserve(records.size());
    for (const auto& record : records) out.push_back(record.id);
    std::sort(out.begin(), out.end());
    return out;
}

Entries entries_in_force(const Instance& instance, const std::vector<RuleRecord>& gone)
{
    Entries out;
    const auto ids = sorted_ids(gone);
    const auto version = instance.control->version;
    const auto index = instance.index->entries.all();
    out.reserve(index.size());
    for (const auto& entry : index)
        if (is_in_version(entry, version) && !std::binary_search(ids.begin(), ids.end(), entry.id))
            out.push_back({*instance.index, entry});
    return out;
}

void remove(Entries& entries, const std::vector<RuleRecord>& gone)
{
    if (gone.empty()) return;
    const auto ids = sorted_ids(gone);
    entries.remove_if([&ids](const RuleRef& rule) { return std::binary_search(ids.begin(), ids.end(), rule->id); });
}

std::string rule_name(const RuleRef& rule)
{
    return {rule.rest().name, strnlen(rule.rest().name, sizeof(rule.rest().name))};
}

bool has_name(const RuleRef& rule, std::string_view name)
{
    return rule->name_hash == name_hash(name) && rule_name(rule) == name;
}

NameSet::NameSet(const std::vector<std::string>& names)
{
    for (const auto& name : names) names_.emplace(name_hash(name), name);
}

bool NameSet::has(const RuleRef& rule) const
{
    const auto [begin, end] = names_.equal_range(rule->name_hash);
    return begin != end &&
           std::any_of(begin, end, [name = rule_name(rule)](const auto& one) { return one.second == name; });
}

std::uint64_t hash_of(std::string_view text)
{
    return fnv(text.data(), text.size());
}

std::uint32_t name_hash(std::string_view name)
{
    return static_cast<std::uint32_t>(hash_of(name));
}

std::uint32_t hash_of(const LocalClock& clock)
{
    const std::uint64_t fields[] = {clock.shift, clock.shift_after, clock.turn};
    return static_cast<std::uint32_t>(fnv(fields, sizeof(fields)));
}

bool is_guard(const RuleRef& rule)
{
    return (rule->flags & (HW_INDEX_SSH | HW_INDEX_PROTECT)) != 0;
}

bool is_former(const RuleRef& rule, std::uint64_t now)
{
    return (rule->flags & HW_INDEX_FORMER) && now < rule.rest().pending;
}

bool is_pending(const RuleRef& rule, std::uint64_t now)
{
    return (rule->flags & HW_INDEX_PENDING) && (!(rule->flags & HW_INDEX_FORMER) || is_former(rule, now));
}

bool is_undone(const RuleRef& rule, std::uint64_t now)
{
    return (rule->flags & HW_INDEX_PENDING) && !(rule->flags & HW_INDEX_FORMER) && now >= rule.rest().pending;
}

bool is_expired(const RuleRef& rule, std::uint64_t now)
{
    return rule->deadline != 0 && now >= rule->deadline;
}

bool is_at_default_devices(const RuleRef& rule)
{
    return (rule->flags & (HW_INDEX_NAMED | HW_INDEX_EVERYWHERE)) == 0;
}

void add(Slots& slots, std::size_t slot)
{
    slots[slot / 64] |= 1ULL << slot % 64;
}

bool has(const Slots& slots, std::size_t slot)
{
    return (slots[slot / 64] >> slot % 64 & 1) != 0;
}

bool is_at(const RuleRef& rule, std::uint16_t slot)
{
    const auto is_here = [slot](__u16 at) { return at == slot + 1; };
    if (rule->flags & HW_INDEX_SLOTS) return (rule.rest().slots[slot / 64] >> slot % 64 & 1) != 0;
    return std::any_of(std::begin(rule->slots), std::end(rule->slots), is_here);
}

bool is_at_any(const RuleRef& rule, const Slots& slots)
{
    Slots own{};
    add_slots(rule, own);
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (own[i] & slots[i]) return true;
    return false;
}

bool is_within(const RuleRef& rule, const Slots& slots)
{
    Slots own{};
    add_slots(rule, own);
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (own[i] & ~slots[i]) return false;
    return true;
}

void add_slots(const RuleRef& rule, Slots& to)
{
    if (rule->flags & HW_INDEX_SLOTS)
        for (std::size_t i = 0; i < to.size(); ++i) to[i] |= rule.rest().slots[i];
    else
        for (const auto slot : rule->slots)
            if (slot != 0) add(to, slot - 1U);
}

Result<std::vector<RuleRecord>> read_records(const Instance& instance, const Entries& entries)
{
    std::vector<std::uint32_t> ids;
    for (const auto& rule : entries) ids.push_back(rule->id);
    std::sort(ids.begin(), ids.end());
    std::vector<RuleRecord> out;
    for (const auto id : ids) {
        HW_TRY(auto record, read_record(instance, id));
        out.push_back(std::move(record));
    }
    return out;
}

}  // namespace headwind
