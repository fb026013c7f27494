// SPDX-License-Identifier: MIT
// Tests rate, loss and delay at headwind0's egress (cut), where they are decided once headwind2 has made wire packets.
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "packets.h"
#include "prog_run.h"
#include "replay.h"

namespace headwind::prog::rate_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::tcp;
using packets::udp;

constexpr std::uint64_t now = 1'000'000'000'000, ms = 1'000'000, second = 1000 * ms;
constexpr std::size_t full_frame = 1514;

packets::Bytes packet_of(std::size_t bytes)
{
    return frame(ipv4({}, udp(1000, 2000, payload(bytes - 42))));
}

Arrival super_of(unsigned segments)
{
    Arrival arrival;
    arrival.gso_size = 100;
    arrival.gso_segs = segments;
    return arrival;
}

class Cut : public testing::Test {
protected:
    Cut()
    {
        line.connect(datapath);
        datapath.feed().monotonic = now;
    }
    Outcome cut(std::uint32_t id, std::size_t bytes = full_frame)
    {
        return datapath.run(Hook::segment, packet_of(bytes), datapath.marked(id));
    }

    Line line;
    Datapath datapath;
};

// ---- the way to the cut ----

TEST_F(Cut, OnlySuperPacketsOfRateRulesGoThroughTheCutFirst)
{
    const auto id = datapath.add("--rate 1mbit");
    EXPECT_EQ(datapath.out(packet_of(100)), stolen) << "a clone went, the original is consumed";
    EXPECT_EQ(datapath.out(frame(ipv4({}, tcp(1000, 2000)))), stolen);
    EXPECT_EQ(line.sent_to_pace(), 2U);
    EXPECT_EQ(line.sent_to_cut(), 0U);
    EXPECT_EQ(datapath.counters(id).packets, 2U);
    const auto outcome = datapath.run(Hook::egress, packet_of(1000), super_of(10));
    EXPECT_EQ(outcome.verdict, stolen);
    EXPECT_EQ(outcome.after.cb[4], id);
    EXPECT_EQ(line.sent_to_pace(), 2U);
    EXPECT_EQ(datapath.counters(id).packets - datapath.counters(id).dropped[HW_DROP_LINE], 2U)
        << "counted where it is decided";
}

TEST_F(Cut, WithoutALinePacketsPass)
{
    datapath.add("--rate 1mbit");
    datapath.control().line_segment = datapath.control().line_pace = 0;
    EXPECT_EQ(datapath.out(packet_of(100)), next);
    EXPECT_EQ(datapath.run(Hook::egress, packet_of(1000), super_of(10)).verdict, next);
}

TEST_F(Cut, DelayAndPartitionDoNotGoThere)
{
    datapath.add("--remote-port 2000 --delay 1ms");
    datapath.add("--remote-port 2001 --partition");
    EXPECT_EQ(datapath.out(frame(ipv4({}, tcp(1000, 2000)))), stolen);
    EXPECT_EQ(datapath.out(frame(ipv4({}, tcp(1000, 2001)))), stolen);
    EXPECT_EQ(line.sent_to_cut(), 0U);
    EXPECT_EQ(line.sent_to_pace(), 1U);
}

// ---- rate ----

struct Speed {
    const char* text;
    double bits_per_second;
    std::uint64_t packets;
};

void PrintTo(const Speed& speed, std::ostream* out)
{
    *out << speed.text;
}

class CutRate : public Cut, public testing::WithParamInterface<Speed> {};

// All packets come at once and leave one after the other.
TEST_P(CutRate, PacketsLeaveAtTheRate)
{
    const auto& [text, rate, count] = GetParam();
    const auto id = datapath.add(std::string("--queue 4000s --rate ") + text);
    std::uint64_t first = 0, last = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto outcome = cut(id);
        ASSERT_EQ(outcome.verdict, stolen);
        ASSERT_GT(outcome.after.tstamp, last) << "packet " << i;
        last = outcome.after.tstamp;
        if (i == 0) first = last;
    }
    const double one = 8e9 * full_frame / rate, all = one * static_cast<double>(count);
    EXPECT_NEAR(static_cast<double>(first - now), one, one * 5e-5 + 1) << "the link was idle";
    EXPECT_NEAR(static_cast<double>(last - now), all, all * 5e-5 + 1);
    EXPECT_EQ(datapath.counters(id).delayed, count);
    EXPECT_EQ(datapath.counters(id).bytes, count * full_frame);
}

INSTANTIATE_TEST_SUITE_P(Rates, CutRate,
                         testing::Values(Speed{"9600bit", 9600, 1000}, Speed{"1mbit", 1e6, 10'000},
                                         Speed{"1gbit", 1e9, 20'000}, Speed{"10gbit", 1e10, 20'000},
                                         Speed{"40gbit", 4e10, 20'000}));

TEST_F(Cut, AnIdleLinkDelaysByThePacketAlone)
{
    const auto id = datapath.add("--rate 1gbit");
    for (int i = 0; i < 100; ++i) {
        datapath.feed().monotonic += 20'000;  // a full frame takes 12,112 ns of the link
        EXPECT_NEAR(static_cast<double>(cut(id).after.tstamp - datapath.feed().monotonic), 12'112, 1);
    }
    EXPECT_EQ(datapath.counters(id).delayed, 100U) << "but all go through the pacer: a shortcut would overtake";
}

TEST_F(Cut, ThePacketsOwnDepartureTimeMovesItAndNoOther)
{
    const auto id = datapath.add("--rate 8mbit --queue 10s --delay 5ms");  // 1000 ns a byte
    auto paced = datapath.marked(id);
    paced.departure = true;
    for (const auto& [ahead, kept] : {std::pair(second, second), {3600 * second, 10 * second}}) {
        paced.tstamp = now + ahead;
        EXPECT_EQ(datapath.run(Hook::segment, packet_of(100), paced).after.tstamp, now + kept + 5 * ms);
    }
    EXPECT_EQ(cut(id, 100).after.tstamp, now + 300'000 + 5 * ms) << "it takes its turn on the link, and no more";
}

TEST_F(Cut, AFullQueueDrops)
{
    const auto id = datapath.add("--rate 8mbit --queue 300us");
    EXPECT_EQ(cut(id, 100).after.tstamp, now + 100'000);
    EXPECT_EQ(cut(id, 100).after.tstamp, now + 200'000);
    EXPECT_EQ(cut(id, 100).after.tstamp, now + 300'000);
    const auto outcome = cut(id, 100);
    EXPECT_EQ(outcome.verdict, stolen);
    EXPECT_EQ(outcome.after.tstamp, 0U);
    datapath.feed().monotonic = now + 100'000;
    EXPECT_EQ(cut(id, 100).after.tstamp, now + 400'000) << "room again";
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.packets, 5U);
    EXPECT_EQ(counters.delayed, 4U);
    EXPECT_EQ(counters.dropped[HW_DROP_QUEUE], 1U);
    EXPECT_EQ(line.sent_to_pace(), 4U);
}

TEST_F(Cut, LostPacketsTakeNoTimeOnTheLink)
{
    const auto id = datapath.add("--loss 100% --rate 8mbit");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(cut(id, 100).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], 10U);
    EXPECT_EQ(datapath.instance().states.find({id, HW_OUT})->value().next_free, 0U);
}

// ---- marks, and the way home ----

TEST_F(Cut, WhatIsNotLostGoesHome)
{
    const auto id = datapath.add("--loss 50%");
    datapath.feed().seed = 5;
    Replay replay(datapath.instance().rules.find(id)->value().impairment.events[HW_EVENT_LOSS], 5);
    unsigned home = 0;
    for (std::uint64_t n = 0; n < 1000; ++n) {
        const auto outcome = cut(id, 100);
        const bool lost = replay.next();
        ASSERT_EQ(outcome.verdict, lost ? stolen : redirected) << n;
        if (lost) continue;
        ++home;
        ASSERT_EQ(outcome.after.cb[3] >> 16, Datapath::nonce);
        ASSERT_EQ(outcome.after.cb[4], id);
    }
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], 1000 - home);
    EXPECT_EQ(datapath.counters(id).packets, 1000U);
}

TEST_F(Cut, ThePacketsOwnTcIndexTravelsAlong)
{
    const auto id = datapath.add("--loss 1%");
    auto arrival = datapath.marked(id);
    arrival.cb[3] |= 0x123;
    datapath.feed().seed = 1;
    const auto outcome = datapath.run(Hook::segment, packet_of(100), arrival);
    ASSERT_EQ(outcome.verdict, redirected);
    EXPECT_EQ(outcome.after.cb[3], static_cast<unsigned>(Datapath::nonce) << 16 | 0x123);
}

TEST_F(Cut, ARuleThatIsGoneMeanwhileImpairsNothing)
{
    const auto id = datapath.add("--loss 100%");
    datapath.remove(id);
    EXPECT_EQ(cut(id).verdict, redirected) << "home";
}

TEST_F(Cut, StrangersInTheLinePass)
{
    const auto id = datapath.add("--loss 100%");
    for (const auto hook : {Hook::segment, Hook::pace_out}) {
        EXPECT_EQ(datapath.run(hook, packet_of(100)).verdict, next);
        auto forged = datapath.marked(id);
        forged.tc_index = 0x0401;
        EXPECT_EQ(datapath.run(hook, packet_of(100), forged).verdict, next);
    }
    auto forged = datapath.marked(id);
    forged.cb[3] = 0xbad0000;
    EXPECT_EQ(datapath.run(Hook::pace_out, packet_of(100), forged).verdict, next);
    EXPECT_EQ(datapath.counters(id).packets, 0U);
}

TEST_F(Cut, WhatThePacerLetsGoGoesHome)
{
    const auto id = datapath.add("--delay 10ms");
    datapath.out(packet_of(500));
    auto arrival = datapath.marked(id);
    arrival.tstamp = now + 10 * ms;
    const auto outcome = datapath.run(Hook::pace_out, packet_of(500), arrival);
    EXPECT_EQ(outcome.verdict, redirected);
    EXPECT_EQ(outcome.after.tstamp, 0U) << "the device's own qdisc must not wait again";
}

}  // namespace
}  // namespace headwind::prog::rate_test
