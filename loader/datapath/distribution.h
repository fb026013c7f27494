// Laws of jitter, as tables for the datapath. Pure.
#pragma once

#include <array>
#include <cstdint>

#include <headwind/abi.h>

namespace headwind {

// The standard normal law as the datapath draws from it: its quantiles at (i + 1/2) / HW_NORMAL_SAMPLES, in
// 1 / 2^HW_SIGMA_BITS. Standard deviation 1 within 0.1%; nothing beyond normal_tail.
const std::array<std::int16_t, HW_NORMAL_SAMPLES>& normal_samples();

}  // namespace headwind
