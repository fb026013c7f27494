// Is this sample of that law? Every function returns a p-value: the probability of a sample at least as odd if the law
// holds. Tests compare it with an alpha so small (1e-6) that a failure is a bug, not bad luck.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace headwind::statistics {

// Exact, two-sided (twice the smaller tail, as Clopper and Pearson): k events in n trials of probability p.
double binomial_p_value(std::uint64_t k, std::uint64_t n, double p);

struct Interval {
    double low = 0, high = 1;
};
// Clopper–Pearson: the probabilities that k events in n trials do not contradict at this alpha.
Interval binomial_interval(std::uint64_t k, std::uint64_t n, double alpha);

// Chi-square with `degrees` of freedom above `statistic`.
double chi_square_p_value(double statistic, double degrees);

// Observed counts against expected ones of the same sum (last bin: the whole tail). Neighbouring bins are pooled until
// at least 5 are expected in each. `fitted`: parameters of the law that were estimated from the same sample.
double chi_square_test(const std::vector<std::uint64_t>& observed, const std::vector<double>& expected,
                       unsigned fitted = 0);

// Are the numbers in `gaps` (trials from one event to the next, at least 1) geometric with probability p?
double geometric_p_value(const std::vector<std::uint64_t>& gaps, double p);

// Kolmogorov–Smirnov: largest distance between the sample's distribution and `law`, a continuous one; and its p-value
// (Stephens' approximation, good from n = 20 on).
double ks_distance(std::vector<double> sample, const std::function<double(double)>& law);
double ks_p_value(double distance, double n);
// Of one law? n for ks_p_value is a.size() * b.size() / (a.size() + b.size()).
double ks_distance(std::vector<double> a, std::vector<double> b);

}  // namespace headwind::statistics
