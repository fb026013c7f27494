// SPDX-License-Identifier: MIT
// The one parser of command lines with rules in the tests.
#pragma once

#include <string>
#include <vector>

#include "rule/rule.h"

namespace headwind::test {

// The RuleSpec of the flags of `headwind add` that describe a rule. Its name is "r" unless --name is given. Throws
// CLI::Error.
RuleSpec text_of(const std::vector<std::string>& arguments);
// The RuleSpec of a line like "--remote-port 5432 --loss 10%", quoted as in a file of rules.
RuleSpec text_of_line(const std::string& line);

}  // namespace headwind::test
