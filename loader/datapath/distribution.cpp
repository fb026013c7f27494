// SPDX-License-Identifier: MIT
// Computes the quantiles of the normal distribution from the error function.
#include "datapath/distribution.h"

#include <cmath>

#include "rule/rule.h"

namespace headwind {

const std::array<std::int16_t, HW_NORMAL_SAMPLES>& normal_samples()
{
    static const auto samples = [] {
        std::array<std::int16_t, HW_NORMAL_SAMPLES> out{};
        for (std::size_t i = 0; i < out.size(); ++i) {
            const double probability = (static_cast<double>(i) + 0.5) / static_cast<double>(out.size());
            double high = normal_tail, low = -high;
            for (int step = 0; step < 50; ++step) {  // bisection: the distribution function grows
                const double middle = (low + high) / 2;
                (0.5 * std::erfc(-middle / std::sqrt(2.0)) < probability ? low : high) = middle;
            }
            out[i] = static_cast<std::int16_t>(std::lround(low * (1 << HW_SIGMA_BITS)));
        }
        return out;
    }();
    return samples;
}

}  // namespace headwind
