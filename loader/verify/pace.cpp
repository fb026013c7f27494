// SPDX-License-Identifier: MIT
// Computes paces.
#include "verify/pace.h"

#include <algorithm>
#include <cmath>

#include "verify/judge.h"

namespace headwind::verify {
namespace {

constexpr std::int64_t ms = 1'000'000;  // ns

}  // namespace

std::int64_t on_link(const Impairment& asked, const Bed& bed)
{
    if (asked.rate == 0) return 0;
    const auto bits = static_cast<double>(8 * bed.frame_bytes(payload_bytes));
    return std::llround(bits * 1e9 / static_cast<double>(asked.rate) * (asked.duplicate ? 2 : 1));
}

std::int64_t longest_wait(const Impairment& asked)
{
    return static_cast<std::int64_t>(longest_delay(asked));
}

Pace timing_pace(const Impairment& asked, const Bed& bed)
{
    Pace pace;
    const auto delay = static_cast<std::int64_t>(asked.delay);
    // Some ten packets are under way, and none is due when another leaves.
    if (asked.reorder) pace.spacing = std::clamp(delay * 2 / 21, 1 * ms, 5 * ms);
    pace.spacing = std::max(pace.spacing, 4 * on_link(asked, bed));
    if (asked.reorder && delay >= pace.spacing) pace.spacing = delay * 2 / (2 * (delay / pace.spacing) + 1);
    pace.limit = 4000 * ms;
    if (asked.rate_last) pace.spacing += longest_wait(asked);  // none waits behind another one
    if (asked.correlation_time != 0) {                         // each has a delay of its own
        pace.spacing = std::max(pace.spacing, 2 * static_cast<std::int64_t>(asked.correlation_time));
        pace.limit = std::clamp(200 * pace.spacing, 4000 * ms, 20'000 * ms);
    }
    pace.packets = static_cast<std::uint32_t>(std::clamp<std::int64_t>(pace.limit / pace.spacing, 20, 4000));
    pace.wait = longest_wait(asked) + 300 * ms;
    return pace;
}

Pace counting_pace(const Impairment& asked, const Bed& bed, std::uint32_t packets)
{
    constexpr double held_packets = 50'000;
    Pace pace;
    pace.packets = packets;
    pace.limit = 5000 * ms;
    pace.wait = longest_wait(asked) + 300 * ms;
    const bool chance = asked.loss || asked.corrupt || asked.duplicate;
    if (partitions(asked) || !chance) pace.packets = std::min(packets, 2000U);
    if (asked.rate != 0) {
        pace.spacing = std::max(ms / 5, 2 * on_link(asked, bed));
        return pace;
    }
    const double seconds = static_cast<double>(longest_delay(asked)) / 1e9;
    const double per_second = std::min(20'000.0, held_packets / std::max(seconds, 0.001));
    pace.burst = std::max(1U, static_cast<unsigned>(per_second / 1000));
    pace.spacing = static_cast<std::int64_t>(1e9 * pace.burst / per_second);
    return pace;
}

FloodPace flood_pace(const Impairment& asked, const Bed& bed)
{
    constexpr std::uint64_t frames_per_second = 200, largest = 1400, excess_percent = 150;
    FloodPace pace;
    const auto header = bed.frame_bytes(0);
    pace.payload = std::clamp(asked.rate / 8 / frames_per_second, payload_bytes + header, largest + header) - header;
    pace.packets_per_second = static_cast<double>(asked.rate) * excess_percent / 100 /
                              static_cast<double>(8 * bed.frame_bytes(pace.payload)) / (1 - probability_of(asked.loss));
    const auto jitter = static_cast<std::int64_t>(longest_delay(asked) - asked.delay);
    pace.duration = flood_settles + 3500 * ms + 2 * jitter;
    pace.wait = static_cast<std::int64_t>(asked.delay) + 100 * ms;
    return pace;
}

}  // namespace headwind::verify
