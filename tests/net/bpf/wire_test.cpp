// SPDX-License-Identifier: MIT
// Super-packets are decided and counted as the packets that they would be on the wire. And loss at ingress.
#include "net_test.h"

#include <headwind/testing.h>

#include "verify/statistics.h"

namespace headwind::test::wire_test {
namespace {

constexpr std::size_t payload = 1200, segments = 50, headers = 14 + 20 + 8;

// The packets that are missing of one sender's numbered packets.
struct Losses {
    std::uint64_t lost = 0;
    std::vector<std::uint64_t> runs;  // lengths of runs of missing packets
};

Losses losses_of(const std::vector<Arrival>& arrivals, std::size_t count)
{
    std::vector<bool> there(count);
    for (const auto& arrival : arrivals) there.at(arrival.stamp.sequence) = true;
    Losses out;
    std::uint64_t run = 0;
    for (const bool arrived : there) {
        if (!arrived) {
            ++run;
            continue;
        }
        if (run != 0) out.runs.push_back(run);
        out.lost += run;
        run = 0;
    }
    out.lost += run;
    return out;
}

class Wire : public PairTest {
protected:
    static Flow super_packets(std::size_t count) { return {.count = count, .size = payload, .segments = segments}; }

    std::vector<Arrival> send_super_packets(std::size_t count) const
    {
        UdpSink sink(b(), {Pair::b4, 5000});
        const auto sent = send_udp(a(), {Pair::b4, 5000}, super_packets(count));
        EXPECT_EQ(sent.packets, count);
        EXPECT_EQ(sent.failed, 0U);
        return sink.finish();
    }
};

TEST_F(Wire, LossHitsEachPacketOfASuperPacketByItself)
{
    const std::size_t count = scaled(120'000, 20'000);
    change(a(), "add --name lossy --loss 20% --proto udp");
    const auto losses = losses_of(send_super_packets(count), count);
    const auto counters = counters_of(a(), "lossy");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.bytes, count * (payload + headers));
    EXPECT_EQ(counters.loss, losses.lost);
    EXPECT_GT(statistics::binomial_p_value(losses.lost, count, 0.2), alpha) << losses.lost << " of " << count;
    EXPECT_GT(statistics::geometric_p_value(losses.runs, 0.8), alpha) << losses.runs.size() << " runs";
}

TEST_F(Wire, WithoutCuttingWholeSuperPacketsAreLost)
{
    const std::size_t count = scaled(20'000, 10'000);
    change_without(HW_WORKAROUND_SEGMENT, a(), "add --name lossy --loss 20% --proto udp");
    const auto losses = losses_of(send_super_packets(count), count);
    EXPECT_LT(statistics::binomial_p_value(losses.lost, count, 0.2), alpha) << "one event would take all of them";
    for (const auto run : losses.runs) EXPECT_EQ(run % segments, 0U);
    EXPECT_EQ(counters_of(a(), "lossy").packets, count) << "super-packets are counted as wire packets all the same";
}

TEST_F(Wire, LossOfSuperPacketsAtIngress)
{
    const std::size_t count = scaled(50'000, 10'000);
    change(b(), "add --name lossy --loss 20% --proto udp --direction in");
    const auto losses = losses_of(send_super_packets(count), count);
    const auto counters = counters_of(b(), "lossy", "in");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.bytes, count * (payload + headers));
    EXPECT_EQ(counters.loss, losses.lost);
    EXPECT_GT(statistics::binomial_p_value(losses.lost, count, 0.2), alpha) << losses.lost << " of " << count;
    EXPECT_GT(statistics::geometric_p_value(losses.runs, 0.8), alpha);
}

TEST_F(Wire, LossOfTcpAtEgressAndIngressIsExact)
{
    change(a(), "add --name out --loss 2% --proto tcp");
    change(b(), "add --name in --loss 2% --proto tcp --direction in");
    const auto result = transfer_tcp(a(), b(), {Pair::b4, 5001}, scaled(20'000'000, 1'000'000));
    EXPECT_EQ(result.error, "");
    const auto out = counters_of(a(), "out"), in = counters_of(b(), "in", "in");
    EXPECT_EQ(in.packets, out.packets - out.loss);
    EXPECT_GT(statistics::binomial_p_value(out.loss, out.packets, 0.02), alpha) << out.loss << " of " << out.packets;
    EXPECT_GT(statistics::binomial_p_value(in.loss, in.packets, 0.02), alpha) << in.loss << " of " << in.packets;
}

// ---- directions --------------------------------------------------------------------------------------------------

TEST_F(Wire, LossBothWaysIsCountedByDirection)
{
    const std::size_t there = 3000, back = 2000;
    change(a(), "add --name lossy --loss 30% --direction both --proto udp");
    const auto arrived = arrive({.count = there});
    const auto returned = deliver(b(), a(), {Pair::a4, 5000}, {.count = back});
    const auto out = counters_of(a(), "lossy", "out"), in = counters_of(a(), "lossy", "in");
    EXPECT_EQ(out.packets, there);
    EXPECT_EQ(out.loss, there - arrived);
    EXPECT_EQ(in.packets, back);
    EXPECT_EQ(in.loss, back - returned);
    EXPECT_GT(statistics::binomial_p_value(out.loss, there, 0.3), alpha);
    EXPECT_GT(statistics::binomial_p_value(in.loss, back, 0.3), alpha);
}

TEST_F(Wire, LossAtIngressLeavesEgressAlone)
{
    change(a(), "add --name lossy --loss 100% --direction in --proto udp");
    EXPECT_EQ(arrive({.count = 1000}), 1000U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a6, 5000}, {.count = 1000}), 0U);
    EXPECT_EQ(counters_of(a(), "lossy", "in").loss, 1000U);
}

TEST_F(Wire, APartitionCutsBothWaysUnlessToldOtherwise)
{
    change(a(), "add --name split --partition --proto udp");
    EXPECT_EQ(arrive({.count = 300}), 0U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}, {.count = 200}), 0U);
    EXPECT_EQ(counters_of(a(), "split", "out").partition, 300U);
    EXPECT_EQ(counters_of(a(), "split", "in").partition, 200U);
    change(a(), "add --name split --replace --partition --direction out --proto udp");
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 100U);
    EXPECT_EQ(arrive(), 0U);
}

// For a packet that comes in, the remote port is the sender's and the local port is its destination's.
TEST_F(Wire, PortsAndAddressesAtIngressAreSeenFromHere)
{
    change(b(), "add --name split --partition --direction in --local-port 5000 --remote-port 6000 --remote 10.77.0.1");
    EXPECT_EQ(arrive({.local_port = 6000}), 0U);
    EXPECT_EQ(arrive({.local_port = 6001}), 100U);
    EXPECT_EQ(arrive({.local_port = 6000}, {Pair::b4, 5001}), 100U);
    EXPECT_EQ(arrive({.local_port = 6000}, {Pair::b6, 5000}), 100U);
}

}  // namespace
}  // namespace headwind::test::wire_test
