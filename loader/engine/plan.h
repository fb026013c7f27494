// What a set of changes makes of the rules in force, decided before anything of it is done.
#pragma once

#include "engine/session.h"

namespace headwind {

struct Plan {
    std::vector<RuleRecord> fresh;  // without ids
    std::vector<RuleRecord> gone;
    std::vector<std::uint32_t> go_on;  // states of rules that start again, if they are stopped
    std::vector<Rule> protect;         // asked for: for plan_guards()
    std::uint64_t max_held = 0;
    std::uint32_t max_rules = 0;  // room of an instance that is made for it
};

// Of what a change that waits is about; "": of any.
tl::unexpected<Error> fail_pending(const std::string& name);
// A rule that nobody has yet.
Result<RuleRecord> new_record(const AddRequest& request, Guard guard = Guard::no);
// Rules that go are in the plan then, and no longer in the session. Nothing is done to the kernel.
Result<Plan> make_plan(Session& session, const Changes& changes);
// Once all rules are in it, those that spare connections too: what is to wait for a confirmation, and what it takes.
Status complete_plan(const Session& session, const Changes& changes, Plan& plan);

}  // namespace headwind
