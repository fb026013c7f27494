// SPDX-License-Identifier: MIT
// Fuzzes records as the texts map keeps them: a damaged one is refused, or is stored and read as itself, and compiles.
#include "ruleset/records.h"

#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(fuzz::text_of(data, size));
    const auto record = decode_record(1, text);
    if (!record) {
        fuzz::require_good(record.error());
        return 0;
    }
    fuzz::require_sound(record->rule);
    const auto stored = encode_record(*record);
    const auto again = decode_record(1, stored);
    REQUIRE(again, stored + "\n" + again.error().message);
    REQUIRE(encode_record(*again) == stored, stored);
    for (const auto& device : record->devices) REQUIRE(device.slot < HW_MAX_DEVICES, stored);
    const auto entries = compile_selector(record->rule, record->resolved(), PortClasses().table());
    if (!entries) fuzz::require_good(entries.error());
    return 0;
}
