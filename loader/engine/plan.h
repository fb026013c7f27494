// SPDX-License-Identifier: MIT
// The plan of a set of changes: the rules it adds and removes, decided before anything is done.
#pragma once

#include "engine/write_session.h"

namespace headwind {

struct Plan {
    std::vector<RuleRecord> add;  // without ids
    std::vector<RuleRecord> remove;
    std::vector<std::uint32_t> go_on;  // stable_ids of rules that start again, if they are stopped
    std::vector<Rule> protect;         // protections asked for; plan_guards() adds them
    std::uint64_t max_held = 0;
    std::uint32_t max_rules = 0;  // room of the instance, if it is made for this plan
};

// The error that a change of the rule `name` waits to be confirmed; "": that some change does.
tl::unexpected<Error> fail_pending(const std::string& name);
// The record of a rule to add, without ids and devices.
Result<RuleRecord> new_record(const AddRequest& request, Guard guard = Guard::no);
// Plans `changes`. The rules to remove are in the plan then, and no longer in the session. Changes nothing in the
// kernel.
Result<Plan> make_plan(WriteSession& session, const Changes& changes);
// Completes a plan that has all its rules, guards too: makes it wait for a confirmation if asked, chooses the room of
// the instance, and checks that the kernel has fq if a rule needs it.
Status complete_plan(const WriteSession& session, const Changes& changes, Plan& plan);

}  // namespace headwind
