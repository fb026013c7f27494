// SPDX-License-Identifier: MIT
// Whether two rules may select the same packet.
#pragma once

#include <span>

#include <headwind/abi.h>

#include "ruleset/records.h"

namespace headwind {

// Whether it is this cgroup, or below it.
bool is_within(const Cgroup& inner, const Cgroup& outer);

// The flag by which no packet is in both; nullptr: some may be. `devices`: hw_control.devices. Flows are not looked at:
// two samples of them may have some in common.
const char* apart_by(const RuleRecord& one, const RuleRecord& other, std::span<const hw_device> devices);

}  // namespace headwind
