// SPDX-License-Identifier: MIT
// Writes events as JSON and as text, and reads the JSON.
#include "event/event.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace headwind {
namespace {

using nlohmann::json;

// The text under `key`; empty: there is none.
std::string text_at(const json& object, const char* key)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number_at(const json& object, const char* key)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

}  // namespace

std::string to_json_line(const Event& event)
{
    json out{{"time_unix_ms", event.time_unix_ms},
             {"event", event.event},
             {"severity", event.severity == Severity::info ? "info" : "warning"},
             {"message", event.text}};
    if (event.netns_inode != 0) out["netns_inode"] = event.netns_inode;
    for (const auto& [key, value] : {std::pair{"netns", &event.netns},
                                     {"place", &event.place},
                                     {"rule", &event.rule},
                                     {"why", &event.why},
                                     {"user", &event.user},
                                     {"command", &event.command}})
        if (!value->empty()) out[key] = *value;
    if (!event.devices.empty()) out["devices"] = event.devices;
    return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Event> parse_event(const std::string& line)
{
    const auto object = json::parse(line, nullptr, false);
    if (!object.is_object()) return std::nullopt;
    Event out{.event = text_at(object, "event"), .text = text_at(object, "message")};
    if (out.event.empty()) return std::nullopt;
    out.netns = text_at(object, "netns");
    out.place = text_at(object, "place");
    out.netns_inode = static_cast<std::uint64_t>(number_at(object, "netns_inode"));
    out.rule = text_at(object, "rule");
    out.why = text_at(object, "why");
    out.user = text_at(object, "user");
    out.command = text_at(object, "command");
    out.severity = text_at(object, "severity") == "warning" ? Severity::warning : Severity::info;
    out.time_unix_ms = number_at(object, "time_unix_ms");
    if (const auto devices = object.find("devices"); devices != object.end() && devices->is_array())
        for (const auto& device : *devices)
            if (device.is_string()) out.devices.push_back(device);
    return out;
}

std::string to_text(const Event& event)
{
    std::string out;
    const auto& where = event.place.empty() ? event.netns : event.place;
    if (!where.empty()) out += where + ": ";
    if (!event.rule.empty()) out += "rule " + event.rule + ": ";
    out += event.text;
    if (!event.command.empty()) out += fmt::format(" ({}, {})", event.user, event.command);
    std::replace(out.begin(), out.end(), '\n', ' ');
    return out;
}

std::int64_t unix_ms_now()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace headwind
