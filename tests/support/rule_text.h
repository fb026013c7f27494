// Rules as a command line has them: the one parser of such words in the tests.
#pragma once

#include <string>
#include <vector>

#include "rule/rule.h"

namespace headwind::test {

// The flags of `headwind add` that describe a rule. Its name is "r" unless --name is given. Throws CLI::Error.
RuleText text_of(const std::vector<std::string>& arguments);
// "--remote-port 5432 --loss 10%", quoted as in a file of rules.
RuleText text_of_line(const std::string& line);

}  // namespace headwind::test
