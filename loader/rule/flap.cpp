// SPDX-License-Identifier: MIT
// Parses --flap: the words for its two phases.
#include "rule/rule.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t longest_phase = 30ULL * 24 * 3600 * 1'000'000'000;  // ns
constexpr std::string_view both_phases = "write both phases, each longer than nothing, like up=30s,down=5s";

// Reads one word, "up=30s", into its phase.
Status read_phase(std::string_view word, Flap& flap)
{
    const std::size_t sign = word.find('=');
    const std::string_view name = trimmed(word.substr(0, sign));
    std::uint64_t* phase = name == "up" ? &flap.up : name == "down" ? &flap.down : nullptr;
    if (sign == std::string_view::npos || phase == nullptr || *phase != 0)
        return fail(ErrorKind::usage, "{}", both_phases);
    HW_TRY(*phase, parse_duration(trimmed(word.substr(sign + 1))));
    if (*phase == 0) return fail(ErrorKind::usage, "{}", both_phases);
    if (*phase > longest_phase) return fail(ErrorKind::usage, "a phase lasts 720h (30 days) at most");
    return {};
}

}  // namespace

Result<Flap> parse_flap(std::string_view text)
{
    const std::size_t comma = text.find(',');
    if (comma == std::string_view::npos) return fail(ErrorKind::usage, "{}", both_phases);
    Flap flap;
    HW_CHECK(read_phase(text.substr(0, comma), flap));
    HW_CHECK(read_phase(text.substr(comma + 1), flap));
    return flap;
}

}  // namespace headwind
