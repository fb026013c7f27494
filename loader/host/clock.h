// SPDX-License-Identifier: MIT
// The host's local time: its time zone, whoever calls ($TZ is not asked), and its clock that leap seconds do not touch.
#pragma once

#include <cstdint>

#include "util/result.h"
#include "util/zone.h"

namespace headwind {

// The zone in /etc/localtime, below host_root(). UTC if there is no such file, as for the C library.
Result<Zone> host_zone();

// The local clock as the zone and the clocks are now.
Result<LocalClock> host_clock();

std::uint64_t tai_ns();  // CLOCK_TAI

}  // namespace headwind
