// SPDX-License-Identifier: MIT
// Which of our programs meet packets: a device may send or receive past them (AF_XDP, PACKET_QDISC_BYPASS, ipvlan in
// l3s mode, hardware offload).
#pragma once

#include <cstdint>
#include <map>

#include <headwind/abi.h>

#include "datapath/instance.h"

namespace headwind {

// Watches these hooks (HW_DEVICE_EGRESS, HW_DEVICE_INGRESS) of a device from now on: our programs are about to be
// attached there. The slot may have no ifindex yet.
void watch_hooks(Instance& instance, std::uint16_t slot, int ifindex, __u32 hooks);

// For an agent, each minute: forgets packets that passed a hook by, if they were few. With `all`, watches anew also the
// hooks that packets have come to, beginning with the next call; what begins to pass them by later is found then. Needs
// no lock: what a command does to a slot meanwhile is watched, at worst, from another moment.
void watch_on(const Instance& instance, bool all);

// The hooks that no packet has come to though their devices have sent, or received, 100 and more since they are
// watched, by ifindex. Some of these packets may be on their way.
using BlindHooks = std::map<std::uint32_t, __u32>;
BlindHooks suspect_hooks(const Instance& instance);
// The same, but waits 50 ms for those packets, if there are such hooks.
BlindHooks find_blind_hooks(const Instance& instance);

}  // namespace headwind
