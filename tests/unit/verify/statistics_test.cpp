// SPDX-License-Identifier: MIT
// Tests statistics against exact rational arithmetic (binomial) and closed forms (chi-square with 1 or even degrees).
#include "verify/statistics.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace headwind::statistics::statistics_test {
namespace {

void expect_close(double value, double expected, double relative = 1e-9)
{
    EXPECT_NEAR(value, expected, std::abs(expected) * relative);
}

double uniform_cdf(double x)
{
    return std::clamp(x, 0.0, 1.0);
}

std::vector<std::uint64_t> geometric_gaps(double p, std::size_t count, unsigned seed)
{
    std::mt19937_64 random(seed);
    std::geometric_distribution<std::uint64_t> distribution(p);
    std::vector<std::uint64_t> gaps(count);
    for (auto& gap : gaps) gap = distribution(random) + 1;
    return gaps;
}

TEST(Statistics, BinomialPValues)
{
    expect_close(binomial_p_value(2, 500, 0.01), 0.24677154870716367);
    expect_close(binomial_p_value(12, 500, 0.01), 0.010416088508342665);
    expect_close(binomial_p_value(0, 500, 0.01), 0.013140966084829266);
    expect_close(binomial_p_value(40, 500, 0.01), 4.969929174391647e-23);
    expect_close(binomial_p_value(260, 500, 0.5), 0.3955107714348578);
    EXPECT_DOUBLE_EQ(binomial_p_value(5, 500, 0.01), 1);
}

TEST(Statistics, BinomialOfCertainties)
{
    EXPECT_DOUBLE_EQ(binomial_p_value(0, 1000, 0), 1);
    EXPECT_DOUBLE_EQ(binomial_p_value(1, 1000, 0), 0);
    EXPECT_DOUBLE_EQ(binomial_p_value(1000, 1000, 1), 1);
    EXPECT_DOUBLE_EQ(binomial_p_value(999, 1000, 1), 0);
    EXPECT_DOUBLE_EQ(binomial_p_value(1001, 1000, 1), 0);
}

TEST(Statistics, BinomialOfAMillion)
{
    // The reference is the normal distribution with continuity correction, which has no skew: off by some 4% at 3
    // sigma.
    const double sd = std::sqrt(1e6 * 0.01 * 0.99);
    for (const double z : {1.0, 2.0, 3.0}) {
        const auto above = static_cast<std::uint64_t>(10'000 + z * sd);
        const double corrected = (static_cast<double>(above) - 0.5 - 10'000) / sd;
        expect_close(binomial_p_value(above, 1'000'000, 0.01), std::erfc(corrected / std::sqrt(2.0)), 0.06);
    }
    EXPECT_LT(binomial_p_value(500'000, 1'000'000, 0.01), 1e-300);
    EXPECT_LT(binomial_p_value(0, 1'000'000, 0.01), 1e-300);
}

TEST(Statistics, ClopperPearson)
{
    const auto interval = binomial_interval(10, 100, 0.05);
    expect_close(interval.low, 0.049004689221485945);
    expect_close(interval.high, 0.17622259774002266);
    EXPECT_DOUBLE_EQ(binomial_interval(0, 100, 0.05).low, 0);
    EXPECT_DOUBLE_EQ(binomial_interval(100, 100, 0.05).high, 1);
    expect_close(binomial_interval(0, 100, 0.05).high, 1 - std::pow(0.025, 0.01));
    const auto narrow = binomial_interval(10'000, 1'000'000, 1e-6);
    EXPECT_NEAR(narrow.low, 0.01 - 4.89 * 9.95e-5, 1e-5);
    EXPECT_NEAR(narrow.high, 0.01 + 4.89 * 9.95e-5, 1e-5);
}

TEST(Statistics, AcceptanceIsTheEdgeOfThePValue)
{
    for (const double p : {0.0, 0.001, 0.1, 0.5, 0.999, 1.0}) {
        const auto counts = binomial_acceptance(10'000, p, 1e-6);
        EXPECT_GE(binomial_p_value(counts.low, 10'000, p), 1e-6);
        EXPECT_GE(binomial_p_value(counts.high, 10'000, p), 1e-6);
        if (counts.low > 0) {
            EXPECT_LT(binomial_p_value(counts.low - 1, 10'000, p), 1e-6);
        }
        if (counts.high < 10'000) {
            EXPECT_LT(binomial_p_value(counts.high + 1, 10'000, p), 1e-6);
        }
    }
    EXPECT_EQ(binomial_acceptance(1000, 0, 1e-6).high, 0U);
    EXPECT_EQ(binomial_acceptance(1000, 1, 1e-6).low, 1000U);
}

TEST(Statistics, KsCriticalIsTheDistanceOfThePValue)
{
    for (const double n : {50.0, 1000.0, 100'000.0}) EXPECT_NEAR(ks_p_value(ks_critical(1e-6, n), n), 1e-6, 1e-9);
}

TEST(Statistics, ChiSquarePValues)
{
    expect_close(chi_square_p_value(30, 10), 0.0008566412107753004);
    expect_close(chi_square_p_value(3, 10), 0.9814240637778593);
    expect_close(chi_square_p_value(200, 100), 1.1784500720979424e-08);
    expect_close(chi_square_p_value(0.5, 1), 0.4795001221869535);
    expect_close(chi_square_p_value(25, 1), 5.733031437583873e-07);
    EXPECT_DOUBLE_EQ(chi_square_p_value(0, 5), 1);
}

TEST(Statistics, ChiSquareTestPoolsSmallBins)
{
    // The last three of the expected 10 + 4 + 1 + 1 become one bin of 6: (12-10)²/10 + (4-6)²/6, one degree of freedom.
    expect_close(chi_square_test({12, 2, 1, 1}, {10, 4, 1, 1}), chi_square_p_value(0.4 + 4.0 / 6, 1));
    EXPECT_THROW(chi_square_test({1, 2}, {1, 2}), std::invalid_argument);
    EXPECT_THROW(chi_square_test({10}, {10}), std::invalid_argument);
    EXPECT_THROW(chi_square_test({10, 10}, {20}), std::invalid_argument);
}

TEST(Statistics, GeometricGaps)
{
    EXPECT_GT(geometric_p_value(geometric_gaps(0.1, 20'000, 1), 0.1), 1e-6);
    EXPECT_GT(geometric_p_value(geometric_gaps(0.5, 20'000, 2), 0.5), 1e-6);
    EXPECT_LT(geometric_p_value(geometric_gaps(0.11, 20'000, 3), 0.1), 1e-6);
    EXPECT_LT(geometric_p_value(std::vector<std::uint64_t>(20'000, 10), 0.1), 1e-6);  // the right mean, but not random
    EXPECT_DOUBLE_EQ(geometric_p_value({1, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 0.1), 0);
}

// The p-values of samples that obey the distribution are uniform themselves.
TEST(Statistics, PValuesAreCalibrated)
{
    std::vector<double> gaps, distances;
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> uniform;
    for (unsigned i = 0; i < 500; ++i) {
        gaps.push_back(geometric_p_value(geometric_gaps(0.2, 2'000, 100 + i), 0.2));
        std::vector<double> sample(1'000);
        for (auto& value : sample) value = uniform(random);
        distances.push_back(ks_p_value(ks_distance(sample, uniform_cdf), 1'000));
    }
    EXPECT_GT(ks_p_value(ks_distance(gaps, uniform_cdf), 500), 1e-4);
    EXPECT_GT(ks_p_value(ks_distance(distances, uniform_cdf), 500), 1e-4);
}

TEST(Statistics, KolmogorovSmirnov)
{
    EXPECT_DOUBLE_EQ(ks_distance({0.5}, uniform_cdf), 0.5);
    EXPECT_NEAR(ks_distance({0.1, 0.2, 0.9}, uniform_cdf), 2.0 / 3 - 0.2, 1e-15);
    EXPECT_NEAR(ks_distance({0.9}, uniform_cdf), 0.9, 1e-15);
    EXPECT_NEAR(ks_p_value(0.0157, 20'000), 1e-4, 1e-5);  // 0.0157 at alpha 1e-4, from tables
    EXPECT_NEAR(ks_p_value(1.3581 / 100, 10'000), 0.05, 5e-4);
    EXPECT_DOUBLE_EQ(ks_p_value(0, 100), 1);
    EXPECT_LT(ks_p_value(0.1, 20'000), 1e-100);
}

TEST(Statistics, KolmogorovSmirnovOfTwoSamples)
{
    EXPECT_DOUBLE_EQ(ks_distance(std::vector<double>{1, 2}, std::vector<double>{3, 4}), 1);
    EXPECT_DOUBLE_EQ(ks_distance(std::vector<double>{1, 2, 3, 4}, std::vector<double>{3, 4, 5, 6}), 0.5);
    EXPECT_DOUBLE_EQ(ks_distance(std::vector<double>{1, 1, 2}, std::vector<double>{1, 1, 2}), 0);
}

}  // namespace
}  // namespace headwind::statistics::statistics_test
