// SPDX-License-Identifier: MIT
// Runs the program headwind_note_device.
#include "datapath/note_device.h"

#include <array>

#include <bpf/bpf.h>

namespace headwind {

Status note_device(const Instance& instance, std::uint32_t device)
{
    std::array<std::uint8_t, 64> packet{};  // more than an Ethernet header
    __sk_buff context{};
    context.ifindex = device;
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = packet.data();
    run.data_size_in = packet.size();
    run.ctx_in = &context;
    run.ctx_size_in = sizeof(context);
    run.repeat = 1;
    if (bpf_prog_test_run_opts(instance.programs.note_device.get(), &run) != 0)
        return fail_errno(errno, fmt::format("run a program for device {}", device));
    if (instance.held->net == 0)
        return fail(ErrorKind::failed, "the datapath did not find device {} in the kernel's memory", device);
    return {};
}

}  // namespace headwind
