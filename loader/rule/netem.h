// The words of `tc ... netem` (iproute2, tc-netem(8)) as impairments of a rule. Pure.
#pragma once

#include <string_view>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

// Fills in the impairment fields of `text` from netem's arguments: "delay 100ms 20ms distribution normal loss 10%
// rate 1mbit limit 1000". netem's whole grammar is understood; what Headwind has not (yet) is refused by name, with
// what to use instead, all of it in one error. Units as tc has them where it writes them; bare numbers, which mean
// microseconds, bit/s or percent there, are refused as everywhere in Headwind. After an error `text` is half filled in.
Status apply_netem(std::string_view words, RuleText& text);

}  // namespace headwind
