// SPDX-License-Identifier: MIT
// Applies plans: devices, line, rules.
#pragma once

#include <vector>

#include "engine/plan.h"
#include "engine/write_session.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// The devices of each rule in plan.add, in that order; none for a rule that is everywhere. A device that a rule names
// must be there, unless `may_wait`, or the rule named the same devices before.
Result<std::vector<std::vector<netlink::Link>>> find_devices(const Plan& plan, bool may_wait);

// The devices that the rule, which has no --dev, is at.
std::vector<netlink::Link> default_devices_of(const Rule& rule, const std::vector<netlink::Link>& links);

// Makes the line that `rules` need, also where somebody removed it.
Status prepare_line(Instance& instance, const Entries& rules);

// Applies the plan in one instant. `devices`: for each rule in plan.add. On failure the rules are those before; only a
// failure after the switch (see commit()) leaves the new ones.
Status apply(WriteSession& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices);

}  // namespace headwind
