// SPDX-License-Identifier: MIT
// The rules of an instance as packets find them: shapes, entries, and the rules behind them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include <headwind/abi.h>
#include <headwind/rule.h>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// The rules of a version, as packets find them.
struct RuleSpace {
    std::uint64_t version = 0;
    std::span<const hw_shape> shapes;
    std::span<const hw_device> devices;  // hw_control.devices
    std::span<const __u16> ports;        // a PortTable
    std::function<Result<std::optional<hw_entry>>(const hw_key&)> entry;
    std::function<Result<std::optional<hw_rule>>(std::uint32_t id)> rule;
    std::function<Result<RuleRecord>(std::uint32_t id)> record;
    // Whether the time is one of the rule's: it has begun, its lease is renewed, nothing has stopped it.
    std::function<Result<bool>(const hw_rule&)> is_on;
    // The id of the cgroup's ancestor at a level that is not below its own; 0: it is not known.
    std::function<std::uint64_t(const Cgroup&, unsigned level)> ancestor;
};

// Those in force. The instance outlives it.
RuleSpace space_in_force(const Instance& instance);

}  // namespace headwind
