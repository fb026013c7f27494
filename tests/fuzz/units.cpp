// SPDX-License-Identifier: MIT
// Fuzzes values with units, protocols, addresses and ports: what is parsed and printed parses to the same again.
#include <cstring>

#include "fuzz.h"
#include "rule/rule.h"
#include "util/units.h"

using namespace headwind;

namespace {

template <class Parse, class Format>
void check(std::string_view text, Parse parse, Format format)
{
    const auto value = parse(text);
    if (!value) return fuzz::require_good(value.error());
    const std::string printed = format(*value);
    const auto again = parse(printed);
    REQUIRE(again && *again == *value, printed);
    REQUIRE(format(*again) == printed, printed);
    REQUIRE(is_plain_text(printed), printed);
}

// Requires that any value, printed and parsed, is the same value.
template <class Value, class Parse, class Format>
void check_value(const Value& value, Parse parse, Format format)
{
    const std::string printed = format(value);
    const auto again = parse(printed);
    REQUIRE(again && *again == value, printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::text_of(data, size);
    check(text, parse_duration, format_duration);
    check(text, parse_rate, format_rate);
    check(text, parse_size, format_size);
    check(text, parse_probability, format_probability);
    check(text, parse_protocol, format_protocol);
    check(text, parse_cidr, format_cidr);
    check(text, parse_ports, format_ports);
    check(text, parse_flap,
          [](const Flap& flap) { return "up=" + format_duration(flap.up) + ",down=" + format_duration(flap.down); });
    check(text, parse_between, format_between);
    check(text, parse_days, format_days);
    REQUIRE(is_plain_text(printable(text)), printable(text));

    std::uint64_t number = 0;
    std::memcpy(&number, data, std::min(size, sizeof(number)));
    check_value(number, parse_duration, format_duration);
    check_value(number, parse_size, format_size);
    check_value(std::max<std::uint64_t>(number, 8), parse_rate, format_rate);
    check_value(Probability{number % ((std::uint64_t{1} << 32) + 1)}, parse_probability, format_probability);
    return 0;
}
