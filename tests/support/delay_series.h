// SPDX-License-Identifier: MIT
// Delays as the datapath draws them, one packet after the other, and tests of such series.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/sequence.h>
#include <headwind/smooth.h>

#include "chance/law.h"
#include "rule/rule.h"

namespace headwind::test {

// The parts of an impairment that say how long a packet is delayed.
struct DelayLaw {
    std::uint64_t delay, jitter;  // ns
    hw_law law;
};

// ns. Each packet by itself.
std::vector<double> draw_delays(const DelayLaw& law, std::uint64_t seed, std::size_t packets);
// With the scores of a sequence that begins.
std::vector<double> draw_delays(const DelayLaw& law, const hw_sequence& sequence, std::size_t packets);

// Those of an impairment with a correlation_time.
class SmoothDelays {
public:
    explicit SmoothDelays(const Impairment& impairment, const hw_scores& scores = normal_scores(),
                          std::uint64_t seed = 1);
    std::uint64_t at(std::uint64_t time) const;  // ns; CLOCK_MONOTONIC
    std::uint64_t time() const { return impairment_.correlation_time; }

private:
    hw_impairment impairment_;
    hw_law law_;
    const hw_scores& scores_;
    std::uint64_t seed_;
};

struct SampleMoments {
    double mean = 0, sd = 0;
};
SampleMoments sample_moments(const std::vector<double>& values);

// Two-sided p-value of the series' lag-1 correlation, if it should be `correlation`. Its variance is that among 1,000
// parts of the series.
double lag_p_value(const std::vector<double>& values, double correlation);

}  // namespace headwind::test
