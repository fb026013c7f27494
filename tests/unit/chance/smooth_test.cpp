// SPDX-License-Identifier: MIT
// Delays that keep the order: their scores are normal at each time, and no packet overtakes another one, whatever
// chance does. Seeds are fixed; alpha is stated.
#include <headwind/smooth.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "chance/law.h"
#include "delay_series.h"
#include "rule_test.h"
#include "ruleset/compile.h"
#include "verify/statistics.h"

namespace headwind::smooth_test {
namespace {

constexpr double alpha = 1e-6;
constexpr std::uint64_t ms = 1'000'000, start = 1'000'000 * ms;

test::SmoothDelays delays_of(const std::string& words)
{
    return test::SmoothDelays(rule_test::valid(words).impairment);
}

TEST(Smooth, SineIsASine)
{
    double worst = 0;
    for (std::uint64_t x = 0; x <= 1ULL << 31; x += 10'007) {
        const double sine = std::sin(std::ldexp(static_cast<double>(x), -31) * std::numbers::pi / 2);
        worst = std::max(worst, std::abs(std::ldexp(static_cast<double>(hw_quarter_sine(x)), -31) - sine));
    }
    EXPECT_LT(worst, 3e-9);
    EXPECT_EQ(hw_quarter_sine(0), 0U);
    EXPECT_NEAR(static_cast<double>(hw_quarter_sine(1ULL << 31)), 0x1p31, 8);
}

// At the knots, between them, and in the middle: two correlation times apart scores are independent.
TEST(Smooth, DelaysHaveTheirLawAtEachTime)
{
    constexpr std::uint64_t packets = 20'000;
    for (const std::string law : {"uniform", "normal", "exponential", "lognormal", "pareto"})
        for (const double phase : {0.0, 0.1, 0.5, 0.8}) {
            const auto delays = delays_of("--delay 20ms --jitter 5ms --keep-order --distribution " + law);
            std::vector<double> found(packets);
            for (std::uint64_t n = 0; n < packets; ++n)
                found[n] = static_cast<double>(delays.at(
                    2 * n * delays.time() + static_cast<std::uint64_t>(phase * static_cast<double>(delays.time()))));
            const auto table =
                delay_law(rule_test::valid("--delay 20ms --jitter 5ms --distribution " + law).impairment);
            const double distance =
                statistics::ks_distance(found, [&table](double x) { return share_up_to(table, (x - 20e6) / 5e6); });
            EXPECT_GT(statistics::ks_p_value(distance, packets), alpha) << law << " " << phase;
            const double few = law == "pareto" ? 0.01 : 0.005;  // its tail
            EXPECT_NEAR(test::sample_moments(found).mean, 20e6, few * 20e6) << law;
        }
}

// The next packet leaves later, be it a microsecond behind.
TEST(Smooth, PacketsKeepTheirOrder)
{
    for (const std::string words :
         {"--delay 20ms --jitter 5ms", "--delay 20ms --jitter 5ms --distribution normal",
          "--delay 20ms --jitter 20ms --distribution exponential", "--delay 3s --jitter 1s --distribution lognormal"}) {
        const auto delays = delays_of(words + " --keep-order");
        std::uint64_t before = 0;
        for (std::uint64_t n = 0; n < 2'000'000; ++n) {
            const auto at = start + n * 1000, departs = at + delays.at(at);
            ASSERT_GT(departs, before) << words << ", " << n;
            before = departs;
        }
    }
}

// From one pair of scores to the next, at correlation times that leave few bits for a nanosecond.
TEST(Smooth, LongDelaysKeepTheirOrderAtEachKnot)
{
    const auto delays = delays_of("--delay 1000s --jitter 400s --keep-order");
    for (std::uint64_t knot = 1; knot < 10'000; ++knot) {
        std::uint64_t before = 0;
        for (std::uint64_t n = 0; n < 6; ++n) {
            const auto at = knot * delays.time() + 2000 * n - 6000, departs = at + delays.at(at);
            ASSERT_GT(departs, before) << knot << ", " << n;
            before = departs;
        }
    }
}

// The scores at the knots are as far from 0 as any, on either side by the toss of a coin: the delay falls as fast as it
// ever can.
TEST(Smooth, TheCorrelationTimeIsLongEnoughForTheWorst)
{
    static hw_scores extremes{};
    std::fill(std::begin(extremes.at), std::end(extremes.at), normal_scores().at[0]);
    for (const std::string law : {"uniform", "normal", "exponential", "pareto", "lognormal"}) {
        auto impairment = rule_test::valid("--delay 20ms --jitter 5ms --distribution " + law).impairment;
        for (const bool enough : {true, false}) {
            impairment.correlation_time = shortest_correlation_time(impairment) * (enough ? 10 : 9) / 10;
            const test::SmoothDelays delays(impairment, extremes);
            double steepest = 0;
            const auto step = static_cast<std::uint64_t>(std::max(1.0, static_cast<double>(delays.time()) / 20'000));
            for (std::uint64_t at = start, n = 0; n < 2'000'000; at += step, ++n) {
                const double change = static_cast<double>(delays.at(at + step)) - static_cast<double>(delays.at(at));
                steepest = std::max(steepest, -change / static_cast<double>(step));
            }
            if (enough)
                EXPECT_LE(steepest, 1.001) << law;
            else
                EXPECT_GT(steepest, 1.0) << law << ": the bound is no larger than it need be";
        }
    }
}

TEST(Smooth, TheShortestTimes)
{
    const auto shortest = [](const std::string& words) {
        return shortest_correlation_time(rule_test::valid("--delay 20ms --jitter 5ms " + words).impairment);
    };
    EXPECT_EQ(shortest(""), 41 * ms);
    EXPECT_EQ(shortest("--distribution normal"), 52 * ms);
    EXPECT_GT(shortest("--distribution pareto"), 1000 * ms);
    EXPECT_EQ(shortest_correlation_time(rule_test::valid("--delay 20ms --jitter 10ms").impairment), 82 * ms);
}

// A rule that goes on has another process than its neighbour, and in each direction.
TEST(Smooth, SeedsDiffer)
{
    const auto impairment = rule_test::valid("--delay 20ms --jitter 5ms --keep-order").impairment;
    const test::SmoothDelays one(impairment, normal_scores(), 1), other(impairment, normal_scores(), 2);
    unsigned same = 0;
    for (unsigned n = 0; n < 1000; ++n)
        same += one.at(start + n * 100 * ms) == other.at(start + n * 100 * ms) ? 1U : 0U;
    EXPECT_LE(same, 1U);
}

}  // namespace
}  // namespace headwind::smooth_test
