// SPDX-License-Identifier: MIT
// The distributions that the delays and the order of packets follow under a rule. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rule/rule.h"

namespace headwind::verify {

// The distribution of the added delay, in ns. Mass may sit at `low` (a normal distribution that is cut at no delay).
struct ExpectedDelay {
    double low = 0, high = 0;
    std::function<double(double)> cdf;
    double mean = 0, sd = 0, kurtosis = 3;
};
// The distribution of the delay with its jitter, for packets that are held. The jitter must not be 0.
ExpectedDelay expected_delay(const Impairment& impairment);
void set_moments(ExpectedDelay& distribution);  // mean, sd and kurtosis from low, high and cdf
// The largest share of the packets whose delays are so close together (ns), mass at `low` aside.
double steepest(const ExpectedDelay& distribution, double width);

// The share of the packets that go without delay: with a gap of g, g - 1 packets are held before another may.
double early_share(const Impairment& impairment);

// The p-value of k packets that go early, without delay, among n, if gap - 1 packets are held before each of them and
// all others go early with this probability. Exact, as binomial_p_value: k or more of them leave n - k (gap - 1)
// packets of which k or more were early.
double early_p_value(std::uint64_t k, std::uint64_t n, double probability, std::uint32_t gap);

// The number of packets that come after one with a higher number (RFC 4737, Type-P-Reordered). Repetitions are left
// out. `sequences`: the numbers of the arrivals, in order.
std::uint64_t count_reordered(const std::vector<std::uint32_t>& sequences);

struct Expected {
    double mean = 0, sd = 0;
};
// The ratio of reordered packets that the impairment gives to packets sent at these times (ns). It is found by model
// runs with random numbers of a fixed seed, because whether a packet is overtaken depends on its neighbours.
Expected expected_reordering(const Impairment& impairment, const std::vector<std::int64_t>& sent);

// The correlation of each value with the next one.
double lag_correlation(const std::vector<double>& values);
// The lag_correlation() of the delays of so many packets under the impairment, which has a jitter.
Expected expected_correlation(const Impairment& impairment, std::size_t packets);

double probability_of(const std::optional<Probability>& probability);  // 0 .. 1

}  // namespace headwind::verify
