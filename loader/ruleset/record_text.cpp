// SPDX-License-Identifier: MIT
// Converts a rule's record to JSON text and back, and checks every number that it reads.
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include "host/devices.h"
#include "ruleset/records.h"
#include "util/text.h"

namespace headwind {
namespace {

using nlohmann::json;

// Reads a value into a field; a number must fit the field's type. Throws json::exception, as json does.
template <class T>
Status read(const json& object, const char* key, T& to)
{
    const auto& value = object.at(key);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
        const bool fits = value.is_number_unsigned()
                              ? std::in_range<T>(value.template get<std::uint64_t>())
                              : value.is_number_integer() && std::in_range<T>(value.template get<std::int64_t>());
        if (!fits) return fail(ErrorKind::failed, "{} is {}", key, printable(value.dump()));
    }
    value.get_to(to);
    return {};
}

// Whether the rule can be an SSH guard: it has both addresses and both ports (ssh_guard.cpp needs them).
bool may_guard(const Rule& rule)
{
    const auto& selector = rule.selector;
    return !selector.locals.empty() && !selector.remotes.empty() && !selector.local_ports.empty() &&
           !selector.remote_ports.empty();
}

// A device's name need not be UTF-8, as JSON's text must be: a name that is not plain text is given by its bytes.
json name_in_json(const std::string& name)
{
    if (is_plain_text(name)) return name;
    return std::vector<std::uint8_t>(name.begin(), name.end());
}

std::string name_of(const json& value)
{
    if (!value.is_array()) return value.get<std::string>();
    const auto bytes = value.get<std::vector<std::uint8_t>>();
    return {bytes.begin(), bytes.end()};
}

Status read_record(const json& value, RuleRecord& record)
{
    HW_TRY(record.rule, rule_from_json(value.at("rule")));
    for (const auto& one : value.at("devices")) {
        AttachedDevice device;
        device.name = name_of(one.at("name"));
        HW_CHECK(read(one, "ifindex", device.ifindex));
        HW_CHECK(read(one, "slot", device.slot));
        if (device.slot >= HW_MAX_DEVICES) return fail(ErrorKind::failed, "slot is {}", device.slot);
        record.devices.push_back(std::move(device));
    }
    for (const auto& one : value.at("cgroups")) {
        Cgroup cgroup;
        HW_CHECK(read(one, "path", cgroup.path));
        HW_CHECK(read(one, "id", cgroup.id));
        HW_CHECK(read(one, "level", cgroup.level));
        record.cgroups.push_back(std::move(cgroup));
    }
    HW_CHECK(read(value, "created", record.created));
    HW_CHECK(read(value, "deadline", record.deadline));
    HW_CHECK(read(value, "since", record.since));
    HW_CHECK(read(value, "until", record.until));
    HW_CHECK(read(value, "lease", record.lease));
    HW_CHECK(read(value, "state", record.stable_id));
    HW_CHECK(read(value, "owner", record.owner));
    bool spares_ssh = false, protects = false;
    HW_CHECK(read(value, "guard", spares_ssh));
    if (value.contains("protect")) HW_CHECK(read(value, "protect", protects));
    record.guard = protects ? Guard::protect : spares_ssh ? Guard::ssh : Guard::no;
    if (value.contains("everywhere")) HW_CHECK(read(value, "everywhere", record.everywhere));
    HW_CHECK(read(value, "pending", record.pending));
    HW_CHECK(read(value, "former", record.former));
    HW_CHECK(read(value, "shift", record.clock.shift));
    HW_CHECK(read(value, "shift_after", record.clock.shift_after));
    HW_CHECK(read(value, "turn", record.clock.turn));
    HW_CHECK(read(value, "timeline", record.timeline));
    if (record.guard == Guard::ssh && !may_guard(record.rule)) return fail(ErrorKind::failed, "it guards nothing");
    return {};
}

}  // namespace

Resolved RuleRecord::resolved() const
{
    Resolved out;
    if (!rule.selector.devices.empty()) {
        for (const auto& device : devices) out.device_slots.push_back(device.slot);
        if (devices.empty()) out.device_slots.push_back(HW_MAX_DEVICES);  // a slot that no device ever has
    }
    out.cgroups = cgroups;
    out.peer = is_at_peer(rule);
    out.everywhere = everywhere;
    out.not_loopback = spares_loopback(rule);
    return out;
}

int RuleRecord::priority() const
{
    return guard == Guard::protect ? max_priority + 1 : rule.priority;
}

bool RuleRecord::is_at_default_devices() const
{
    return rule.selector.devices.empty() && !everywhere;
}

bool RuleRecord::is_at_loopback() const
{
    if (is_at_default_devices()) return !spares_loopback(rule);
    return std::any_of(devices.begin(), devices.end(),
                       [](const auto& device) { return device.ifindex == loopback_index; });
}

std::string encode_record(const RuleRecord& record)
{
    json devices = json::array(), cgroups = json::array();
    for (const auto& device : record.devices)
        devices.push_back({{"name", name_in_json(device.name)}, {"ifindex", device.ifindex}, {"slot", device.slot}});
    for (const auto& cgroup : record.cgroups)
        cgroups.push_back({{"path", cgroup.path}, {"id", cgroup.id}, {"level", cgroup.level}});
    return json{{"rule", to_json(record.rule)},
                {"devices", devices},
                {"cgroups", cgroups},
                {"created", record.created},
                {"deadline", record.deadline},
                {"since", record.since},
                {"until", record.until},
                {"lease", record.lease},
                {"owner", record.owner},
                {"shift", record.clock.shift},
                {"shift_after", record.clock.shift_after},
                {"turn", record.clock.turn},
                {"pending", record.pending},
                {"former", record.former},
                {"state", record.stable_id},
                {"guard", record.guard == Guard::ssh},
                {"protect", record.guard == Guard::protect},
                {"everywhere", record.everywhere},
                {"timeline", record.timeline}}
        .dump();
}

Result<RuleRecord> decode_record(std::uint32_t id, const std::string& text)
{
    RuleRecord record;
    try {
        auto read = read_record(json::parse(text), record);
        if (!read)
            return fail(ErrorKind::failed, "the description of rule {} in the kernel is damaged: {}", id,
                        read.error().message);
    } catch (const json::exception& error) {
        return fail(ErrorKind::failed, "the description of rule {} in the kernel is damaged: {}", id,
                    harmless(error.what()));
    }
    record.id = id;
    return record;
}

}  // namespace headwind
