// SPDX-License-Identifier: MIT
// Files that flags name: traces (--trace FILE), laws of delays (--distribution table:FILE, samples:FILE), lists of
// packets (--loss-pattern FILE).
#pragma once

#include <string>
#include <string_view>

#include "rule/timeline.h"
#include "util/result.h"

namespace headwind {

struct RuleSpec;

// ---- trace.cpp ----

// Parses a trace: a line that names the columns, `time` first, then a row for each step. Units are in the cells (50ms,
// 1%, 2mbit) or, for a whole column, in its name (time_s, delay_ms, loss_percent, rate_kbit). An empty cell or - is as
// in the row before. Lines that are empty or start with # are skipped. With `repeat` the last row lasts as long as the
// one before. Errors name FILE:LINE.
Result<Timeline> parse_trace(std::string_view text, const std::string& file, bool repeat);

// ---- files.cpp ----

// Reads the files that the flags name into text.timeline, text.quantiles and text.lost_packets, and from samples, where
// the flags name neither, delay and jitter. A table NAME that is no file here is iproute2's, NAME.dist.
Status load_files(RuleSpec& text);

}  // namespace headwind
