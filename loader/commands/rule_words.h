// SPDX-License-Identifier: MIT
// Rules as the lines of a batch that makes them again.
#pragma once

#include <string>

#include "engine/types.h"

namespace headwind {

// A line for each rule in force, the oldest first, so that those that rank alike keep their order; what the lines
// cannot say is in comments. What has ended or waits to be confirmed is left out. `now`: CLOCK_BOOTTIME ns; `user`: who
// the batch is run by.
std::string batch_lines(const Snapshot& all, std::uint64_t now, const std::string& user);

}  // namespace headwind
