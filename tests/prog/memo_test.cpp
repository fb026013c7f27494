// SPDX-License-Identifier: MIT
// A packet like one before gets what that one got (hw_memo), unless the outcome may be another by now.
//
// Every test sends packets of one key again and again: the first packet fills the memo.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::memo_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::udp;
using packets::usual_packet;

class Memo : public testing::Test {
protected:
    bool taken(const Bytes& packet = usual_packet())
    {
        const bool first = datapath.out(packet) != next;
        EXPECT_EQ(datapath.out(packet) != next, first) << "the same packet again";
        return first;
    }
    void at(std::uint64_t nanoseconds) { datapath.feed().boottime = nanoseconds; }
    Datapath datapath;
};

TEST_F(Memo, OfNoRuleEndsWithTheFirst)
{
    datapath.add("--remote-port 1 --partition");
    EXPECT_FALSE(taken());
    const auto id = datapath.add("--remote-port 2000 --partition");
    EXPECT_TRUE(taken());
    datapath.remove(id);
    EXPECT_FALSE(taken());
}

TEST_F(Memo, IsNoLongerAskedWhenABetterRuleCame)
{
    const auto first = datapath.add("--partition");
    EXPECT_TRUE(taken());
    const auto better = datapath.add("--pass --priority 1");
    EXPECT_FALSE(taken());
    EXPECT_EQ(datapath.counters(first).packets, 2U);
    EXPECT_EQ(datapath.counters(better).packets, 2U);
}

TEST_F(Memo, HoldsNoLongerThanTheRule)
{
    datapath.add("--partition", {.deadline = 1000});
    at(999);
    EXPECT_TRUE(taken());
    at(1000);
    EXPECT_FALSE(taken());
}

TEST_F(Memo, OfALeasedRuleFollowsItsLease)
{
    const auto id = datapath.add("--partition", {.lease = 1000});
    const auto lease_until = [&](std::uint64_t until) {
        hw_lease lease{};
        lease.until = until;
        ASSERT_TRUE(datapath.instance().leases.put(id, lease));
    };
    lease_until(1000);
    at(999);
    EXPECT_TRUE(taken());
    at(1000);
    EXPECT_FALSE(taken());
    lease_until(2000);
    EXPECT_TRUE(taken());
}

// The rule that is in force now says nothing about the time when a better rule is in force again.
TEST_F(Memo, DoesNotKeepWhatWasFoundWhileABetterRuleRested)
{
    const auto flapping = datapath.add("--flap up=1s,down=1s --priority 1", {.since = 0});
    const auto below = datapath.add("--pass");
    for (std::uint64_t second = 0; second < 10; ++second) {
        at(second * 1'000'000'000);
        EXPECT_EQ(taken(), second % 2 == 1) << second;
    }
    EXPECT_EQ(datapath.counters(flapping).packets, 10U);
    EXPECT_EQ(datapath.counters(below).packets, 10U);
}

// There are far more flows than the memo has room for, and every other one has a rule of its own.
TEST_F(Memo, TellsFlowsApart)
{
    constexpr std::uint16_t flows = 1000;
    for (std::uint16_t port = 0; port < flows; port += 2)
        datapath.add("--remote-port " + std::to_string(1000 + port) + " --partition");
    for (unsigned round = 0; round < 3; ++round)
        for (std::uint16_t port = 0; port < flows; ++port) {
            const auto verdict = datapath.out(usual_packet(static_cast<std::uint16_t>(1000 + port)));
            ASSERT_EQ(verdict != next, port % 2 == 0) << port;
        }
}

// An IPv6 packet may carry mapped addresses, and so have the same key as an IPv4 packet.
TEST_F(Memo, TellsIpv4FromMappedAddressesInIpv6)
{
    datapath.add("--remote ::/0 --partition");
    const auto four = frame(ipv4({}, udp(1000, 2000)));
    const auto six = frame(ipv6({.source = "::ffff:10.0.0.1", .destination = "::ffff:10.0.0.2"}, udp(1000, 2000)));
    EXPECT_FALSE(taken(four));
    EXPECT_TRUE(taken(six));
    EXPECT_FALSE(taken(four));
}

// What a plain packet has at fixed places stands elsewhere in others, or means something else there.
TEST_F(Memo, TellsPlainPacketsFromOthers)
{
    datapath.add("--proto udp --remote-port 2000 --partition");
    const auto plain = udp(1000, 2000, packets::payload(20));
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_TRUE(taken(frame(ipv4({}, plain))));
        EXPECT_TRUE(taken(frame(ipv4({.option_words = 2}, plain))));
        EXPECT_TRUE(taken(frame(packets::vlan(7, ipv4({}, plain)))));
        EXPECT_FALSE(taken(frame(ipv4({}, packets::tcp(1000, 2000)))));
        EXPECT_FALSE(taken(frame(ipv4({}, udp(2000, 1000, packets::payload(20))))));
        EXPECT_FALSE(taken(frame(ipv4({.destination = "10.0.0.3", .fragment_offset = 1}, plain))))
            << "no header, of whatever the bytes look like";
    }
}

// The packets have the same ports and addresses, seen from the subject, on the way in and out.
TEST_F(Memo, TellsDirectionsApart)
{
    datapath.add("--direction out --partition");
    datapath.add("--direction in --remote-port 1 --partition");
    const auto there = frame(ipv4({}, udp(1000, 2000)));
    const auto back = frame(ipv4({.source = "10.0.0.2", .destination = "10.0.0.1"}, udp(2000, 1000)));
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_EQ(datapath.out(there), stolen);
        EXPECT_EQ(datapath.in(back), next);
    }
}

TEST_F(Memo, TellsPacketsByClass)
{
    datapath.add("--proto udp --partition");
    const auto dhcp = frame(ipv4({}, udp(68, 67, packets::dhcp_message())));
    EXPECT_FALSE(taken(dhcp));
    datapath.add("--proto dhcp --partition");
    EXPECT_TRUE(taken(dhcp));
    EXPECT_TRUE(taken());
}

// Spared and other packets go between the same addresses, and have no ports.
TEST_F(Memo, TellsNeighbourDiscoveryFromOtherIcmp)
{
    datapath.add("--proto icmpv6 --partition");
    constexpr std::uint8_t echo_request = 128, neighbour_solicitation = 135;
    const auto of_type = [](std::uint8_t type) { return frame(packets::neighbour(type)); };
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_TRUE(taken(of_type(echo_request))) << round;
        EXPECT_FALSE(taken(of_type(neighbour_solicitation))) << round;
    }
}

// Two that go between the same ports and addresses: DHCP, and what only has its ports.
TEST_F(Memo, TellsDhcpFromWhatHasItsPorts)
{
    datapath.add("--partition");
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_FALSE(taken(frame(ipv4({}, udp(68, 67, packets::dhcp_message())))));
        EXPECT_TRUE(taken(frame(ipv4({}, udp(68, 67, packets::payload(300))))));
    }
}

// Their addresses are all zero, and so is the protocol.
TEST_F(Memo, TellsFramesApart)
{
    datapath.add("--proto lldp,llc --partition");
    datapath.add("--proto 0 --remote 0.0.0.0 --partition");
    const auto of_type = [](std::uint16_t type) { return frame(packets::raw(type, Bytes(60))); };
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_TRUE(taken(frame(packets::lldp())));
        EXPECT_TRUE(taken(frame(packets::llc())));
        EXPECT_TRUE(taken(of_type(0x0100))) << "another length";
        EXPECT_FALSE(taken(of_type(0x8847)));
        EXPECT_FALSE(taken(frame(packets::arp())));
        EXPECT_FALSE(taken(of_type(0x0800))) << "no IP header";
        EXPECT_FALSE(taken(of_type(0xcc88)));
    }
}

// A device may become a default device, or cease to be one, without a change of the rules.
TEST_F(Memo, FollowsTheDevice)
{
    datapath.add("--partition");
    EXPECT_TRUE(taken());
    auto& flags = datapath.control().devices[1].flags;
    flags &= static_cast<__u16>(~HW_DEVICE_DEFAULT);
    EXPECT_FALSE(taken());
    flags |= HW_DEVICE_DEFAULT;
    EXPECT_TRUE(taken());
}

}  // namespace
}  // namespace headwind::prog::memo_test
