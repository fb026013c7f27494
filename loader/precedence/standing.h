// SPDX-License-Identifier: MIT
// What the rules above it leave a rule: all of its packets, some, or none. In names and words.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "precedence/hidden.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

struct Standing {
    std::vector<std::string> hidden_by;  // names: each packet that it selects gets one of these; empty: it has some
    std::vector<std::string> loses_to;   // names: of a rule with `pass`, these impair some that it is to spare
    std::string words;                   // why, and what would help; empty: it has all that one can expect
};

// `above`: the rules that may have taken packets from a rule with `pass`; those of lower rank do not count.
Result<Standing> standing_of(const RuleSpace& space, const RuleRecord& record,
                             std::span<const RuleRecord* const> above);

}  // namespace headwind
