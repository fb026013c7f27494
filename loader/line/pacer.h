// SPDX-License-Identifier: MIT
// An fq that holds packets until their time, at headwind1 or lo.
#pragma once

#include <cstdint>

#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// Gives the device an fq for each of its queues. `handle`: of the root; 0: the kernel chooses.
Status make_pacer(int device, std::uint32_t queues, std::uint32_t handle = 0);
// Whether it is there, with all its options.
bool is_pacer(const std::vector<netlink::Qdisc>& qdiscs, int device, std::uint32_t queues);

}  // namespace headwind
