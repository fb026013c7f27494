// SPDX-License-Identifier: MIT
// Tests how durations and rates are parsed and formatted.
#include <algorithm>

#include "units_test.h"

namespace headwind::units_test::units_time_test {
namespace {

// ---- duration ----

TEST(Duration, Accepts)
{
    expect_accepted(parse_duration, {
                                        {"0", 0},
                                        {" 0 ", 0},
                                        {"0s", 0},
                                        {"0ns", 0},
                                        {"1ns", 1},
                                        {"250us", 250'000},
                                        {"250\xc2\xb5s", 250'000},
                                        {"250\xce\xbcs", 250'000},
                                        {"250ms", 250'000'000},
                                        {" 250 ms ", 250'000'000},
                                        {"\t250\tms\t", 250'000'000},
                                        {"1.5s", 1'500'000'000},
                                        {".5s", 500'000'000},
                                        {"0.000000001s", 1},
                                        {"0001ms", 1'000'000},
                                        {"1.500000000000000000000000000ms", 1'500'000},
                                        {std::string(1000, '0') + "1ms", 1'000'000},
                                        {"1m30s", 90 * second},
                                        {"1m 30s", 90 * second},
                                        {"1 m 30 s", 90 * second},
                                        {"1h1m1s1ms1us1ns", 3661 * second + 1'001'001},
                                        {"1h30m", 5400 * second},
                                        {"1h90s", 3690 * second},
                                        {"1m0.5s", 60'500'000'000},
                                        {"4294s", 4294 * second},
                                        {"18446744073709551615ns", largest},
                                        {"5124095h", 5124095ULL * 3600 * second},
                                    });
}

TEST(Duration, Refuses)
{
    expect_refused(parse_duration, junk("ms"));
    expect_refused(parse_duration, {
                                       {"250", "needs a unit: write 250ms (ns us ms s m h)"},
                                       {"1.5", "needs a unit: write 1.5ms"},
                                       {"00", "needs a unit"},
                                       {"1m30", "30 needs a unit too"},
                                       {"1ms5", "5 needs a unit too"},
                                       {"0.5ns", "not a whole number of nanoseconds: write 1ns"},
                                       {"1.4ns", "write 1ns"},
                                       {"1.6ns", "write 2ns"},
                                       {"0.1ns", "write 1ns"},
                                       {"10msec", "unknown unit msec: use ns us ms s m h"},
                                       {"10MS", "unknown unit MS"},
                                       {"10S", "unknown unit S"},
                                       {"10d", "unknown unit d"},
                                       {"30s1m", "from large to small, each once: write 1m30s"},
                                       {"1s1s", "each once"},
                                       {"1us1\xc2\xb5s", "each once"},
                                       {"1m-30s", "unknown unit m-"},
                                       {"18446744073709551616ns", "too large"},
                                       {"5124096h", "too large: at most 5124095h"},
                                       {"5124095h35m", "too large: at most 5124095h"},
                                       {"18446744073709551615h", "too large"},
                                   });
}

TEST(Duration, Formats)
{
    const std::vector<Accepted> cases{
        {"0s", 0},
        {"1ns", 1},
        {"999ns", 999},
        {"1us", 1'000},
        {"1.5us", 1'500},
        {"50ms", 50'000'000},
        {"1.5ms", 1'500'000},
        {"999.999999ms", 999'999'999},
        {"1s", second},
        {"1.000000001s", second + 1},
        {"59.9s", 59'900'000'000},
        {"1m", 60 * second},
        {"1m30s", 90 * second},
        {"1m0.5s", 60'500'000'000},
        {"1h", 3600 * second},
        {"1h1s", 3601 * second},
        {"1h30m", 5400 * second},
        {"1h11m34s", 4294 * second},
        {"5124095h34m33.709551615s", largest},
    };
    for (const Accepted& c : cases) EXPECT_EQ(format_duration(c.value), c.text);
}

TEST(Duration, RoundTrips)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < samples; ++i) {
        const std::uint64_t value = any_magnitude(random);
        const std::string text = format_duration(value);
        const auto parsed = parse_duration(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        ASSERT_EQ(*parsed, value) << text;
    }
}

// ---- rate ----

TEST(Rate, Accepts)
{
    expect_accepted(parse_rate, {
                                    {"8bit", 8},
                                    {"10bit", 10},
                                    {" 10 mbit ", 10'000'000},
                                    {"1kbit", 1'000},
                                    {"9.6kbit", 9'600},
                                    {"1mbit", 1'000'000},
                                    {"1Mbit", 1'000'000},
                                    {"1MBIT", 1'000'000},
                                    {"1gbit", 1'000'000'000},
                                    {"1tbit", 1'000'000'000'000},
                                    {"512kibit", 512 * 1024},
                                    {"1MiBit", 1 << 20},
                                    {"1gibit", 1 << 30},
                                    {"1tibit", std::uint64_t{1} << 40},
                                    {"0.5kibit", 512},
                                    {"1mbit/s", 1'000'000},
                                    {"1 Mbit/s", 1'000'000},
                                    {"1mbitps", 1'000'000},
                                    {"8bit/s", 8},
                                    {"18446744073709551615bit", largest},
                                    {"18446744tbit", 18446744000000000000ULL},
                                });
}

TEST(Rate, Refuses)
{
    expect_refused(parse_rate, junk("mbit"));
    expect_refused(
        parse_rate,
        {
            {"7bit", "write 8bit or more"},
            {"0mbit", "write 8bit or more"},
            {"0.007kbit", "write 8bit or more"},
            {"1000", "needs a unit: write 1000bit or 1000kbit"},
            {"0", "needs a unit"},
            {"10mbps",
             "mbps is bytes per second in tc and bits elsewhere: write 10mbit (bits) or 80mbit (if you meant bytes)"},
            {"10Mbps", "Mbps is bytes per second in tc"},
            {"64kbps", "write 64kbit (bits) or 512kbit (if you meant bytes)"},
            {"125mbps", "write 125mbit (bits) or 1gbit (if you meant bytes)"},
            {"100bps", "write 100bit (bits) or 800bit (if you meant bytes)"},
            {"1.5gbps", "write 1.5gbit (bits) or 12gbit (if you meant bytes)"},
            {"1tbps", "write 1tbit (bits) or 8tbit"},
            {"1kibps", "write 1kibit (bits) or 8.192kbit"},
            {"10MB/s", "MB/s may be bytes or bits: write 10mbit (bits) or 80mbit (if you meant bytes)"},
            {"10mb", "mb may be bytes or bits"},
            {"10KiB/s", "may be bytes or bits"},
            {"10b", "b may be bytes or bits"},
            {"0.01bps", "write 0.01bit (bits)"},
            {"18446744tbps", "write 18446744tbit (bits)"},
            {"10m", "unknown unit m: use bit kbit mbit"},
            {"10mbit/s/s", "unknown unit"},
            {"10mbit/ps", "unknown unit"},
            {"10/s", "unknown unit /s"},
            {"10ps", "unknown unit ps"},
            {"10pbit", "unknown unit pbit"},
            {"9.5bit", "not a whole number of bits per second: write 10bit"},
            {"1.1mibit", "write 1153434bit"},
            {"18446744073709551616bit", "too large"},
            {"18446745tbit", "too large: at most 18446744tbit"},
            {"18446744073709551615.9bit", "write 18446744073709551615bit"},
        });
}

TEST(Rate, Formats)
{
    const std::vector<Accepted> cases{
        {"8bit", 8},
        {"999bit", 999},
        {"1kbit", 1'000},
        {"1.024kbit", 1'024},
        {"9.6kbit", 9'600},
        {"1mbit", 1'000'000},
        {"1.5gbit", 1'500'000'000},
        {"1.000000001gbit", 1'000'000'001},
        {"1000tbit", 1'000'000'000'000'000},
        {"18446744.073709551615tbit", largest},
    };
    for (const Accepted& c : cases) EXPECT_EQ(format_rate(c.value), c.text);
}

TEST(Rate, RoundTrips)
{
    std::mt19937_64 random(2);
    for (int i = 0; i < samples; ++i) {
        const std::uint64_t value = std::max<std::uint64_t>(any_magnitude(random), 8);
        const std::string text = format_rate(value);
        const auto parsed = parse_rate(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        ASSERT_EQ(*parsed, value) << text;
    }
}

}  // namespace
}  // namespace headwind::units_test::units_time_test
