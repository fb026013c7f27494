// SPDX-License-Identifier: MIT
// Jitter and reordering by the program: as predicted from the dice, and with the right distribution.
#include <cmath>

#include <gtest/gtest.h>

#include <headwind/sequence.h>
#include <headwind/smooth.h>

#include "chance/law.h"
#include "packets.h"
#include "prog_run.h"
#include "rule_test.h"
#include "ruleset/transaction.h"
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
    std::uint64_t expected_delay(const hw_impairment& imp, std::uint32_t dice)
    {
        if (imp.law == 0) return hw_uniform(imp.delay, imp.jitter, dice);
        const auto law = datapath.instance().laws.find(imp.law)->value();
        return hw_by_law(imp.delay, imp.jitter, hw_law_at(&law, std::int64_t{hw_score(&normal_scores(), dice)} << 8));
    }
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
            EXPECT_EQ(found, expected_delay(imp, dice));
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

TEST_F(Order, DelaysHaveTheirLaw)
{
    for (const std::string name : {"normal", "pareto", "paretonormal", "exponential", "lognormal"})
        for (const auto hook : {Hook::egress, Hook::segment}) {
            const auto words = "--delay 100ms --jitter 10ms --distribution " + name;
            const auto id = datapath.add(words);
            const auto law = delay_law(rule_test::valid(words).impairment);
            const auto distance = statistics::ks_distance(
                delays(hook, id), [&law](double x) { return share_up_to(law, (x - 100e6) / 10e6); });
            EXPECT_GT(statistics::ks_p_value(distance, runs), alpha) << name;
            datapath.remove(id);
        }
}

// The sequence says each packet's score, in whatever hook it is; a copy's follows its packet's.
TEST_F(Order, CorrelatedDelaysAreThoseOfTheSequence)
{
    for (const std::string name : {"uniform", "exponential"}) {
        const auto id =
            datapath.add("--delay 100ms --jitter 10ms --delay-correlation 80% --loss 10% --distribution " + name);
        const auto imp = impairment(id);
        const auto law = datapath.instance().laws.find(imp.law)->value();
        const auto sequence = datapath.instance().sequences.find(id)->value();
        hw_progress progress{};
        hw_sequence_begin(&sequence, &progress, id, HW_OUT);
        std::vector<double> found;
        for (unsigned n = 0; n < runs; ++n) {
            hw_fate fate{};
            hw_sequence_fate(&sequence, &normal_scores(), &progress, &fate);
            if (fate.events >> HW_EVENT_LOSS & 1) {
                ASSERT_NE(datapath.run(Hook::egress, frame(ipv4({}, udp(1, 2, payload(58))))).after.tstamp, 1U);
                continue;
            }
            ASSERT_EQ(delay(n % 2 != 0 ? Hook::egress : Hook::segment, id),
                      hw_by_law(imp.delay, imp.jitter, hw_law_at(&law, std::int64_t{fate.score} << 8)))
                << n;
        }
        EXPECT_EQ(datapath.counters(id).packets, runs);
        datapath.remove(id);
    }
}

// A function of the time alone: not of dice, not of how many packets there were.
TEST_F(Order, SmoothDelaysAreThoseOfTheirTime)
{
    for (const std::string words :
         {"--distribution normal", "--distribution exponential", "--correlation-time 200ms"}) {
        const auto id = datapath.add("--delay 20ms --jitter 5ms --keep-order " + words);
        const auto imp = impairment(id);
        const auto law = datapath.instance().laws.find(imp.law)->value();
        const auto seed = hw_bits(datapath.control().secret, std::uint64_t{id} << 1 | HW_OUT);
        for (std::uint64_t n = 0; n < 2000; ++n) {
            datapath.feed().monotonic = now + n * n * 1'000;
            const auto hook = n % 2 != 0 ? Hook::egress : Hook::segment;
            const auto at = datapath.feed().monotonic;
            const auto score = hw_smooth_score(&normal_scores(), seed, imp.correlation_time, at);
            ASSERT_EQ(now + delay(hook, id), at + hw_by_law(imp.delay, imp.jitter, hw_law_at(&law, score))) << n;
        }
        EXPECT_EQ(datapath.feed().dice, 0U);
        datapath.remove(id);
    }
}

// Of packets that TCP has spread over the next milliseconds, the times they were to go at count.
TEST_F(Order, SmoothDelaysAddToDepartureTimes)
{
    const auto id = datapath.add("--delay 20ms --jitter 5ms --keep-order");
    const auto packet = frame(ipv4({}, udp(1000, 2000, payload(58))));
    std::uint64_t before = 0;
    for (std::uint64_t n = 0; n < 3000; ++n) {
        const auto due = now + 1 + n * 5'000;
        Arrival paced;
        paced.tstamp = due;
        paced.departure = true;
        const auto outcome = datapath.run(Hook::egress, packet, paced);
        ASSERT_GT(outcome.after.tstamp, before) << n;
        before = outcome.after.tstamp;
        const auto wait = static_cast<double>(before - due);
        ASSERT_NEAR(wait, 20e6, 5e6);
    }
    EXPECT_EQ(datapath.counters(id).delayed, 3000U);
}

TEST_F(Order, SuperPacketsStayWholeWhereOrderIsKept)
{
    const packets::Bytes big = frame(ipv4({}, udp(1000, 2000, payload(3000))));
    Arrival super;
    super.gso_size = 1000;
    super.gso_segs = 3;
    const auto jittered = datapath.add("--delay 20ms --jitter 5ms");
    EXPECT_EQ(datapath.run(Hook::egress, big, super).after.tstamp, 0U) << "it went to be segmented";
    datapath.remove(jittered);
    const auto smooth = datapath.add("--delay 20ms --jitter 5ms --keep-order");
    EXPECT_GT(datapath.run(Hook::egress, big, super).after.tstamp, now) << "stamped as it is";
    EXPECT_EQ(datapath.counters(smooth).packets, 3U);
}

// netem's order: the delay, then the link.
TEST_F(Order, PacketsQueueForALinkBehindTheirDelay)
{
    const auto id =
        datapath.add("--delay 10ms --jitter 10ms --rate 8mbit --rate-last --queue 1000s");  // 100 us a packet
    const auto imp = impairment(id);
    std::uint64_t free = 0;
    for (std::uint64_t n = 0; n < 1000; ++n) {
        const auto passed = std::max<std::uint64_t>(free, hw_uniform(imp.delay, imp.jitter, hw_dice(12, n))) + 100'000;
        ASSERT_EQ(delay(Hook::egress, id), passed) << n;
        free = passed;
    }
    EXPECT_GT(free, 100 * ms);
}

// What waits because a packet before it is delayed for longer is not in the queue of the link.
TEST_F(Order, AQueueBehindTheDelayIsThatOfTheLinkAlone)
{
    const auto id = datapath.add("--delay 100ms --jitter 100ms --rate 8mbit --rate-last --queue 1ms");
    for (unsigned n = 0; n < 300; ++n) {  // 100 us each on the link, and one comes each millisecond
        datapath.feed().monotonic = now + n * ms;
        datapath.run(Hook::egress, frame(ipv4({}, udp(1000, 2000, payload(58)))));
    }
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_QUEUE], 0U);
    for (unsigned n = 0; n < 3000; ++n) datapath.run(Hook::egress, frame(ipv4({}, udp(1000, 2000, payload(58)))));
    EXPECT_GT(datapath.counters(id).dropped[HW_DROP_QUEUE], 1000U) << "201 ms from then on there is no room";
}

TEST_F(Order, LawsAreSharedAndGoWithTheirLastRule)
{
    const std::string words = "--delay 100ms --jitter 10ms --distribution ";
    auto& laws = datapath.instance().laws;
    const auto first = datapath.add(words + "pareto"), second = datapath.add(words + "pareto --priority 1");
    const auto other = datapath.add(words + "normal --priority 2");
    ASSERT_EQ(laws.keys().size(), 2U);
    const auto key = impairment(first).law;
    EXPECT_EQ(impairment(second).law, key);
    EXPECT_EQ(laws.find(key)->value().users, 2U);
    const auto changed = datapath.alter(second, words + "pareto --priority 3");
    EXPECT_EQ(laws.find(key)->value().users, 2U);
    datapath.remove(first);
    EXPECT_EQ(laws.find(key)->value().users, 1U);
    datapath.remove(changed);
    EXPECT_FALSE(laws.find(key)->has_value());
    EXPECT_EQ(laws.keys(), std::vector{impairment(other).law});
    datapath.remove(other);
    EXPECT_TRUE(laws.keys().empty());
    EXPECT_EQ(impairment(datapath.add("--delay 100ms --jitter 10ms")).law, 0U) << "uniform jitter needs none";
}

// As after a kill in the middle of a transaction.
TEST_F(Order, RepairCountsTheLawsAnew)
{
    const auto id = datapath.add("--delay 100ms --jitter 10ms --distribution pareto");
    auto& instance = datapath.instance();
    const auto key = impairment(id).law;
    auto law = instance.laws.find(key)->value();
    law.users = 7;
    ASSERT_TRUE(instance.laws.rewrite(key, law));
    ASSERT_TRUE(instance.laws.put(key + 1, law)) << "of no rule";
    datapath.control().dirty = 1;
    ASSERT_TRUE(repair(instance));
    EXPECT_EQ(instance.laws.keys(), std::vector{key});
    EXPECT_EQ(instance.laws.find(key)->value().users, 1U);
}

TEST_F(Order, JitterComesAfterTheRate)
{
    const auto id = datapath.add("--rate 8mbit --queue 1000s --delay 10ms --jitter 10ms");  // 100 us a packet
    const auto imp = impairment(id);
    for (std::uint64_t n = 0; n < 1000; ++n)
        ASSERT_EQ(delay(Hook::egress, id), (n + 1) * 100'000 + hw_uniform(imp.delay, imp.jitter, hw_dice(12, n))) << n;
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
