// SPDX-License-Identifier: MIT
// Raises and restores netdev_max_backlog; the old value is kept in the host map.
#include "host/backlog.h"

#include <atomic>

#include "host/host.h"

namespace headwind {
namespace {

constexpr std::uint32_t backlog_packets = 100'000;
constexpr const char* backlog_sysctl = "net/core/netdev_max_backlog";

}  // namespace

void raise_backlog(hw_host& host)
{
    const auto before = read_initial_sysctl(backlog_sysctl);
    if (!before || *before >= backlog_packets || host.backlog_changed != 0) return;
    host.backlog_before = *before;
    std::atomic_ref(host.backlog_changed).store(1);
    static_cast<void>(write_initial_sysctl(backlog_sysctl, backlog_packets));
}

Status restore_backlog(hw_host& host)
{
    if (host.backlog_changed == 0) return {};
    const auto now = read_initial_sysctl(backlog_sysctl);
    if (now && *now == backlog_packets) HW_CHECK(write_initial_sysctl(backlog_sysctl, host.backlog_before));
    host.backlog_changed = 0;
    return {};
}

}  // namespace headwind
