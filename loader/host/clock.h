// The host's local time: its zone, whoever calls ($TZ is not asked), and its clock that leap seconds do not touch.
#pragma once

#include <cstdint>

#include "util/result.h"
#include "util/zone.h"

namespace headwind {

// That of /etc/localtime, below host_root(). UTC if there is none, as for the C library.
Result<Zone> host_zone();

// As things are now.
Result<LocalClock> host_clock();

std::uint64_t tai_ns();  // CLOCK_TAI

}  // namespace headwind
