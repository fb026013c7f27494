// SPDX-License-Identifier: MIT
// Which rules leave another one nothing: each packet that it selects gets one of higher rank.
//
// A rule's packets are its entries. One is hidden by a shape that looks at nothing more than it does: its key, masked
// as that shape's, is then the one that all its packets look up there. So a rule costs a lookup for each of its keys
// and of the shapes in use, however many rules there are.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "precedence/rule_space.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

struct Hidden {
    std::vector<std::uint32_t> by;  // ids of the rules that its packets get, in ascending order
    bool for_good = true;           // as long as it is there itself; else one of them ends before it, or may
    std::uint64_t top_rank = 0;     // the highest of theirs
    // Some win whatever their rank: on lo the sender's rules come before the receiver's, and at a pod's device those of
    // this namespace before the pod's.
    bool by_other_side = false;
};

// nullopt: a packet may get the rule. A rule that is on only at times (--flap, --between) hides none, and one of some
// flows only one of the same. Prefixes that make up the rule's together are found if they are at most 4 bits longer;
// classes of ports that make up one are not.
Result<std::optional<Hidden>> find_hiding_rules(const RuleSpace& space, const RuleRecord& record);

}  // namespace headwind
