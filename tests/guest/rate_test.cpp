// SPDX-License-Identifier: MIT
// Tests rate and queue, in virtual time: the rate is read off the receiving device.
#include <atomic>
#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "measure.h"

namespace headwind::test::rate_test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t header_bytes = 42;  // Ethernet, IPv4, UDP

struct Rate {
    const char* text;
    double bits_per_second;
};

// The bits per second of frames that arrive within `window`, after `settle`.
double arriving(const Namespace& where, std::chrono::nanoseconds settle, std::chrono::nanoseconds window)
{
    std::this_thread::sleep_for(settle);
    const auto start = monotonic_ns();
    const auto before = received_bytes(where, Pair::device_b);
    std::this_thread::sleep_for(window);
    const auto bytes = received_bytes(where, Pair::device_b) - before;
    return static_cast<double>(bytes) * 8e9 / static_cast<double>(monotonic_ns() - start);
}

void expect_rate(const char* what, const Rate& asked, double measured, double tolerance)
{
    std::printf("%-4s %-8s measured %14.0f bit/s (%+.3f%%)\n", what, asked.text, measured,
                (measured / asked.bits_per_second - 1) * 100);
    EXPECT_NEAR(measured / asked.bits_per_second, 1, tolerance);
}

class GuestRate : public testing::TestWithParam<Rate> {
protected:
    // At high rates frames are jumbo frames: the test counts bytes, and packets cost the guest most.
    bool jumbo() const { return GetParam().bits_per_second > 50e6; }
    std::size_t frame_bytes() const { return jumbo() ? 9'000 : 1'000; }
    PairOptions devices() const
    {
        PairOptions options;
        if (jumbo()) options.mtu = 9'000;
        return options;
    }
};

RUNS_IN("*/GuestRate.*/100mbit:*/GuestRate.HoldsForUdp/10mbit", nowhere, virtual_6_12);

TEST_P(GuestRate, HoldsForUdp)
{
    const Pair pair(devices());
    const auto asked = GetParam();
    ASSERT_EQ(headwind(pair.a, std::string("add --name r --dev va --rate ") + asked.text).status, 0);
    std::atomic<bool> stop{false};
    Flow flow;
    flow.size = frame_bytes() - header_bytes;
    flow.per_second = static_cast<unsigned>(asked.bits_per_second * 1.2 / 8 / static_cast<double>(frame_bytes()));
    flow.count = SIZE_MAX;
    flow.stop = &stop;
    UdpSink sink(pair.b, target);
    std::thread sender([&] { send_udp(pair.a, target, flow); });
    const double measured = arriving(pair.b, 2s, 20s);
    stop = true;
    sender.join();
    expect_rate("UDP", asked, measured, 0.005);
    EXPECT_TRUE(in_order(sink.finish(1s)));
    const auto counters = counters_of(pair.a, "r");
    EXPECT_GT(counters.queue, 0U);
    EXPECT_EQ(counters.line, 0U);
}

TEST_P(GuestRate, HoldsForTcp)
{
    const Pair pair(devices());
    const auto asked = GetParam();
    ASSERT_EQ(headwind(pair.a, std::string("add --name r --dev va --rate ") + asked.text).status, 0);
    const Process server(&pair.b, words("iperf3 --server --one-off"));
    std::this_thread::sleep_for(500ms);
    const Process client(&pair.a, words("iperf3 --time 24 --client " + std::string(Pair::b4)));
    const double measured = arriving(pair.b, 3s, 20s);
    expect_rate("TCP", asked, measured, 0.005);
}

INSTANTIATE_TEST_SUITE_P(Rates, GuestRate,
                         testing::Values(Rate{"1mbit", 1e6}, Rate{"10mbit", 10e6}, Rate{"100mbit", 100e6}),
                         [](const auto& test) { return std::string(test.param.text); });

// The wait in front of the rate never exceeds the limit, and comes close to it.
TEST(GuestQueue, LimitIsRespected)
{
    const Pair pair;
    Flow flow;
    flow.size = 1000 - header_bytes;
    flow.count = 1000;
    flow.per_second = 1000;
    for (const auto& [text, limit_ns] : {std::pair{"50ms", 50e6}, {"25kb", 200e6}}) {
        const auto add = std::string("add --name q --dev va --rate 1mbit --queue ") + text;
        ASSERT_EQ(headwind(pair.a, add).status, 0);
        const auto arrivals = send_and_receive(pair.a, pair.b, target, flow);
        const auto wait = moments(delays(arrivals));
        std::printf("queue %s: longest wait %.3f ms\n", text, static_cast<double>(wait.max) / 1e6);
        EXPECT_LT(static_cast<double>(wait.max), limit_ns + 1e6);
        EXPECT_GT(static_cast<double>(wait.max), limit_ns - 17e6);  // two frames of 8 ms
        EXPECT_EQ(counters_of(pair.a, "q").queue + arrivals.size(), 1000U);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

}  // namespace
}  // namespace headwind::test::rate_test
