// SPDX-License-Identifier: MIT
// The backlogs in which received packets wait, one per CPU: their size, net.core.netdev_max_backlog, one for all
// network namespaces, whose default of 1000 packets is overrun by what the pacer lets go at once and by what comes back
// at ingress; and which of them the packets of a flow go to (RPS, Documentation/networking/scaling.rst).
#pragma once

#include <string>

#include <headwind/abi.h>

#include "util/result.h"

namespace headwind {

// Whether the sysctl is lower than a line needs. False where process 1's namespace is out of reach.
bool is_backlog_low();
// Raises the sysctl for as long as there is a line, also if somebody has lowered it since. Best effort: where process
// 1's namespace is out of reach (a container), bursts may be lost and are counted. The caller holds the host's lock
// (lock_host()).
void raise_backlog(hw_host& host);
// Restores the sysctl when the last instance of the host goes, unless somebody else changed it meanwhile. The caller
// holds the host's lock.
Status restore_backlog(hw_host& host);

// CPUs that are online.
unsigned online_cpus();
// Has all that the virtual device receives on its `queues` queues handled by the CPU that the packet's hash names: so a
// flow stays in order, whichever CPU its packets come from. Otherwise each waits in the backlog of the CPU that sent
// it. Needs CAP_SYS_ADMIN (sysfs of the thread's network namespace). unsupported: the kernel has no RPS.
Status receive_by_flow(const std::string& device, unsigned queues);
// Takes that back.
Status receive_anywhere(const std::string& device, unsigned queues);
// Whether somebody has chosen CPUs for what the device receives. False where there is no telling.
Result<bool> is_received_by_choice(const std::string& device, unsigned queues);
// Whether receive_by_flow() is in force, and no flow goes to a CPU that is offline. True where there is no telling,
// without CAP_SYS_ADMIN.
Result<bool> receives_by_flow(const std::string& device, unsigned queues);

}  // namespace headwind
