// SPDX-License-Identifier: MIT
// Files of rules, for `batch` and `apply`: a line as on the command line, without headwind; # starts a comment.
#pragma once

#include <string>
#include <vector>

#include "commands/cli.h"

namespace headwind {

struct FileLine {
    std::string place;  // "/etc/headwind/lab.rules:3"
    std::string words;  // as written, without blanks around them
    Changes changes;    // that the line asks for
};
// Reads a file of rules; "-" is standard input. An error names the line. Comments and empty lines are left out.
Result<std::vector<FileLine>> read_rule_file(const std::string& file, const CommonOptions& common);

}  // namespace headwind
