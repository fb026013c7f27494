// net.core.netdev_max_backlog, one for all network namespaces: what the pacer lets go at once, or what comes back at
// ingress, overruns the default of 1000 packets per CPU.
#pragma once

#include <headwind/abi.h>

#include "util/result.h"

namespace headwind {

// Raised as long as there is a line. Best effort: where process 1's namespace is out of reach (a container), bursts may
// be lost and are counted. The caller holds the host's lock (instance.h).
void raise_backlog(hw_host& host);
// When the last instance of the host goes, unless somebody else changed it meanwhile. The same of the lock.
Status restore_backlog(hw_host& host);

}  // namespace headwind
