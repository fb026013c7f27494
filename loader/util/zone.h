// SPDX-License-Identifier: MIT
// A time zone as the host has it (/etc/localtime, a TZif file: RFC 8536) and what the datapath needs of it. Pure: the C
// library would read one zone for a process, the caller's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"

namespace headwind {

struct ZoneChange {
    std::int64_t at = 0;      // unix time, s
    std::int32_t offset = 0;  // from then on: local time minus UTC, s
    friend bool operator==(const ZoneChange&, const ZoneChange&) = default;
};

// A time zone; by default UTC.
struct Zone {
    std::string name;                 // "Europe/Berlin"; empty: unknown
    std::int32_t offset = 0;          // before all changes
    std::vector<ZoneChange> changes;  // ascending; a rule's, which have no end, reach until two years after `now`
};

// Reads a TZif file. `now`: unix time, s.
Result<Zone> parse_zone(std::string_view bytes, std::int64_t now);

std::int32_t offset_at(const Zone& zone, std::int64_t now);

// Local time for the datapath: see hw_hours.
struct LocalClock {
    std::uint32_t shift = 0, shift_after = 0;  // s
    std::uint64_t turn = ~std::uint64_t{0};    // CLOCK_TAI, s
    friend bool operator==(const LocalClock&, const LocalClock&) = default;
};

// The clock of the zone. `now`: unix time, s; `ahead`: CLOCK_TAI minus CLOCK_REALTIME, s.
LocalClock local_clock(const Zone& zone, std::int64_t now, std::int64_t ahead);

}  // namespace headwind
