// One agent for a scope: how it claims that, and how commands find out that one is there.
#pragma once

#include <optional>

#include "host/bpffs.h"
#include "host/host.h"
#include "util/result.h"

namespace headwind {

// `only`: the one network namespace to serve; none: the host.
Result<Claim> claim_for_agent(const std::optional<NetnsId>& only);

// An agent serves the network namespace of the calling thread.
Result<bool> agent_serves_here();

}  // namespace headwind
