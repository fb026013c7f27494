// SPDX-License-Identifier: MIT
// An fq that holds packets until their time, at headwind1 or lo.
#pragma once

#include <cstdint>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// Gives the device an fq for each of its queues, and lets the datapath know where the kernel has the device.
// `handle`: of the root; 0: the kernel chooses.
Status make_pacer(const Instance& instance, int device, std::uint32_t queues, std::uint32_t handle = 0);

}  // namespace headwind
