// SPDX-License-Identifier: MIT
// The way through headwind2: the super-packets that take it, and that nothing overtakes what comes back at ingress.
#include <gtest/gtest.h>

#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"
#include "replay.h"

namespace headwind::prog::segment_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::tcp;
using packets::udp;

constexpr unsigned segments = 10;

packets::Bytes wire_packet()
{
    return frame(ipv4({}, tcp(1000, 2000, payload(100))));
}

class Segment : public testing::Test {
protected:
    Segment()
    {
        datapath.control().line_segment = datapath.control().line_pace = 99'998;
        on_device.ifindex = device;
    }
    static Arrival arrival_of(unsigned of)
    {
        Arrival arrival;
        arrival.gso_size = 20;
        arrival.gso_segs = of;
        return arrival;
    }
    Outcome super(Hook hook, unsigned of = segments)
    {
        return datapath.run(hook, frame(ipv4({}, tcp(1000, 2000, payload(20 * of)))), arrival_of(of));
    }
    bool crosses(unsigned of) { return super(Hook::egress, of).verdict == redirected; }
    // Runs the cut on a wire packet as it comes out of headwind2.
    Outcome cross(std::uint32_t id, hw_direction direction = HW_OUT)
    {
        return datapath.run(Hook::segment, wire_packet(), datapath.marked(id, direction, slot));
    }
    // The number of a packet that is sent back through the backlog; nullopt if the packet goes on at once.
    static std::optional<std::uint32_t> number(const Outcome& outcome)
    {
        if (outcome.verdict != redirected) return std::nullopt;
        EXPECT_EQ(outcome.after.cb[3] >> 16, Datapath::nonce);
        return outcome.after.cb[2] >> 1;
    }
    std::optional<std::uint32_t> receive() { return number(datapath.run(Hook::ingress, wire_packet(), on_device)); }
    void come_back(std::uint32_t id, std::uint32_t number)
    {
        auto arrival = datapath.marked(id, HW_IN, slot);
        arrival.ifindex = device;
        arrival.cb[2] = number << 1 | HW_IN;
        EXPECT_EQ(datapath.run(Hook::ingress, wire_packet(), arrival).verdict, next);
    }

    Line line;  // one of its ends serves as the device
    unsigned device = static_cast<unsigned>(line.pace);
    Datapath datapath;
    std::uint16_t slot = datapath.add_device("headwind1", device, HW_DEVICE_DEFAULT);
    Arrival on_device;
};

TEST_F(Segment, SuperPacketsWithoutAnEventStayWhole)
{
    constexpr std::uint64_t seed = 4;
    const auto id = datapath.add("--loss 2%");
    datapath.feed().seed = seed;
    Replay replay(datapath.instance().rules.find(id)->value().impairment.events[HW_EVENT_LOSS], seed);
    std::uint64_t whole = 0, cut = 0, lost = 0;
    for (unsigned i = 0; i < 5000; ++i) {
        bool any = false;
        const unsigned of = 1 + i % 45;
        std::vector<bool> fates;
        for (unsigned n = 0; n < of; ++n) fates.push_back(replay.next());
        for (const bool fate : fates) any = any || fate;
        ASSERT_EQ(crosses(of), any) << i;
        ++(any ? cut : whole);
        if (!any) continue;
        for (const bool fate : fates) {
            ASSERT_EQ(cross(id).verdict, fate ? stolen : redirected) << i;
            lost += fate;
        }
    }
    EXPECT_GT(whole, 1000U);
    EXPECT_GT(cut, 1000U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost);
}

TEST_F(Segment, WirePacketsAreDecidedAtOnce)
{
    const auto id = datapath.add("--loss 100%");
    EXPECT_EQ(datapath.out(wire_packet()), stolen);
    EXPECT_EQ(super(Hook::egress).verdict, redirected);
    EXPECT_EQ(datapath.counters(id).packets, 1U) << "the others are counted where they come out";
    EXPECT_EQ(cross(id).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).packets, 2U);
    EXPECT_EQ(datapath.out(wire_packet()), stolen) << "what was sent is there already: nothing to follow";
}

TEST_F(Segment, WhatIsReceivedAfterASegmentedPacketFollowsIt)
{
    const auto id = datapath.add("--direction in --loss 0.0000001%");
    datapath.feed().seed = 3;
    EXPECT_FALSE(receive()) << "nothing is on its way";
    EXPECT_EQ(number(cross(id, HW_IN)), 1U);
    EXPECT_EQ(number(cross(id, HW_IN)), 2U);
    EXPECT_EQ(receive(), 3U);
    come_back(id, 1);
    EXPECT_EQ(receive(), 4U);
    come_back(id, 2);
    come_back(id, 3);
    EXPECT_EQ(receive(), 5U);
    come_back(id, 4);
    come_back(id, 5);
    EXPECT_FALSE(receive());
    EXPECT_EQ(datapath.counters(id, HW_IN).packets, 7U) << "what comes back is not counted again";
}

TEST_F(Segment, WhatIsLostInTheBacklogIsNotWaitedForForEver)
{
    const auto id = datapath.add("--direction in --loss 0.0000001%");
    EXPECT_EQ(number(cross(id, HW_IN)), 1U);
    EXPECT_EQ(receive(), 2U);
    come_back(id, 2);
    EXPECT_FALSE(receive());
}

TEST_F(Segment, DuplicatesAreFollowedToo)
{
    const auto id = datapath.add("--direction in --duplicate 100%");
    EXPECT_EQ(receive(), 2U) << "behind its copy";
    come_back(id, 2);
}

TEST_F(Segment, DirectionsAndRulesDoNotShareIt)
{
    const auto id = datapath.add("--remote-port 1000 --loss 0.0000001% --direction both");
    datapath.add("--remote-port 1001 --loss 0.0000001% --direction both");
    EXPECT_EQ(number(cross(id, HW_OUT)), 0U) << "what is sent is there at once";
    EXPECT_EQ(number(cross(id, HW_IN)), 1U);
    EXPECT_EQ(datapath.run(Hook::ingress, frame(ipv4({}, tcp(1001, 2000))), on_device).verdict, next);
    EXPECT_EQ(datapath.run(Hook::egress, frame(ipv4({}, tcp(2000, 1000))), on_device).verdict, next);
    EXPECT_EQ(receive(), 2U);
}

TEST_F(Segment, WithoutTheWorkaroundWhatFollowsOvertakes)
{
    Datapath sick({.without = HW_WORKAROUND_ORDER});
    const auto at = sick.add_device("headwind1", device, HW_DEVICE_DEFAULT);
    const auto id = sick.add("--direction in --loss 0.0000001%");
    EXPECT_EQ(number(sick.run(Hook::segment, wire_packet(), sick.marked(id, HW_IN, at))), 1U);
    EXPECT_EQ(sick.run(Hook::ingress, wire_packet(), on_device).verdict, next);
}

TEST_F(Segment, OfARuleThatIsGoneGoesHome)
{
    const auto id = datapath.add("--loss 100%");
    datapath.remove(id);
    const auto outcome = cross(id);
    EXPECT_EQ(outcome.verdict, redirected);
    EXPECT_EQ(outcome.after.cb[3], static_cast<unsigned>(Datapath::nonce) << 16);
}

TEST_F(Segment, SuperPacketsTakeItForWhatIsDecidedOnEach)
{
    line.connect(datapath);
    for (const char* const words : {"--rate 1gbit", "--delay 10ms --jitter 1ms", "--delay 10ms --reorder 1%",
                                    "--delay 10ms --duplicate 100%", "--delay 10ms --corrupt 100%"}) {
        const auto id = datapath.add(words);
        Arrival arrival;
        arrival.gso_size = 100;
        arrival.gso_segs = segments;
        const auto outcome = datapath.run(Hook::egress, frame(ipv4({}, udp(1, 2, payload(1000)))), arrival);
        EXPECT_EQ(outcome.verdict, stolen) << words << ": a clone goes, without owner";
        EXPECT_EQ(outcome.after.tstamp, 0U) << words;
        EXPECT_EQ(datapath.counters(id).delayed, 0U) << words;
        datapath.remove(id);
    }
}

// ---- changed rules ----

TEST_F(Segment, AChangedRuleDrawsItsGapsAnew)
{
    const auto id = datapath.add("--loss 0.0000001%");
    datapath.feed().seed = 3;
    EXPECT_EQ(datapath.out(wire_packet()), next);
    EXPECT_EQ(datapath.feed().dice, 1U) << "a gap of about a thousand million packets";
    datapath.alter(id, "--loss 100%");
    EXPECT_EQ(datapath.out(wire_packet()), stolen);
    EXPECT_EQ(datapath.counters(id).packets, 2U) << "the counters live on";
}

TEST_F(Segment, AChangeDoesNotLetPacketsOvertake)
{
    const auto id = datapath.add("--direction in --loss 0.0000001%");
    EXPECT_EQ(number(cross(id, HW_IN)), 1U);
    const auto changed = datapath.alter(id, "--direction in --loss 0.0000002%");
    EXPECT_EQ(receive(), 2U);
    come_back(id, 1);
    EXPECT_EQ(receive(), 3U);
    come_back(changed, 3);
    EXPECT_FALSE(receive());
}

}  // namespace
}  // namespace headwind::prog::segment_test
