// SPDX-License-Identifier: MIT
// The table of the devices with our programs (hw_control.devices), in which packets look their device up.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// Gives the device a slot and attaches the programs that `flags` (hw_device_flags) asks for. Returns the slot. The slot
// is written before anything is attached, so that a killed command leaves nothing unknown.
Result<std::uint16_t> attach_device(Instance& instance, const netlink::Link& link, __u32 flags);
// Notes where the devices' other ends are, and that all rules are where these names tell them to be. Until then a
// device that was renamed is known by its name of before, and so the next command finds what is still to move, also if
// this one fails or is killed.
void note_links(Instance& instance, const std::vector<netlink::Link>& links);
// Takes our programs off the device in `slot`, and removes our clsact if nobody else uses it. The slot stays taken
// until release_device(), since packets in the line still come back to it.
Status detach_device(Instance& instance, std::uint16_t slot);
void release_device(Instance& instance, std::uint16_t slot);

// These set and clear hw_device_flags of the device in `slot`: whether there are rules without --dev, whether there are
// rules for a subject at the device's peer, and where the XDP program is.
void set_device_flags(Instance& instance, std::uint16_t slot, __u32 flags);
void clear_device_flags(Instance& instance, std::uint16_t slot, __u32 flags);

}  // namespace headwind
