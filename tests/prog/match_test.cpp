// SPDX-License-Identifier: MIT
// Tests which packets a selector takes, seen from both directions.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::match_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::payload;
using packets::udp;

class Match : public testing::Test {
protected:
    // Whether a rule with these selectors, if it is the only one, takes the packet.
    bool takes(const std::string& selectors, const Bytes& packet, Hook hook = Hook::egress, const Arrival& arrival = {})
    {
        const auto id = datapath.add(selectors + " --partition");
        const int verdict = datapath.run(hook, packet, arrival).verdict;
        datapath.remove(id);
        EXPECT_TRUE(verdict == next || verdict == dropped_at(hook)) << verdict;
        return verdict == dropped_at(hook);
    }
    bool takes_in(const std::string& selectors, const Bytes& packet) { return takes(selectors, packet, Hook::ingress); }

    Datapath datapath;
};

// A packet from 10.0.0.1:1000 to 10.0.0.2:2000.
Bytes packet_v4(const packets::Layer& transport = udp(1000, 2000, payload(20)))
{
    return frame(ipv4({}, transport));
}

Bytes packet_v6()
{
    return frame(ipv6({}, udp(1000, 2000, payload(20))));
}

Bytes to_v4(const std::string& destination)
{
    return frame(ipv4({.destination = destination}, udp(1, 2)));
}

Bytes to_v6(const std::string& destination)
{
    return frame(ipv6({.destination = destination}, udp(1, 2)));
}

TEST_F(Match, EveryIpPacketWithoutSelectors)
{
    EXPECT_TRUE(takes("", packet_v4()));
    EXPECT_TRUE(takes("", packet_v6()));
    EXPECT_TRUE(takes_in("", packet_v4()));
    EXPECT_TRUE(takes("", packet_v4(packets::icmp(8))));
    EXPECT_TRUE(takes("", packet_v4(packets::raw(200, Bytes(4)))));
    EXPECT_EQ(datapath.out(packet_v4()), next) << "no rule is left";
}

TEST_F(Match, Direction)
{
    EXPECT_TRUE(takes("--direction out", packet_v4()));
    EXPECT_FALSE(takes_in("--direction out", packet_v4()));
    EXPECT_FALSE(takes("--direction in", packet_v4()));
    EXPECT_TRUE(takes_in("--direction in", packet_v4()));
}

TEST_F(Match, LocalAndRemotePortsSeenFromBothDirections)
{
    EXPECT_TRUE(takes("--local-port 1000", packet_v4()));
    EXPECT_TRUE(takes("--remote-port 2000", packet_v4()));
    EXPECT_FALSE(takes("--local-port 2000", packet_v4()));
    EXPECT_FALSE(takes("--remote-port 1000", packet_v4()));
    EXPECT_TRUE(takes_in("--local-port 2000", packet_v4()));
    EXPECT_TRUE(takes_in("--remote-port 1000", packet_v4()));
    EXPECT_FALSE(takes_in("--local-port 1000", packet_v4()));
    EXPECT_FALSE(takes_in("--remote-port 2000", packet_v4()));
    EXPECT_TRUE(takes("--local-port 1000 --remote-port 2000", packet_v6()));
    EXPECT_FALSE(takes("--local-port 1000 --remote-port 2001", packet_v6()));
}

TEST_F(Match, LocalAndRemoteAddressesSeenFromBothDirections)
{
    EXPECT_TRUE(takes("--local 10.0.0.1", packet_v4()));
    EXPECT_TRUE(takes("--remote 10.0.0.2", packet_v4()));
    EXPECT_FALSE(takes("--local 10.0.0.2", packet_v4()));
    EXPECT_TRUE(takes_in("--local 10.0.0.2", packet_v4()));
    EXPECT_TRUE(takes_in("--remote 10.0.0.1", packet_v4()));
    EXPECT_FALSE(takes_in("--remote 10.0.0.2", packet_v4()));
    EXPECT_TRUE(takes("--local 2001:db8::1 --remote 2001:db8::2", packet_v6()));
    EXPECT_TRUE(takes_in("--local 2001:db8::2 --remote 2001:db8::1", packet_v6()));
    EXPECT_FALSE(takes_in("--local 2001:db8::1 --remote 2001:db8::2", packet_v6()));
}

TEST_F(Match, PortListsAndRanges)
{
    const auto to_port = [](int port) { return packet_v4(udp(1000, static_cast<std::uint16_t>(port))); };
    const std::string list = "--remote-port 53,2000-2003,65535";
    for (const int port : {53, 2000, 2001, 2003, 65535}) EXPECT_TRUE(takes(list, to_port(port))) << port;
    for (const int port : {52, 54, 1999, 2004, 65534}) EXPECT_FALSE(takes(list, to_port(port))) << port;
    EXPECT_FALSE(takes("--remote-port 256", to_port(1))) << "byte order";
}

TEST_F(Match, PortAtEitherEnd)
{
    for (const auto hook : {Hook::egress, Hook::ingress}) {
        EXPECT_TRUE(takes("--port 1000", packet_v4(), hook));
        EXPECT_TRUE(takes("--port 2000", packet_v4(), hook));
        EXPECT_TRUE(takes("--port 900-1100,2000", packet_v4(), hook));
        EXPECT_FALSE(takes("--port 1001-1999", packet_v4(), hook));
    }
}

TEST_F(Match, ProtocolsWithPorts)
{
    for (const auto& transport : {udp(1000, 2000), packets::tcp(1000, 2000), packets::sctp(1000, 2000),
                                  packets::dccp(1000, 2000), packets::udplite(1000, 2000)})
        EXPECT_TRUE(takes("--remote-port 2000", packet_v4(transport))) << transport.number;
    EXPECT_FALSE(takes("--remote-port 2000", packet_v4(packets::raw(47, udp(1000, 2000).bytes)))) << "GRE has no ports";
}

TEST_F(Match, ProtocolsByNameAndNumber)
{
    EXPECT_TRUE(takes("--proto udp", packet_v4()));
    EXPECT_TRUE(takes("--proto udp", packet_v6()));
    EXPECT_FALSE(takes("--proto tcp", packet_v4()));
    EXPECT_TRUE(takes("--proto tcp,udp", packet_v4()));
    EXPECT_TRUE(takes("--proto icmp", packet_v4(packets::icmp(8))));
    EXPECT_TRUE(takes("--proto icmpv6", frame(ipv6({}, packets::icmpv6(128)))));
    for (const int number : {0, 1, 41, 47, 50, 132, 253, 255}) {
        const auto packet = packet_v4(packets::raw(static_cast<std::uint16_t>(number), Bytes(20)));
        EXPECT_TRUE(takes("--proto " + std::to_string(number), packet)) << number;
        EXPECT_FALSE(takes("--proto " + std::to_string(number ^ 2), packet)) << number;
    }
}

TEST_F(Match, Ipv4PrefixesToTheBit)
{
    EXPECT_TRUE(takes("--remote 10.1.2.0/23", to_v4("10.1.2.0")));
    EXPECT_TRUE(takes("--remote 10.1.2.0/23", to_v4("10.1.3.255")));
    EXPECT_FALSE(takes("--remote 10.1.2.0/23", to_v4("10.1.4.0")));
    EXPECT_FALSE(takes("--remote 10.1.2.0/23", to_v4("10.1.1.255")));
    EXPECT_TRUE(takes("--remote 128.0.0.0/1", to_v4("255.255.255.255")));
    EXPECT_FALSE(takes("--remote 128.0.0.0/1", to_v4("127.255.255.255")));
    EXPECT_TRUE(takes("--remote 10.1.2.2/31", to_v4("10.1.2.3")));
    EXPECT_FALSE(takes("--remote 10.1.2.2", to_v4("10.1.2.3")));
    EXPECT_TRUE(takes("--remote 10.9.0.0/16,10.1.2.3", to_v4("10.1.2.3")));
}

TEST_F(Match, Ipv6PrefixesToTheBit)
{
    EXPECT_TRUE(takes("--remote 2001:db8::/63", to_v6("2001:db8:0:1:ffff:ffff:ffff:ffff")));
    EXPECT_FALSE(takes("--remote 2001:db8::/63", to_v6("2001:db8:0:2::")));
    EXPECT_TRUE(takes("--remote 2001:db8:0:1::/65", to_v6("2001:db8:0:1:7fff:ffff:ffff:ffff")));
    EXPECT_FALSE(takes("--remote 2001:db8:0:1::/65", to_v6("2001:db8:0:1:8000::")));
    EXPECT_TRUE(takes("--remote 2001:db8::2/127", to_v6("2001:db8::3")));
    EXPECT_FALSE(takes("--remote 2001:db8::2", to_v6("2001:db8::3")));
    EXPECT_TRUE(takes("--remote 8000::/1", to_v6("ffff::1")));
}

TEST_F(Match, EachFamilyKeepsToItself)
{
    EXPECT_TRUE(takes("--remote 0.0.0.0/0", packet_v4()));
    EXPECT_FALSE(takes("--remote 0.0.0.0/0", packet_v6()));
    EXPECT_TRUE(takes("--remote ::/0", packet_v6()));
    EXPECT_FALSE(takes("--remote ::/0", packet_v4())) << "IPv4 addresses are mapped into ::/0";
    EXPECT_FALSE(takes("--remote ::/64", packet_v4()));
    EXPECT_FALSE(takes("--local ::/0", packet_v4()));
    EXPECT_FALSE(takes_in("--local ::/0", packet_v4()));
    EXPECT_TRUE(takes("--remote 0.0.0.0/0,::/0", packet_v4()));
    EXPECT_TRUE(takes("--remote 0.0.0.0/0,::/0", packet_v6()));
    EXPECT_FALSE(takes("--remote 10.0.0.2", to_v6("::10.0.0.2"))) << "compatible is not mapped";
}

TEST_F(Match, AllKindsTogether)
{
    const std::string all =
        "--dev lo --proto udp --local 10.0.0.0/24 --remote 10.0.0.2 --local-port 1000 --remote-port 2000";
    EXPECT_TRUE(takes(all, packet_v4()));
    EXPECT_FALSE(takes(all, packet_v4(packets::tcp(1000, 2000))));
    EXPECT_FALSE(takes(all, packet_v4(udp(1001, 2000))));
    EXPECT_FALSE(takes(all, packet_v4(udp(1000, 2001))));
    EXPECT_FALSE(takes(all, frame(ipv4({.source = "10.0.1.1"}, udp(1000, 2000)))));
    EXPECT_FALSE(takes(all, frame(ipv4({.destination = "10.0.0.3"}, udp(1000, 2000)))));
}

TEST(MatchDevice, NamedAndDefaultDevices)
{
    Line line;
    Datapath datapath;
    const auto named = static_cast<unsigned>(line.cut), standard = static_cast<unsigned>(line.pace);
    datapath.add_device("named", named, 0);
    datapath.add_device("standard", standard, HW_DEVICE_DEFAULT);
    const auto through = [&](unsigned ifindex) {
        Arrival arrival;
        arrival.ifindex = ifindex;
        return datapath.run(Hook::egress, packet_v4(), arrival).verdict;
    };
    const auto everywhere = datapath.add("--partition");
    EXPECT_EQ(through(1), stolen);
    EXPECT_EQ(through(standard), stolen);
    EXPECT_EQ(through(named), next) << "a rule without --dev is for the default devices";
    datapath.remove(everywhere);
    const auto there = datapath.add("--dev named --partition");
    EXPECT_EQ(through(named), stolen);
    EXPECT_EQ(through(standard), next);
    EXPECT_EQ(through(1), next);
    datapath.remove(there);
    datapath.add("--dev named,lo --partition");
    EXPECT_EQ(through(named), stolen);
    EXPECT_EQ(through(1), stolen);
    EXPECT_EQ(through(standard), next);
}

TEST(MatchDevice, IsFoundAmongNeighboursInTheTable)
{
    Line line;
    for (unsigned taken : {0U, 1U, HW_DEVICE_PROBES - 1U}) {
        Datapath datapath;
        const auto index = static_cast<unsigned>(line.pace);
        for (unsigned i = 0; i < taken; ++i)
            EXPECT_EQ(
                datapath.add_device(fmt::format("other{}", i), index + HW_MAX_DEVICES * (i + 1), HW_DEVICE_DEFAULT),
                index + i);
        const auto slot = datapath.add_device("device", index, HW_DEVICE_DEFAULT);
        EXPECT_EQ(slot, index + taken);
        datapath.add("--dev device --partition");
        Arrival arrival;
        arrival.ifindex = index;
        EXPECT_EQ(datapath.run(Hook::egress, packet_v4(), arrival).verdict, stolen) << taken;
        datapath.control().devices[slot].ifindex = 0;
        EXPECT_EQ(datapath.run(Hook::egress, packet_v4(), arrival).verdict, next) << "a device that is none of ours";
    }
}

}  // namespace
}  // namespace headwind::prog::match_test
