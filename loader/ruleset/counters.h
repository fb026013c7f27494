// What each CPU keeps of a rule (hw_local), as the loader sees it.
#pragma once

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// Counters of one rule and direction, summed over the CPUs.
Result<hw_counters> read_counters(const Instance& instance, hw_state_key key);
// Makes room for them, zero, or gives it back. There already, or gone already, is no error.
Status make_local(const Instance& instance, hw_state_key key);
Status remove_local(const Instance& instance, hw_state_key key);

}  // namespace headwind
