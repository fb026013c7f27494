// SPDX-License-Identifier: MIT
// net.core.netdev_max_backlog, one for all network namespaces. Packets that the pacer lets go at once, or that come
// back at ingress, overrun its default of 1000 packets per CPU.
#pragma once

#include <headwind/abi.h>

#include "util/result.h"

namespace headwind {

// Raises the sysctl for as long as there is a line. Best effort: where process 1's namespace is out of reach (a
// container), bursts may be lost and are counted. The caller holds the host's lock (lock_host()).
void raise_backlog(hw_host& host);
// Restores the sysctl when the last instance of the host goes, unless somebody else changed it meanwhile. The caller
// holds the host's lock.
Status restore_backlog(hw_host& host);

}  // namespace headwind
