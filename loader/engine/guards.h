// What is left alone, besides the rules: whoever types a command does not lose the SSH connection it is typed on,
// unless a rule names its port; and what --protect says, whatever rules do.
#pragma once

#include "engine/plan.h"
#include "engine/ssh_session.h"

namespace headwind {

// Of this process, those that were logged into the network namespace of the calling thread.
Result<std::vector<SshConnection>> ssh_connections_here();

// Completes the plan: a guard for each SSH connection of the caller in this network namespace that a rule could befall;
// those go that a rule names, that have ended, or that guard against nothing any more. Protections that are asked for
// and not there yet; they go, too, when there is no rule.
Status plan_guards(Session& session, Plan& plan);

}  // namespace headwind
