// SPDX-License-Identifier: MIT
// Runs the programs headwind_note_device and headwind_look.
#include "datapath/note_device.h"

#include <array>

#include <bpf/bpf.h>

namespace headwind {

namespace {

// Runs the program once, as if for a packet of the device. Returns what it returned.
Result<std::uint32_t> run_for(const Fd& program, std::uint32_t device)
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
    if (bpf_prog_test_run_opts(program.get(), &run) != 0)
        return fail_errno(errno, fmt::format("run a program for device {}", device));
    return run.retval;
}

}  // namespace

Status note_device(const Instance& instance, std::uint32_t device)
{
    HW_CHECK(run_for(instance.programs.note_device, device));
    if (instance.held->net == 0)
        return fail(ErrorKind::failed, "the datapath did not find device {} in the kernel's memory", device);
    return {};
}

Result<std::uint32_t> look_at_line(const Instance& instance)
{
    constexpr std::uint32_t loopback = 1;  // any device will do: this one is in every network namespace
    if (instance.programs.look) return run_for(instance.programs.look, loopback);
    HW_TRY(const auto program, open_program_pin(instance.directory, look_pin, Access::read));
    return run_for(program, loopback);
}

}  // namespace headwind
