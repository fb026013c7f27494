#include "agent_claim.h"

#include <fmt/format.h>

namespace headwind {
namespace {

std::string directory_of(const std::optional<NetnsId>& only)
{
    const auto directory = std::string(bpffs_mount) + "/headwind-agent";
    return only ? fmt::format("{}-{}", directory, only->inode) : directory;
}

}  // namespace

Result<Claim> claim_for_agent(const std::optional<NetnsId>& only)
{
    return Claim::take(directory_of(only), fmt::format("an agent serves this {} already, and one is enough",
                                                       only ? "network namespace" : "host"));
}

Result<bool> agent_serves_here()
{
    HW_TRY(const auto netns, current_netns());
    return Claim::is_taken(directory_of(std::nullopt)) || Claim::is_taken(directory_of(netns));
}

}  // namespace headwind
