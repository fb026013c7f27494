#include "records.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <nlohmann/json.hpp>

#include <headwind/model.h>

namespace headwind {
namespace {

using nlohmann::json;

constexpr std::size_t chunk_bytes = sizeof(hw_text::bytes);

std::string encode(const RuleRecord& record)
{
    json devices = json::array(), cgroups = json::array();
    for (const auto& device : record.devices)
        devices.push_back({{"name", device.name}, {"ifindex", device.ifindex}, {"slot", device.slot}});
    for (const auto& cgroup : record.cgroups)
        cgroups.push_back({{"path", cgroup.path}, {"id", cgroup.id}, {"level", cgroup.level}});
    return json{{"rule", to_json(record.rule)}, {"devices", devices},          {"cgroups", cgroups},
                {"created", record.created},    {"deadline", record.deadline}, {"since", record.since},
                {"until", record.until},        {"lease", record.lease},       {"owner", record.owner},
                {"state", record.state},        {"guard", record.guard}}
        .dump();
}

Result<RuleRecord> decode(std::uint32_t id, const std::string& text)
{
    RuleRecord record;
    record.id = id;
    try {
        const auto value = json::parse(text);
        HW_TRY(record.rule, rule_from_json(value.at("rule")));
        for (const auto& device : value.at("devices"))
            record.devices.push_back({device.at("name"), device.at("ifindex"), device.at("slot")});
        for (const auto& cgroup : value.at("cgroups"))
            record.cgroups.push_back({cgroup.at("path"), cgroup.at("id"), cgroup.at("level")});
        record.created = value.at("created");
        record.deadline = value.at("deadline");
        record.since = value.at("since");
        record.until = value.at("until");
        record.lease = value.at("lease");
        record.state = value.at("state");
        record.owner = value.at("owner");
        record.guard = value.at("guard");
    } catch (const json::exception& error) {
        return fail(ErrorKind::failed, "the description of rule {} in the kernel is damaged: {}", id, error.what());
    }
    return record;
}

}  // namespace

Resolved RuleRecord::resolved() const
{
    Resolved out;
    if (!rule.selector.devices.empty()) {
        for (const auto& device : devices) out.device_slots.push_back(device.slot);
        if (devices.empty()) out.device_slots.push_back(HW_MAX_DEVICES);  // one that no device ever has
    }
    out.cgroups = cgroups;
    out.far = is_far(rule);
    return out;
}

Result<std::vector<RuleRecord>> load_records(const Instance& instance)
{
    std::map<std::uint32_t, std::map<std::uint32_t, std::string>> pieces;
    for (const auto& key : instance.texts.keys()) {
        HW_TRY(const auto text, instance.texts.find(key));
        if (text)
            pieces[key.rule][key.chunk] = std::string(text->bytes, std::min<std::size_t>(text->length, chunk_bytes));
    }
    std::vector<RuleRecord> out;
    for (const auto& [id, chunks] : pieces) {
        HW_TRY(const auto rule, instance.rules.find(id));
        // A command is at it, or was killed here: repair() removes it.
        if (!rule || !hw_in_version(&*rule, instance.control->version)) continue;
        std::string text;
        for (const auto& [number, piece] : chunks) text += piece;
        HW_TRY(auto record, decode(id, text));
        out.push_back(std::move(record));
    }
    return out;
}

Status store_record(const Instance& instance, const RuleRecord& record)
{
    const auto text = encode(record);
    for (std::uint32_t chunk = 0; chunk * chunk_bytes < text.size(); ++chunk) {
        const auto piece = text.substr(chunk * chunk_bytes, chunk_bytes);
        hw_text value{};
        value.length = static_cast<__u16>(piece.size());
        std::memcpy(value.bytes, piece.data(), piece.size());
        HW_CHECK(instance.texts.put({record.id, chunk}, value));
    }
    return {};
}

Status erase_record(const Instance& instance, std::uint32_t id)
{
    for (std::uint32_t chunk = 0;; ++chunk) {
        HW_TRY(const auto text, instance.texts.find({id, chunk}));
        if (!text) return {};
        HW_CHECK(instance.texts.erase({id, chunk}));
    }
}

}  // namespace headwind
