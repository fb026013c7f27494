// SPDX-License-Identifier: MIT
// Writes events to the agent's log: text with the journal's priorities, or JSON.
#include "agent/log.h"

#include <unistd.h>

#include "util/output.h"

namespace headwind {

AgentLog::AgentLog(bool json, std::optional<std::uint64_t> only)
    : json_(json), priorities_(isatty(STDERR_FILENO) == 0), only_(only)
{
    if (auto kept = KeptEvents::open(KeptEvents::From::now)) kept_.emplace(std::move(*kept));
}

void AgentLog::print(const Event& event) const
{
    if (json_) {
        put("{}\n", to_json_line(event));
        std::fflush(stdout);
        return;
    }
    const char* priority = !priorities_ ? "" : event.severity == Severity::info ? "<6>" : "<4>";
    // One write keeps the lines of several writers whole; the journal takes each line for a message.
    say("{}{}\n", priority, to_text(event));
}

void AgentLog::tell(Event event)
{
    event.time_unix_ms = unix_ms_now();
    print(event);
    static_cast<void>(keep({std::move(event)}));  // where it cannot be kept, it was told
}

void AgentLog::tell_commands()
{
    if (!kept_) return;
    for (const auto& event : kept_->read()) {
        const bool meant = !only_ || event.netns_inode == 0 || event.netns_inode == *only_;
        if (!event.command.empty() && meant) print(event);
    }
}

}  // namespace headwind
