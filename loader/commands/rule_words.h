// SPDX-License-Identifier: MIT
// Rules as the lines of a batch that makes them again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/types.h"

namespace headwind {

// A line for each rule in force, the oldest first, so that those that rank alike keep their order. In comments: what
// the lines cannot say, those of rules for which `missing` says what they lack, and which rules are left out, as they
// have ended, stopped or wait to be confirmed. `now`: CLOCK_BOOTTIME ns.
std::string batch_lines(const Snapshot& all, std::uint64_t now,
                        const std::function<std::string(const RuleView&)>& missing);

}  // namespace headwind
