// SPDX-License-Identifier: MIT
// The XDP program (bpf/xdp.bpf.c): attached to the devices where the rules in force want it.
#pragma once

#include <string_view>
#include <vector>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "ruleset/index.h"
#include "util/result.h"

namespace headwind {

// Whether this driver runs XDP itself and hands its metadata on with the packet, since Linux 6.1 or before. A packet
// that lost its metadata would be decided a second time.
bool hands_metadata_on(std::string_view driver);
// Whether --xdp auto uses XDP with this driver. It does not with veth, which hands metadata on, too: XDP on it copies
// every packet and halves TCP.
bool is_for_auto(std::string_view driver);

// Attaches and detaches the XDP program, so that it is exactly where one of the rules wants it. The devices' tc hooks
// are there already. An error names the flag of a rule that wants the impossible.
Status settle_xdp(Instance& instance, const Entries& rules);

// Puts this binary's XDP program in the place of the one there, in the same mode. False: none is there.
Result<bool> replace_xdp(Instance& instance, std::uint16_t slot);

// The mode of the XDP program at this device; off: there is none.
Xdp xdp_mode_at(const Instance& instance, std::uint16_t slot);

}  // namespace headwind
