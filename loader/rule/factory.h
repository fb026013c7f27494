// The parts of make_rule, which stands in rule.cpp. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rule/rule.h"

namespace headwind {

// ---- errors that name the flag and the value typed ----

std::string typed(std::string_view flag, std::string_view value);
std::string typed(std::string_view flag, const std::vector<std::string>& values);
void append_word(std::string& words, std::string_view word);
tl::unexpected<Error> refuse(std::string_view flag, std::string_view value, std::string_view why);

template <class T>
Result<T> named(std::string_view flag, std::string_view value, Result<T> result)
{
    if (!result) return refuse(flag, value, result.error().message);
    return result;
}

// ---- lists ----

// The entries between commas, without blanks around them; an empty one is refused.
Result<std::vector<std::string_view>> split(std::string_view flag, const std::vector<std::string>& values);

// ---- timeline_words.cpp ----

Result<std::optional<Timeline>> make_timeline(const RuleText& text);
// Fills in the flags of what varies, with the worst. Refused if they are there.
Status put_worst(const Timeline& timeline, RuleText& text);
// The reverse.
void forget_constant(const Timeline& timeline, RuleText& text);

// ---- stop.cpp ----

// --max-share and --stop-if, of a rule that has its impairment.
Status put_stops(const RuleText& text, Rule& rule);

// ---- hours.cpp ----

// None if that is always.
Result<std::optional<Hours>> make_hours(const RuleText& text);

// ---- impairment.cpp ----

// --netem's words as the flags that they stand for.
Result<RuleText> spell_out(const RuleText& text);
// Of a text without --netem.
Result<Impairment> make_impairment(const RuleText& text);

}  // namespace headwind
