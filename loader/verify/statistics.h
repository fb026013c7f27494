// SPDX-License-Identifier: MIT
// Tests whether a sample has a distribution. Most functions return a p-value: the probability of a sample at least as
// odd if the distribution holds. `headwind verify` and the tests compare it with an alpha so small (1e-6) that a
// failure is a bug, not bad luck. Functions that test counts in bins throw std::invalid_argument: they are for tests
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace headwind::statistics {

// The exact, two-sided p-value of k events in n trials of probability p (twice the smaller tail, as Clopper and
// Pearson).
double binomial_p_value(std::uint64_t k, std::uint64_t n, double p);

struct Interval {
    double low = 0, high = 1;
};
// The Clopper–Pearson interval: the probabilities that k events in n trials do not contradict at this alpha.
Interval binomial_interval(std::uint64_t k, std::uint64_t n, double alpha);

// The probability of k or more events in n trials of probability p.
double binomial_at_least(std::uint64_t k, std::uint64_t n, double p);

struct Counts {
    std::uint64_t low = 0, high = 0;
};
// The counts of 0 .. n whose p-value is at least alpha. `p_value` rises up to `likely` and falls from there on.
Counts acceptance(std::uint64_t n, std::uint64_t likely, const std::function<double(std::uint64_t)>& p_value,
                  double alpha);
// The same for the binomial distribution.
Counts binomial_acceptance(std::uint64_t n, double p, double alpha);

// The probability that chi-square with `degrees` of freedom is above `statistic`.
double chi_square_p_value(double statistic, double degrees);

// The p-value of observed counts against expected ones of the same sum (last bin: the whole tail). Neighbouring bins
// are pooled until at least 5 are expected in each. `fitted`: parameters of the distribution that were estimated from
// the same sample.
double chi_square_test(const std::vector<std::uint64_t>& observed, const std::vector<double>& expected,
                       unsigned fitted = 0);

// The p-value of `gaps` (trials from one event to the next, at least 1) if they are geometric with probability p.
double geometric_p_value(const std::vector<std::uint64_t>& gaps, double p);

// The Kolmogorov–Smirnov distance, the largest between the sample's distribution and `distribution`, a continuous one,
// and its p-value (Stephens' approximation, good from n = 20 on).
double ks_distance(std::vector<double> sample, const std::function<double(double)>& distribution);
double ks_p_value(double distance, double n);
// The distance that has this p-value.
double ks_critical(double alpha, double n);
// The distance between two samples. Its n for ks_p_value is a.size() * b.size() / (a.size() + b.size()).
double ks_distance(std::vector<double> a, std::vector<double> b);

}  // namespace headwind::statistics
