// SPDX-License-Identifier: MIT
// Files that flags name: traces (--trace FILE), laws of delays (--distribution table:FILE, samples:FILE), lists of
// packets (--loss-pattern FILE).
#pragma once

#include "util/result.h"

namespace headwind {

struct RuleSpec;

// Reads the files that the flags name into text.timeline, text.quantiles and text.lost_packets, and from samples, where
// the flags name neither, delay and jitter. A table NAME that is no file here is iproute2's, NAME.dist.
Status load_files(RuleSpec& text);

}  // namespace headwind
