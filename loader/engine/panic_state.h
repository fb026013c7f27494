// SPDX-License-Identifier: MIT
// The switch that turns every rule of every network namespace off: a map that all instances share.
#pragma once

#include "util/result.h"

namespace headwind {

// Turns panic on or off, with one write. Takes no lock, so that it works when all else is stuck. Works without the pin,
// too: it finds the map by the programs at the devices of each namespace, which read it. Panic that begins before there
// is any rule holds for rules to come. False: no program is at a device now, so there is no rule. Fails if there are
// programs, but their map is not to be had.
Result<bool> set_panic(bool on);

Result<bool> is_panic_on();
// Fails if panic is on: nothing is added meanwhile, since the end of the panic would put all of it in force at once.
Status refuse_in_panic();

}  // namespace headwind
