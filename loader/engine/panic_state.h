// The switch that turns every rule of every network namespace off: a map that all instances share.
#pragma once

#include "util/result.h"

namespace headwind {

// With one write. No lock, so that it works when all else is stuck, and without the pin, too: then the map is found by
// the programs at the devices of each namespace, which read it. Before there is any rule, it holds for those to come.
// False: there is no rule now, neither. Fails if there are programs, and what turns them off is not to be had.
Result<bool> set_panic(bool on);

Result<bool> is_panic_on();
// Fails if it is on: nothing is added meanwhile, since ending the panic would put all of it in force at once.
Status refuse_in_panic();

}  // namespace headwind
