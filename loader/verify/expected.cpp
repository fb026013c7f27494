// SPDX-License-Identifier: MIT
// Computes the delays that an impairment should give, and simulates the order.
#include "verify/expected.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "verify/statistics.h"

namespace headwind::verify {
namespace {

constexpr double tail = normal_tail;

double normal_cdf(double z)
{
    return std::erfc(-z / std::numbers::sqrt2) / 2;
}

// The normal distribution, cut at the tails, where nothing is left. (expected_delay() also cuts it at no delay, where
// the mass below stays.)
double cut_normal_cdf(double z)
{
    const double outside = normal_cdf(-tail);
    return std::clamp((normal_cdf(z) - outside) / (1 - 2 * outside), 0.0, 1.0);
}

double draw_delay(const Impairment& impairment, std::mt19937_64& random)
{
    const auto delay = static_cast<double>(impairment.delay), jitter = static_cast<double>(impairment.jitter);
    if (impairment.jitter == 0) return delay;
    if (impairment.distribution == Distribution::uniform)
        return delay + jitter * std::uniform_real_distribution<double>(-1, 1)(random);
    std::normal_distribution<double> normal;
    double z = normal(random);
    while (std::abs(z) > tail) z = normal(random);
    return std::max(0.0, delay + jitter * z);
}

// The ratio of reordered packets among those that came, in one run of the model.
double simulate(const Impairment& impairment, const std::vector<std::int64_t>& sent, std::mt19937_64& random)
{
    const double lost = 1 - (1 - probability_of(impairment.loss)) * (1 - probability_of(impairment.corrupt));
    std::bernoulli_distribution is_lost(lost), is_double(probability_of(impairment.duplicate)),
        is_early(probability_of(impairment.reorder));
    std::vector<std::pair<double, std::uint32_t>> arrivals;
    std::uint32_t held = 0;  // packets since the last early one
    for (std::size_t i = 0; i < sent.size(); ++i) {
        if (is_lost(random)) continue;
        for (int copies = is_double(random) ? 2 : 1; copies > 0; --copies) {
            double delay = draw_delay(impairment, random);
            if (held + 1 < impairment.reorder_gap) {
                ++held;
            } else if (is_early(random)) {
                held = 0;
                delay = 0;
            }
            arrivals.emplace_back(static_cast<double>(sent[i] - sent.front()) + delay, static_cast<std::uint32_t>(i));
        }
    }
    std::stable_sort(arrivals.begin(), arrivals.end(), [](auto& a, auto& b) { return a.first < b.first; });
    std::vector<std::uint32_t> sequences;
    for (const auto& arrival : arrivals) sequences.push_back(arrival.second);
    const auto reordered = static_cast<double>(count_reordered(sequences));
    std::sort(sequences.begin(), sequences.end());
    const auto end = std::unique(sequences.begin(), sequences.end());
    return sequences.empty() ? 0 : reordered / static_cast<double>(end - sequences.begin());
}

}  // namespace

double probability_of(const std::optional<Probability>& probability)
{
    return probability ? static_cast<double>(probability->threshold) / 4294967296.0 : 0;
}

void set_moments(ExpectedDelay& distribution)
{
    constexpr int cells = 4096;
    const double width = (distribution.high - distribution.low) / cells;
    const auto moment = [&](auto value) {
        double sum = value(distribution.low) * distribution.cdf(distribution.low),
               before = distribution.cdf(distribution.low);
        for (int i = 0; i < cells; ++i) {
            const double left = distribution.low + i * width, here = distribution.cdf(left + width);
            sum += value(left + width / 2) * (here - before);
            before = here;
        }
        return sum;
    };
    distribution.mean = moment([](double x) { return x; });
    const double variance = moment([&](double x) { return std::pow(x - distribution.mean, 2); });
    distribution.sd = std::sqrt(variance);
    distribution.kurtosis =
        moment([&](double x) { return std::pow(x - distribution.mean, 4); }) / (variance * variance);
}

ExpectedDelay expected_delay(const Impairment& impairment)
{
    const auto delay = static_cast<double>(impairment.delay), jitter = static_cast<double>(impairment.jitter);
    ExpectedDelay distribution;
    if (impairment.distribution == Distribution::uniform) {
        distribution.low = std::max(0.0, delay - jitter);
        distribution.high = delay + jitter;
        distribution.cdf = [=](double x) { return std::clamp((x - delay + jitter) / (2 * jitter), 0.0, 1.0); };
        distribution.density = 1 / (2 * jitter);
    } else {
        distribution.low = std::max(0.0, delay - tail * jitter);
        distribution.high = delay + tail * jitter;
        distribution.cdf = [=](double x) { return x < 0 ? 0.0 : cut_normal_cdf((x - delay) / jitter); };
        distribution.density = 1 / (jitter * std::sqrt(2 * std::numbers::pi));
    }
    set_moments(distribution);
    return distribution;
}

double early_share(const Impairment& impairment)
{
    const double p = probability_of(impairment.reorder);
    return p == 0 ? 0 : 1 / (impairment.reorder_gap - 1 + 1 / p);
}

double early_p_value(std::uint64_t k, std::uint64_t n, double probability, std::uint32_t gap)
{
    // The first early packet, too, has a gap before it: hence k gaps, not k - 1.
    const auto at_least = [&](std::uint64_t events) {
        if (events == 0) return 1.0;
        const std::uint64_t held = events * (gap - 1ULL);
        return held > n ? 0.0 : statistics::binomial_at_least(events, n - held, probability);
    };
    return std::min(1.0, 2 * std::min(at_least(k), 1 - at_least(k + 1)));
}

std::uint64_t count_reordered(const std::vector<std::uint32_t>& sequences)
{
    std::uint64_t next = 0, reordered = 0;
    std::vector<bool> seen;
    for (const auto sequence : sequences) {
        if (sequence >= seen.size()) seen.resize(2 * std::size_t{sequence} + 1);
        if (seen[sequence]) continue;
        seen[sequence] = true;
        if (sequence < next)
            ++reordered;
        else
            next = std::uint64_t{sequence} + 1;
    }
    return reordered;
}

Expected expected_reordering(const Impairment& impairment, const std::vector<std::int64_t>& sent)
{
    constexpr int runs = 50;
    std::mt19937_64 random(1);
    double sum = 0, squares = 0;
    for (int i = 0; i < runs; ++i) {
        const double ratio = simulate(impairment, sent, random);
        sum += ratio;
        squares += ratio * ratio;
    }
    const double mean = sum / runs;
    return {mean, std::sqrt(std::max(0.0, squares / runs - mean * mean) * runs / (runs - 1))};
}

}  // namespace headwind::verify
