// SPDX-License-Identifier: MIT
// Leases: rules live only as long as their owner renews them. An owner that is killed, or stopped, stops impairing.
#pragma once

#include <signal.h>
#include <time.h>

#include <cstdint>
#include <string>

#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

constexpr std::uint64_t default_lease = 3'000'000'000;  // ns

// The lease of --lease, in ns: at least 300 ms; 0 for an empty text.
Result<std::uint64_t> parse_lease(const std::string& text);

// The time between renewals. There are three in each lease: one that comes late does not end it.
timespec renewal_interval(std::uint64_t lease);

// The signals that end hold(): SIGINT, SIGTERM, SIGHUP and SIGQUIT. They are to be blocked before the rule is there.
sigset_t hold_signals();

// Renews the rule until a signal comes. An error: somebody removed the rule.
Status hold(const RuleInfo& record);

}  // namespace headwind
