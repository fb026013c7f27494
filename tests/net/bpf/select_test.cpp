// SPDX-License-Identifier: MIT
// Tests with real sockets which packets a rule matches.
#include <algorithm>

#include "net_test.h"

namespace headwind::test::select_test {
namespace {

using testing::HasSubstr;

constexpr std::size_t packets = 100;

class Select : public PairTest {
protected:
    // passes(): whether all packets of the flow arrive; is_blocked(): whether none does.
    testing::AssertionResult passes(const Endpoint& to, const Flow& flow = {}) const
    {
        const auto got = arrive(flow, to);
        if (got == flow.count) return testing::AssertionSuccess();
        return testing::AssertionFailure()
               << got << " of " << flow.count << " arrived at " << to.address << " " << to.port;
    }
    testing::AssertionResult is_blocked(const Endpoint& to, const Flow& flow = {}) const
    {
        const auto got = arrive(flow, to);
        if (got == 0) return testing::AssertionSuccess();
        return testing::AssertionFailure()
               << got << " of " << flow.count << " arrived at " << to.address << " " << to.port;
    }
    bool connects(std::uint16_t port) const
    {
        return transfer_tcp(a(), b(), {Pair::b4, port}, 1000, std::chrono::seconds(1)).error.empty();
    }
};

TEST_F(Select, Protocol)
{
    change(a(), "add --name split --partition --proto tcp");
    EXPECT_TRUE(passes({Pair::b4, 5000}));
    EXPECT_FALSE(connects(5001));
    change(a(), "add --name split --replace --partition --proto 17");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
    EXPECT_TRUE(connects(5001));
}

TEST_F(Select, RemotePort)
{
    change(a(), "add --name split --partition --remote-port 5000");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
    EXPECT_TRUE(is_blocked({Pair::b6, 5000}));
    EXPECT_TRUE(passes({Pair::b4, 5001}));
    EXPECT_TRUE(passes({Pair::b4, 5001}, {.local_port = 5000}));
}

RUNS_IN("Select.RangesOfPorts", native, linux_6_12 | linux_6_1);

TEST_F(Select, RangesOfPorts)
{
    using Numbers = std::initializer_list<std::uint16_t>;
    change(a(), "add --name split --partition --remote-port 4000-4999,5001-60000 --local-port 1024-65535");
    for (const auto port : Numbers{4000, 4999, 5001, 60000}) EXPECT_TRUE(is_blocked({Pair::b4, port})) << port;
    for (const auto port : Numbers{3999, 5000, 60001}) EXPECT_TRUE(passes({Pair::b6, port})) << port;
    EXPECT_FALSE(connects(5001));
    EXPECT_EQ(rule_of(a(), "split")["selector"]["remote_ports"], nlohmann::json::array({"4000-4999", "5001-60000"}));
    change(a(), "add --name hole --pass --remote-port 5001-5010");
    EXPECT_TRUE(passes({Pair::b4, 5010})) << "the narrower range";
    EXPECT_TRUE(is_blocked({Pair::b4, 5011}));
    change(a(), "del hole");
    EXPECT_TRUE(is_blocked({Pair::b4, 5010}));
}

TEST_F(Select, LocalPort)
{
    change(a(), "add --name split --partition --local-port 6000");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}, {.local_port = 6000}));
    EXPECT_TRUE(is_blocked({Pair::b6, 5000}, {.local_port = 6000}));
    EXPECT_TRUE(passes({Pair::b4, 6000}, {.local_port = 6001}));
}

TEST_F(Select, PortAtEitherEnd)
{
    change(a(), "add --name split --partition --port 6000");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}, {.local_port = 6000}));
    EXPECT_TRUE(is_blocked({Pair::b4, 6000}, {.local_port = 5000}));
    EXPECT_TRUE(passes({Pair::b4, 5000}, {.local_port = 6001}));
}

TEST_F(Select, PortListsAndRanges)
{
    change(a(), "add --name split --partition --remote-port 5000,5010-5019,5030:5039");
    constexpr std::uint16_t chosen[] = {5000, 5010, 5019, 5030, 5039}, others[] = {5001, 5009, 5020, 5029, 5040};
    for (const auto port : chosen) EXPECT_TRUE(is_blocked({Pair::b4, port}, {.count = 20}));
    for (const auto port : others) EXPECT_TRUE(passes({Pair::b4, port}, {.count = 20}));
}

TEST_F(Select, AddressesOfIpv4)
{
    ip(a(), "address add 10.88.0.1/24 dev va");
    ip(b(), "address add 10.88.0.2/24 dev vb");
    change(a(), "add --name split --partition --remote 10.77.0.0/24");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
    EXPECT_TRUE(passes({"10.88.0.2", 5000}));
    EXPECT_TRUE(passes({Pair::b6, 5000}));
    change(a(), "add --name split --replace --partition --local 10.88.0.1");
    EXPECT_TRUE(passes({Pair::b4, 5000}));
    EXPECT_TRUE(is_blocked({"10.88.0.2", 5000}));
}

TEST_F(Select, AddressesOfIpv6)
{
    ip(a(), "address add fd88::1/64 nodad dev va");
    ip(b(), "address add fd88::2/64 nodad dev vb");
    change(a(), "add --name split --partition --remote fd77::/64");
    EXPECT_TRUE(is_blocked({Pair::b6, 5000}));
    EXPECT_TRUE(passes({"fd88::2", 5000}));
    EXPECT_TRUE(passes({Pair::b4, 5000}));
    change(a(), "add --name split --replace --partition --local fd88::1");
    EXPECT_TRUE(passes({Pair::b6, 5000}));
    EXPECT_TRUE(is_blocked({"fd88::2", 5000}));
}

// ::/0 is all of IPv6, without IPv4, whose addresses the datapath keeps as mapped ones.
TEST_F(Select, EveryIpv6AddressIsNoIpv4Address)
{
    change(a(), "add --name split --partition --remote ::/0");
    EXPECT_TRUE(is_blocked({Pair::b6, 5000}));
    EXPECT_TRUE(passes({Pair::b4, 5000}));
}

TEST_F(Select, ExclusionByPriority)
{
    change(a(), "add --name split --partition --remote-port 5000");
    change(a(), "add --name spare --pass --proto udp --priority 100");
    EXPECT_TRUE(passes({Pair::b4, 5000}));
    EXPECT_EQ(counters_of(a(), "spare").packets, packets);
    EXPECT_EQ(counters_of(a(), "split").packets, 0U);
    change(a(), "add --name spare --replace --pass --proto udp --priority -100");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
}

TEST_F(Select, TheMoreSpecificRuleWinsAtEqualPriority)
{
    change(a(), "add --name split --partition --proto udp");
    change(a(), "add --name spare --pass --proto udp --remote-port 5001");
    EXPECT_TRUE(passes({Pair::b4, 5001}));
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
}

TEST_F(Select, Device)
{
    change(a(), "add --name split --partition --dev lo --proto udp");
    EXPECT_TRUE(passes({Pair::b4, 5000}));
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 0U);
    change(a(), "add --name split --replace --partition --dev va --proto udp");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}));
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), packets);
}

// Both ends of lo are local; still each packet is decided once, when it is sent.
TEST_F(Select, LoopbackIsOneOfTheDefaultDevicesAndDecidesOnce)
{
    change(a(), "add --name split --partition --remote-port 5000");
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 0U);
    EXPECT_EQ(deliver(a(), a(), {"::1", 5000}), 0U);
    EXPECT_EQ(counters_of(a(), "split", "out").packets, 2 * packets);
    EXPECT_EQ(counters_of(a(), "split", "in").packets, 0U);
    change(a(), "add --name split --replace --pass --proto udp");
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), packets);
    EXPECT_EQ(counters_of(a(), "split", "out").packets, packets);
    EXPECT_EQ(counters_of(a(), "split", "in").packets, 0U);
}

TEST_F(Select, NeighbourDiscoveryAndArpOnlyIfNamed)
{
    ip(a(), "neighbour flush all nud permanent");
    change(a(), "add --name split --partition --priority -1");
    change(a(), "add --name spare --pass --proto udp");
    EXPECT_TRUE(passes({Pair::b4, 5000}, {.count = 10, .per_second = 100}));
    EXPECT_TRUE(passes({Pair::b6, 5000}, {.count = 10, .per_second = 100}));
    ip(a(), "neighbour flush dev va");
    change(a(), "add --name arp --partition --proto arp,nd");
    EXPECT_TRUE(is_blocked({Pair::b4, 5000}, {.count = 10, .per_second = 100}));
    EXPECT_TRUE(is_blocked({Pair::b6, 5000}, {.count = 10, .per_second = 100}));
    EXPECT_GT(counters_of(a(), "arp").partition, 1U);
}

TEST_F(Select, UnmatchedTrafficAndItsQdiscAreLeftAlone)
{
    tc(a(), "qdisc add dev va root handle 77: pfifo limit 500");
    const auto before = tc(a(), "qdisc show dev va"), lo_before = tc(a(), "qdisc show dev lo");
    EXPECT_THAT(before, HasSubstr("pfifo 77:"));
    change(a(), "add --name lossy --loss 100% --remote-port 5999 --direction both");
    const std::size_t count = scaled(20'000, 4'000);
    const auto keeps_order = [this, count] {
        UdpSink sink(b(), {Pair::b4, 5000});
        const OnCpu one(0);  // a bare veth does not keep the order of a sender that migrates
        EXPECT_EQ(send_udp(a(), {Pair::b4, 5000}, {.count = count}).failed, 0U);
        const auto arrivals = sink.finish();
        EXPECT_EQ(arrivals.size(), count);
        return std::is_sorted(arrivals.begin(), arrivals.end(), [](const Arrival& before_it, const Arrival& it) {
            return before_it.stamp.sequence < it.stamp.sequence;
        });
    };
    // A packet of the kernel's own (IPv6) makes another CPU empty the qdisc, which reorders packets on the bare device,
    // too: seen in 1 of 200 runs.
    bool kept = false;
    for (int tries = 0; tries < 5 && !kept; ++tries) kept = keeps_order();
    EXPECT_TRUE(kept);
    // With clsact its pseudo qdisc is listed after the root.
    EXPECT_THAT(tc(a(), "qdisc show dev va"), testing::StartsWith(before));
    EXPECT_THAT(tc(a(), "qdisc show dev lo"), testing::StartsWith(lo_before));
    change(a(), "clear");
    EXPECT_EQ(tc(a(), "qdisc show dev va"), before);
    EXPECT_EQ(tc(a(), "qdisc show dev lo"), lo_before);
}

}  // namespace
}  // namespace headwind::test::select_test
