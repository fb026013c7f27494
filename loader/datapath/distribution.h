// SPDX-License-Identifier: MIT
// Distributions of jitter, as tables for the datapath. Pure.
#pragma once

#include <array>
#include <cstdint>

#include <headwind/abi.h>

namespace headwind {

// The standard normal distribution from which the datapath draws: its quantiles at (i + 1/2) / HW_NORMAL_SAMPLES, in
// units of 1 / 2^HW_SIGMA_BITS. The standard deviation is 1 within 0.1%, and no sample is beyond normal_tail.
const std::array<std::int16_t, HW_NORMAL_SAMPLES>& normal_samples();

}  // namespace headwind
