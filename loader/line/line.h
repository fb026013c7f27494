// SPDX-License-Identifier: MIT
// The line: devices of the instance's own. headwind2, a bridge of one port, turns what is sent through it into wire
// packets, within the call that sends it, hence in order. headwind1's egress (fq) holds packets until their time.
// headwind0, the bridge's port and headwind1's peer, is where both come out. Three sysctls of the host, which the line
// changes and gives back, are handled here, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

struct LineNeeds {
    bool time = false;              // rules have a delay or a rate: fq
    bool loopback_time = false;     // and are at lo: an fq there
    bool loopback_segment = false;  // rules at lo send packets through headwind2: without route_localnet and
                                    // accept_local what comes back, without its route, is martian
};

// Makes the parts of the line that are missing, also if somebody took them away or changed them (damage.h). A foreign
// device with one of the line's names is refused.
Status ensure_line(Instance& instance, const LineNeeds& needs);

// Takes away the fq of lo once no rule needs it and it is empty.
Status trim_line(Instance& instance, bool loopback_time);

// Waits until the pacer is empty, or `limit` or the longest time that a rule may hold a packet has passed: what is left
// then are packets whose senders asked for a later departure. Tells `progress` every 200 ms how many packets are left.
// Returns the number of packets that were left.
Result<std::uint32_t> drain_line(const Instance& instance, std::chrono::nanoseconds limit,
                                 const std::function<void(std::uint32_t left)>& progress);

// Removes the line, also a part of it that a killed command left, and gives the sysctls back. Without `instance` only
// the devices are removed.
Status remove_line(Instance* instance);
// Drains the line as drain_line() does, then removes its devices, where only the devices are known. Returns the number
// of packets that were left.
Result<std::uint32_t> drain_and_remove_line(std::chrono::nanoseconds limit,
                                            const std::function<void(std::uint32_t left)>& progress);
// Gives back the sysctls of the namespace that the line changed.
Status restore_sysctls(const Control& control);

// The packets that the line holds, and those it lost as a whole: refused by fq, or dropped between the two ends
// (netdev_max_backlog).
struct LineStats {
    std::uint32_t held_packets = 0;
    std::int64_t held_bytes = 0;  // as counted against --max-held
    std::uint64_t dropped_packets = 0;
};
Result<LineStats> line_stats(const Instance& instance);
// The same, where all links of this network namespace are known.
Result<LineStats> line_stats(const Instance& instance, const std::vector<netlink::Link>& links);

}  // namespace headwind
