// SPDX-License-Identifier: MIT
// Tests delay and rate of a rule with a port on datagrams in fragments, in virtual time.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include <headwind/testing.h>

#include "measure.h"

namespace headwind::test::fragment_test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t datagram_bytes = 8'000;

class GuestFragments : public testing::TestWithParam<const char*> {
protected:
    Endpoint to() const { return {GetParam(), 7000}; }
    std::vector<Arrival> datagrams(std::size_t count) const
    {
        // By the kernel's clock: the datagram is there then, whether or not a thread has the CPU to take it.
        UdpSink sink(pair_.b, to(), Arrived::by_kernel);
        send_udp(pair_.a, to(), {.count = count, .size = datagram_bytes, .per_second = 97});
        return sink.finish(2s, count);
    }
    // The bits per second of frames that arrive, of four times as many.
    double rate_of_flood() const
    {
        std::atomic<bool> stop{false};
        const Flow flow{.count = SIZE_MAX, .size = datagram_bytes, .per_second = 125, .stop = &stop};
        std::thread sender([&] { send_udp(pair_.a, to(), flow); });
        std::this_thread::sleep_for(2s);
        const auto start = monotonic_ns();
        const auto before = received_bytes(pair_.b, Pair::device_b);
        std::this_thread::sleep_for(20s);
        const auto bytes = static_cast<double>(received_bytes(pair_.b, Pair::device_b) - before);
        const auto rate = bytes * 8e9 / static_cast<double>(monotonic_ns() - start);
        stop = true;
        sender.join();
        std::printf("%s: %.0f bit/s\n", GetParam(), rate);
        return rate;
    }

    Pair pair_;
};

INSTANTIATE_TEST_SUITE_P(Families, GuestFragments, testing::Values(Pair::b4, Pair::b6),
                         [](const auto& of) { return of.param == std::string(Pair::b4) ? "Ipv4" : "Ipv6"; });

TEST_P(GuestFragments, AreDelayedTogether)
{
    settle();
    datagrams(20);  // warm up
    const auto bare = moments(delays(datagrams(100)));
    change(pair_.a, "add --name d --dev va --remote-port 7000 --delay 100ms");
    settle();
    const auto arrivals = datagrams(100);
    ASSERT_EQ(arrivals.size(), 100U);
    const auto late = moments(delays(arrivals));
    std::printf("%s: adds %.3f ms, sd %.3f us\n", GetParam(), (late.mean - bare.mean) / 1e6, late.sd / 1e3);
    EXPECT_NEAR(late.mean - bare.mean, 100e6, 0.1e6);
    EXPECT_NEAR(static_cast<double>(late.min), 100e6 + bare.mean, 0.5e6);
    EXPECT_NEAR(static_cast<double>(late.max), 100e6 + bare.mean, 0.5e6);
}

TEST_P(GuestFragments, ShareTheRate)
{
    change(pair_.a, "add --name r --dev va --remote-port 7000 --rate 2mbit");
    EXPECT_NEAR(rate_of_flood(), 2e6, 0.01 * 2e6);
}

TEST_P(GuestFragments, WithoutTheWorkaroundPassTheRate)
{
    change_without(HW_WORKAROUND_FRAGMENTS, pair_.a, "add --name r --dev va --remote-port 7000 --rate 2mbit");
    EXPECT_GT(rate_of_flood(), 4e6);
}

}  // namespace
}  // namespace headwind::test::fragment_test
