// SPDX-License-Identifier: MIT
// Super-packets (GSO) are counted as the wire packets they stand for, and cut before anything is decided for each.
#include <gtest/gtest.h>

#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::super_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::tcp;
using packets::udp;

constexpr unsigned segment = 100;

struct Super {
    const char* what;
    Layer layer;                // with `data` bytes of payload
    std::size_t data, headers;  // headers: size of those that each wire packet begins with
};

std::vector<Super> supers()
{
    return {
        {"UDP", ipv4({}, udp(1000, 2000, payload(1000))), 1000, 42},
        {"UDP with a rest", ipv4({}, udp(1000, 2000, payload(1001))), 1001, 42},
        {"UDP, just one", ipv4({}, udp(1000, 2000, payload(100))), 100, 42},
        {"UDP, less than one", ipv4({}, udp(1000, 2000, payload(1))), 1, 42},
        {"TCP", ipv4({}, tcp(1000, 2000, payload(950))), 950, 54},
        {"TCP with options", ipv4({}, tcp(1000, 2000, payload(950), 8)), 950, 86},
        {"TCP over IPv4 options", ipv4({.option_words = 10}, tcp(1000, 2000, payload(950), 10)), 950, 14 + 60 + 60},
        {"TCP over IPv6", ipv6({}, tcp(1000, 2000, payload(1500), 3)), 1500, 14 + 40 + 32},
        {"UDP over IPv6 with a header", ipv6({}, packets::extension(0, udp(1000, 2000, payload(300)))), 300,
         14 + 48 + 8},
        {"TCP in a VLAN", packets::vlan(7, ipv4({}, tcp(1000, 2000, payload(777), 3))), 777, 4 + 66},
    };
}

// `counted`: the kernel says how many segments there are; tap and virtio leave 0.
Arrival as_super(const Super& super, bool counted)
{
    Arrival arrival;
    arrival.gso_size = segment;
    if (counted) arrival.gso_segs = static_cast<unsigned>((super.data + segment - 1) / segment);
    return arrival;
}

class SuperPackets : public testing::TestWithParam<bool> {
protected:
    // Sends one super-packet of each kind, and checks the counters of the rule after each.
    template <class Check>
    void for_each(std::uint32_t id, int verdict, const Check& check)
    {
        for (const auto& super : supers()) {
            const auto before = datapath.counters(id);
            EXPECT_EQ(datapath.run(Hook::egress, frame(super.layer), as_super(super, GetParam())).verdict, verdict)
                << super.what;
            const auto after = datapath.counters(id);
            const auto packets = (super.data + segment - 1) / segment;
            EXPECT_EQ(after.packets - before.packets, packets) << super.what;
            EXPECT_EQ(after.bytes - before.bytes, super.data + packets * super.headers) << super.what;
            check(before, after, packets);
        }
    }

    Datapath datapath;
};

INSTANTIATE_TEST_SUITE_P(Segments, SuperPackets, testing::Bool(),
                         [](const auto& test) { return test.param ? "Counted" : "NotCounted"; });

TEST_P(SuperPackets, PassedAsWhatTheyStandFor)
{
    for_each(datapath.add("--pass"), next, [](const auto&, const auto& after, auto) {
        for (const auto dropped : after.dropped) EXPECT_EQ(dropped, 0U);
    });
}

TEST_P(SuperPackets, DroppedByAPartition)
{
    for_each(datapath.add("--partition"), stolen, [](const auto& before, const auto& after, std::uint64_t packets) {
        EXPECT_EQ(after.dropped[HW_DROP_PARTITION] - before.dropped[HW_DROP_PARTITION], packets);
    });
}

// Super-packets go to the pacer whole. There is none here, since a packet of test_run lacks the GSO type that a device
// asks for: each is refused, and counted as the wire packets it stands for.
TEST_P(SuperPackets, DelayedWhole)
{
    datapath.control().line_segment = 99'998;
    datapath.control().line_pace = 99'999;
    const auto id = datapath.add("--delay 10ms");
    datapath.feed().monotonic = 1'000;
    for (const auto& super : supers()) {
        if (super.layer.number == 0x8100) continue;  // the kernel stamps only IP
        const auto before = datapath.counters(id);
        const auto outcome = datapath.run(Hook::egress, frame(super.layer), as_super(super, GetParam()));
        EXPECT_EQ(outcome.verdict, stolen) << super.what;
        EXPECT_EQ(outcome.after.tstamp, 10'001'000U) << super.what;
        const auto after = datapath.counters(id);
        const auto packets = (super.data + segment - 1) / segment;
        EXPECT_EQ(after.packets - before.packets, packets) << super.what;
        EXPECT_EQ(after.dropped[HW_DROP_LINE] - before.dropped[HW_DROP_LINE], packets) << super.what;
    }
}

TEST_P(SuperPackets, CutBeforeLossIsDecided)
{
    datapath.control().line_segment = 99'998;
    const auto id = datapath.add("--loss 100%");
    for (const auto& super : supers()) {
        const auto outcome = datapath.run(Hook::egress, frame(super.layer), as_super(super, GetParam()));
        EXPECT_EQ(outcome.verdict, redirected) << super.what;
        EXPECT_EQ(outcome.after.cb[4], id);
    }
    EXPECT_EQ(datapath.counters(id).packets, 0U) << "counted after the cut";
    EXPECT_EQ(datapath.feed().dice, 1U) << "it waits for its packet";
}

TEST_P(SuperPackets, WithoutTheWorkaroundOneDieIsThrownForAll)
{
    Datapath sick({.without = HW_WORKAROUND_SEGMENT});
    const auto id = sick.add("--loss 100%");
    EXPECT_EQ(sick.run(Hook::egress, frame(supers()[0].layer), as_super(supers()[0], GetParam())).verdict, stolen);
    EXPECT_EQ(sick.counters(id).dropped[HW_DROP_LOSS], 10U);
    EXPECT_EQ(sick.feed().dice, 1U);
}

TEST(SuperPacket, ADamagedTcpHeaderDoesNotUpsetTheCount)
{
    Datapath datapath;
    const auto id = datapath.add("--partition");
    auto packet = frame(ipv4({}, tcp(1000, 2000)));
    Arrival arrival;
    arrival.gso_size = 1;
    for (const unsigned words : {0U, 1U, 5U, 15U}) {
        packet[14 + 20 + 12] = static_cast<std::uint8_t>(words << 4);
        const auto before = datapath.counters(id);
        EXPECT_EQ(datapath.run(Hook::egress, packet, arrival).verdict, stolen);
        const auto after = datapath.counters(id);
        EXPECT_EQ(after.packets - before.packets, words == 0 ? 20U : words == 1 ? 16U : 1U) << words;
        EXPECT_LT(after.bytes - before.bytes, 10'000U) << words;
    }
}

TEST(SuperPacket, OfOneSegmentIsStillCut)
{
    Datapath datapath;
    datapath.control().line_segment = 99'998;
    datapath.add("--loss 100%");
    Arrival arrival;
    arrival.gso_size = 1000;
    arrival.gso_segs = 1;
    EXPECT_EQ(datapath.run(Hook::egress, frame(ipv4({}, udp(1, 2, payload(500)))), arrival).verdict, redirected);
}

// Packets that the cut cannot take are lost, and must be counted.
TEST(SuperPacket, WhatTheLineRefusesIsCounted)
{
    Datapath datapath;
    datapath.control().line_segment = 99'998;  // no such device
    datapath.control().line_pace = 99'999;
    const auto id = datapath.add("--rate 1mbit");
    Arrival arrival;
    arrival.gso_size = 100;
    arrival.gso_segs = 5;
    const auto packet = frame(ipv4({}, udp(1, 2, payload(500))));
    EXPECT_EQ(datapath.run(Hook::egress, packet, arrival).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).packets, 5U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LINE], 5U);
}

}  // namespace
}  // namespace headwind::prog::super_test
