// SPDX-License-Identifier: MIT
// Fuzzes traces (--trace FILE) and ramps (--ramp).
#include "timeline/trace.h"

#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

namespace {

// Requires that steps follow each other, and that a rule made of them has them all, or is refused.
void check_trace(std::string_view text, bool repeat)
{
    const auto trace = parse_trace(text, "fuzz.csv", repeat);
    if (!trace) return fuzz::require_good(trace.error());
    REQUIRE(trace->rows && trace->rows->size() == trace->phases, "");
    REQUIRE(!trace->varying.empty(), "");
    for (std::size_t i = 1; i < trace->rows->size(); ++i)
        REQUIRE((*trace->rows)[i - 1].begin < (*trace->rows)[i].begin, std::to_string(i));
    RuleSpec rule;
    rule.name = "r";
    rule.trace = "fuzz.csv";
    rule.repeat = repeat;
    rule.timeline = *trace;
    const auto made = make_rule(rule);
    if (!made) return fuzz::require_good(made.error());
    REQUIRE(compile_steps(*made).size() == trace->phases + 1, "");
}

void check_ramp(std::string_view text, bool repeat)
{
    const auto ramp = parse_ramp(text, repeat);
    if (!ramp) return fuzz::require_good(ramp.error());
    const auto printed = format_ramp(*ramp);
    const auto again = parse_ramp(printed, repeat);
    REQUIRE(again && *again == *ramp, printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::text_of(data, size);
    for (const bool repeat : {false, true}) {
        check_trace(text, repeat);
        check_ramp(text, repeat);
    }
    return 0;
}
