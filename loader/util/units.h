// SPDX-License-Identifier: MIT
// Text with units -> valid numbers, and back. Pure; no rounding surprises: what is printed parses to the same value.
// Every parser refuses: missing or unknown unit, NaN, infinity, negative, overflow, empty text, trailing junk. Blanks
// around the text and between number and unit are accepted (" 10 % " is 10%). Values that are no whole number of the
// result's unit ("0.5ns") are refused, not rounded; probabilities are rounded to the nearest threshold. Errors are
// ErrorKind::usage and say what would be right, without naming a flag: the caller prefixes "--delay 250: ".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "util/result.h"

namespace headwind {

// A probability as the dice compare it: event if (u32 random) < threshold. 0 never, 2^32 always.
struct Probability {
    static constexpr std::uint64_t always = std::uint64_t{1} << 32;
    std::uint64_t threshold = 0;  // 0 .. 2^32
    friend bool operator==(const Probability&, const Probability&) = default;
};

// "250ms", "1.5s", "1m30s" (descending units, each once): ns us ms s m h; "µs" is us. Result in nanoseconds. A bare
// number is refused (tc reads it as µs, other tools as ms), except "0".
Result<std::uint64_t> parse_duration(std::string_view text);
// "1mbit", "512kibit", "9.6kbit", "10bit"; decimal bit kbit mbit gbit tbit and kibit mibit gibit tibit, any case,
// optionally followed by "/s" or "ps" only for *bit units ("1mbit/s"). Result in bits per second, at least 8.
// mbps, kbps, bps, MB/s: refused by name (bytes in tc, bits elsewhere).
Result<std::uint64_t> parse_rate(std::string_view text);
// "10%", "0.01 %": 0..100. Without "%": refused ("percent in tc, a fraction in iptables; write 10%"). A value that is
// not 0 but would round to threshold 0 is refused with the least value (about 0.0000000233%).
Result<Probability> parse_probability(std::string_view text);
// "64kb" (1000), "64KiB" (1024), "1500b", mb/MiB, gb/GiB; any case. Result in bytes. Bare numbers are refused.
Result<std::uint64_t> parse_size(std::string_view text);

// Shortest exact text: 50000000 -> "50ms", 90 s -> "1m30s", 1500000 ns -> "1.5ms", 0 -> "0s".
std::string format_duration(std::uint64_t nanoseconds);
// 1000000 -> "1mbit", 1024 -> "1.024kbit".
std::string format_rate(std::uint64_t bits_per_second);
// 0 .. 1
double fraction_of(Probability probability);
// The shortest decimal percent that parses to the same threshold: "10%", "0.01%", "33.333%".
std::string format_probability(Probability probability);
// 64000 -> "64kb", 65536 -> "64KiB", 1500 -> "1.5kb", 999 -> "999b".
std::string format_size(std::uint64_t bytes);

}  // namespace headwind
