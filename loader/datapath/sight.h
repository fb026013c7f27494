// SPDX-License-Identifier: MIT
// Which of our programs meet packets: a device may send or receive past them (AF_XDP, PACKET_QDISC_BYPASS, ipvlan in
// l3s mode, hardware offload).
#pragma once

#include <cstdint>
#include <map>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// Watches these hooks (HW_DEVICE_EGRESS, HW_DEVICE_INGRESS) of a device from now on. The slot may have no ifindex yet.
Status watch_hooks(Instance& instance, std::uint16_t slot, int ifindex, __u32 hooks);
// Watches anew all hooks that packets have come to, so that what begins to pass them by later is found, too.
void watch_hooks_anew(const Instance& instance);

// The hooks that no packet has come to though their devices have sent, or received, 100 and more since they are
// watched, by ifindex. Takes 50 ms more where there seems to be one: packets may be on their way.
using BlindHooks = std::map<std::uint32_t, __u32>;
BlindHooks find_blind_hooks(const Instance& instance);

}  // namespace headwind
