// SPDX-License-Identifier: MIT
// Jitter and reordering by the program: as predicted from the dice, and with the right distribution.
#include <cmath>

#include <gtest/gtest.h>

#include <headwind/model.h>

#include "datapath/distribution.h"
#include "packets.h"
#include "prog_run.h"
#include "verify/statistics.h"

namespace headwind::prog::order_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::udp;

constexpr double alpha = 1e-6;
constexpr std::uint64_t now = 1'000'000'000'000, ms = 1'000'000;
constexpr unsigned runs = 20'000;

class Order : public testing::Test {
protected:
    Order()
    {
        line.connect(datapath);
        datapath.feed() = {.monotonic = now, .boottime = 0, .tai = 0, .dice = 0, .seed = 12};
    }
    hw_impairment impairment(std::uint32_t id) { return datapath.instance().rules.find(id)->value().impairment; }
    // The time in ns until the packet leaves.
    std::uint64_t delay(Hook hook, std::uint32_t id)
    {
        const auto arrival = hook == Hook::segment ? datapath.marked(id) : Arrival{};
        const auto outcome = datapath.run(hook, frame(ipv4({}, udp(1000, 2000, payload(58)))), arrival);
        EXPECT_EQ(outcome.verdict, stolen);
        return outcome.after.tstamp - now;
    }
    std::vector<double> delays(Hook hook, std::uint32_t id)
    {
        const auto imp = impairment(id);
        std::vector<double> out(runs);
        for (auto& one : out) {
            const auto dice = hw_dice(12, datapath.feed().dice);
            const auto found = delay(hook, id);
            EXPECT_EQ(found, hw_jittered(&imp, dice, normal_samples()[dice >> 20]));
            one = static_cast<double>(found);
        }
        EXPECT_EQ(datapath.counters(id).delayed, runs);
        return out;
    }

    Line line;
    Datapath datapath;
};

TEST_F(Order, JitterIsUniform)
{
    const auto id = datapath.add("--delay 100ms --jitter 30ms");
    const auto distance = statistics::ks_distance(delays(Hook::egress, id),
                                                  [](double x) { return std::clamp((x - 70e6) / 60e6, 0.0, 1.0); });
    EXPECT_GT(statistics::ks_p_value(distance, runs), alpha);
}

TEST_F(Order, JitterIsNormalByTheTableInTheKernel)
{
    for (const auto hook : {Hook::egress, Hook::segment}) {
        const auto id = datapath.add("--delay 100ms --jitter 10ms --distribution normal");
        const auto distance = statistics::ks_distance(
            delays(hook, id), [](double x) { return 0.5 * std::erfc(-(x - 100e6) / 10e6 / std::sqrt(2.0)); });
        EXPECT_GT(statistics::ks_p_value(distance, runs), alpha);
        datapath.remove(id);
    }
}

TEST_F(Order, JitterComesAfterTheRate)
{
    const auto id = datapath.add("--rate 8mbit --queue 1000s --delay 10ms --jitter 10ms");  // 100 us a packet
    const auto imp = impairment(id);
    for (std::uint64_t n = 0; n < 1000; ++n)
        ASSERT_EQ(delay(Hook::egress, id), (n + 1) * 100'000 + hw_jittered(&imp, hw_dice(12, n), 0)) << n;
    EXPECT_EQ(datapath.instance().states.find({id, HW_OUT})->value().next_free, now + 1000 * 100'000);
}

TEST_F(Order, EachPacketHasADieOfItsOwn)
{
    const auto id = datapath.add("--delay 10ms --jitter 5ms --reorder 50%");
    delay(Hook::egress, id);
    EXPECT_EQ(datapath.feed().dice, 2U) << "jitter and reordering do not depend on each other";
    datapath.remove(id);
    delay(Hook::egress, datapath.add("--delay 10ms"));
    EXPECT_EQ(datapath.feed().dice, 2U);
}

TEST_F(Order, EveryGapthPacketGoesWithoutDelay)
{
    const auto id = datapath.add("--delay 10ms --reorder 100% --reorder-gap 5");
    for (unsigned n = 1; n <= 50; ++n) ASSERT_EQ(delay(Hook::egress, id), n % 5 == 0 ? 0U : 10 * ms) << n;
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.reordered, 10U);
    EXPECT_EQ(counters.delayed, 50U) << "all go through the pacer: a shortcut would overtake more";
}

TEST_F(Order, ReorderingIsGapAndGeometric)
{
    constexpr double probability = 0.25;
    constexpr unsigned gap = 3;
    const auto id = datapath.add("--delay 10ms --reorder 25% --reorder-gap 3");
    std::vector<std::uint64_t> beyond;
    std::uint64_t distance = 0;
    for (std::uint64_t n = 0; n < runs; ++n) {
        ++distance;
        const bool at_once = delay(Hook::egress, id) == 0;
        ASSERT_EQ(at_once, distance >= gap && hw_dice(12, n) < impairment(id).reorder) << n;
        if (at_once) beyond.push_back(std::exchange(distance, 0) - (gap - 1));
    }
    EXPECT_GT(statistics::geometric_p_value(beyond, probability), alpha);
    EXPECT_EQ(datapath.counters(id).reordered, beyond.size());
}

TEST_F(Order, AReorderedPacketStillWaitsForTheRate)
{
    const auto id = datapath.add("--delay 10ms --reorder 100% --rate 8mbit --queue 1s");
    for (std::uint64_t n = 0; n < 10; ++n) EXPECT_EQ(delay(Hook::egress, id), (n + 1) * 100'000);
    EXPECT_EQ(datapath.counters(id).reordered, 10U);
}

}  // namespace
}  // namespace headwind::prog::order_test
