// SPDX-License-Identifier: MIT
// Tests the model's arithmetic of dice, versions, delay, rate and queue.
#include <headwind/model.h>

#include <algorithm>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "ruleset/compile.h"
#include "verify/statistics.h"

namespace headwind::model_test {
namespace {

constexpr std::uint64_t second = 1'000'000'000, start_of_time = 1000 * second;
constexpr double alpha = 1e-6;

hw_impairment limited(std::uint64_t rate, std::uint64_t queue_ns = max_delay, std::uint64_t delay = 0)
{
    Impairment impairment;
    impairment.rate = rate;
    impairment.delay = delay;
    impairment.queue = QueueLimit{0, queue_ns};
    return compile_impairment(impairment);
}

// A link with an impairment, and the state that earlier packets left.
struct Link {
    hw_impairment impairment{};
    hw_state state{};

    // The time at which the packet leaves; nullopt if it is dropped.
    std::optional<std::uint64_t> send(std::uint64_t now, std::uint32_t length, std::uint64_t edt = 0)
    {
        hw_timing timing{};
        const hw_arrival arrival{now, edt};
        const int cause = hw_schedule(&impairment, &state, &arrival, length, impairment.delay, 0, &timing);
        if (cause == 0) return timing.depart;
        EXPECT_EQ(cause, HW_DROP_QUEUE);
        EXPECT_EQ(timing.depart, 0U) << "a dropped packet has no departure";
        return std::nullopt;
    }
};

TEST(Happens, OnlyBelowTheThreshold)
{
    EXPECT_FALSE(hw_happens(0, 0));
    EXPECT_TRUE(hw_happens(1, 0));
    EXPECT_FALSE(hw_happens(1, 1));
    EXPECT_FALSE(hw_happens(0xffffffff, 0xffffffff));
    EXPECT_TRUE(hw_happens(0x100000000, 0xffffffff)) << "100% must take every number";
}

TEST(Dice, AreSplitmix64)
{
    // The first outputs of the reference implementation for seed 0.
    EXPECT_EQ(hw_dice(0, 0), 0xe220a8397b1dcdafULL >> 32);
    EXPECT_EQ(hw_dice(0, 1), 0x6e789e6aa1b965f4ULL >> 32);
    EXPECT_EQ(hw_dice(0, 2), 0x06c45d188009454fULL >> 32);
}

TEST(Dice, AreUniform)
{
    for (const std::uint64_t seed : {0ULL, 1ULL, 0xdeadbeefULL, ~0ULL}) {
        std::vector<std::uint64_t> high(256), low(256), pairs(256);
        std::uint32_t last = 0;
        for (std::uint64_t n = 0; n < 1'000'000; ++n) {
            const auto dice = hw_dice(seed, n);
            ++high[dice >> 24];
            ++low[dice & 0xff];
            ++pairs[(dice >> 28) << 4 | last >> 28];
            last = dice;
        }
        const std::vector<double> expected(256, 1e6 / 256);
        EXPECT_GT(statistics::chi_square_test(high, expected), alpha) << seed;
        EXPECT_GT(statistics::chi_square_test(low, expected), alpha) << seed;
        EXPECT_GT(statistics::chi_square_test(pairs, expected), alpha) << seed << ": neighbours depend on each other";
    }
}

TEST(Versions, BornIncludedDiedNot)
{
    hw_rule rule{};
    rule.born = 5;
    rule.died = 7;
    EXPECT_FALSE(hw_in_version(&rule, 4));
    EXPECT_TRUE(hw_in_version(&rule, 5));
    EXPECT_TRUE(hw_in_version(&rule, 6));
    EXPECT_FALSE(hw_in_version(&rule, 7));
}

TEST(Needs, WireTimeAndOrder)
{
    hw_impairment none{}, chance{}, delay{}, jitter{}, reorder{}, rate{};
    for (auto& event : chance.events) event.threshold = 1;
    delay.delay = jitter.delay = reorder.delay = 1;
    jitter.jitter = 1;
    reorder.reorder = 1;
    rate.ns_per_byte_q16 = 1;
    const auto needs = [](const hw_impairment& of) {
        return std::tuple(hw_needs_wire(&of) != 0, hw_needs_time(&of) != 0, hw_may_reorder(&of) != 0);
    };
    EXPECT_EQ(needs(none), std::tuple(false, false, false));
    EXPECT_EQ(needs(chance), std::tuple(false, false, false)) << "decided per super-packet, see hw_event_within";
    EXPECT_EQ(needs(delay), std::tuple(false, true, false));
    EXPECT_EQ(needs(jitter), std::tuple(true, true, true));
    EXPECT_EQ(needs(reorder), std::tuple(true, true, true));
    EXPECT_EQ(needs(rate), std::tuple(true, true, false));
}

TEST(Delay, IsAddedAndLeavesTheStateAlone)
{
    Link link;
    link.impairment.delay = 50;
    EXPECT_EQ(link.send(start_of_time, 1500), start_of_time + 50);
    EXPECT_EQ(link.send(start_of_time, 1500), start_of_time + 50) << "packets do not wait for each other";
    EXPECT_EQ(link.send(0, 1500), 50U);
    EXPECT_EQ(link.state.next_free, 0U);
}

class Rate : public testing::TestWithParam<std::uint64_t> {};

// In this test the next packet is always ready before the last one has left.
TEST_P(Rate, APacketTakesItsLengthOverTheRate)
{
    for (const std::uint32_t length : {60U, 1514U, 9014U}) {
        Link link{limited(GetParam())};
        link.impairment.queue = ~0ULL >> 1;
        constexpr std::uint64_t count = 100'000;
        std::uint64_t ready = start_of_time;
        for (std::uint64_t i = 0; i < count; ++i) {
            ASSERT_TRUE(link.send(ready, length)) << "packet " << i;
            ready = link.state.next_free - 1;  // the link is never idle
        }
        const double exact = 8.0 * count * length * second / static_cast<double>(GetParam());
        EXPECT_NEAR(static_cast<double>(link.state.next_free - start_of_time), exact, exact * 5e-5 + 1) << length;
    }
}

INSTANTIATE_TEST_SUITE_P(EightBitTo100Gbit, Rate,
                         testing::Values(8, 100, 9'600, 56'000, 1'000'000, 10'000'000, 33'333'333, 100'000'000,
                                         1'000'000'000, 10'000'000'000, 40'000'000'000, 100'000'000'000));

TEST(RateArithmetic, KeepsPartsOfANanosecond)
{
    // At 10 gbit a byte takes 0.8 ns. Without the remainder each of the million packets of one byte would take 0 ns.
    Link link{limited(10'000'000'000)};
    constexpr std::uint64_t count = 1'000'000;
    link.state.next_free = start_of_time;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto expected = start_of_time + ((i + 1) * link.impairment.ns_per_byte_q16 >> 16);
        ASSERT_EQ(link.send(start_of_time - 1, 1), expected) << i;
    }
    EXPECT_EQ(link.state.next_free, start_of_time + (count * link.impairment.ns_per_byte_q16 >> 16));
    EXPECT_NEAR(static_cast<double>(link.state.next_free - start_of_time), 800'000, 4);
}

TEST(RateArithmetic, LargestPacketAtTheSlowestRate)
{
    Link link{limited(8)};
    EXPECT_EQ(link.send(start_of_time, 131'071), start_of_time + 131'071 * second);
    EXPECT_EQ(link.state.next_free, start_of_time + 131'071 * second);
}

TEST(RateArithmetic, APacketHasPassedWhenItsLastBitHas)
{
    Link link{limited(100'000)};
    EXPECT_EQ(link.send(start_of_time, 98), start_of_time + 7'840'000) << "a ping";
}

TEST(RateArithmetic, DelayComesAfterTheRate)
{
    Link link{limited(8'000'000, max_delay / 2, 500)};  // 1000 ns a byte
    EXPECT_EQ(link.send(start_of_time, 100), start_of_time + 100'000 + 500);
    EXPECT_EQ(link.send(start_of_time, 100), start_of_time + 200'000 + 500);
    EXPECT_EQ(link.state.next_free, start_of_time + 200'000) << "the link is busy for `rate` alone";
}

TEST(RateArithmetic, AnIdleLinkStartsWhenThePacketComes)
{
    Link link{limited(8'000'000)};
    EXPECT_EQ(link.send(start_of_time, 100), start_of_time + 100'000);
    EXPECT_EQ(link.send(start_of_time + 100'000, 100), start_of_time + 200'000) << "free again at that very instant";
    EXPECT_EQ(link.send(start_of_time + second, 100), start_of_time + second + 100'000)
        << "unused time is not saved up";
    EXPECT_EQ(link.send(start_of_time + second, 100), start_of_time + second + 200'000);
}

TEST(EarliestDeparture, MovesThePacketAndNotTheLink)
{
    Link link{limited(8'000'000, max_delay / 2, 500)};
    EXPECT_EQ(link.send(start_of_time, 100, start_of_time + second), start_of_time + second + 500);
    EXPECT_EQ(link.state.next_free, start_of_time + 100'000);
    EXPECT_EQ(link.send(start_of_time, 100), start_of_time + 200'000 + 500) << "nobody waits for it";
    EXPECT_EQ(link.send(start_of_time, 100, start_of_time + 1), start_of_time + 300'000 + 500) << "the link is busy";
    EXPECT_EQ(link.send(start_of_time, 100, 1), start_of_time + 400'000 + 500) << "one that has passed";
}

TEST(EarliestDeparture, IsTenSecondsAheadAtMost)
{
    for (const auto rate : {0ULL, 8'000'000ULL}) {
        Link link{limited(rate)};
        EXPECT_EQ(link.send(start_of_time, 100, start_of_time + 3600 * second), start_of_time + 10 * second) << rate;
        EXPECT_EQ(link.send(start_of_time, 100, ~0ULL), start_of_time + 10 * second) << rate;
    }
}

TEST(EarliestDeparture, NeitherMovesThoseBehindItWhereStepsKeepTheOrder)
{
    Link link;
    link.impairment.delay = 500;
    link.impairment.flags = HW_TIMED_STEPS;
    EXPECT_EQ(link.send(start_of_time, 100, start_of_time + second), start_of_time + second + 500);
    EXPECT_EQ(link.send(start_of_time, 100), start_of_time + 500);
}

TEST(Queue, IsFullToTheNanosecond)
{
    // At 1000 ns a byte the third of these packets of 100 bytes leaves 300,000 ns from now.
    for (const bool fits : {false, true}) {
        Link link{limited(8'000'000, fits ? 300'000 : 299'999)};
        ASSERT_TRUE(link.send(start_of_time, 100));
        ASSERT_TRUE(link.send(start_of_time, 100));
        EXPECT_EQ(link.send(start_of_time, 100).has_value(), fits);
        EXPECT_FALSE(link.send(start_of_time, 100));
        EXPECT_EQ(link.send(start_of_time + 1, 100).has_value(), !fits) << "and has room again as soon as possible";
    }
}

TEST(Queue, ADropChangesNothing)
{
    Link link{limited(3'000'000, 5'000'000)};
    while (link.send(start_of_time, 1001)) {
    }
    const auto before = link.state;
    EXPECT_NE(before.fraction_q16, 0U);
    EXPECT_FALSE(link.send(start_of_time, 1001));
    EXPECT_EQ(link.state.next_free, before.next_free);
    EXPECT_EQ(link.state.fraction_q16, before.fraction_q16);
    EXPECT_TRUE(link.send(start_of_time, 10)) << "a smaller one may still fit";
}

TEST(Queue, AnIdleLinkTakesAPacketLargerThanTheQueue)
{
    Link link{limited(8'000'000, 1)};
    EXPECT_EQ(link.send(start_of_time, 1500), start_of_time + 1'500'000);
    EXPECT_FALSE(link.send(start_of_time, 1500));
    EXPECT_EQ(link.send(start_of_time + 1'500'000, 1500), start_of_time + 3'000'000);
}

TEST(Queue, TheFreeTimeNeverGoesBackAndTheLimitHolds)
{
    std::mt19937_64 random(1);
    for (const std::uint64_t rate : {56'000ULL, 10'000'000ULL, 25'000'000'000ULL}) {
        Link link{limited(rate, 20'000'000)};
        std::uint64_t ready = start_of_time;
        for (int i = 0; i < 200'000; ++i) {
            const auto length = static_cast<std::uint32_t>(random() % 65'536);
            const auto mean = static_cast<std::uint64_t>(65'536) * 8 * second / rate;
            const auto at = random() % 8 == 0 ? ready - random() % second : ready;  // sometimes ready before
            ready += random() % mean;
            const std::uint64_t free = link.state.next_free;
            const auto depart = link.send(at, length);
            ASSERT_GE(link.state.next_free, free);
            if (!depart) continue;
            ASSERT_GE(*depart, std::max(at, free));
            if (free <= at) continue;
            ASSERT_LE(link.state.next_free - at, link.impairment.queue + 1) << "1 ns for the remainders";
        }
    }
}

}  // namespace
}  // namespace headwind::model_test
