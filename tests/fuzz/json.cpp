// SPDX-License-Identifier: MIT
// Fuzzes rules as JSON, as the kernel's maps keep them: each is refused, or is stored and read as itself.
#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::text_of(data, size);
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_discarded()) return 0;
    const auto rule = rule_from_json(json);
    if (rule)
        fuzz::require_sound(*rule);
    else
        fuzz::require_good(rule.error());
    return 0;
}
