// SPDX-License-Identifier: MIT
// The counters that each CPU keeps of a rule (hw_cpu_state), as the loader sees them.
#pragma once

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// The counters of one rule and direction, summed over the CPUs.
Result<hw_counters> read_counters(const Instance& instance, hw_state_key key);
// Make room for the counters, which are 0, and give it back. Counters that are there already, or gone already, are no
// error.
Status make_local(const Instance& instance, hw_state_key key);
Status remove_local(const Instance& instance, hw_state_key key);

}  // namespace headwind
