// SPDX-License-Identifier: MIT
// How fast packets are sent, so that what an impairment does to them can be told from what they do to each other.
#pragma once

#include <cstdint>

#include "rule/rule.h"
#include "verify/measure.h"

namespace headwind::verify {

// The time that one packet of a stream, with its copy, takes on the link of the rate, in ns.
std::int64_t on_link(const Impairment& asked, const Bed& bed);
// The longest delay, ns.
std::int64_t longest_wait(const Impairment& asked);
// The pace of packets for delay and order: so far apart that none waits for the rate.
Pace timing_pace(const Impairment& asked, const Bed& bed);
// The pace of packets to count: as many as fit into the time, below the rate; no more under way than a fraction of
// --max-held's default.
Pace counting_pace(const Impairment& asked, const Bed& bed, std::uint32_t packets);
// The pace of a flood: half as much again as the rate after loss; at slow rates frames so small that some hundred
// arrive.
FloodPace flood_pace(const Impairment& asked, const Bed& bed);

}  // namespace headwind::verify
