// SPDX-License-Identifier: MIT
// The words of `tc ... netem` (iproute2, tc-netem(8)) as impairments of a rule. Pure.
#pragma once

#include <string_view>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

// Fills in the impairment fields of `text` from netem's arguments: "delay 100ms 20ms distribution normal loss 10% rate
// 1mbit limit 1000". The whole grammar of netem is understood; options that Headwind lacks are refused by name, all of
// them in one error that says what to use instead. Units are as tc writes them; bare numbers, which are microseconds,
// bit/s or percent in tc, are refused as everywhere in Headwind. After an error `text` is half filled in.
Status apply_netem(std::string_view words, RuleSpec& text);

}  // namespace headwind
