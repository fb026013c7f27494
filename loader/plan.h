// What a set of changes makes of the rules in force, decided before anything of it is done.
#pragma once

#include "netlink.h"
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

// ---- of engine.cpp, which carries plans out ----

// What attach_device() is told (hw_device_flags) for this rule. At the host side of a pod's device what the pod sends
// comes in.
__u32 attach_flags(const Rule& rule);
// The line that this rule, on these devices, and the others need. One that somebody removed is made again.
Status prepare_line(Instance& instance, const Rule& rule, const std::vector<RuleRecord>& others,
                    const std::vector<netlink::Link>& devices);
// In one instant. `devices`: for each fresh rule where it goes. On failure the rules are those before, but the session
// lacks those that were to go.
Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices);

}  // namespace headwind
