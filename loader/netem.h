// The words of `tc ... netem` (iproute2, tc-netem(8)) as impairments of a rule. Pure.
#pragma once

#include <string_view>

#include "result.h"
#include "rule.h"

namespace headwind {

// Fills in the impairment fields of `text` from netem's arguments: "delay 100ms 20ms distribution normal loss 10%
// rate 1mbit limit 1000". netem's whole grammar is understood; what Headwind has not (yet) is refused by name, with what
// to use instead. Units as tc has them where it writes them; bare numbers, which mean microseconds, bytes or fractions
// there, are refused as everywhere in Headwind.
Status apply_netem(std::string_view words, RuleText& text);

}  // namespace headwind
