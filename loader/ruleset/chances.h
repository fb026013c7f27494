// SPDX-License-Identifier: MIT
// What chance needs of a rule beside its hw_rule: the law of its delays, which rules share, its sequence, and its list
// of losses.
#pragma once

#include <optional>
#include <set>

#include <headwind/law.h>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// `law`: as compile_law() has it. Comes before the hw_rule, which names it.
Status write_chances(const Instance& instance, const RuleRecord& record, const std::optional<hw_law>& law);
// Comes before the hw_rule is erased.
Status erase_chances(const Instance& instance, const RuleRecord& record);
// Erases what is of no rule alive, and counts the users of each law anew. Comes before hw_rules are erased.
Status repair_chances(const Instance& instance, const std::set<std::uint32_t>& alive);

}  // namespace headwind
