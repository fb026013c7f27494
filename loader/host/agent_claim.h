// SPDX-License-Identifier: MIT
// The claim of an agent to its scope, which has one agent at most. Commands find out by the claim that an agent is
// there.
#pragma once

#include <optional>

#include "host/bpffs.h"
#include "host/host.h"
#include "util/result.h"

namespace headwind {

// Claims the scope of an agent. `only`: the one network namespace to serve; nullopt: the host.
Result<Claim> claim_for_agent(const std::optional<NetnsId>& only);

// Whether an agent serves the network namespace of the calling thread.
Result<bool> agent_serves_here();

}  // namespace headwind
