// A line of a rule file, as words. Pure, but for $HEADWIND_OWNER.
#pragma once

#include <string>
#include <vector>

#include "commands/cli.h"

namespace headwind {

// One of the three is asked for; with `add` and `change`, `remove` is empty.
struct LineWords {
    bool adds = false, changes = false;
    AddWords add;
    ChangeWords change;
    std::vector<std::string> remove;
};

// The grammar, made once: that takes longer than a line.
class RuleLine {
public:
    RuleLine();
    RuleLine(const RuleLine&) = delete;
    RuleLine& operator=(const RuleLine&) = delete;
    Result<LineWords> parse(const std::string& line);

private:
    LineWords words_;
    CLI::App app_;
    CLI::App *add_ = nullptr, *change_ = nullptr;
};

}  // namespace headwind
