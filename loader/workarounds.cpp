// SPDX-License-Identifier: MIT
// The workarounds of the headwind that is installed: every one is on.
#include "datapath/workarounds.h"

unsigned headwind::workarounds_off()
{
    return 0;
}

std::uint64_t headwind::version_played()
{
    return 0;
}
