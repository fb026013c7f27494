// SPDX-License-Identifier: MIT
// The arithmetic of departure times: uniform jitter, reordering. Seeds are fixed; alpha is stated.
#include <headwind/model.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "rule/rule.h"
#include "verify/statistics.h"

namespace headwind::model_time_test {
namespace {

constexpr double alpha = 1e-6;
constexpr std::uint64_t ms = 1'000'000, second = 1000 * ms, start_of_time = 1000 * second;
constexpr hw_arrival arrival{start_of_time, 0};

std::uint64_t threshold_of(double probability)
{
    return static_cast<std::uint64_t>(std::llround(std::ldexp(probability, 32)));
}

// ---- jitter ----

hw_impairment jittered(std::uint64_t delay, std::uint64_t jitter)
{
    hw_impairment out{};
    out.delay = delay;
    out.jitter = jitter;
    return out;
}

// `count` delays in ns, as the datapath draws them.
std::vector<double> delays(const hw_impairment& impairment, std::uint64_t seed, std::size_t count = 200'000)
{
    std::vector<double> out(count);
    for (std::size_t n = 0; n < count; ++n) {
        out[n] = static_cast<double>(hw_uniform(impairment.delay, impairment.jitter, hw_dice(seed, n)));
    }
    return out;
}

struct Moments {
    double mean = 0, deviation = 0;
};

template <class Values>
Moments moments(const Values& values)
{
    Moments out;
    const auto n = static_cast<double>(values.size());
    for (const auto value : values) out.mean += static_cast<double>(value) / n;
    for (const auto value : values) out.deviation += std::pow(static_cast<double>(value) - out.mean, 2) / n;
    out.deviation = std::sqrt(out.deviation);
    return out;
}

double p_value(const std::vector<double>& sample, const std::function<double(double)>& distribution)
{
    return statistics::ks_p_value(statistics::ks_distance(sample, distribution), static_cast<double>(sample.size()));
}

TEST(Jitter, UniformLaw)
{
    const auto sample = delays(jittered(100 * ms, 30 * ms), 1);
    const auto distribution = [](double x) { return std::clamp((x - 70e6) / 60e6, 0.0, 1.0); };
    EXPECT_GT(p_value(sample, distribution), alpha);
    const auto [mean, deviation] = moments(sample);
    const double sigma = 30e6 / std::sqrt(3.0);
    EXPECT_NEAR(mean, 100e6, 4.9 * sigma / std::sqrt(static_cast<double>(sample.size()))) << "alpha 1e-6";
    EXPECT_NEAR(deviation, sigma, sigma * 0.01);
    EXPECT_GE(*std::min_element(sample.begin(), sample.end()), 70e6);
    EXPECT_LE(*std::max_element(sample.begin(), sample.end()), 130e6);
}

TEST(Jitter, UniformLawThatReachesZero)
{
    for (const auto delay : delays(jittered(10 * ms, 10 * ms), 4)) ASSERT_LE(delay, 20e6) << "no wrap below 0";
    const auto impossible = jittered(5 * ms, 10 * ms);  // no valid rule has this
    EXPECT_EQ(hw_uniform(impossible.delay, impossible.jitter, 0), 0U);
    EXPECT_EQ(hw_uniform(impossible.delay, impossible.jitter, 1U << 31), 5 * ms + 9) << "the middle of the middle step";
}

TEST(Jitter, ExtremesDoNotOverflow)
{
    const auto uniform = jittered(max_delay, max_delay);
    EXPECT_LT(hw_uniform(uniform.delay, uniform.jitter, 0), max_delay >> 19);
    EXPECT_GT(hw_uniform(uniform.delay, uniform.jitter, ~0U), 2 * max_delay - (max_delay >> 19));
    EXPECT_LE(hw_uniform(uniform.delay, uniform.jitter, ~0U), 2 * max_delay);
}

// ---- reordering ----

struct Reorder {
    hw_impairment impairment{};
    hw_state state{};
    std::uint64_t seed = 1, thrown = 0;

    explicit Reorder(double probability, std::uint32_t gap = 1)
    {
        impairment.delay = 50;
        impairment.reorder = threshold_of(probability);
        impairment.reorder_gap = gap;
    }
    bool next()
    {
        hw_timing timing{};
        EXPECT_EQ(hw_schedule(&impairment, &state, &arrival, 100, 50, hw_dice(seed, thrown++), &timing), 0);
        EXPECT_EQ(timing.depart, start_of_time + (timing.reordered ? 0 : 50));
        return timing.reordered != 0;
    }
};

TEST(Reordering, EveryGapthPacketAtAHundredPercent)
{
    for (const std::uint32_t gap : {1U, 2U, 5U, 100U}) {
        Reorder reorder(1, gap);
        for (std::uint32_t n = 1; n <= 10 * gap; ++n) ASSERT_EQ(reorder.next(), n % gap == 0) << n << " of " << gap;
    }
}

TEST(Reordering, NeverAtZero)
{
    Reorder reorder(0);
    for (int n = 0; n < 1000; ++n) ASSERT_FALSE(reorder.next());
    EXPECT_EQ(reorder.state.since_reorder, 0U);
}

// As in netem, at least gap - 1 packets are delayed; then each packet goes at once with probability p.
TEST(Reordering, DistancesAreGapAndGeometric)
{
    for (const auto& [probability, gap] : {std::pair(0.25, 1U), {0.25, 5U}, {0.01, 3U}, {0.7, 10U}}) {
        Reorder reorder(probability, gap);
        std::vector<std::uint64_t> beyond;
        for (std::uint64_t distance = 1; beyond.size() < 20'000; ++distance) {
            if (!reorder.next()) continue;
            ASSERT_GE(distance, gap);
            beyond.push_back(distance - (gap - 1));
            distance = 0;
        }
        EXPECT_GT(statistics::geometric_p_value(beyond, probability), alpha) << probability << ", gap " << gap;
    }
}

TEST(Reordering, AQueueDropChangesNothing)
{
    Reorder reorder(1, 3);
    reorder.impairment.ns_per_byte_q16 = 1000 << 16;
    reorder.impairment.queue = 150'000;
    hw_timing timing{};
    const auto send = [&] {
        timing = {};
        return hw_schedule(&reorder.impairment, &reorder.state, &arrival, 100, 50, 0, &timing);
    };
    ASSERT_EQ(send(), 0);
    const auto before = reorder.state;
    EXPECT_EQ(before.since_reorder, 1U);
    EXPECT_EQ(send(), HW_DROP_QUEUE);
    EXPECT_EQ(timing.depart, 0U);
    EXPECT_EQ(timing.reordered, 0);
    EXPECT_EQ(reorder.state.since_reorder, before.since_reorder);
    EXPECT_EQ(reorder.state.next_free, before.next_free);
}

TEST(Reordering, APacketWithoutDelayStillTakesItsTimeOnTheLink)
{
    Reorder reorder(1, 2);
    reorder.impairment.ns_per_byte_q16 = 1000 << 16;
    reorder.impairment.queue = second;
    const std::uint64_t expected[] = {100'050, 200'000, 300'050, 400'000};
    for (const auto depart : expected) {
        hw_timing timing{};
        ASSERT_EQ(hw_schedule(&reorder.impairment, &reorder.state, &arrival, 100, 50, 0, &timing), 0);
        EXPECT_EQ(timing.depart, start_of_time + depart);
    }
    EXPECT_EQ(reorder.state.next_free, start_of_time + 400'000);
}

// ---- without a state ----

TEST(Departure, IsThatOfTheScheduleWhereThatNeedsNoState)
{
    const auto impairment = jittered(20 * ms, 5 * ms);
    ASSERT_FALSE(hw_needs_state(&impairment));
    for (const std::uint64_t edt : std::initializer_list<std::uint64_t>{
             0, start_of_time - 1, start_of_time, start_of_time + 1, start_of_time + 3 * ms,
             start_of_time + HW_LONGEST_EDT, start_of_time + HW_LONGEST_EDT + 1, ~0ULL}) {
        for (const std::uint64_t delay : std::initializer_list<std::uint64_t>{0, 1, 20 * ms, 100 * second}) {
            const hw_arrival paced{start_of_time, edt};
            hw_state state{};
            hw_timing timing{};
            ASSERT_EQ(hw_schedule(&impairment, &state, &paced, 100, delay, 0, &timing), 0);
            EXPECT_EQ(hw_due(&paced) + delay, timing.depart) << edt << ", " << delay;
        }
    }
}

TEST(Departure, NeedsAStateForRateReorderingAndSteps)
{
    hw_impairment rate{}, reorder{}, steps{};
    rate.ns_per_byte_q16 = 1;
    reorder.reorder = 1;
    steps.flags = HW_TIMED_STEPS;
    for (const auto& impairment : {rate, reorder, steps}) EXPECT_TRUE(hw_needs_state(&impairment));
}

}  // namespace
}  // namespace headwind::model_time_test
