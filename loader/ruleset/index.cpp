// What the index says of a rule, and how it is read.
#include "ruleset/index.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

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

// Some device that it is to be at is not there.
bool is_waiting(const RuleRecord& record)
{
    const auto names = record.rule.selector.devices.size();
    return names != 0 && (is_far(record.rule) ? record.devices.empty() : record.devices.size() < names);
}

__u32 flags_of(const RuleRecord& record)
{
    const auto& rule = record.rule;
    const std::pair<bool, hw_index_flags> flags[] = {
        {record.former, HW_INDEX_FORMER},
        {record.guard == Guard::ssh, HW_INDEX_SSH},
        {record.guard == Guard::protect, HW_INDEX_PROTECT},
        {record.everywhere, HW_INDEX_EVERYWHERE},
        {!rule.selector.devices.empty(), HW_INDEX_NAMED},
        {is_waiting(record), HW_INDEX_WAITING},
        {rule.party.has_value(), HW_INDEX_PARTY},
        {record.cgroups.size() > 1, HW_INDEX_CGROUPS},
        {rule.hours.has_value(), HW_INDEX_HOURS},
        {record.lease != 0, HW_INDEX_LEASED},
        {!rule.stop_if.empty(), HW_INDEX_CHECKED},
        {rule.max_share.has_value(), HW_INDEX_SHARE},
        {needs_time(rule.impairment), HW_INDEX_TIME},
        {needs_line(rule.impairment), HW_INDEX_LINE},
        {is_for_xdp(rule), HW_INDEX_XDP},
        {has_single_local_port(rule.selector), HW_INDEX_PORT},
    };
    __u32 out = 0;
    for (const auto& [is_set, flag] : flags)
        if (is_set) out |= static_cast<__u32>(flag);
    return out;
}

}  // namespace

hw_index_entry make_entry(const RuleRecord& record)
{
    hw_index_entry out{};
    out.id = record.id;
    out.flags = flags_of(record);
    out.died = ~0ULL;
    out.name_hash = hash_of(record.rule.name);
    out.owner_hash = hash_of(record.owner);
    out.deadline = record.deadline;
    out.pending = record.pending;
    out.cgroup = record.cgroups.empty() ? 0 : record.cgroups.front().id;
    out.state = record.state;
    out.timeline = record.timeline;
    out.clock = hash_of(record.clock);
    out.device_flags = record.everywhere ? 0 : attach_flags(record.rule);
    out.xdp = static_cast<__u32>(record.rule.xdp);
    record.rule.name.copy(out.name, sizeof(out.name) - 1);
    for (const auto& device : record.devices) out.slots[device.slot / 64] |= 1ULL << device.slot % 64;
    return out;
}

bool is_in_version(const hw_index_entry& entry, std::uint64_t version)
{
    return entry.id != 0 && entry.born <= version && version < entry.died;
}

Entries entries_in_force(const Instance& instance)
{
    Entries out;
    const auto version = instance.control->version;
    for (const auto& entry : instance.index.all())
        if (is_in_version(entry, version)) out.push_back(&entry);
    return out;
}

Entries without(const Entries& entries, const std::vector<RuleRecord>& gone)
{
    std::unordered_set<std::uint32_t> ids;
    for (const auto& record : gone) ids.insert(record.id);
    auto out = entries;
    if (!ids.empty()) std::erase_if(out, [&ids](const auto* entry) { return ids.contains(entry->id); });
    return out;
}

Entries pointers_to(const std::vector<hw_index_entry>& entries)
{
    Entries out;
    for (const auto& entry : entries) out.push_back(&entry);
    return out;
}

std::string rule_name(const hw_index_entry& entry)
{
    return {entry.name, strnlen(entry.name, sizeof(entry.name))};
}

bool has_name(const hw_index_entry& entry, std::string_view name)
{
    return entry.name_hash == hash_of(name) && rule_name(entry) == name;
}

std::uint64_t hash_of(std::string_view text)
{
    return fnv(text.data(), text.size());
}

std::uint32_t hash_of(const LocalClock& clock)
{
    const std::uint64_t fields[] = {clock.shift, clock.shift_after, clock.turn};
    return static_cast<std::uint32_t>(fnv(fields, sizeof(fields)));
}

bool is_guard(const hw_index_entry& entry)
{
    return (entry.flags & (HW_INDEX_SSH | HW_INDEX_PROTECT)) != 0;
}

bool is_former(const hw_index_entry& entry, std::uint64_t now)
{
    return (entry.flags & HW_INDEX_FORMER) && now < entry.pending;
}

bool is_pending(const hw_index_entry& entry, std::uint64_t now)
{
    return entry.pending != 0 && (!(entry.flags & HW_INDEX_FORMER) || is_former(entry, now));
}

bool is_expired(const hw_index_entry& entry, std::uint64_t now)
{
    return entry.deadline != 0 && now >= entry.deadline;
}

bool is_at_default_devices(const hw_index_entry& entry)
{
    return (entry.flags & (HW_INDEX_NAMED | HW_INDEX_EVERYWHERE)) == 0;
}

bool is_at(const hw_index_entry& entry, std::uint16_t slot)
{
    return (entry.slots[slot / 64] >> slot % 64 & 1) != 0;
}

void add(Slots& slots, std::size_t slot)
{
    slots[slot / 64] |= 1ULL << slot % 64;
}

bool is_at_any(const hw_index_entry& entry, const Slots& slots)
{
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (entry.slots[i] & slots[i]) return true;
    return false;
}

bool is_within(const hw_index_entry& entry, const Slots& slots)
{
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (entry.slots[i] & ~slots[i]) return false;
    return true;
}

Result<std::vector<RuleRecord>> read_records(const Instance& instance, const Entries& entries)
{
    auto sorted = entries;
    std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
    std::vector<RuleRecord> out;
    for (const auto* entry : sorted) {
        HW_TRY(auto record, read_record(instance, entry->id));
        out.push_back(std::move(record));
    }
    return out;
}

}  // namespace headwind
