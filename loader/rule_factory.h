// The parts of make_rule, which stands in rule.cpp. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rule.h"

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

// ---- rule_impairment.cpp ----

// --netem's words as the flags that they stand for.
Result<RuleText> spell_out(const RuleText& text);
// Of a text without --netem.
Result<Impairment> make_impairment(const RuleText& text);

}  // namespace headwind
