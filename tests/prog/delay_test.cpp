// SPDX-License-Identifier: MIT
// Tests delay at a device's own hook.
//
// The departure time is read off the packet itself: it is stamped before it is cloned. (BPF_PROG_TEST_RUN cannot set
// tstamp_type; the prelude does it with bpf_skb_set_tstamp.)
#include <gtest/gtest.h>

#include <headwind/marks.h>
#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::delay_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::udp;
using packets::usual_packet;

constexpr std::uint64_t now = 1'000'000'000'000, ms = 1'000'000;

class Delay : public testing::Test {
protected:
    Delay()
    {
        line.connect(datapath);
        datapath.feed().monotonic = now;
    }
    Outcome out(const Arrival& arrival = {}) { return datapath.run(Hook::egress, usual_packet(), arrival); }

    Line line;
    Datapath datapath;
};

Arrival ready_at(std::uint64_t time)
{
    Arrival arrival;
    arrival.tstamp = time;
    arrival.departure = true;
    return arrival;
}

TEST_F(Delay, EveryPacketIsStampedAndHandedToThePacer)
{
    const auto id = datapath.add("--delay 250ms");
    for (std::uint64_t i = 1; i <= 5; ++i) {
        datapath.feed().monotonic = now + i;
        const auto outcome = out();
        EXPECT_EQ(outcome.verdict, stolen);
        EXPECT_EQ(outcome.after.tstamp, now + i + 250 * ms);
        EXPECT_EQ(line.sent_to_pace(), i);
    }
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.packets, 5U);
    EXPECT_EQ(counters.delayed, 5U);
    EXPECT_EQ(line.sent_to_cut(), 0U);
}

TEST_F(Delay, OneNanosecondAndTheLongest)
{
    const auto id = datapath.add("--delay 1ns");
    EXPECT_EQ(out().after.tstamp, now + 1);
    datapath.replace(id, "--delay 4294s");
    EXPECT_EQ(out().after.tstamp, now + max_delay);
}

TEST_F(Delay, CountsFromTheEarliestDepartureTime)
{
    datapath.add("--delay 10ms");
    EXPECT_EQ(out(ready_at(now + 3 * ms)).after.tstamp, now + 13 * ms);
    EXPECT_EQ(out(ready_at(now + 1)).after.tstamp, now + 10 * ms + 1);
    EXPECT_EQ(out(ready_at(now - 3 * ms)).after.tstamp, now + 10 * ms) << "a time in the past is over";
}

TEST_F(Delay, AWallClockStampIsNoDepartureTime)
{
    datapath.add("--delay 10ms");
    Arrival received;
    received.tstamp = 1'700'000'000'000'000'000;
    EXPECT_EQ(out(received).after.tstamp, now + 10 * ms);
    received.tstamp = now + 1;
    EXPECT_EQ(out(received).after.tstamp, now + 10 * ms);
}

TEST_F(Delay, WithoutTheWorkaroundAWallClockStampHurts)
{
    Datapath sick({.without = HW_WORKAROUND_TSTAMP});
    line.connect(sick);
    sick.feed().monotonic = now;
    sick.add("--delay 10ms");
    Arrival received;
    received.tstamp = now + 5;
    EXPECT_EQ(sick.run(Hook::egress, usual_packet(), received).after.tstamp, now + 10 * ms + 5);
}

TEST_F(Delay, MarksSayWhose)
{
    datapath.add("--delay 10ms");
    const auto after = out().after;
    EXPECT_EQ(after.cb[3], static_cast<unsigned>(Datapath::nonce) << 16);
    Arrival foreign;
    foreign.tc_index = 0x123;
    foreign.mark = 0xfeed;
    const auto kept = out(foreign).after;
    EXPECT_EQ(kept.cb[3], static_cast<unsigned>(Datapath::nonce) << 16 | 0x123) << "somebody else's tc_index is kept";
    EXPECT_EQ(kept.mark, 0xfeedU);
    foreign.tc_index = HW_MARK_DONE | 0x123;
    EXPECT_EQ(out(foreign).after.cb[3] & 0xffff, 0U) << "another instance's is not";
}

TEST_F(Delay, ThePriorityIsNotForTheLine)
{
    datapath.add("--delay 10ms");
    Arrival arrival;
    arrival.priority = 7;
    const auto held = out(arrival).after;
    EXPECT_EQ(held.priority, 0U);
    EXPECT_EQ(held.cb[4], 7U);
    auto back = datapath.marked(0);
    back.cb[4] = 7;
    const auto after = datapath.run(Hook::pace_out, usual_packet(), back).after;
    EXPECT_EQ(after.priority, 7U);
    EXPECT_EQ(after.cb[0], 7U) << "for ingress, on whose way the kernel clears it";
    auto in = datapath.marked(0, HW_IN);
    in.cb[0] = 5;
    EXPECT_EQ(datapath.run(Hook::ingress, usual_packet(), in).after.priority, 5U);
}

TEST_F(Delay, BothCopiesKeepThePriority)
{
    datapath.add("--delay 10ms --duplicate 100%");
    Arrival arrival;
    arrival.priority = 7;
    EXPECT_EQ(out(arrival).after.cb[4], 7U) << "of the second";
}

TEST_F(Delay, NoMoreIsHeldThanAllowed)
{
    const auto id = datapath.add("--delay 10ms");
    datapath.control().max_held = 1'000'000;
    const auto limit = 1'000'000 - usual_packet().size() - HW_HELD_OVERHEAD;
    datapath.held().bytes = limit;
    EXPECT_EQ(out().verdict, stolen);
    EXPECT_EQ(datapath.counters(id).delayed, 1U);
    datapath.held().bytes = limit + 1;
    EXPECT_EQ(out().verdict, stolen);
    EXPECT_EQ(datapath.counters(id).delayed, 1U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_HELD], 1U);
    EXPECT_EQ(line.sent_to_pace(), 1U);
}

// 900,000 of 1,000,000 bytes are held by whomever: a rule may have 16 times as much as is free, beginning with nothing.
TEST_F(Delay, ARuleMayHoldAMultipleOfWhatIsFree)
{
    const auto greedy = datapath.add("--delay 10s --remote-port 2000"),
               other = datapath.add("--delay 1ms --remote-port 3000");
    datapath.control().max_held = 1'000'000;
    const auto charge = usual_packet().size() + HW_HELD_OVERHEAD;
    const auto fill = [&](std::uint64_t held) {
        datapath.held().bytes = held;
        for (int i = 0; i < 2'000; ++i) datapath.out(usual_packet(2000));
        return datapath.counters(greedy).delayed;
    };
    const auto most = fill(900'000);
    EXPECT_NEAR(static_cast<double>(most * charge), 1'600'000,
                64.0 * static_cast<double>(most) + static_cast<double>(charge));
    EXPECT_EQ(fill(990'000), most);
    const auto state = datapath.instance().states.find({greedy, HW_OUT})->value();
    EXPECT_EQ(state.ring.shift, 30U) << "slots of 1.07 s";
    datapath.out(usual_packet(3000));
    EXPECT_EQ(datapath.counters(other).delayed, 1U);
    datapath.feed().monotonic += 11'000 * ms;
    EXPECT_EQ(fill(900'000), 2 * most) << "all of it has departed";
}

TEST_F(Delay, WhatThePacerRefusesIsCountedAndNotHeld)
{
    const auto id = datapath.add("--delay 10ms");
    datapath.control().line_pace = 99'999;  // no such device
    EXPECT_EQ(out().verdict, stolen);
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.packets, 1U);
    EXPECT_EQ(counters.dropped[HW_DROP_LINE], 1U);
    EXPECT_EQ(counters.delayed, 0U);
}

TEST_F(Delay, WithoutALineOrAStatePacketsPass)
{
    const auto id = datapath.add("--delay 10ms --rate 1mbit");
    datapath.control().line_pace = 0;
    EXPECT_EQ(out().verdict, next);
    line.connect(datapath);
    ASSERT_TRUE(datapath.instance().states.erase({id, HW_OUT}));
    EXPECT_EQ(out().verdict, next);
    EXPECT_EQ(out().after.tstamp, 0U);
    EXPECT_EQ(datapath.counters(id).delayed, 0U);
}

TEST_F(Delay, WhatTheKernelCannotStampPassesAndIsCounted)
{
    const auto id = datapath.add("--proto arp --delay 10ms");
    const auto tagged = datapath.add("--delay 10ms");
    EXPECT_EQ(datapath.out(frame(packets::arp())), next);
    EXPECT_EQ(datapath.counters(id).exempt[HW_EXEMPT_UNSTAMPABLE], 1U);
    EXPECT_EQ(datapath.counters(id).delayed, 0U);
    EXPECT_EQ(datapath.out(frame(packets::vlan(7, ipv4({}, udp(1, 2))))), next) << "the kernel sees a VLAN packet";
    EXPECT_EQ(datapath.counters(tagged).exempt[HW_EXEMPT_UNSTAMPABLE], 1U);
    Arrival beside;
    beside.vlan = 7;
    EXPECT_EQ(out(beside).verdict, stolen) << "as usual: the tag beside the packet";
    EXPECT_EQ(datapath.counters(tagged).delayed, 1U);
}

TEST_F(Delay, RulesOfOneDirectionDoNotShareState)
{
    const auto first = datapath.add("--remote-port 2000 --delay 10ms");
    const auto second = datapath.add("--remote-port 2001 --delay 20ms");
    EXPECT_EQ(out().after.tstamp, now + 10 * ms);
    EXPECT_EQ(datapath.run(Hook::egress, usual_packet(2001)).after.tstamp, now + 20 * ms);
    EXPECT_EQ(datapath.counters(first).delayed, 1U);
    EXPECT_EQ(datapath.counters(second).delayed, 1U);
}

// ---- packets that come back ----

TEST_F(Delay, APacketThatCameBackPasses)
{
    const auto id = datapath.add("--delay 10ms");
    EXPECT_EQ(out(datapath.marked(id)).verdict, next);
    EXPECT_EQ(datapath.counters(id).packets, 0U);
    Arrival twice;
    twice.repeat = 2;  // the second run meets the packet as the first one marked it
    EXPECT_EQ(out(twice).verdict, next);
    EXPECT_EQ(datapath.counters(id).packets, 1U);
}

TEST_F(Delay, ItsOwnTcIndexIsGivenBack)
{
    const auto id = datapath.add("--delay 10ms");
    auto back = datapath.marked(id);
    back.cb[3] |= 0x123;
    back.repeat = 2;  // once it is back, its tc_index is foreign again: the second run delays it
    const auto after = out(back).after;
    EXPECT_EQ(datapath.counters(id).delayed, 1U);
    EXPECT_EQ(after.cb[3], static_cast<unsigned>(Datapath::nonce) << 16 | 0x123);
}

TEST_F(Delay, TheMarkAloneProvesNothing)
{
    const auto id = datapath.add("--delay 10ms");
    auto forged = datapath.marked(id);
    forged.cb[3] = 0;
    EXPECT_EQ(out(forged).verdict, stolen) << "the nonce is missing";
    EXPECT_EQ(datapath.counters(id).delayed, 1U);
    Arrival foreign;
    for (const unsigned tc_index : {0U, 1U, 0x3ffU, unsigned{HW_MARK(HW_OUT, 1)}, unsigned{HW_MARK_DONE}, 0xffffU}) {
        foreign.tc_index = static_cast<std::uint16_t>(tc_index);
        EXPECT_EQ(out(foreign).verdict, stolen) << tc_index;
    }
}

TEST_F(Delay, APacketImpairedAtAnotherHookPassesForSomeSeconds)
{
    constexpr std::uint64_t epoch = 7;
    const auto secret = datapath.control().secret;
    const auto id = datapath.add("--delay 10ms");
    datapath.feed().boottime = epoch << 32;
    const auto at = [&](std::uint64_t number) {
        Arrival arrival;
        arrival.tc_index = hw_done_mark(secret, number);
        return arrival;
    };
    EXPECT_EQ(out(at(epoch)).verdict, next);
    EXPECT_EQ(out(at(epoch - 1)).verdict, next);
    EXPECT_EQ(datapath.counters(id).packets, 0U);
    EXPECT_EQ(out(at(epoch - 2)).verdict, stolen);
    EXPECT_EQ(out(at(epoch + 1)).verdict, stolen);
    datapath.control().secret = secret + 1;
    EXPECT_EQ(out(at(epoch)).verdict, stolen) << "another instance's";
}

TEST_F(Delay, AMarkFromAnotherNamespaceProvesNothing)
{
    const auto id = datapath.add("--delay 10ms --direction both");
    Arrival done;
    done.tc_index = hw_done_mark(datapath.control().secret, 0);
    EXPECT_EQ(datapath.run(Hook::ingress, usual_packet(), done).verdict, next);
    datapath.control().devices[1].flags |= HW_DEVICE_BORDER;
    EXPECT_EQ(datapath.run(Hook::ingress, usual_packet(), done).verdict, stolen);
    EXPECT_EQ(out(done).verdict, next) << "what goes out there was in this one";
    EXPECT_EQ(datapath.run(Hook::ingress, usual_packet(), datapath.marked(id, HW_IN)).verdict, next)
        << "the line is ours";
}

}  // namespace
}  // namespace headwind::prog::delay_test
