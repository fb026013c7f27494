// Leases: a rule whose lease nobody renews ends by itself, in the kernel (abi.h, hw_lease).
#pragma once

#include <cstdint>
#include <map>

#include "datapath/instance.h"
#include "ruleset/index.h"
#include "util/result.h"

namespace headwind {

// `state`: RuleInfo::state. The lease ends `lease` ns from now. not_found: the rule was removed.
Status renew_lease(const Instance& instance, std::uint32_t state, std::uint64_t lease);

// When they end (CLOCK_BOOTTIME ns), by RuleInfo::state; nothing if none of the rules has one.
Result<std::map<std::uint32_t, std::uint64_t>> read_leases(const Instance& instance, const Entries& rules);

}  // namespace headwind
