// SPDX-License-Identifier: MIT
// Computes the delays that an impairment should give, and simulates the order.
#include "verify/expected.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "chance/law.h"
#include "verify/statistics.h"

namespace headwind::verify {
namespace {

// Draws the delays of packets in a row, in ns.
class DelaySeries {
public:
    explicit DelaySeries(const Impairment& impairment)
        : delay_(static_cast<double>(impairment.delay)), jitter_(static_cast<double>(impairment.jitter))
    {
        if (impairment.jitter == 0) return;
        law_ = cut_at(delay_law(impairment), -delay_ / jitter_);
        if (impairment.delay_correlation)
            correlation_ = score_correlation(law_, fraction_of(*impairment.delay_correlation));
    }
    double next(std::mt19937_64& random)
    {
        if (law_.empty()) return delay_;
        const double before = begun_ ? score_ : normal_(random);
        begun_ = true;
        score_ = correlation_ * before + std::sqrt(1 - correlation_ * correlation_) * normal_(random);
        return delay_ + jitter_ * value_at(law_, score_);
    }

private:
    double delay_, jitter_, correlation_ = 0, score_ = 0;
    bool begun_ = false;
    Law law_;
    std::normal_distribution<double> normal_;
};

// The ratio of reordered packets among those that came, in one run of the model.
double simulate(const Impairment& impairment, const std::vector<std::int64_t>& sent, std::mt19937_64& random)
{
    const double lost = 1 - (1 - probability_of(impairment.loss)) * (1 - probability_of(impairment.corrupt));
    std::bernoulli_distribution is_lost(lost), is_double(probability_of(impairment.duplicate)),
        is_early(probability_of(impairment.reorder));
    DelaySeries delays(impairment);
    std::vector<std::pair<double, std::uint32_t>> arrivals;
    std::uint32_t held = 0;  // packets since the last early one
    for (std::size_t i = 0; i < sent.size(); ++i) {
        if (is_lost(random)) continue;
        for (int copies = is_double(random) ? 2 : 1; copies > 0; --copies) {
            double delay = delays.next(random);
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

// Mean and standard deviation of what many runs of a model give, with random numbers of a fixed seed.
template <class Run>
Expected model_runs(Run run)
{
    constexpr int runs = 50;
    std::mt19937_64 random(1);
    double sum = 0, squares = 0;
    for (int i = 0; i < runs; ++i) {
        const double value = run(random);
        sum += value;
        squares += value * value;
    }
    const double mean = sum / runs;
    return {mean, std::sqrt(std::max(0.0, squares / runs - mean * mean) * runs / (runs - 1))};
}

}  // namespace

double probability_of(const std::optional<Probability>& probability)
{
    return probability ? fraction_of(*probability) : 0;
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

double lag_correlation(const std::vector<double>& values)
{
    const auto n = static_cast<double>(values.size());
    double mean = 0, variance = 0, together = 0;
    for (const double value : values) mean += value / n;
    for (std::size_t i = 0; i < values.size(); ++i) {
        variance += std::pow(values[i] - mean, 2);
        if (i != 0) together += (values[i] - mean) * (values[i - 1] - mean);
    }
    return variance > 0 ? together / variance : 0;
}

ExpectedDelay expected_delay(const Impairment& impairment)
{
    const auto delay = static_cast<double>(impairment.delay), jitter = static_cast<double>(impairment.jitter);
    const auto& law = delay_law(impairment);
    ExpectedDelay distribution;
    distribution.low = std::max(0.0, delay + jitter * law.front());
    distribution.high = delay + jitter * law.back();
    distribution.cdf = [=](double x) { return x < 0 ? 0.0 : share_up_to(law, (x - delay) / jitter); };
    set_moments(distribution);
    return distribution;
}

double steepest(const ExpectedDelay& distribution, double width)
{
    constexpr int places = 2048;
    double most = 0;
    for (int i = 0; i < places; ++i) {  // where the packets are, not where there may be a few
        const double x = distribution.low + (distribution.high - distribution.low) * std::pow(i / double{places}, 3);
        if (x > distribution.low || distribution.cdf(x) == 0)
            most = std::max(most, distribution.cdf(x + width) - distribution.cdf(x));
    }
    return most;
}

Expected expected_correlation(const Impairment& impairment, std::size_t packets)
{
    return model_runs([&](std::mt19937_64& random) {
        DelaySeries series(impairment);
        std::vector<double> delays(packets);
        for (auto& delay : delays) delay = series.next(random);
        return lag_correlation(delays);
    });
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
    return model_runs([&](std::mt19937_64& random) { return simulate(impairment, sent, random); });
}

}  // namespace headwind::verify
