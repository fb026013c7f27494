// Rules that Headwind adds by itself: whoever types a command does not lose the SSH connection it is typed on, unless
// a rule names its port.
#pragma once

#include "plan.h"

namespace headwind {

// Completes the plan: a guard for each SSH connection of the caller in this network namespace that a rule could befall;
// those go that a rule names, that have ended, or that guard against nothing any more.
Status plan_guards(Session& session, Plan& plan);

}  // namespace headwind
