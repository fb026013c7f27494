// SPDX-License-Identifier: MIT
// The parts of make_rule(). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rule/rule.h"
#include "util/typed.h"

namespace headwind {

// ---- timeline_words.cpp ----

Result<std::optional<Timeline>> make_timeline(const RuleSpec& text);
// Fills in the flags of what varies, each with its worst value. Refused if one of them, --partition or --pass is given.
Status put_worst(const Timeline& timeline, RuleSpec& text);
// Clears the flags of what varies.
void forget_constant(const Timeline& timeline, RuleSpec& text);

// ---- stop.cpp ----

// Puts --max-share and --stop-if into a rule that has its impairment.
Status put_stops(const RuleSpec& text, Rule& rule);

// ---- hours.cpp ----

// The hours of --between and --days; none if they are all hours of every day.
Result<std::optional<Hours>> make_hours(const RuleSpec& text);

// ---- impairment.cpp ----

// The RuleSpec with the flags that --netem's words stand for, instead of --netem.
Result<RuleSpec> spell_out(const RuleSpec& text);
// `text` is without --netem.
Result<Impairment> make_impairment(const RuleSpec& text);

}  // namespace headwind
