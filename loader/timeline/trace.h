// SPDX-License-Identifier: MIT
// Traces: timelines as CSV files. Pure.
#pragma once

#include <string>
#include <string_view>

#include "timeline/timeline.h"
#include "util/result.h"

namespace headwind {

// Parses a trace: a line that names the columns, `time` first, then a row for each step. Units are in the cells (50ms,
// 1%, 2mbit) or, for a whole column, in its name (time_s, delay_ms, loss_percent, rate_kbit). An empty cell or - is as
// in the row before. Comments begin with #. With `repeat` the last row lasts as long as the one before. Errors name
// FILE:LINE.
Result<Timeline> parse_trace(std::string_view text, const std::string& file, bool repeat);

}  // namespace headwind
