// SPDX-License-Identifier: MIT
// Parses leases, and renews the lease of a rule until a signal comes.
#include "commands/lease.h"

#include "engine/engine.h"
#include "util/units.h"

namespace headwind {
namespace {

constexpr std::uint64_t shortest_lease = 300'000'000;  // ns: renewals come 100 ms apart

}  // namespace

Result<std::uint64_t> parse_lease(const std::string& text)
{
    if (text.empty()) return std::uint64_t{0};
    auto lease = parse_duration(text);
    if (!lease) return fail(ErrorKind::usage, "--lease {}: {}", text, lease.error().message);
    if (*lease < shortest_lease)
        return fail(ErrorKind::usage, "--lease {}: must be at least {}", text, format_duration(shortest_lease));
    return lease;
}

timespec renewal_interval(std::uint64_t lease)
{
    constexpr std::uint64_t second = 1'000'000'000;
    const auto interval = lease / 3;
    return {static_cast<time_t>(interval / second), static_cast<long>(interval % second)};
}

sigset_t hold_signals()
{
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, signal);
    return set;
}

Status hold(const RuleInfo& record)
{
    const auto signals = hold_signals();
    const auto interval = renewal_interval(record.lease);
    while (sigtimedwait(&signals, nullptr, &interval) < 0) HW_CHECK(renew_lease(record.stable_id, record.lease));
    return {};
}

}  // namespace headwind
