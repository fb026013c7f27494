// SPDX-License-Identifier: MIT
// Makes an fq, and knows it again.
#include "line/pacer.h"

#include <headwind/testing.h>

#include "datapath/workarounds.h"

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

}  // namespace

Status make_pacer(int device, std::uint32_t queues, std::uint32_t handle)
{
    auto options = fq_options();
    options.handle = handle;
    return netlink::set_fq(device, queues, options);
}

bool is_pacer(const std::vector<netlink::Qdisc>& qdiscs, int device, std::uint32_t queues)
{
    return netlink::has_fq(qdiscs, device, queues, fq_options());
}

}  // namespace headwind
