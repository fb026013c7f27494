// SPDX-License-Identifier: MIT
// Pinned tcx and XDP links, by their names in Instance::links.
#pragma once

#include <linux/bpf.h>

#include <string>
#include <string_view>

#include "datapath/pins.h"
#include "util/result.h"

namespace headwind {

bool kernel_has_tcx();  // since Linux 6.6
// The attach types of tcx (Linux 6.6, uapi/linux/bpf.h). The 6.1 headers that Debian 12 builds with lack them.
constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46);
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);

// Whether this pin is a tcx or XDP link that still has its device (a link that lost it says interface 0). A pin that
// may not be opened is taken for one.
bool is_link_attached(const PinDirectory& links, const std::string& name);

// The name of the link of a hook ("egress", "ingress", "xdp") of this device.
std::string link_name(int ifindex, std::string_view hook);
// Whether this is the name of a link.
bool is_link_name(std::string_view name);
// Takes a link's program off its hook now, and unpins the link. A link that is gone is no error.
Status detach_link(const PinDirectory& links, const std::string& name);
// Puts `program` in the place of the link's program: each packet meets one of the two. False: no such link is there.
Result<bool> replace_link(const PinDirectory& links, const std::string& name, int program);

}  // namespace headwind
