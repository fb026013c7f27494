// SPDX-License-Identifier: MIT
// Rules as people and programs read them: a description, a state, JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/engine.h"

namespace headwind {

// A wall clock time, as short as it can be: "14:05" today, "2026-11-24 14:05" otherwise; "14:05:07" if it is less
// than ten minutes away.
std::string clock_text(std::int64_t seconds);

// The description of a rule as it is now: with its devices, its end, its lease and the host's time zone.
std::string describe_rule(const RuleView& view);
// "off until Mon 09:00" for a rule that is outside its hours; else empty.
std::string opening_words(const RuleView& view);
// The hook that decides incoming packets, at each device; empty: tc at all of them, and no other XDP program is there.
std::string ingress_words(const RuleView& view);
// Prints "removed web", a line for each rule, or `nothing`; the number of packets that the line lost goes to stderr.
void report_removed(const Removed& removed, std::string_view nothing);
// Takes the guards (RuleInfo::guard) out of the views and tells of them on stderr.
void report_guards(std::vector<RuleView>& views);
// Tells on stderr which of the rules, added or changed just now, have no effect and why, and what else may be amiss.
void report_effects(const std::vector<RuleView>& views);
nlohmann::json to_json(const RuleView& view);
nlohmann::json to_json(const Counters& counters);
// A sentence for each reason why packets passed that the rule should have changed or held: "20 packets passed ...".
std::vector<std::string> exemption_words(const Counters& counters);

}  // namespace headwind
