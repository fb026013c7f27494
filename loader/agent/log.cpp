// SPDX-License-Identifier: MIT
// Writes the agent's events: text with the journal's priorities, or JSON.
#include "agent/log.h"
#include "util/output.h"

#include <unistd.h>

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace headwind {
namespace {

std::string as_json(const AgentEvent& event)
{
    using namespace std::chrono;
    nlohmann::json out{{"time_unix_ms", duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()},
                       {"event", event.event},
                       {"severity", event.severity == Severity::info ? "info" : "warning"},
                       {"message", event.text}};
    if (!event.netns.empty()) out["netns"] = event.netns;
    if (!event.rule.empty()) out["rule"] = event.rule;
    if (!event.devices.empty()) out["devices"] = event.devices;
    if (!event.why.empty()) out["why"] = event.why;
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string as_text(const AgentEvent& event)
{
    std::string out;
    if (!event.netns.empty()) out += event.netns + ": ";
    if (!event.rule.empty()) out += "rule " + event.rule + ": ";
    return out + event.text;
}

}  // namespace

AgentLog::AgentLog(bool json) : json_(json), priorities_(isatty(STDERR_FILENO) == 0)
{
}

void AgentLog::tell(const AgentEvent& event) const
{
    if (json_) {
        put("{}\n", as_json(event));
        std::fflush(stdout);
        return;
    }
    const char* priority = !priorities_ ? "" : event.severity == Severity::info ? "<6>" : "<4>";
    // One write keeps the lines of several writers whole; the journal takes each line for a message.
    auto line = as_text(event);
    for (auto& character : line)
        if (character == '\n') character = ' ';
    say("{}{}\n", priority, line);
}

}  // namespace headwind
