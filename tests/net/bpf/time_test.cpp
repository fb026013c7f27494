// SPDX-License-Identifier: MIT
// Rules with a time component: nothing is lost, early or out of order, and the workarounds are needed.
//
// These rules need fq, so this kernel may skip the tests; a guest has it. The guest tests measure in virtual time how
// exact delays are.
#include "net_test.h"

#include <algorithm>

#include <headwind/testing.h>

namespace headwind::test::time_test {
namespace {

constexpr std::int64_t ms = 1'000'000;

std::vector<std::int64_t> delays_of(const std::vector<Arrival>& arrivals)
{
    std::vector<std::int64_t> delays;
    for (const auto& arrival : arrivals) delays.push_back(arrival.arrived_ns - arrival.stamp.sent_ns);
    std::sort(delays.begin(), delays.end());
    return delays;
}

bool in_order(const std::vector<Arrival>& arrivals)
{
    return std::is_sorted(arrivals.begin(), arrivals.end(),
                          [](const auto& x, const auto& y) { return x.stamp.sequence < y.stamp.sequence; });
}

class Time : public PairTest {
protected:
    void SetUp() override
    {
        SKIP_WITHOUT_FQ();
        PairTest::SetUp();
    }

    std::vector<Arrival> exchange(const Namespace& from, const Namespace& to_namespace, const Endpoint& to,
                                  const Flow& flow,
                                  std::chrono::milliseconds idle = std::chrono::milliseconds(600)) const
    {
        UdpSink sink(to_namespace, to);
        const OnCpu one(0);
        EXPECT_EQ(send_udp(from, to, flow).failed, 0U);
        return sink.finish(idle, flow.count);
    }

    void expect_delayed_20ms(const Namespace& from, const Namespace& to_namespace, const Endpoint& to,
                             const Flow& flow = {}) const
    {
        const auto arrivals = exchange(from, to_namespace, to, flow);
        ASSERT_EQ(arrivals.size(), flow.count) << to.address;
        EXPECT_TRUE(in_order(arrivals)) << to.address;
        const auto delays = delays_of(arrivals);
        EXPECT_GE(delays.front(), 20 * ms) << to.address;
    }
};

RUNS_IN("Time.*", native, linux_6_12);
RUNS_IN("Time.Delay*:Time.ManyPacketsInFlight:Time.RulesThat*", native | linux_6_12, linux_6_1);
RUNS_IN("Time.DelayOnAVeth", native | linux_6_12 | linux_6_1);
RUNS_IN("Time.DelayBeyondTheHorizon", native | linux_6_12, linux_6_1);

TEST_F(Time, DelayOnAVeth)
{
    change(a(), "add --name slow --delay 20ms --proto udp");
    for (const char* address : {Pair::b4, Pair::b6}) {
        expect_delayed_20ms(a(), b(), {address, 5000}, {.per_second = 200});
        expect_delayed_20ms(a(), b(), {address, 5000},
                            {.count = 500, .size = 1000, .segments = 10, .per_second = 1000});
        EXPECT_EQ(deliver(b(), a(), {address == Pair::b4 ? Pair::a4 : Pair::a6, 5000}), 100U);
    }
    EXPECT_EQ(counters_of(a(), "slow").delayed, 1200U);
    EXPECT_EQ(counters_of(a(), "slow").line, 0U);
}

TEST_F(Time, DelayAndLossOfSuperPackets)
{
    change(a(), "add --name slow --delay 20ms --loss 20% --proto udp");
    const std::size_t count = 4000;
    const auto arrivals = exchange(a(), b(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = 20});
    EXPECT_TRUE(in_order(arrivals));
    EXPECT_GE(delays_of(arrivals).front(), 20 * ms);
    const auto counters = counters_of(a(), "slow");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(arrivals.size(), count - counters.loss);
    EXPECT_EQ(counters.delayed, count - counters.loss);
}

TEST_F(Time, DelayOnLoopback)
{
    change(a(), "add --name slow --delay 20ms --proto udp");
    for (const char* address : {"127.0.0.1", "::1", Pair::a4, Pair::a6})
        expect_delayed_20ms(a(), a(), {address, 5000}, {.per_second = 200});
    EXPECT_EQ(counters_of(a(), "slow").delayed, 400U);
}

TEST_F(Time, LoopbackTakesTheLargestDatagrams)
{
    change(a(), "add --name slow --delay 20ms --proto udp");
    const Flow flow{.count = 50, .size = 65'507, .per_second = 500};
    EXPECT_EQ(exchange(a(), a(), {"127.0.0.1", 5000}, flow).size(), flow.count);
    EXPECT_EQ(exchange(a(), a(), {"::1", 5000}, flow).size(), flow.count);
    change(a(), "add --name slow --replace --delay 20ms --loss 0.000001% --proto udp");
    EXPECT_EQ(exchange(a(), a(), {"127.0.0.1", 5000}, flow).size(), flow.count);
}

TEST_F(Time, LargeMtu)
{
    make_pair({.mtu = 9000});
    change(a(), "add --name slow --delay 20ms --proto udp");
    const Flow flow{.count = 50, .size = 8'900, .per_second = 500};
    expect_delayed_20ms(a(), b(), {Pair::b4, 5000}, flow);
    expect_delayed_20ms(a(), b(), {Pair::b6, 5000}, flow);
}

TEST_F(Time, WithoutALargeMtuOfTheLineLargePacketsAreLost)
{
    make_pair({.mtu = 9000});
    change_without(HW_WORKAROUND_MTU, a(), "add --name slow --delay 20ms --proto udp");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(exchange(a(), b(), {Pair::b4, 5000}, {.count = 20, .size = 8'900}).size(), 0U);
    EXPECT_EQ(exchange(a(), a(), {"127.0.0.1", 5000}, {.count = 20, .size = 65'507}).size(), 0U);
}

TEST_F(Time, ManyPacketsInFlight)
{
    change(a(), "add --name slow --delay 2s --proto udp");
    const std::size_t count = 3000;
    const auto arrivals = exchange(a(), b(), {Pair::b4, 5000}, {.count = count}, std::chrono::seconds(4));
    EXPECT_EQ(arrivals.size(), count);
    EXPECT_TRUE(in_order(arrivals));
    EXPECT_GE(delays_of(arrivals).front(), 2000 * ms);
    EXPECT_EQ(counters_of(a(), "slow").line, 0U);
}

TEST_F(Time, WithTheDefaultsOfFqAFlowOf100PacketsIsFull)
{
    change_without(HW_WORKAROUND_FQ, a(), "add --name slow --delay 2s --proto udp");
    const auto arrivals = exchange(a(), b(), {Pair::b4, 5000}, {.count = 1000}, std::chrono::seconds(4));
    EXPECT_LE(arrivals.size(), 200U);
}

// By default fq drops packets with a delay beyond 10 s. Both ends are tested at once: a with the workaround, b without.
TEST_F(Time, DelayBeyondTheHorizon)
{
    change(a(), "add --name slow --delay 11s --proto udp");
    change_without(HW_WORKAROUND_FQ, b(), "add --name slow --delay 11s --proto udp");
    UdpSink with(b(), {Pair::b4, 5000}), without(a(), {Pair::a4, 5000});
    send_udp(a(), {Pair::b4, 5000}, {.count = 10});
    send_udp(b(), {Pair::a4, 5000}, {.count = 10});
    EXPECT_EQ(with.finish(std::chrono::seconds(15), 10).size(), 10U);
    EXPECT_EQ(without.finish(std::chrono::milliseconds(500)).size(), 0U);
}

TEST_F(Time, RulesThatShareAFlowHashKeepTheirOwnDelays)
{
    // The kernel's hash is the same from 6000 to 5000 and back. In one flow of fq the packets that came first, and wait
    // longer, would hold up the others.
    const auto medians = [this] {
        UdpSink there(a(), {"127.0.0.1", 5000}), back(a(), {"127.0.0.1", 6000});
        there.send({"127.0.0.1", 6000}, {.count = 5});
        back.send({"127.0.0.1", 5000}, {.count = 30, .per_second = 300});
        const auto shorter = delays_of(there.finish(std::chrono::seconds(1), 30)),
                   longer = delays_of(back.finish(std::chrono::seconds(3), 5));
        EXPECT_EQ(shorter.size(), 30U);
        EXPECT_EQ(longer.size(), 5U);
        return std::pair(shorter.at(15), longer.at(2));
    };
    const auto add = [this](unsigned without) {
        change_without(without, a(), "add --name short --delay 10ms --remote-port 5000");
        change_without(without, a(), "add --name long --delay 500ms --remote-port 6000");
    };
    add(0);
    const auto [shorter, longer] = medians();
    EXPECT_GE(shorter, 10 * ms);
    EXPECT_GE(longer, 500 * ms);
    change(a(), "clear");
    add(HW_WORKAROUND_FLOWS);
    EXPECT_GT(medians().first, 100 * ms) << "without flows of their own";
}

}  // namespace
}  // namespace headwind::test::time_test
