// SPDX-License-Identifier: MIT
// The agent's log: a line for each thing that happened, by the agent or by a command.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "event/event_file.h"

namespace headwind {

// Writes lines to stderr, with the journal's priorities (<6>) if it is no terminal; with `json`, JSON lines to stdout.
class AgentLog {
public:
    // `only`: the inode of the one network namespace whose events are told; nullopt: all.
    AgentLog(bool json, std::optional<std::uint64_t> only);
    // Tells the event, and keeps it for `headwind events`.
    void tell(Event event);
    // Tells what commands have kept since the last call.
    void tell_commands();

private:
    void print(const Event& event) const;

    bool json_, priorities_;
    std::optional<std::uint64_t> only_;
    std::optional<KeptEvents> kept_;  // nullopt: they cannot be read
};

}  // namespace headwind
