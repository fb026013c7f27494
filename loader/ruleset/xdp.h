// The XDP front (bpf/front.bpf.c): on which devices it sits, as the rules there are want it.
#pragma once

#include <string_view>
#include <vector>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "ruleset/index.h"
#include "util/result.h"

namespace headwind {

// Does this driver run XDP itself and hand its metadata on with the packet? Since Linux 6.1 or before. What is lost on
// the way would be decided a second time. (veth does, but XDP on it copies every packet and halves TCP: see
// is_for_auto.)
bool hands_metadata_on(std::string_view driver);
bool is_for_auto(std::string_view driver);

// Attaches and detaches, so that the front sits exactly where one of the rules wants it. The devices' tc hooks are
// there. An error: one of the rules wants what cannot be; it names the flag.
Status settle_fronts(Instance& instance, const Entries& rules);

// Puts this binary's program in the place of the one there, in the same mode. False: none is there.
Result<bool> replace_front(Instance& instance, std::uint16_t slot);

// off: there is no front.
Xdp front_on(const Instance& instance, std::uint16_t slot);

}  // namespace headwind
