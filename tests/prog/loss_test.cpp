// SPDX-License-Identifier: MIT
// Loss by the real program: each drop is as predicted from the dice, and their distribution is right.
#include <gtest/gtest.h>

#include <headwind/model.h>
#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"
#include "replay.h"
#include "verify/statistics.h"

namespace headwind::prog::loss_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::udp;
using packets::usual_packet;

constexpr double alpha = 1e-6;
constexpr unsigned million = 1'000'000;

hw_chance loss_of(Datapath& datapath, std::uint32_t id)
{
    return datapath.instance().rules.find(id)->value().impairment.events[HW_EVENT_LOSS];
}

Arrival a_million_times()
{
    Arrival arrival;
    arrival.repeat = million;
    arrival.unmarked = true;
    return arrival;
}

struct Case {
    const char* text;
    double probability;
};

class Loss : public testing::TestWithParam<Case> {};

TEST_P(Loss, OfAMillionPacketsIsAsPredictedAndAsAskedFor)
{
    for (const std::uint64_t seed : {1U, 2U}) {
        Datapath datapath;
        const auto id = datapath.add(std::string("--loss ") + GetParam().text);
        datapath.feed().seed = seed;
        datapath.run(Hook::egress, usual_packet(), a_million_times());
        Replay replay(loss_of(datapath, id), seed);
        std::uint64_t predicted = 0;
        for (unsigned n = 0; n < million; ++n) predicted += replay.next();
        const auto counters = datapath.counters(id);
        const auto lost = counters.dropped[HW_DROP_LOSS];
        EXPECT_EQ(counters.packets, million);
        EXPECT_EQ(counters.bytes, million * usual_packet().size());
        EXPECT_EQ(datapath.feed().dice, replay.gaps()) << "one die from one loss to the next";
        EXPECT_EQ(lost, predicted);
        EXPECT_GT(statistics::binomial_p_value(lost, million, GetParam().probability), alpha) << lost;
    }
}

INSTANTIATE_TEST_SUITE_P(Probabilities, Loss,
                         testing::Values(Case{"0.01%", 0.0001}, Case{"0.1%", 0.001}, Case{"0.5%", 0.005},
                                         Case{"1%", 0.01}, Case{"5%", 0.05}, Case{"10%", 0.1}, Case{"33.333%", 0.33333},
                                         Case{"50%", 0.5}, Case{"100%", 1}));

TEST(LossByKernel, DiceOfTheKernelAreOfTheSameLaw)
{
    Datapath datapath({.fed = false});
    for (const auto& [text, probability] :
         {Case{"0.01%", 0.0001}, Case{"1%", 0.01}, Case{"50%", 0.5}, Case{"100%", 1}}) {
        const auto id = datapath.add(std::string("--loss ") + text);
        datapath.run(Hook::egress, usual_packet(), a_million_times());
        const auto lost = datapath.counters(id).dropped[HW_DROP_LOSS];
        EXPECT_GT(statistics::binomial_p_value(lost, million, probability), alpha) << text << ": " << lost;
        datapath.remove(id);
    }
}

TEST(LossByPacket, EachMeetsItsFate)
{
    constexpr std::uint64_t seed = 77, count = 200'000;
    constexpr double probability = 0.1;
    Datapath datapath;
    const auto id = datapath.add("--loss 10%");
    datapath.feed().seed = seed;
    Replay replay(loss_of(datapath, id), seed);
    std::vector<std::uint64_t> gaps;
    std::uint64_t gap = 0;
    for (std::uint64_t n = 0; n < count; ++n) {
        const bool lost = datapath.out(usual_packet()) == stolen;
        ASSERT_EQ(lost, replay.next()) << "packet " << n;
        ++gap;
        if (lost) gaps.push_back(std::exchange(gap, 0));
    }
    EXPECT_GT(statistics::geometric_p_value(gaps, probability), alpha);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], gaps.size());
}

TEST(LossByPacket, NoneAtZeroPercent)
{
    Datapath datapath;
    const auto id = datapath.add("--loss 0% --delay 1ms");  // without a line the packet passes
    const auto outcome = datapath.run(Hook::egress, usual_packet(), a_million_times());
    EXPECT_EQ(outcome.verdict, next);
    EXPECT_EQ(datapath.counters(id).packets, million);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], 0U);
    EXPECT_EQ(datapath.feed().dice, 0U);
}

TEST(LossByPacket, OnlyMatchedPacketsThrowDice)
{
    Datapath datapath;
    datapath.add("--remote-port 2000 --loss 50%");
    datapath.out(frame(ipv4({}, udp(1000, 2001))));
    datapath.in(usual_packet());
    EXPECT_EQ(datapath.feed().dice, 0U);
    datapath.out(usual_packet());
    EXPECT_EQ(datapath.feed().dice, 1U);
}

TEST(LossByPacket, DirectionsAreCountedApart)
{
    Datapath datapath;
    const auto id = datapath.add("--loss 100% --direction both");
    datapath.out(usual_packet());
    datapath.in(usual_packet());
    datapath.in(usual_packet());
    EXPECT_EQ(datapath.counters(id, HW_OUT).dropped[HW_DROP_LOSS], 1U);
    EXPECT_EQ(datapath.counters(id, HW_IN).dropped[HW_DROP_LOSS], 2U);
}

TEST(Partition, DropsEveryPacketWithoutDice)
{
    Datapath datapath;
    const auto id = datapath.add("--partition");
    EXPECT_EQ(datapath.run(Hook::egress, usual_packet(), a_million_times()).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_PARTITION], million);
    EXPECT_EQ(datapath.feed().dice, 0U);
}

TEST(Drops, AreSilentInEachWayOfAttaching)
{
    for (const auto& [tcx, without, verdict] :
         {std::tuple(false, 0U, stolen), {true, 0U, redirected}, {true, unsigned{HW_WORKAROUND_SILENT}, shot}}) {
        Datapath datapath({.tcx = tcx, .without = without});
        datapath.add("--partition");
        EXPECT_EQ(datapath.out(usual_packet()), verdict);
    }
}

}  // namespace
}  // namespace headwind::prog::loss_test
