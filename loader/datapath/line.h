// The line: devices of the instance's own. headwind2, a bridge of one port, makes wire packets of what is sent through
// it, within the call that sends it, hence in order; headwind1's egress (fq) holds packets until their time. headwind0,
// the bridge's port and headwind1's peer, is where both come out. Also what the line changes on the host and gives
// back: three sysctls.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

struct LineNeeds {
    bool time = false;      // delay or rate: fq
    bool loopback = false;  // rules apply on lo: route_localnet and accept_local, or what comes back is martian
};

// Makes what is missing, also what somebody took away. Something foreign of one of these names: refused.
Status ensure_line(Instance& instance, const LineNeeds& needs);

// Is all of the line there and as we made it: devices, our programs, fq? True if there is none.
Result<bool> is_line_intact(const Instance& instance);

// Waits until the pacer is empty or `limit` has passed; tells `progress` the packets left every 200 ms. Returns the
// packets that were left.
Result<std::uint32_t> drain_line(const Instance& instance, std::chrono::nanoseconds limit,
                                 const std::function<void(std::uint32_t left)>& progress);

// Removes the line and gives the sysctls back. Also what a killed command left (`instance` null: only the devices).
Status remove_line(Instance* instance);
// The same where only the devices are known: drained as drain_line() does, then removed. Returns the packets left.
Result<std::uint32_t> drain_and_remove_line(std::chrono::nanoseconds limit,
                                            const std::function<void(std::uint32_t left)>& progress);
// The sysctls of the namespace that the line changed.
Status restore_sysctls(const Control& control);

// What the line as a whole lost: refused by fq, or dropped between the two ends (netdev_max_backlog).
struct LineStats {
    std::uint32_t held_packets = 0;
    std::int64_t held_bytes = 0;  // as counted against --max-held
    std::uint64_t dropped_packets = 0;
};
Result<LineStats> line_stats(const Instance& instance);

}  // namespace headwind
