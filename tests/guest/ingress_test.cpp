// SPDX-License-Identifier: MIT
// Tests impairments of received packets by the same standards as of sent ones, in virtual time.
#include <algorithm>
#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "measure.h"
#include "verify/statistics.h"

namespace headwind::test::ingress_test {
namespace {

using namespace std::chrono_literals;

void impair(const Pair& pair, const std::string& words)
{
    ASSERT_EQ(headwind(pair.b, "add --name in --dev vb --direction in " + words).status, 0);
    settle();
}

RUNS_IN("GuestIngress.TcpIs*", nowhere, virtual_6_12);

TEST(GuestIngress, DelayIsExactOverTheBarePath)
{
    const Pair pair;
    settle();
    const auto measure = [&] {
        send_and_receive(pair.a, pair.b, target, sparse(20));
        const auto arrivals = send_and_receive(pair.a, pair.b, target, sparse(1000));
        EXPECT_EQ(arrivals.size(), 1000U);
        EXPECT_TRUE(in_order(arrivals));
        return moments(delays(arrivals));
    };
    const auto bare = measure();
    impair(pair, "--delay 20ms");
    const auto impaired = measure();
    std::printf("received 20ms: adds %.3f us, sd %.3f us\n", (impaired.mean - bare.mean) / 1e3, impaired.sd / 1e3);
    EXPECT_NEAR(impaired.mean - bare.mean, 20e6, 10e3);
    EXPECT_LT(impaired.sd, 5e3);
}

TEST(GuestIngress, BothWaysAreTwiceTheDelay)
{
    const Pair pair;
    settle();
    // The mean of round trips, in ns.
    const auto round_trip = [&] {
        const auto output = run(&pair.a, words("ping -q -c 50 -i 0.1 " + std::string(Pair::b4)));
        double low = 0, mean = 0;
        const auto at = output.out.find("rtt min/avg/max/mdev = ");
        EXPECT_NE(at, std::string::npos) << output.out;
        if (at != std::string::npos) std::sscanf(output.out.c_str() + at + 23, "%lf/%lf", &low, &mean);
        return mean * 1e6;
    };
    round_trip();
    const double bare = round_trip();
    ASSERT_EQ(headwind(pair.a, "add --name both --dev va --direction both --delay 20ms").status, 0);
    settle();
    const double impaired = round_trip();
    std::printf("both ways 20ms: %.3f us more\n", (impaired - bare) / 1e3);
    EXPECT_NEAR(impaired - bare, 40e6, 20e3);
}

TEST(GuestIngress, RateIsKept)
{
    const Pair pair;
    ASSERT_EQ(headwind(pair.b, "add --name in --dev vb --direction in --rate 10mbit").status, 0);
    constexpr std::size_t frame = 1000, seconds = 20;
    Flow flow;
    flow.size = frame - 42;  // Ethernet, IPv4, UDP
    flow.per_second = 1500;
    flow.count = flow.per_second * (seconds + 4);
    const auto arrivals = send_and_receive(pair.a, pair.b, target, flow);
    ASSERT_GT(arrivals.size(), 1000U);
    const std::int64_t from = arrivals.front().arrived_ns + 2'000'000'000;
    const auto to = from + static_cast<std::int64_t>(seconds) * 1'000'000'000;
    const auto within = std::count_if(arrivals.begin(), arrivals.end(), [&](const auto& arrival) {
        return arrival.arrived_ns >= from && arrival.arrived_ns < to;
    });
    const double rate = static_cast<double>(within) * frame * 8 / seconds;
    std::printf("received 10mbit: %.0f bit/s\n", rate);
    EXPECT_NEAR(rate / 10e6, 1, 0.005);
    EXPECT_TRUE(in_order(arrivals));
}

TEST(GuestIngress, JitterFollowsItsLaw)
{
    const Pair pair;
    settle();
    const auto bare = moments(delays(send_and_receive(pair.a, pair.b, target, sparse(200, 1000))));
    impair(pair, "--delay 100ms --jitter 30ms");
    const auto arrivals = send_and_receive(pair.a, pair.b, target, sparse(20'000, 1000));
    ASSERT_EQ(arrivals.size(), 20'000U);
    std::vector<double> values;
    for (const auto delay : delays(arrivals)) values.push_back(static_cast<double>(delay) - bare.mean);
    const double distance =
        statistics::ks_distance(values, [](double x) { return std::clamp((x - 70e6) / 60e6, 0.0, 1.0); });
    std::printf("received 100ms ± 30ms: KS distance %.4f\n", distance);
    EXPECT_LE(distance, 0.0157);
}

TEST(GuestIngress, DelayLossAndRateHoldAtOnce)
{
    const Pair pair;
    settle();
    impair(pair, "--delay 250ms --loss 10% --rate 1mbit");
    constexpr std::size_t count = 4000;
    Flow flow = sparse(count, 100);
    flow.size = 1000 - 42;
    const auto arrivals = send_and_receive(pair.a, pair.b, target, flow);
    const auto counters = counters_of(pair.b, "in", "in");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.loss + arrivals.size(), count);
    EXPECT_GT(statistics::binomial_p_value(counters.loss, count, 0.1), 1e-6) << counters.loss;
    const auto delay = moments(delays(arrivals));
    std::printf("received, at once: %.3f ms, %lu lost\n", delay.mean / 1e6, static_cast<unsigned long>(counters.loss));
    EXPECT_NEAR(delay.mean, 258e6, 0.1e6);  // a frame takes 8 ms of the link, and comes every 10
}

// The usual recipe for received packets redirects them to an IFB, whose qdisc holds them.
TEST(GuestIngress, TcpIsAsFastAsThroughNetemOnAnIfb)
{
    const Pair pair;
    constexpr std::uint64_t bytes = 60 << 20;
    const auto megabits = [&] {
        const auto result = transfer_tcp(pair.a, pair.b, target, bytes, 300s);
        EXPECT_EQ(result.error, "");
        return static_cast<double>(result.received) * 8 / 1e6 / result.seconds;
    };
    std::vector<double> ratios;
    for (int i = 0; i < 5; ++i) {
        ip(pair.b, "link add ifb0 type ifb\nlink set ifb0 up");
        tc(pair.b, "qdisc add dev ifb0 root netem delay 50ms limit 100000");
        tc(pair.b, "qdisc add dev vb ingress");
        tc(pair.b, "filter add dev vb parent ffff: protocol all matchall action mirred egress redirect dev ifb0");
        const double peer = megabits();
        tc(pair.b, "qdisc del dev vb ingress");
        ip(pair.b, "link del ifb0");
        EXPECT_EQ(headwind(pair.b, "add --name in --dev vb --direction in --delay 50ms").status, 0);
        const double ours = megabits();
        EXPECT_EQ(headwind(pair.b, "clear").status, 0);
        ratios.push_back(ours / peer);
        std::printf("received 50ms: netem on ifb %.1f Mbit/s, headwind %.1f Mbit/s, ratio %.3f\n", peer, ours,
                    ratios.back());
    }
    std::sort(ratios.begin(), ratios.end());
    EXPECT_GE(ratios[2], 0.95);
}

}  // namespace
}  // namespace headwind::test::ingress_test
