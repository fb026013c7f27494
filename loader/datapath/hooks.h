// Our programs on a device: tcx where the kernel has it (pinned links), else a clsact filter.
#pragma once

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

bool kernel_has_tcx();  // Linux 6.6

// Is this pin a tcx or XDP link that still has its device? (One that lost it says interface 0.) What may not be opened
// is taken for one.
bool is_link_attached(const PinDirectory& links, const std::string& name);

// What the link of a hook ("egress", "ingress", "xdp") of this device is called in Instance::links.
std::string link_name(int ifindex, std::string_view hook);
// Is this the name of one?
bool is_link_name(std::string_view name);
// Takes a link's program off its hook now, and unpins it. One that is gone is no error.
Status detach_link(const PinDirectory& links, const std::string& name);

// Of a filter at clsact with our handle and priority: the id of its program; 0: there is none.
std::uint32_t own_filter(int ifindex, hw_direction direction);
// A device or filter that is gone is no error.
Status remove_filter(int ifindex, hw_direction direction);

// Is one of our programs at the device's hook?
bool is_attached(const Instance& instance, int ifindex, hw_direction direction);
// Puts `program` first at the device's hook. Already there: nothing is done.
Status attach(const Instance& instance, int ifindex, hw_direction direction, const Fd& program);
// Puts `program` in the place of ours at the device's hook: each packet meets one of the two. False: none is there.
Result<bool> replace(const Instance& instance, int ifindex, hw_direction direction, const Fd& program);
// The same for the program of a pinned link.
Result<bool> replace_link(const PinDirectory& links, const std::string& name, int program);
// A device or hook that is gone is no error.
Status detach(const Instance& instance, int ifindex, hw_direction direction);

// Gives the device a slot in hw_control.devices and attaches what `flags` (hw_device_flags) asks for. Returns the slot.
// The slot is written before anything is attached, so that a killed command leaves nothing unknown.
Result<std::uint16_t> attach_device(Instance& instance, const netlink::Link& link, __u32 flags);
// Takes our programs off the device in `slot`, and our clsact if nobody else uses it. The slot stays taken until
// release_device, since packets in the line still come back to it.
Status detach_device(Instance& instance, std::uint16_t slot);
void release_device(Instance& instance, std::uint16_t slot);

}  // namespace headwind
