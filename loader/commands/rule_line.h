// SPDX-License-Identifier: MIT
// A line of a rule file, parsed into arguments. Pure, but for $HEADWIND_OWNER.
#pragma once

#include <string>
#include <vector>

#include "commands/cli.h"

namespace headwind {

// The arguments of a line, which asks for one of `add`, `change` and `remove`; with the first two, `remove` is empty.
struct LineArgs {
    bool adds = false, changes = false;
    AddArgs add;
    ChangeArgs change;
    std::vector<std::string> remove;
};

// The grammar of lines. It is made once: making it takes longer than parsing a line.
class RuleLine {
public:
    RuleLine();
    RuleLine(const RuleLine&) = delete;
    RuleLine& operator=(const RuleLine&) = delete;
    Result<LineArgs> parse(const std::string& line);

private:
    LineArgs words_;
    CLI::App app_;
    CLI::App *add_ = nullptr, *change_ = nullptr;
};

}  // namespace headwind
