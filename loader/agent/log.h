// What the agent says: a line for each thing that happened.
#pragma once

#include <string>
#include <vector>

namespace headwind {

enum class Severity { info, warning };

struct AgentEvent {
    const char* event =
        "";  // serving, removed, moved, attached, mended, stopped, instance-gone, namespace-gone, trouble, ending
    std::string text;                  // of a line for people, after namespace and rule
    std::string netns, rule;           // empty: of none
    std::vector<std::string> devices;  // for JSON
    std::string why;                   // for JSON
    Severity severity = Severity::info;
};

// Lines on stderr, with the journal's priorities (<6>) if that is no terminal; with `json` lines of JSON on stdout.
class AgentLog {
public:
    explicit AgentLog(bool json);
    void tell(const AgentEvent& event) const;

private:
    bool json_, priorities_;
};

}  // namespace headwind
