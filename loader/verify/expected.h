// The laws that the delays and the order of packets follow under a rule. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rule/rule.h"

namespace headwind::verify {

// Of the added delay, in ns. Mass may sit at `low` (a normal law that is cut at no delay).
struct Law {
    double low = 0, high = 0;
    std::function<double(double)> cdf;
    double density = 0;  // the largest, but for mass at `low`
    double mean = 0, sd = 0, kurtosis = 3;
};
// Of the delay and its jitter, for packets that are held. jitter must not be 0.
Law jitter_law(const Impairment& impairment);
void set_moments(Law& law);  // mean, sd and kurtosis from low, high and cdf

// Share of the packets that go without delay: with a gap of g, g - 1 packets are held before another may.
double early_share(const Impairment& impairment);

// Is k packets without delay of n, of which every gap-th may with this probability, odd? Exact, as
// binomial_p_value: k or more of them leave n - k (gap - 1) packets of which k or more were early.
double early_p_value(std::uint64_t k, std::uint64_t n, double probability, std::uint32_t gap);

// RFC 4737, Type-P-Reordered: packets that come after one with a higher number. Repetitions are left out.
// `sequences`: of the arrivals, in order.
std::uint64_t count_reordered(const std::vector<std::uint32_t>& sequences);

struct Expected {
    double mean = 0, sd = 0;
};
// The ratio of reordered packets that the impairment gives to packets sent at these times (ns): model runs with random
// numbers of a fixed seed, because whether one is overtaken depends on its neighbours.
Expected expected_reordering(const Impairment& impairment, const std::vector<std::int64_t>& sent);

double probability_of(const std::optional<Probability>& probability);  // 0 .. 1

}  // namespace headwind::verify
