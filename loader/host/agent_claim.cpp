// SPDX-License-Identifier: MIT
// Names the claims of agents, takes them, and looks whether they are taken.
#include "host/agent_claim.h"

#include <fmt/format.h>

namespace headwind {
namespace {

std::string name_of(const std::optional<NetnsId>& only)
{
    return only ? fmt::format("headwind-agent-{}", only->inode) : "headwind-agent";
}

}  // namespace

Result<Claim> claim_for_agent(const std::optional<NetnsId>& only)
{
    return Claim::take(name_of(only), fmt::format("an agent serves this {} already, and one is enough",
                                                  only ? "network namespace" : "host"));
}

Result<bool> agent_serves_here()
{
    HW_TRY(const auto netns, current_netns());
    return Claim::is_taken(name_of(std::nullopt)) || Claim::is_taken(name_of(netns));
}

}  // namespace headwind
