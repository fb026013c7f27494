// SPDX-License-Identifier: MIT
// Tests constant delay, in virtual time.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "measure.h"

namespace headwind::test::delay_test {
namespace {

using namespace std::chrono_literals;

// Measures with few packets under way at once, 35 at most: when 500 of them are freed, the kernel's allocator takes 0.4
// ms within the receiver's recv(), through netem, too, and with 166 it was seen to take 0.6 ms of one packet.
Moments measured(const Pair& pair, double delay_ns = 0)
{
    constexpr double under_way = 35;
    const auto per_second =
        static_cast<unsigned>(std::min<double>(out_of_step, under_way * 1e9 / std::max(delay_ns, 1.0)));
    send_and_receive(pair.a, pair.b, target, sparse(20), 4s);  // warm up
    const auto arrivals = send_and_receive(pair.a, pair.b, target, sparse(2000, per_second), 4s);
    EXPECT_EQ(arrivals.size(), 2000U);
    EXPECT_TRUE(in_order(arrivals));
    return moments(delays(arrivals));
}

void expect_added(const std::string& what, const Moments& bare, const Moments& impaired, double asked_ns)
{
    const double added = impaired.mean - bare.mean;
    std::printf("%-22s adds %12.3f us (asked %12.3f), sd %.3f us, worst %.3f us\n", what.c_str(), added / 1e3,
                asked_ns / 1e3, impaired.sd / 1e3, (static_cast<double>(impaired.max) - bare.mean - asked_ns) / 1e3);
    EXPECT_NEAR(added, asked_ns, 10e3);
    EXPECT_LT(impaired.sd, 5e3);
}

TEST(GuestDelay, IsExactOverTheBarePath)
{
    const Pair pair;
    settle();
    const auto bare = measured(pair);
    std::printf("bare path: mean %.3f us, sd %.3f us\n", bare.mean / 1e3, bare.sd / 1e3);
    for (const auto& [text, asked] : {std::pair{"1ms", 1e6}, {"20ms", 20e6}, {"333333us", 333.333e6}, {"1s", 1e9}}) {
        ASSERT_EQ(headwind(pair.a, std::string("add --name d --dev va --delay ") + text).status, 0);
        settle();
        expect_added(std::string("headwind ") + text, bare, measured(pair, asked), asked);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
    tc(pair.a, "qdisc add dev va root netem delay 20ms limit 100000");
    const auto netem = measured(pair);
    std::printf("%-22s adds %12.3f us, sd %.3f us\n", "netem 20ms", (netem.mean - bare.mean) / 1e3, netem.sd / 1e3);
    tc(pair.a, "qdisc del dev va root");
}

TEST(GuestDelay, LeavesTheRestOfTheDeviceAlone)
{
    const Pair pair;
    settle();
    const auto bare = measured(pair);
    const auto qdiscs = tc(pair.a, "qdisc show dev va");
    ASSERT_EQ(headwind(pair.a, "add --name d --dev va --remote-port 9 --delay 20ms --loss 10% --rate 1mbit").status, 0);
    EXPECT_EQ(tc(pair.a, "qdisc show dev va"), qdiscs);
    settle();  // for work that the kernel still does after the command
    const auto beside = measured(pair);
    std::printf("unmatched: %.3f us more than bare, sd %.3f us\n", (beside.mean - bare.mean) / 1e3, beside.sd / 1e3);
    EXPECT_NEAR(beside.mean, bare.mean, 10e3);
    EXPECT_LT(beside.sd, 5e3);
}

// Fact 8 of the design: the way there and back are two packets sent through lo.
TEST(GuestDelay, OnLoopback)
{
    const Namespace alone("alone");
    settle();
    const Endpoint here{"127.0.0.1", 7000};
    const auto measure = [&] {
        send_and_receive(alone, alone, here, sparse(20));
        return moments(delays(send_and_receive(alone, alone, here, sparse(200))));
    };
    const auto bare = measure();
    ASSERT_EQ(headwind(alone, "add --name d --delay 20ms").status, 0);
    const auto impaired = measure();
    EXPECT_EQ(impaired.count, 200U);
    expect_added("lo 20ms", bare, impaired, 20e6);
}

}  // namespace
}  // namespace headwind::test::delay_test
