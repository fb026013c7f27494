// SPDX-License-Identifier: MIT
// The kernel's maps of steps, one for each timeline, in Instance::timelines.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// Makes the map of a timeline. It lives until instance.timelines.erase(id).
Status make_timeline(const Instance& instance, std::uint32_t id, const std::vector<hw_step>& steps);

// The timeline as it was made: its first `count` steps, without the one behind them. Needs CAP_SYS_ADMIN.
Result<std::vector<hw_step>> read_timeline(const Instance& instance, std::uint32_t id, std::uint32_t count);

}  // namespace headwind
