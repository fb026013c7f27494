// SPDX-License-Identifier: MIT
// The parts of make_rule(). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rule/rule.h"
#include "util/typed.h"

namespace headwind {

struct Flag;

// Parses one flag's text, if it was given, into its field.
template <class Field, class T>
Status read_word(std::string_view flag, const std::optional<std::string>& value, Result<T> (*parse)(std::string_view),
                 Field& into)
{
    if (!value) return {};
    HW_TRY(into, named(flag, *value, parse(*value)));
    return {};
}

// ---- timeline.cpp ----

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

// ---- losses.cpp ----

// The flag that says what is lost: --loss, or one that takes its place; null: none is given.
const Flag* loss_flag(const RuleSpec& text);
// Clears that flag.
void forget_losses(RuleSpec& text);
// Parses --loss-burst and --loss-model.
Status read_losses(const RuleSpec& text, Impairment& into);
// Puts the list of --loss-pattern into an impairment whose words have been read, and the share that is lost.
Status put_losses(const RuleSpec& text, Impairment& impairment);

// ---- delays.cpp ----

Status read_distribution(const RuleSpec& text, Impairment& into);
// Refuses delays and waits that no packet can have.
Status check_times(const RuleSpec& text, const Impairment& impairment);
// Makes the delay smooth, if packets are to keep their order. There is a jitter.
Status put_order(const RuleSpec& text, Impairment& impairment);

// ---- impairment.cpp ----

// The impairments as they were typed, but for the flag `except`.
std::string typed_impairments(const RuleSpec& text, std::string_view except = {});
// Whether there is any of it.
bool happens(const std::optional<Probability>& probability);

// The RuleSpec with the flags that --netem's words stand for, instead of --netem.
Result<RuleSpec> spell_out(const RuleSpec& text);
// `text` is without --netem.
Result<Impairment> make_impairment(const RuleSpec& text);

}  // namespace headwind
