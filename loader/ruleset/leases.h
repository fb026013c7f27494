// SPDX-License-Identifier: MIT
// Leases: a rule whose lease nobody renews ends by itself, in the kernel (abi.h, hw_lease).
#pragma once

#include <cstdint>
#include <map>

#include "datapath/instance.h"
#include "ruleset/index.h"
#include "util/result.h"

namespace headwind {

// Makes the lease of the rule with this RuleInfo::stable_id end `lease` ns from now. not_found: the rule was removed.
Status renew_lease(const Instance& instance, std::uint32_t stable_id, std::uint64_t lease);

// The times at which all leases end (CLOCK_BOOTTIME ns), by RuleInfo::stable_id; empty if none of `rules` has one.
Result<std::map<std::uint32_t, std::uint64_t>> read_leases(const Instance& instance, const Entries& rules);

}  // namespace headwind
