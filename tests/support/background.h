// SPDX-License-Identifier: MIT
// Flows of UDP packets that go on while a test does other things, to be judged by the time when they were sent.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "traffic.h"

namespace headwind::test {

// One flow from `from` to a port of `to`. Its socket outlives what happens to the devices.
class Background {
public:
    struct Span {
        std::size_t sent = 0, lost = 0, copies = 0;  // packets; `copies`: arrivals beyond the first of each
    };

    Background(const Namespace& from, const Namespace& to, const Endpoint& endpoint, const Flow& flow)
        : sink_(to, {"0.0.0.0", endpoint.port}), socket_(udp_socket(from, {"0.0.0.0", 0}))
    {
        auto endless = flow;
        endless.stop = &stop_;
        endless.count = SIZE_MAX;
        const int size = static_cast<int>(flow.size);
        EXPECT_TRUE(flow.segments == 1 ||
                    setsockopt(socket_.get(), IPPROTO_UDP, udp_segment, &size, sizeof(size)) == 0);
        thread_ = std::thread([this, endpoint, endless] { sent_ = send_udp_to(socket_, endpoint, endless); });
    }
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;
    ~Background() { end(); }

    // Ends the flow; of() tells then.
    void end()
    {
        stop_ = true;
        if (!thread_.joinable()) return;
        thread_.join();
        arrived_.resize(sent_.stamps.size());
        for (const auto& one : sink_.finish())
            if (one.stamp.sequence < arrived_.size()) ++arrived_[one.stamp.sequence];
    }

    // What became of those that were sent from `from_ns` on and before `to_ns`.
    Span of(std::int64_t from_ns, std::int64_t to_ns) const
    {
        Span span;
        for (std::size_t i = 0; i < arrived_.size(); ++i) {
            if (sent_.stamps[i] < from_ns || sent_.stamps[i] >= to_ns) continue;
            ++span.sent;
            span.lost += arrived_[i] == 0 ? 1U : 0U;
            span.copies += arrived_[i] > 1 ? arrived_[i] - 1U : 0U;
        }
        return span;
    }

private:
    static constexpr int udp_segment = 103;  // UDP_SEGMENT of linux/udp.h

    UdpSink sink_;
    Fd socket_;
    std::atomic<bool> stop_{false};
    Sent sent_;
    std::vector<unsigned> arrived_;
    std::thread thread_;
};

}  // namespace headwind::test
