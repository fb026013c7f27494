// SPDX-License-Identifier: MIT
// Guards, which leave traffic alone besides the rules: the SSH connection that a command is typed on, so that its user
// does not lose it, unless a rule names its port; and what --protect says, whatever rules do.
#pragma once

#include "engine/plan.h"
#include "ssh/ssh_session.h"

namespace headwind {

// The SSH connections of this process that were logged into the network namespace of the calling thread.
Result<std::vector<SshConnection>> ssh_connections_here();

// Adds guards to the plan: one for each SSH connection of the caller in this network namespace that a rule could
// befall, and the protections asked for that are not there yet. Removes the guards of connections that a rule names or
// that have ended, and all guards and protections when there is no rule.
Status plan_guards(WriteSession& session, Plan& plan);

}  // namespace headwind
