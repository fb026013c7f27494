// SPDX-License-Identifier: MIT
// Sets an fq, and lets a program look for its device.
#include "line/pacer.h"

#include <array>

#include <bpf/bpf.h>

#include <headwind/testing.h>

#include "datapath/workarounds.h"
#include "host/devices.h"
#include "host/netlink.h"

namespace headwind {

namespace {

netlink::FqOptions fq_options()
{
    netlink::FqOptions options;
    if (!is_on(HW_WORKAROUND_FQ)) {  // fq's own defaults
        options.limit_packets = 10'000;
        options.flow_limit_packets = 100;
        options.horizon_us = 10'000'000;
        options.timer_slack_ns = 10'000;
    }
    return options;
}

// Tells the datapath where the kernel has the device, by running a program as if for a packet of it.
Status note_pacer(const Instance& instance, int device)
{
    std::array<std::uint8_t, 64> packet{};  // more than an Ethernet header
    __sk_buff context{};
    context.ifindex = static_cast<__u32>(device);
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = packet.data();
    run.data_size_in = packet.size();
    run.ctx_in = &context;
    run.ctx_size_in = sizeof(context);
    run.repeat = 1;
    const auto what = device == loopback_index ? "lo" : line_names[1];
    if (bpf_prog_test_run_opts(instance.programs.note_pacer.get(), &run) != 0)
        return fail_errno(errno, fmt::format("run a program for {}", what));
    if ((device == loopback_index ? instance.held->loopback : instance.held->pacer) == 0)
        return fail(ErrorKind::failed, "the datapath did not find {} in the kernel's memory", what);
    return {};
}

}  // namespace

Status make_pacer(const Instance& instance, int device, std::uint32_t queues, std::uint32_t handle)
{
    HW_CHECK(note_pacer(instance, device));
    auto options = fq_options();
    options.handle = handle;
    return netlink::set_fq(device, queues, options);
}

}  // namespace headwind
