// SPDX-License-Identifier: MIT
// Fills in a RuleSpec by the table of flags, whatever the value, for tests with values that no shell would hand over.
#pragma once

#include <string>
#include <string_view>

#include "rule/flags.h"

namespace headwind::rule_test {

// Gives `text` a flag like `--name slow-db` or `--delay 50ms`; a switch ignores the value. False: there is no such
// flag.
inline bool give(std::string_view name, const std::string& value, RuleSpec& text)
{
    if (name == "--name") text.name = value;
    for (const Flag& flag : rule_flags()) {
        if (flag.name != name) continue;
        if (const auto* list = std::get_if<List>(&flag.member))
            (text.**list).push_back(value);
        else if (const auto* word = std::get_if<Word>(&flag.member))
            text.** word = value;
        else
            text.*std::get<Switch>(flag.member) = true;
        return true;
    }
    return name == "--name";
}

}  // namespace headwind::rule_test
