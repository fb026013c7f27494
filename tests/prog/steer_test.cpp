// SPDX-License-Identifier: MIT
// Steering: what is cut goes home by headwind0, and so does what its flow sends after it, until it pauses.
#include <gtest/gtest.h>

#include <headwind/marks.h>
#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::steer_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::tcp;

constexpr std::uint64_t us = 1'000, ms = 1'000 * us, rest = ms, lost = 100 * ms;
constexpr std::uint16_t port = 1000;
constexpr const char* hardly_ever = "--loss 0.0000001%";

packets::Bytes from(std::uint16_t source)
{
    return frame(ipv4({}, tcp(source, 2000, payload(100))));
}

class Steer : public testing::Test {
protected:
    explicit Steer(const Options& options = {}) : datapath(options)
    {
        auto& control = datapath.control();
        control.line_segment = control.line_return = control.line_pace = 99'998;
        control.steers = 1;
        datapath.feed().seed = 3;
        datapath.feed().monotonic = 1'000 * ms;
    }
    static bool is_steered(const Outcome& outcome)
    {
        EXPECT_TRUE(outcome.verdict == redirected || outcome.verdict == next) << outcome.verdict;
        if (outcome.verdict == next) return false;
        EXPECT_EQ(outcome.after.cb[3] >> 16, Datapath::nonce);
        return true;
    }
    // A wire packet of the flow comes out of headwind2.
    Outcome cut(std::uint32_t id, hw_direction direction = HW_OUT)
    {
        return datapath.run(Hook::segment, from(port), datapath.marked(id, direction));
    }
    bool sends(std::uint16_t source = port) { return is_steered(datapath.run(Hook::egress, from(source))); }
    Outcome leave(unsigned packets = 1)
    {
        Arrival arrival = datapath.marked(0);
        *arrival.tc_index |= HW_MARK_STEERED;
        arrival.cb[4] = 6;  // its priority
        arrival.tstamp = 77;
        arrival.departure = true;
        Outcome outcome;
        for (unsigned i = 0; i < packets; ++i) outcome = datapath.run(Hook::pace_out, from(port), arrival);
        EXPECT_EQ(outcome.verdict, redirected);
        return outcome;
    }
    void wait(std::uint64_t ns) { datapath.feed().monotonic += ns; }

    Datapath datapath;
};

TEST_F(Steer, WhatFollowsACutPacketDoesUntilTheFlowPauses)
{
    const auto id = datapath.add(hardly_ever);
    EXPECT_FALSE(sends()) << "nothing was cut";
    EXPECT_TRUE(is_steered(cut(id)));
    EXPECT_TRUE(sends());
    wait(rest - 1);
    leave(2);
    for (unsigned i = 0; i < 10; ++i) {  // it goes on sending
        wait(rest - 1);
        EXPECT_TRUE(sends()) << i;
        leave();
    }
    wait(rest);
    EXPECT_FALSE(sends());
    EXPECT_FALSE(sends());
    EXPECT_EQ(datapath.counters(id).packets, 15U) << "each once";
}

TEST_F(Steer, WhatIsOnItsWayIsNotOvertakenHoweverLongItTakes)
{
    const auto id = datapath.add(hardly_ever);
    cut(id);
    cut(id);
    wait(50 * rest);
    EXPECT_TRUE(sends());
    leave(2);
    wait(50 * rest);
    EXPECT_TRUE(sends()) << "one has not come yet";
    leave(2);
    wait(rest);
    EXPECT_FALSE(sends());
}

TEST_F(Steer, WhatIsLostOnItsWayIsNotWaitedForForEver)
{
    const auto id = datapath.add(hardly_ever);
    cut(id);
    wait(lost - 1);
    EXPECT_TRUE(sends());
    wait(lost);
    EXPECT_FALSE(sends());
    cut(id);
    leave();
    wait(rest);
    EXPECT_FALSE(sends()) << "it was forgotten";
}

TEST_F(Steer, OtherFlowsGoOnAtOnce)
{
    const auto id = datapath.add(hardly_ever);
    cut(id);
    unsigned steered = 0;
    for (std::uint16_t other = port + 1; other <= port + 100; ++other) steered += sends(other) ? 1U : 0U;
    EXPECT_LT(steered, 5U) << "it shares its slot with one of 4,096";  // P(5 or more of 100) < 1e-9
    EXPECT_TRUE(sends());
}

TEST_F(Steer, OnlyWhatARuleMatches)
{
    const auto id = datapath.add(std::string(hardly_ever) + " --proto udp");
    cut(id);
    EXPECT_FALSE(sends());
    datapath.add("--pass --proto tcp");
    EXPECT_FALSE(sends());
}

TEST_F(Steer, WhatComesInHasItsOwnWay)
{
    const auto id = datapath.add(std::string(hardly_ever) + " --direction in");
    EXPECT_EQ(cut(id, HW_IN).after.cb[2], 1U << 1 | HW_IN) << "a number of the backlog's";
}

TEST_F(Steer, KeepsPriorityAndDepartureTime)
{
    const auto id = datapath.add(hardly_ever);
    cut(id);
    Arrival urgent;
    urgent.priority = 5;
    const auto sent = datapath.run(Hook::egress, from(port), urgent);
    EXPECT_TRUE(is_steered(sent));
    EXPECT_EQ(sent.after.cb[4], 5U);
    const auto left = leave();
    EXPECT_EQ(left.after.priority, 6U);
    EXPECT_EQ(left.after.tstamp, 77U);
}

TEST_F(Steer, NotWhereOneCpuReceivesAnyway)
{
    datapath.control().steers = 0;
    const auto id = datapath.add(hardly_ever);
    EXPECT_TRUE(is_steered(cut(id))) << "straight to the device";
    EXPECT_FALSE(sends());
}

class SteerNot : public Steer {
protected:
    SteerNot() : Steer({.without = HW_WORKAROUND_STEER}) {}
};

TEST_F(SteerNot, ItOvertakesWithoutTheWorkaround)
{
    const auto id = datapath.add(hardly_ever);
    cut(id);
    EXPECT_FALSE(sends());
}

}  // namespace
}  // namespace headwind::prog::steer_test
