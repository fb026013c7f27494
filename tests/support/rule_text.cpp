// SPDX-License-Identifier: MIT
// Parses rules with the flags of the product itself, so that a new flag is known here at once.
#include "rule_text.h"

#include <CLI/CLI.hpp>

#include "commands/cli.h"
#include "util/text.h"

namespace headwind::test {

RuleSpec text_of(const std::vector<std::string>& arguments)
{
    RuleSpec text;
    text.name = "r";
    CLI::App app;
    app.add_option("--name", text.name);
    add_rule_flags(&app, text);
    app.parse(std::vector(arguments.rbegin(), arguments.rend()));
    return text;
}

RuleSpec text_of_line(const std::string& line)
{
    return text_of(split_words(line).value());
}

}  // namespace headwind::test
