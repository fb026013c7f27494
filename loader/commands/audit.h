// SPDX-License-Identifier: MIT
// The audit: one line for each command that changed something, which says who changed what, in the journal, else in
// syslog or, where there is neither, on stderr; and the same as events (event/event_file.h).
#pragma once

#include <string>
#include <vector>

#include "engine/changed.h"

namespace headwind {

// The line: "user root (uid 0, by sudo from alice), headwind add: added slow-db: packets sent ...". One line, printable
// whatever the environment says.
std::string audit_line(const std::string& command, const Changed& changed);

// The events of the command: one for each rule, at most 1,000 and one more that says how many others there are.
std::vector<Event> command_events(const std::string& command, const Changed& changed);

// Keeps the events, and writes the line, to the journal with the fields HEADWIND_USER, HEADWIND_COMMAND, HEADWIND_RULES
// (names, a blank between them) and HEADWIND_NETNS ("net:[4026531840]"). `command`: "add".
void audit(const std::string& command, const Changed& changed);

}  // namespace headwind
