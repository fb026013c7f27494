// The detour through headwind0: which super-packets take it, and what follows them as long as they are on their way.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"
#include "replay.h"

namespace headwind::prog {
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

class Detour : public testing::Test {
protected:
    Detour() { datapath.control().line_cut = datapath.control().line_pace = 99'998; }
    // Number of the detour that the packet takes; nothing if it is decided at once.
    std::optional<std::uint32_t> sent(const Outcome& outcome)
    {
        if (outcome.verdict != redirected) return std::nullopt;
        EXPECT_EQ(outcome.after.cb[3] >> 16, Datapath::nonce);
        return outcome.after.cb[2];
    }
    std::optional<std::uint32_t> wire() { return sent(datapath.run(Hook::egress, wire_packet())); }
    std::optional<std::uint32_t> super(unsigned of = segments)
    {
        Arrival arrival;
        arrival.gso_size = 20;
        arrival.gso_segs = of;
        return sent(datapath.run(Hook::egress, frame(ipv4({}, tcp(1000, 2000, payload(20 * of)))), arrival));
    }
    // Wire packets of one detour come out of headwind1.
    Outcome arrive(std::uint32_t id, std::uint32_t detour, unsigned packets = 1)
    {
        Outcome last;
        for (unsigned i = 0; i < packets; ++i) {
            auto arrival = datapath.marked(id);
            arrival.cb[2] = detour;
            last = datapath.run(Hook::cut_in, wire_packet(), arrival);
        }
        return last;
    }

    Datapath datapath;
};

TEST_F(Detour, WhatFollowsASuperPacketTakesItToo)
{
    const auto id = datapath.add("--loss 100%");
    EXPECT_FALSE(wire()) << "nothing is on its way";
    EXPECT_EQ(super(), 1U);
    EXPECT_EQ(wire(), 2U);
    EXPECT_EQ(super(), 3U);
    EXPECT_EQ(datapath.counters(id).packets, 1U) << "the others are counted where they come out";
    arrive(id, 1, segments);
    EXPECT_EQ(wire(), 4U);
    arrive(id, 2);
    arrive(id, 3, segments);
    EXPECT_EQ(wire(), 5U);
    arrive(id, 4);
    EXPECT_EQ(wire(), 6U);
    arrive(id, 5);
    arrive(id, 6);
    EXPECT_FALSE(wire());
    EXPECT_EQ(datapath.counters(id).packets, 2 + 4 + 2 * segments);
}

TEST_F(Detour, EndsWithTheLastWirePacketOfTheLastOne)
{
    const auto id = datapath.add("--loss 100%");
    ASSERT_EQ(super(), 1U);
    arrive(id, 1, segments - 1);
    ASSERT_EQ(wire(), 2U) << "one of them is still to come";
    arrive(id, 1);
    arrive(id, 2);
    EXPECT_FALSE(wire());
    ASSERT_EQ(super(), 3U);
    arrive(id, 3, segments);
    EXPECT_FALSE(wire());
}

TEST_F(Detour, WhatIsLostOnItDoesNotKeepItOpen)
{
    const auto id = datapath.add("--loss 100%");
    ASSERT_EQ(super(), 1U);
    arrive(id, 1, segments / 2);
    ASSERT_EQ(wire(), 2U);
    arrive(id, 2);
    EXPECT_FALSE(wire());
}

TEST_F(Detour, NumbersBeginAnewAfter16Bits)
{
    const auto id = datapath.add("--loss 100%");
    ASSERT_EQ(super(), 1U);
    for (std::uint32_t number = 2; number < 65'536; ++number) ASSERT_EQ(wire(), number);
    EXPECT_EQ(super(), 0U);
    EXPECT_EQ(wire(), 1U);
    arrive(id, 65'535);
    arrive(id, 0, segments);
    EXPECT_EQ(wire(), 2U);
    arrive(id, 1);
    arrive(id, 2);
    EXPECT_FALSE(wire());
}

TEST_F(Detour, SuperPacketsWithoutAnEventStayWhole)
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
        const auto detour = super(of);
        ASSERT_EQ(detour.has_value(), any) << i;
        ++(detour ? cut : whole);
        if (!detour) continue;
        for (const bool fate : fates) {
            ASSERT_EQ(arrive(id, *detour).verdict, fate ? stolen : redirected) << i;
            lost += fate;
        }
    }
    EXPECT_GT(whole, 1000U);
    EXPECT_GT(cut, 1000U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_CAUSE_LOSS], lost);
}

TEST_F(Detour, DirectionsAndRulesDoNotShareIt)
{
    datapath.add("--remote-port 2000 --loss 100% --direction both");
    const auto other = datapath.add("--remote-port 2001 --loss 100%");
    ASSERT_EQ(super(), 1U);
    EXPECT_EQ(datapath.out(frame(ipv4({}, tcp(1000, 2001)))), stolen);
    EXPECT_EQ(datapath.counters(other).packets, 1U);
    EXPECT_EQ(datapath.in(frame(ipv4({}, tcp(2000, 1000)))), stolen);
    EXPECT_EQ(wire(), 2U);
}

TEST_F(Detour, WithoutTheCureWhatFollowsOvertakes)
{
    Datapath sick({.without = HW_CURE_ORDER});
    sick.control().line_cut = 99'998;
    sick.add("--loss 100%");
    Arrival arrival;
    arrival.gso_size = 100;
    arrival.gso_segs = 2;
    EXPECT_EQ(sick.run(Hook::egress, frame(ipv4({}, tcp(1, 2, payload(200)))), arrival).verdict, redirected);
    EXPECT_EQ(sick.out(wire_packet()), stolen);
}

TEST_F(Detour, SuperPacketsTakeItForWhatIsDecidedOnEach)
{
    Line line;
    line.connect(datapath);
    for (const char* const words : {"--rate 1gbit", "--delay 10ms --jitter 1ms", "--delay 10ms --reorder 1%",
                                    "--delay 10ms --duplicate 100%", "--delay 10ms --corrupt 100%"}) {
        const auto id = datapath.add(words);
        Arrival arrival;
        arrival.gso_size = 100;
        arrival.gso_segs = segments;
        const auto outcome = datapath.run(Hook::egress, frame(ipv4({}, udp(1, 2, payload(1000)))), arrival);
        EXPECT_EQ(outcome.after.cb[2], 1U) << words;
        EXPECT_EQ(outcome.verdict, stolen) << words << ": a clone goes, without owner";
        EXPECT_EQ(outcome.after.tstamp, 0U) << words;
        EXPECT_EQ(datapath.counters(id).delayed, 0U) << words;
        datapath.remove(id);
    }
}

// ---- a rule is changed ----

TEST_F(Detour, AChangedRuleDrawsItsGapsAnew)
{
    const auto id = datapath.add("--loss 0.0000001%");
    datapath.feed().seed = 3;
    EXPECT_EQ(datapath.out(wire_packet()), next);
    EXPECT_EQ(datapath.feed().dice, 1U) << "a gap of about a thousand million packets";
    datapath.alter(id, "--loss 100%");
    EXPECT_EQ(datapath.out(wire_packet()), stolen);
    EXPECT_EQ(datapath.counters(id).packets, 2U) << "the counters live on";
}

TEST_F(Detour, AChangeDoesNotLetPacketsOvertake)
{
    const auto id = datapath.add("--loss 100%");
    ASSERT_EQ(super(), 1U);
    const auto changed = datapath.alter(id, "--loss 0.0000001%");
    EXPECT_EQ(wire(), 2U);
    arrive(id, 1, segments);
    arrive(changed, 2);
    EXPECT_FALSE(wire());
    EXPECT_EQ(datapath.counters(id).packets, segments + 2);
}

}  // namespace
}  // namespace headwind::prog
