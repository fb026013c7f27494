// SPDX-License-Identifier: MIT
// Laws of delays, as tables over the normal score (include/headwind/law.h says why). Pure.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/law.h>

namespace headwind {

// T(z), counted in jitters from the delay, at z = -4.5, -4.5 + 1/64, ..., 4.5, with straight lines between and constant
// beyond: HW_LAW_KNOTS values that never fall.
using Law = std::vector<double>;

// Mean 0 and standard deviation 1, exactly, by the table.
const Law& normal_law();
const Law& exponential_law();   // -1 and above
const Law& pareto_law();        // shape 3, as netem's; -0.58 and above
const Law& paretonormal_law();  // a quarter normal, three quarters pareto, as netem's
// Above -1 / ratio. ratio: jitter / delay, more than 0, at most most_lognormal.
Law lognormal_law(double ratio);
constexpr double most_lognormal = 100;
// From -1 to 1, all alike: the jitter is half the width.
const Law& uniform_law();
// The law of one of these values, each as likely as any other (from one to the next the table needs 0.6% of the packets
// at most, which lie between). At least one; sorted.
Law law_of_quantiles(const std::vector<double>& sorted);

struct Moments {
    double mean = 0, sd = 0;
};
Moments moments_of(const Law& law);
// The law with this mean and standard deviation taken out: with Moments of its own, its mean is 0 and its sd is 1.
Law standardized(Law law, const Moments& moments);
// The share of the delays that are at most x jitters from the delay.
double share_up_to(const Law& law, double x);
double value_at(const Law& law, double score);  // T(score)
// The law of delays that are cut at `least` jitters.
Law cut_at(Law law, double least);
// The correlation that the normal scores of two delays must have, so that the delays have this one.
// 0 <= correlation < 1.
double score_correlation(const Law& law, double correlation);

// Delays that are smooth in time (include/headwind/smooth.h) never fall faster than time goes on, whatever chance does,
// if their correlation time is at least so many jitters. They are cut at `least` jitters.
double order_factor(const Law& law, double least);

// The table as the datapath has it. (Values beyond 2,000 jitters are cut.)
hw_law fixed_point(const Law& law);
// The normal scores as the datapath has them.
const hw_scores& normal_scores();

}  // namespace headwind
