// SPDX-License-Identifier: MIT
// The arithmetic of chance: gaps between events, and how events are counted. Seeds are fixed; alpha is stated.
#include <headwind/model.h>

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "replay.h"
#include "rule/rule.h"
#include "ruleset/compile.h"
#include "verify/statistics.h"

namespace headwind::model_chance_test {
namespace {

__extension__ using u128 = unsigned __int128;
constexpr double alpha = 1e-6;
constexpr std::uint64_t always = 1ULL << 32;

hw_chance chance_of(std::uint64_t threshold)
{
    Impairment impairment;
    impairment.loss = Probability{threshold};
    return compile_impairment(impairment).events[HW_EVENT_LOSS];
}

std::uint64_t threshold_of(double probability)
{
    return static_cast<std::uint64_t>(std::llround(std::ldexp(probability, 32)));
}

// ---- logarithm ----

// hw_minus_log2_q24() is never below the exact value, and above it by less than a unit in the last place plus what the
// squarings cut off.
void expect_logarithm(std::uint32_t dice)
{
    const auto exact = -std::log2((static_cast<long double>(dice) + 0.5L) / static_cast<long double>(always));
    const auto error = static_cast<long double>(hw_minus_log2_q24(dice)) - std::ldexp(exact, 24);
    ASSERT_GE(error, -1e-6L) << dice;
    ASSERT_LE(error, 1.02L) << dice;
}

TEST(Logarithm, IsRightToTheLastBit)
{
    for (std::uint64_t n = 0; n < 2'000'000; ++n) expect_logarithm(hw_dice(3, n));
    for (unsigned bit = 0; bit < 32; ++bit)
        for (std::uint32_t near = 0; near < 64; ++near) {
            expect_logarithm((1U << bit) + near);
            expect_logarithm((1U << bit) - near);
            expect_logarithm(near << bit);
        }
    EXPECT_EQ(hw_minus_log2_q24(0), 33ULL << 24);
    EXPECT_LE(hw_minus_log2_q24(~0U), 1U);
}

TEST(Logarithm, NeverGrowsWithTheDice)
{
    for (std::uint64_t n = 0; n < 200'000; ++n) {
        const auto dice = hw_dice(4, n) >> hw_dice(5, n) % 32;
        ASSERT_GE(hw_minus_log2_q24(dice), hw_minus_log2_q24(dice + (dice != ~0U ? 1 : 0))) << dice;
    }
}

// ---- gaps ----

class Gaps : public testing::TestWithParam<double> {};

TEST_P(Gaps, AreGeometric)
{
    constexpr std::size_t count = 1'000'000;
    const auto chance = chance_of(threshold_of(GetParam()));
    const auto p = std::ldexp(static_cast<double>(chance.threshold), -32);
    for (const std::uint64_t seed : {1U, 2U}) {
        std::vector<std::uint64_t> gaps(count);
        double sum = 0;
        for (std::size_t n = 0; n < count; ++n) {
            gaps[n] = hw_draw_gap(&chance, hw_dice(seed, n));
            sum += static_cast<double>(gaps[n]);
        }
        EXPECT_GT(statistics::geometric_p_value(gaps, p), alpha) << seed;
        const double deviation = std::sqrt(1 - p) / p / std::sqrt(static_cast<double>(count));
        EXPECT_NEAR(sum / static_cast<double>(count), 1 / p, 4.9 * deviation) << "alpha 1e-6";
    }
}

INSTANTIATE_TEST_SUITE_P(Probabilities, Gaps, testing::Values(0.0001, 0.001, 0.01, 0.1, 0.37, 0.5, 0.9));

TEST(Gap, EveryPacketAtAHundredPercent)
{
    const auto chance = chance_of(always);
    for (std::uint64_t n = 0; n < 100'000; ++n) ASSERT_EQ(hw_draw_gap(&chance, hw_dice(1, n)), 1U);
    EXPECT_EQ(hw_draw_gap(&chance, 0), 1U);
    EXPECT_EQ(hw_draw_gap(&chance, ~0U), 1U);
}

TEST(Gap, OfTheSmallestAndTheLargestProbability)
{
    const auto rare = chance_of(1);
    EXPECT_GT(rare.half_life_q24, 1ULL << 55) << "2^32 ln 2 packets";
    for (std::uint32_t shift = 0; shift < 32; ++shift) {
        const auto dice = ~0U >> shift;
        const auto exact = 1 + static_cast<std::uint64_t>(u128{hw_minus_log2_q24(dice)} * rare.half_life_q24 >> 48);
        ASSERT_LE(hw_draw_gap(&rare, dice), exact) << dice;
        ASSERT_GE(hw_draw_gap(&rare, dice) + 1, exact) << dice;
    }
    EXPECT_NEAR(static_cast<double>(hw_draw_gap(&rare, 0)), 33 * std::log(2.0) * static_cast<double>(always), 100);
    double sum = 0;
    for (std::uint64_t n = 0; n < 1'000'000; ++n) sum += static_cast<double>(hw_draw_gap(&rare, hw_dice(8, n)));
    EXPECT_NEAR(sum / 1e6 / static_cast<double>(always), 1, 4.9e-3) << "alpha 1e-6";
    const auto nearly_always = chance_of(always - 1);
    EXPECT_EQ(hw_draw_gap(&nearly_always, 0), 2U) << "one die of 2^32";
    EXPECT_EQ(hw_draw_gap(&nearly_always, 1), 1U);
}

// ---- counting ----

// A stream of super-packets; those with an event are cut into wire packets, as the datapath does.
class Stream {
public:
    Stream(const hw_chance& chance, std::uint64_t seed) : chance_(chance), seed_(seed) {}
    void super(std::uint32_t packets)
    {
        draw();
        if (hw_event_within(&chance_, until_, packets)) {
            for (std::uint32_t i = 0; i < packets; ++i) count(1);
        } else {
            count(packets);
        }
    }
    std::vector<std::uint64_t> events;  // numbers of the wire packets, from 0

private:
    void draw()
    {
        if (chance_.threshold != 0 && until_ == 0) until_ = hw_draw_gap(&chance_, hw_dice(seed_, thrown_++));
    }
    void count(std::uint32_t packets)
    {
        draw();
        if (hw_event_happens(&chance_, &until_, packets)) {
            ASSERT_EQ(packets, 1U) << "an event of a packet that was not cut";
            events.push_back(index_);
        }
        index_ += packets;
    }
    hw_chance chance_;
    std::uint64_t seed_, thrown_ = 0, index_ = 0;
    __u64 until_ = 0;
};

class Counting : public testing::TestWithParam<double> {};

TEST_P(Counting, SuperPacketsMeetTheEventsOfTheirWirePackets)
{
    const auto chance = chance_of(threshold_of(GetParam()));
    std::mt19937 random(9);
    Stream stream(chance, 6);
    Replay replay(chance, 6);
    std::vector<std::uint64_t> expected;
    for (std::uint64_t index = 0; index < 300'000;) {
        const auto packets = random() % 3 == 0 ? 1U : static_cast<std::uint32_t>(1 + random() % 45);
        stream.super(packets);
        for (const auto end = index + packets; index < end; ++index)
            if (replay.next()) expected.push_back(index);
    }
    EXPECT_EQ(stream.events, expected);
    EXPECT_EQ(stream.events.empty(), GetParam() == 0);
}

INSTANTIATE_TEST_SUITE_P(Probabilities, Counting, testing::Values(0, 0.0001, 0.01, 0.2, 0.9, 1));

TEST(CountingAlone, ToTheExactPacket)
{
    const auto chance = chance_of(threshold_of(0.01));
    EXPECT_FALSE(hw_event_within(&chance, 11, 10));
    EXPECT_TRUE(hw_event_within(&chance, 10, 10));
    __u64 until = 11;
    EXPECT_FALSE(hw_event_happens(&chance, &until, 10));
    EXPECT_EQ(until, 1U);
    EXPECT_TRUE(hw_event_happens(&chance, &until, 1));
    EXPECT_EQ(until, 0U) << "the next one is to be drawn";
    until = 5;
    EXPECT_TRUE(hw_event_happens(&chance, &until, 10)) << "without the cut: one event for all";
    const hw_chance never{};
    until = 0;
    EXPECT_FALSE(hw_event_within(&never, until, 1));
    EXPECT_FALSE(hw_event_happens(&never, &until, 1));
    EXPECT_EQ(until, 0U);
}

}  // namespace
}  // namespace headwind::model_chance_test
