// What a set of changes makes of the rules in force, decided before anything of it is done.
#pragma once

#include "engine/session.h"
#include "host/netlink.h"

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
// Rules that go are in the plan then, and no longer in the session. An error leaves the kernel as it is.
Result<Plan> make_plan(Session& session, const Changes& changes);

// ---- of carry_out.cpp ----

// The line that these rules need, `loopback`: for packets on lo, too. One that somebody removed is made again.
Status prepare_line(Instance& instance, const Entries& rules, bool loopback);
// In one instant. `devices`: for each fresh rule where it goes. On failure the rules are those before.
Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices);

// ---- of engine.cpp ----

// For each fresh rule where it goes. `may_wait`: a device that it names need not be there; nor need one that it named
// before.
Result<std::vector<std::vector<netlink::Link>>> find_devices(const Plan& plan, bool may_wait);

}  // namespace headwind
