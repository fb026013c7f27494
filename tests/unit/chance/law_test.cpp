// SPDX-License-Identifier: MIT
// Laws of delays: the tables against the formulas, what is drawn by them, correlations. Seeds are fixed; alpha is
// stated.
#include "chance/law.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "delay_series.h"
#include "rule/rule.h"
#include "rule_test.h"
#include "ruleset/compile.h"
#include "verify/statistics.h"

namespace headwind::law_test {
namespace {

constexpr double alpha = 1e-6;
constexpr std::uint64_t ms = 1'000'000;

double below(double z)
{
    return std::erfc(-z / std::sqrt(2.0)) / 2;
}

// A law by its formula: the values, not standardized, at a score.
struct Formula {
    const char* words;
    std::function<double(double)> at_score;
};

std::vector<Formula> formulas()
{
    const auto pareto = [](double z) { return std::pow(below(-z), -1.0 / 3); };
    const double sigma = std::sqrt(std::log(1 + 0.2 * 0.2));
    return {{"normal", [](double z) { return z; }},
            {"exponential", [](double z) { return -std::log(below(-z)); }},
            {"pareto", pareto},
            {"paretonormal", [=](double z) { return z / 4 + 0.75 * (pareto(z) - 1.5) / std::sqrt(0.75); }},
            {"lognormal", [=](double z) { return std::exp(sigma * z); }}};
}

Impairment impairment_of(const std::string& words)
{
    return rule_test::valid(words).impairment;
}

test::DelayLaw compiled(const Impairment& impairment)
{
    return {impairment.delay, impairment.jitter, compile_law(impairment).value()};
}

double p_value(std::vector<double> sample, const std::function<double(double)>& cdf)
{
    const auto n = static_cast<double>(sample.size());
    return statistics::ks_p_value(statistics::ks_distance(std::move(sample), cdf), n);
}

// ---- scores ----

TEST(Scores, AreNormal)
{
    double worst = 0, worst_of_tail = 0;
    for (std::uint64_t i = 0; i < 1'000'000; ++i) {
        const auto dice = static_cast<std::uint32_t>(i * 4294 + i % 4294);
        const double half = ((dice & 0x7fffffff) + 0.5) / 4294967296.0, share = dice >> 31 ? 1 - half : half;
        const double found = below(std::ldexp(hw_score(&normal_scores(), dice), -24));
        worst = std::max(worst, std::abs(found - share));
        if (share > 2e-6 && share < 0.01) worst_of_tail = std::max(worst_of_tail, std::abs(found / share - 1));
    }
    EXPECT_LT(worst, 2e-5);
    EXPECT_LT(worst_of_tail, 1e-3) << "relative";
}

TEST(Scores, RiseAndAreSymmetric)
{
    std::int32_t before = INT32_MIN;
    for (std::uint64_t dice = 0; dice < 1ULL << 31; dice += 99'991) {
        const auto v = static_cast<std::uint32_t>(dice),
                   score = static_cast<std::uint32_t>(hw_score(&normal_scores(), v));
        ASSERT_GE(static_cast<std::int32_t>(score), before) << dice;
        ASSERT_EQ(hw_score(&normal_scores(), v | 1U << 31), -static_cast<std::int32_t>(score));
        before = static_cast<std::int32_t>(score);
    }
    EXPECT_NEAR(std::ldexp(hw_score(&normal_scores(), 0), -24), -4.62, 0.01) << "the farthest";
}

TEST(Scores, TheHighestBit)
{
    EXPECT_EQ(hw_log2(0), 0U);
    for (unsigned bit = 0; bit < 32; ++bit)
        for (const auto v : {1U << bit, (1U << bit) | (1U << bit) / 2, ~0U >> (31 - bit)}) EXPECT_EQ(hw_log2(v), bit);
}

// ---- tables ----

// The table is the formula's law, where that is cut at +-4.5 scores, with mean 0 and standard deviation 1.
TEST(Laws, AreTheirFormulas)
{
    for (const auto& [name, at_score] : formulas()) {
        SCOPED_TRACE(name);
        const auto impairment = impairment_of(fmt::format("--delay 100ms --jitter 20ms --distribution {}", name));
        const auto law = delay_law(impairment);
        // The formula's moments, by a sum over a fine grid of scores.
        const auto formula = [&at_score = at_score](double z) { return at_score(std::clamp(z, -4.5, 4.5)); };
        double mean = 0, square = 0;
        constexpr double step = 1e-4;
        for (double z = -8; z < 8; z += step) {
            const double share = below(z + step) - below(z), value = formula(z + step / 2);
            mean += share * value;
            square += share * value * value;
        }
        const double sd = std::sqrt(square - mean * mean);
        double worst = 0;
        for (double z = -4.4; z < 4.4; z += 0.01)
            worst = std::max(worst, std::abs(share_up_to(law, (formula(z) - mean) / sd) - below(z)));
        EXPECT_LT(worst, 2e-4) << "distance of the distributions";
        const auto drawn = fixed_point(law);
        Law back(law.size());
        for (std::size_t i = 0; i < law.size(); ++i) back[i] = std::ldexp(drawn.at[i], -20);
        EXPECT_NEAR(moments_of(back).mean, 0, 1e-6);
        EXPECT_NEAR(moments_of(back).sd, 1, 1e-6);
    }
    EXPECT_NEAR(moments_of(uniform_law()).sd, 1 / std::sqrt(3.0), 1e-4);
    EXPECT_NEAR(pareto_law().back(), 75, 10) << "a tail";
}

TEST(Laws, ReachAsFarAsLongestDelaySays)
{
    for (const auto& [name, at_score] : formulas()) {
        const auto impairment = impairment_of(fmt::format("--delay 100ms --jitter 20ms --distribution {}", name));
        const auto law = compiled(impairment);
        const auto longest = hw_by_law(law.delay, law.jitter, hw_law_at(&law.law, INT64_MAX));
        EXPECT_LE(longest, longest_delay(impairment)) << name;
        EXPECT_NEAR(static_cast<double>(longest), static_cast<double>(longest_delay(impairment)), 1e5) << name;
        EXPECT_EQ(hw_law_at(&law.law, INT64_MIN), law.law.at[0] * std::int64_t{1 << 12});
    }
}

TEST(Laws, OfQuantilesAreThose)
{
    const auto law = law_of_quantiles({1, 2, 3, 4, 5});
    EXPECT_EQ(law.front(), 1);
    EXPECT_EQ(law.back(), 5);
    EXPECT_NEAR(value_at(law, 0), 3, 1e-9);
    EXPECT_NEAR(share_up_to(law, 2), 0.4, 0.007) << "two of five";
    EXPECT_NEAR(share_up_to(law, 2.9) - share_up_to(law, 2.1), 0, 0.007) << "none is between";
    EXPECT_EQ(share_up_to(law, 0.9), 0);
    EXPECT_EQ(share_up_to(law, 5), 1);
    EXPECT_EQ(moments_of(law_of_quantiles({7})).sd, 0);
    EXPECT_EQ(moments_of(law_of_quantiles({7})).mean, 7);
    EXPECT_NEAR(moments_of(law_of_quantiles({1, 2})).mean, 1.5, 1e-9);
}

TEST(Laws, LognormalIsNeverBelowZeroAndHasItsMoments)
{
    for (const double ratio : {0.01, 0.2, 1.0, 3.0, 10.0, most_lognormal}) {
        const auto law = lognormal_law(ratio);
        EXPECT_GT(law.front(), -1 / ratio);
        EXPECT_NEAR(moments_of(law).mean, 0, 1e-9);
        EXPECT_NEAR(moments_of(law).sd, 1, 1e-9);
    }
}

// ---- what is drawn ----

TEST(Laws, AreWhatIsDrawn)
{
    constexpr std::size_t packets = 10'000'000;
    for (const auto& [name, at_score] : formulas()) {
        SCOPED_TRACE(name);
        const auto impairment = impairment_of(fmt::format("--delay 250ms --jitter 40ms --distribution {}", name));
        auto sample = test::draw_delays(compiled(impairment), 3, packets);
        const auto [mean, sd] = test::sample_moments(sample);
        EXPECT_NEAR(mean, 250e6, 3.89 * sd / std::sqrt(double{packets})) << "alpha 1e-4";
        EXPECT_NEAR(sd, 40e6, 40e6 * 0.02);
        sample.resize(200'000);
        const auto law = delay_law(impairment);
        EXPECT_GT(p_value(sample, [&law](double x) { return share_up_to(law, (x - 250e6) / 40e6); }), alpha);
    }
}

TEST(Laws, AreCutAtNoDelay)
{
    const auto impairment = impairment_of("--delay 10ms --jitter 10ms --distribution normal");
    EXPECT_NEAR(share_without_delay(impairment), below(-1), 1e-4);
    const auto sample = test::draw_delays(compiled(impairment), 4, 200'000);
    const auto none = static_cast<std::uint64_t>(std::count(sample.begin(), sample.end(), 0));
    EXPECT_GT(statistics::binomial_p_value(none, sample.size(), below(-1)), alpha);
    EXPECT_EQ(share_without_delay(impairment_of("--delay 10ms --jitter 10ms")), 0);
    EXPECT_EQ(share_without_delay(impairment_of("--delay 10ms --jitter 10ms --distribution pareto")), 0);
}

TEST(Laws, ExtremesDoNotOverflow)
{
    constexpr std::int64_t one = 1LL << 32, most = (1LL << 43) - 1;
    EXPECT_EQ(hw_by_law(max_delay, max_delay, one), 2 * max_delay);
    EXPECT_EQ(hw_by_law(max_delay, max_delay, -one), 0U);
    EXPECT_EQ(hw_by_law(max_delay, max_delay, -most), 0U);
    EXPECT_NEAR(static_cast<double>(hw_by_law(0, max_delay, most)), 2048.0 * max_delay, 1e9);
    EXPECT_EQ(hw_by_law(1000, 10, 3 * one), 1030U) << "as far above";
    EXPECT_EQ(hw_by_law(1000, 10, -3 * one), 970U) << "as below";
}

// ---- correlation ----

TEST(ScoreCorrelation, IsThatOfClosedForms)
{
    for (const double r : {0.0, 0.1, 0.25, 0.5, 0.9, 0.99}) {
        EXPECT_NEAR(score_correlation(normal_law(), r), r, 1e-4) << r;
        EXPECT_NEAR(score_correlation(uniform_law(), r), 2 * std::sin(std::acos(-1.0) / 6 * r), 1e-4) << r;
        const double square = std::log(1 + 0.5 * 0.5);  // sigma^2
        EXPECT_NEAR(score_correlation(lognormal_law(0.5), r), std::log(1 + r * std::expm1(square)) / square, 1e-3) << r;
    }
}

TEST(CorrelatedDelays, HaveTheirCorrelationAndTheirLaw)
{
    constexpr std::size_t packets = 1'000'000, apart = 50;
    for (const char* name : {"uniform", "normal", "exponential", "pareto", "lognormal"})
        for (const char* correlation : {"25%", "50%", "90%"}) {
            SCOPED_TRACE(std::string(name) + " " + correlation);
            const auto impairment = impairment_of(
                fmt::format("--delay 100ms --jitter 20ms --distribution {} --delay-correlation {}", name, correlation));
            const auto sample = test::draw_delays(compiled(impairment), compile_sequence(impairment, 11), packets);
            EXPECT_GT(test::lag_p_value(sample, fraction_of(parse_probability(correlation).value())), alpha);
            std::vector<double> thinned;  // of 90% the correlation is 0.5% at this distance
            for (std::size_t i = 0; i < packets; i += apart) thinned.push_back(sample[i]);
            const auto law = delay_law(impairment);
            EXPECT_GT(p_value(thinned, [&law](double x) { return share_up_to(law, (x - 100e6) / 20e6); }), alpha);
        }
}

TEST(CorrelatedDelays, HaveTheirCorrelationWhereTheyAreCutToo)
{
    const auto impairment = impairment_of("--delay 10ms --jitter 10ms --distribution normal --delay-correlation 50%");
    const auto sample = test::draw_delays(compiled(impairment), compile_sequence(impairment, 12), 1'000'000);
    EXPECT_GT(test::lag_p_value(sample, 0.5), alpha);
    EXPECT_LT(test::lag_p_value(sample, 0.49), alpha) << "the test would notice";
    EXPECT_LT(test::lag_p_value(sample, 0.51), alpha);
}

// However close to 100%, the scores stay where they are: nothing adds up.
TEST(CorrelatedDelays, DoNotDrift)
{
    const auto impairment =
        impairment_of("--delay 100ms --jitter 10ms --distribution normal --delay-correlation 99.99%");
    const auto sample = test::draw_delays(compiled(impairment), compile_sequence(impairment, 13), 20'000'000);
    const auto [mean, sd] = test::sample_moments(sample);
    const double independent = 20e6 * (1 - 0.9999) / (1 + 0.9999);  // as many as say as much
    EXPECT_NEAR(mean, 100e6, 4.9 * 10e6 / std::sqrt(independent));
    EXPECT_NEAR(sd, 10e6, 4.9 * 10e6 / std::sqrt(independent));
}

TEST(CorrelatedDelays, OfNoneAreIndependent)
{
    const auto impairment = impairment_of(
        "--delay 100ms --jitter 20ms --distribution normal --delay-correlation 0% --loss 1% --loss-correlation 1%");
    EXPECT_FALSE(has_delay_series(impairment));
    EXPECT_GT(test::lag_p_value(test::draw_delays(compiled(impairment), 5, 1'000'000), 0), alpha);
}

}  // namespace
}  // namespace headwind::law_test
