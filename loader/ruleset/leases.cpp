// SPDX-License-Identifier: MIT
// Moves the end of a lease, and reads when leases end.
#include "ruleset/leases.h"

#include <headwind/index.h>

#include "host/clock.h"

namespace headwind {

Status renew_lease(const Instance& instance, std::uint32_t stable_id, std::uint64_t lease)
{
    HW_TRY(const auto present, instance.leases.find(stable_id));
    if (!present) return fail(ErrorKind::not_found, "the rule was removed");
    hw_lease renewed{};
    renewed.until = boottime_ns() + lease;
    return instance.leases.rewrite(stable_id, renewed);
}

Result<std::map<std::uint32_t, std::uint64_t>> read_leases(const Instance& instance, const Entries& rules)
{
    std::map<std::uint32_t, std::uint64_t> out;
    if (!rules.may_have(HW_INDEX_LEASED)) return out;
    HW_TRY(const auto leases, instance.leases.items());
    for (const auto& [stable_id, lease] : leases) out[stable_id] = lease.until;
    return out;
}

}  // namespace headwind
