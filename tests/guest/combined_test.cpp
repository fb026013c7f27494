// SPDX-License-Identifier: MIT
// Tests delay, loss and rate in one rule, beside netem's line with the same figures, in virtual time.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "measure.h"
#include "verify/statistics.h"

namespace headwind::test::combined_test {
namespace {

using namespace std::chrono_literals;

constexpr double alpha = 1e-6;
constexpr std::size_t frame_bytes = 1000, header_bytes = 42;

struct Line3 {
    Moments delay;         // the delay of packets that never wait for the rate
    std::size_t lost = 0;  // the number of these packets that were lost
    std::size_t sent = 0;
    double bits_per_second = 0;  // when the queue is full
};

Line3 measure(const Pair& pair)
{
    Line3 out;
    Flow sparse;
    sparse.size = 100;
    sparse.count = out.sent = 8'000;
    sparse.per_second = 200;  // 1 mbit carries a frame of 142 bytes in 1.1 ms
    const auto arrivals = send_and_receive(pair.a, pair.b, target, sparse);
    EXPECT_TRUE(in_order(arrivals));
    out.delay = moments(delays(arrivals));
    out.lost = out.sent - arrivals.size();

    std::atomic<bool> stop{false};
    Flow flood;
    flood.size = frame_bytes - header_bytes;
    flood.count = SIZE_MAX;
    flood.per_second = 180;  // 1.44 mbit: above the rate after 10% loss
    flood.stop = &stop;
    std::thread sender([&] { send_udp(pair.a, target, flood); });
    std::this_thread::sleep_for(30s);  // for netem's queue of 1000 packets, which fills later than ours
    const auto start = monotonic_ns();
    const auto before = received_bytes(pair.b, Pair::device_b);
    std::this_thread::sleep_for(20s);
    out.bits_per_second = static_cast<double>(received_bytes(pair.b, Pair::device_b) - before) * 8e9 /
                          static_cast<double>(monotonic_ns() - start);
    stop = true;
    sender.join();
    return out;
}

void print(const char* what, const Line3& line)
{
    std::printf("%-9s delay %.3f ms (sd %.3f us), lost %zu of %zu, rate %.0f bit/s\n", what, line.delay.mean / 1e6,
                line.delay.sd / 1e3, line.lost, line.sent, line.bits_per_second);
}

TEST(GuestCombined, DelayLossAndRateHoldAtOnce)
{
    const Pair pair;
    settle();
    Flow probe;
    probe.per_second = 200;
    send_and_receive(pair.a, pair.b, target, probe);
    const auto bare = moments(delays(send_and_receive(pair.a, pair.b, target, probe)));

    ASSERT_EQ(headwind(pair.a, "add --name all --dev va --delay 250ms --loss 10% --rate 1mbit").status, 0);
    settle();
    const auto ours = measure(pair);
    const auto counters = counters_of(pair.a, "all");
    ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    tc(pair.a, "qdisc add dev va root netem delay 250ms loss 10% rate 1mbit");
    const auto netem = measure(pair);
    tc(pair.a, "qdisc del dev va root");
    print("headwind", ours);
    print("netem", netem);

    const double on_the_link = (static_cast<double>(probe.size) + header_bytes) * 8e9 / 1e6;  // ns, at 1 mbit
    EXPECT_NEAR(ours.delay.mean - bare.mean, 250e6 + on_the_link, 50e3);  // and the first leg of the line
    EXPECT_GT(statistics::binomial_p_value(ours.lost, ours.sent, 0.1), alpha);
    EXPECT_GT(statistics::binomial_p_value(counters.loss, counters.packets, 0.1), alpha);
    EXPECT_NEAR(ours.bits_per_second, 1e6, 1e4);
    EXPECT_GT(counters.queue, 0U);
}

}  // namespace
}  // namespace headwind::test::combined_test
