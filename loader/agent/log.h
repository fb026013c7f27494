// SPDX-License-Identifier: MIT
// The agent's log: a line for each thing that happened.
#pragma once

#include <string>
#include <vector>

namespace headwind {

enum class Severity { info, warning };

struct AgentEvent {
    const char* event = "";            // serving, upgraded, removed, moved, attached, mended, stopped, instance-gone,
                                       // namespace-gone, trouble, ending
    std::string text;                  // the line for people, after namespace and rule
    std::string netns, rule;           // empty: none
    std::vector<std::string> devices;  // for JSON
    std::string why;                   // for JSON
    Severity severity = Severity::info;
};

// Writes lines to stderr, with the journal's priorities (<6>) if it is no terminal; with `json`, JSON lines to stdout.
class AgentLog {
public:
    explicit AgentLog(bool json);
    void tell(const AgentEvent& event) const;

private:
    bool json_, priorities_;
};

}  // namespace headwind
