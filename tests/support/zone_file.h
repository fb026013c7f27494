// SPDX-License-Identifier: MIT
// Makes the content of time zone files (TZif).
#pragma once

#include <string>
#include <vector>

#include "util/zone.h"

namespace headwind::test {

// `rule`: the rule for the time after the last change, as "CET-1CEST,M3.5.0,M10.5.0/3"; empty: the last offset stays.
std::string zone_file(std::int32_t offset, const std::vector<ZoneChange>& changes = {}, const std::string& rule = "");

}  // namespace headwind::test
