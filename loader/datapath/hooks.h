// SPDX-License-Identifier: MIT
// Our programs at the hooks of a device: by tcx where the kernel has it (pinned links), else by a clsact filter.
#pragma once

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "util/result.h"

namespace headwind {

// The id of the program in the clsact filter with our handle and priority; 0: there is no such filter.
std::uint32_t own_filter(int ifindex, hw_direction direction);
// Removes the clsact filter with our handle and priority. A device or filter that is gone is no error.
Status remove_filter(int ifindex, hw_direction direction);

// Whether one of our programs is at the device's hook.
bool is_attached(const Instance& instance, int ifindex, hw_direction direction);
// Puts `program` first at the device's hook, unless it is there already.
Status attach(const Instance& instance, int ifindex, hw_direction direction, const Fd& program);
// Puts `program` in the place of our program at the device's hook: each packet meets one of the two. False: no program
// of ours is there.
Result<bool> replace(const Instance& instance, int ifindex, hw_direction direction, const Fd& program);
// Takes our program off the device's hook. A device or hook that is gone is no error.
Status detach(const Instance& instance, int ifindex, hw_direction direction);

}  // namespace headwind
