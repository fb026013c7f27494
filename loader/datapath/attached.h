// Programs on the hooks of devices, as the kernel tells: Headwind's are found so whatever became of their pins.
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
    std::uint32_t id = 0;      // of the program
    std::string name;          // as the kernel keeps it: 15 characters, or none
    std::uint32_t link = 0;    // id of what keeps it there; 0: a filter at clsact
    bool ours = false;         // of whatever version
};

// At these devices of the calling thread's network namespace, at tcx and XDP, and Headwind's filters at clsact.
Result<std::vector<AttachedProgram>> programs_at(const std::vector<netlink::Link>& links);
// Those of Headwind's at any device of the namespace.
Result<std::vector<AttachedProgram>> own_programs_here();
// "va (egress, ingress), lo (egress)": of programs in the order of programs_at().
std::string describe(const std::vector<AttachedProgram>& programs);

// Takes the program off its hook now. One that is gone is no error.
Status take_off(const AttachedProgram& program);

// How many of Headwind's programs for packets that are sent the kernel has, of whatever namespace, attached or not:
// each instance has one (two, while another version takes over).
std::size_t count_loaded_instances();
// The map that a program uses whose name ends so and whose values have this size. Nothing: it uses none, or may not be
// looked at.
Fd map_of_program(std::uint32_t id, std::string_view name_end, std::uint32_t value_size);

}  // namespace headwind
