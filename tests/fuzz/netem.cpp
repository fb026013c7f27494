// SPDX-License-Identifier: MIT
// Fuzzes netem's words: those that are understood give the same rule, or refusal, as the flags that they stand for.
#include "rule/netem.h"

#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto words = fuzz::text_of(data, size);
    RuleSpec flags;
    flags.name = "r";
    RuleSpec whole = flags;
    whole.netem = std::string(words);
    const auto rule = make_rule(whole);
    if (const auto status = apply_netem(words, flags); !status) {
        fuzz::require_good(status.error());
        REQUIRE(!rule, std::string(words));
    }
    if (!rule) {
        fuzz::require_good(rule.error());
        return 0;
    }
    const auto by_flags = make_rule(flags);
    REQUIRE(by_flags && *by_flags == *rule, std::string(words));
    fuzz::require_sound(*rule);
    return 0;
}
