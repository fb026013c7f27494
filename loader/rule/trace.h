// SPDX-License-Identifier: MIT
// Traces (--trace FILE): CSV of times, and of values that vary with time.
#pragma once

#include <string>
#include <string_view>

#include "rule/timeline.h"
#include "util/result.h"

namespace headwind {

struct RuleSpec;

// Parses a trace: a line that names the columns, `time` first, then a row for each step. Units are in the cells (50ms,
// 1%, 2mbit) or, for a whole column, in its name (time_s, delay_ms, loss_percent, rate_kbit). An empty cell or - is as
// in the row before. Lines that are empty or start with # are skipped. With `repeat` the last row lasts as long as the
// one before. Errors name FILE:LINE.
Result<Timeline> parse_trace(std::string_view text, const std::string& file, bool repeat);

// Reads the file that --trace names, if it names one, into text.timeline.
Status load_trace(RuleSpec& text);

}  // namespace headwind
