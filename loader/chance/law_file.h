// SPDX-License-Identifier: MIT
// Laws of delays from files: iproute2's tables, measured delays. Pure: gets the file's text, and errors name FILE:LINE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chance/law.h"
#include "util/result.h"

namespace headwind {

constexpr std::size_t max_law_bytes = 64 << 20, max_law_values = 1'000'000;

// A law from a file as rules keep it: its table in 1/8192 jitters, as iproute2's tables are.
using Quantiles = std::vector<std::int32_t>;
constexpr double quantile_unit = 8192;
Quantiles quantiles_of(const Law& law);
Law law_of(const Quantiles& quantiles);

// A table of iproute2 (tc-netem(8); NAME.dist): whole numbers, in 1/8192 jitters from the delay, each as likely as any
// other, in rising order. # begins a comment. The law is the table's: its mean need not be 0, nor its sd 1.
Result<Quantiles> parse_law_table(std::string_view text, const std::string& file);

// Measured delays in any order: what `ping` printed (its "time=12.3 ms"), or one a line with its unit, or plain numbers
// below a line that is a unit's name: delay_ms, rtt_us, ms. # begins a comment. Not all alike.
struct LawOfSamples {
    std::uint64_t mean = 0, sd = 0;  // ns; theirs
    Quantiles quantiles;             // with mean 0 and sd 1
};
Result<LawOfSamples> parse_samples(std::string_view text, const std::string& file);

}  // namespace headwind
