// SPDX-License-Identifier: MIT
// Tells the datapath where the kernel has a device, and asks it how it finds the line.
#pragma once

#include <cstdint>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// Runs a program as if for a packet of the device: lo, or one of the line's that hw_control names. The datapath looks
// at all of the line then, before it sends anything there.
Status note_device(const Instance& instance, std::uint32_t device);

// Has the datapath look at the line. Returns the parts of it to which it sends packets: hw_paces and HW_LINE_SEGMENTS.
Result<std::uint32_t> look_at_line(const Instance& instance);

}  // namespace headwind
