// Pinned tcx and XDP links, by their names in Instance::links.
#pragma once

#include <linux/bpf.h>

#include <string>
#include <string_view>

#include "datapath/pins.h"
#include "util/result.h"

namespace headwind {

bool kernel_has_tcx();  // Linux 6.6
// Not in the 6.1 headers that Debian 12 builds with (Linux 6.6, uapi/linux/bpf.h).
constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46);
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);

// Is this pin a tcx or XDP link that still has its device? (One that lost it says interface 0.) What may not be opened
// is taken for one.
bool is_link_attached(const PinDirectory& links, const std::string& name);

// What the link of a hook ("egress", "ingress", "xdp") of this device is called.
std::string link_name(int ifindex, std::string_view hook);
// Is this the name of one?
bool is_link_name(std::string_view name);
// Takes a link's program off its hook now, and unpins it. One that is gone is no error.
Status detach_link(const PinDirectory& links, const std::string& name);
// Puts `program` in the place of the link's: each packet meets one of the two. False: no such link is there.
Result<bool> replace_link(const PinDirectory& links, const std::string& name, int program);

}  // namespace headwind
