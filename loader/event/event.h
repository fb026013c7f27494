// SPDX-License-Identifier: MIT
// An event: something that happened to rules or to what they need, and who did it; as JSON and as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headwind {

enum class Severity { info, warning };

struct Event {
    std::string event;              // "added", "not-effective" ...: the table in README, "Events"
    std::string text = {};          // for people, after namespace and rule
    std::string netns = {};         // a path of the network namespace; empty: the host's own, or none is known
    std::string place = {};         // what that is the namespace of: "pod default/shop"; empty: of nothing known
    std::uint64_t netns_inode = 0;  // 0: it is of no network namespace
    std::string rule = {};          // empty: of no single rule
    std::vector<std::string> devices = {};
    std::string why = {};
    std::string user = {}, command = {};  // whose command did it ("headwind add"); empty: no command of ours
    Severity severity = Severity::info;
    std::int64_t time_unix_ms = 0;
};

// The event as one line of JSON, without a line end.
std::string to_json_line(const Event& event);
// Reads such a line; nullopt: it is none.
std::optional<Event> parse_event(const std::string& line);
// "pod default/shop: rule web: removed: it expired (alice, headwind del)", on one line.
std::string to_text(const Event& event);

std::int64_t unix_ms_now();

}  // namespace headwind
