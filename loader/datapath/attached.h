// SPDX-License-Identifier: MIT
// The programs at the hooks of devices, as the kernel reports them. Headwind's are found here whatever became of their
// pins.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/netlink.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

struct AttachedProgram {
    int ifindex = 0;
    std::string device, hook;  // "eth0"; "egress", "ingress" or "xdp"
    std::uint32_t id = 0;      // the program's id
    std::string name;          // as the kernel keeps it: at most 15 characters, or none
    std::uint32_t link = 0;    // id of its BPF link; 0: a filter at clsact, or XDP whose link is unknown
    bool ours = false;         // Headwind's, of any version
};

// The programs at these devices of the calling thread's network namespace: all at tcx and XDP, and Headwind's filters
// at clsact.
Result<std::vector<AttachedProgram>> programs_at(const std::vector<netlink::Link>& links);
// The number of filters at the device's clsact that are not Headwind's; `programs`: those that programs_at() found.
Result<unsigned> count_foreign_filters(const netlink::Link& link, const std::vector<AttachedProgram>& programs);
// The names of the devices at whose tc hooks others have programs or filters.
Result<std::vector<std::string>> devices_with_others(const std::vector<netlink::Link>& links);
// Headwind's programs at all devices of the calling thread's network namespace.
Result<std::vector<AttachedProgram>> own_programs_here();
// The devices and their hooks as text: "va (egress, ingress), lo (egress)". The programs are in the order of
// programs_at().
std::string describe(const std::vector<AttachedProgram>& programs);

// Takes the program off its hook now. A program that is gone is no error.
Status take_off(const AttachedProgram& program);

// The number of Headwind's egress programs in the kernel, of any network namespace, attached or not: each instance has
// one (two, while another version takes over).
std::size_t count_loaded_instances();
// The array map of the program `id` whose name ends with `name_end` and whose values have `value_size` bytes. Empty:
// the program uses no such map, or may not be inspected.
Fd map_of_program(std::uint32_t id, std::string_view name_end, std::uint32_t value_size);

}  // namespace headwind
