// SPDX-License-Identifier: MIT
// Fuzzes time zone files: changes that are read are in order, and make a clock that the datapath can count with.
#include "util/zone.h"

#include <algorithm>

#include <headwind/abi.h>

#include "fuzz.h"

using namespace headwind;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr std::int64_t now = 1'782'864'000, day = 86400;
    const auto zone = parse_zone(fuzz::text_of(data, size), now);
    if (!zone) {
        fuzz::require_good(zone.error());
        return 0;
    }
    const auto& changes = zone->changes;
    REQUIRE(std::is_sorted(changes.begin(), changes.end(), [](const auto& a, const auto& b) { return a.at < b.at; }),
            "");
    for (const std::int64_t at : {now - 20'000 * day, now, now + 20'000 * day}) {
        const auto offset = offset_at(*zone, at);
        REQUIRE(offset > -2 * day && offset < 2 * day, std::to_string(offset));
        const auto clock = local_clock(*zone, at, 37);
        REQUIRE(clock.shift < HW_WEEK && clock.shift_after < HW_WEEK, std::to_string(at));
        REQUIRE(clock.turn > static_cast<std::uint64_t>(at), std::to_string(at));
    }
    return 0;
}
