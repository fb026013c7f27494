// Plans, as they become true: devices, line, rules.
#pragma once

#include <vector>

#include "engine/plan.h"
#include "engine/session.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// For each fresh rule where it goes. `may_wait`: a device that it names need not be there; nor need one that it named
// before.
Result<std::vector<std::vector<netlink::Link>>> find_devices(const Plan& plan, bool may_wait);

// The line that these rules need, `loopback`: for packets on lo, too. One that somebody removed is made again.
Status prepare_line(Instance& instance, const Entries& rules, bool loopback);

// In one instant. `devices`: of find_devices(). On failure the rules are those before.
Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices);

}  // namespace headwind
