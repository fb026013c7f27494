// Our programs on a device: tcx where the kernel has it (pinned links), else a clsact filter.
#pragma once

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

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
// A device or hook that is gone is no error.
Status detach(const Instance& instance, int ifindex, hw_direction direction);

}  // namespace headwind
