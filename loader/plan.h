// What a set of changes makes of the rules in force, decided before anything of it is done.
#pragma once

#include "session.h"

namespace headwind {

struct Plan {
    std::vector<RuleRecord> fresh;  // without ids
    std::vector<RuleRecord> gone;
    std::uint64_t max_held = 0;
    std::uint32_t max_rules = HW_DEFAULT_RULES;
};

// A rule that nobody has yet.
Result<RuleRecord> new_record(const AddRequest& request);
// Moves records that go from the session to the plan. An error leaves the kernel as it is.
Result<Plan> make_plan(Session& session, const Changes& changes);

}  // namespace headwind
