// SPDX-License-Identifier: MIT
// Tests how probabilities and sizes are parsed and formatted.
#include <algorithm>

#include "units_test.h"

namespace headwind::units_test::units_test {
namespace {

using namespace std::string_literals;

// ---- probability ----

TEST(Probability, Accepts)
{
    expect_accepted(parse_probability, {
                                           {"0%", 0},
                                           {"0.0%", 0},
                                           {"100%", always},
                                           {"100.000%", always},
                                           {"50%", always / 2},
                                           {"25%", always / 4},
                                           {"12.5%", always / 8},
                                           {"10%", 429'496'730},  // 429496729.6
                                           {" 10 % ", 429'496'730},
                                           {"010%", 429'496'730},
                                           {"33.333%", 1'431'641'449},  // 1431641448.78
                                           {"1%", 42'949'673},          // 42949672.96
                                           {".5%", 21'474'836},         // 21474836.48
                                           {"0.01%", 429'497},          // 429496.73
                                           {"0.0000000233%", 1},
                                           {"0.00000002%", 1},
                                           {"0.000000011641532183%", 1},  // just above half a threshold
                                           {"0.000000034924%", 1},        // 1.49998
                                           {"0.000000034925%", 2},        // 1.50002
                                           {"99.99999997%", always - 1},
                                           {"99.999999988358467817%", always - 1},
                                           {"99.999999988358467818%", always},
                                       });
}

TEST(Probability, Refuses)
{
    expect_refused(parse_probability,
                   {
                       {"", "empty: write 10%"},
                       {"  ", "empty"},
                       {"%", "no number: write 10%"},
                       {"nan%", "no number"},
                       {"inf%", "no number"},
                       {"-1%", "negative"},
                       {"-0%", "negative"},
                       {"+1%", "no number"},
                       {"1e1%", "e1%"},
                       {"0x10%", "x10%"},
                       {"1,5%", "write 1.5%"},
                       {"1.%", "no digit after the point"},
                       {"10%%", "%% after the number: write 10%"},
                       {"10%x", "%x after the number"},
                       {"10% of all", "\"% of all\" after the number"},
                       {"10 percent", "percent after the number"},
                       {"10\0%"s, "\\x00%"},
                       {"10%\0"s, "%\\x00"},
                       {"0.1", "needs '%': write 0.1% or 10%"},
                       {"0.025", "needs '%': write 0.025% or 2.5%"},
                       {"1", "needs '%': write 1% or 100%"},
                       {"1.5", "needs '%': write 1.5%"},
                       {"0", "needs '%': write 0%"},
                       {"10", "needs '%': write 10%"},
                       {"100", "needs '%': write 100%"},
                       {"101", "above 100%"},
                       {"120%", "above 100%"},
                       {"100.000000000000000001%", "above 100%"},
                       {"18446744073709551616%", "too large"},
                       {"99.9999999999999999999%", "18 digits"},
                       {"0.000000011641532182%", "too small to tell from 0%: write at least 0.0000000233%"},
                       {"0.000000000000000001%", "too small"},
                       {"0.0000000000000000001%", "18 digits"},
                       {std::string(100'000, '9') + "%", "too large"},
                       {"1" + std::string(100'000, '%'), "%%%..."},
                   });
}

TEST(Probability, Formats)
{
    const std::vector<Accepted> cases{
        {"0%", 0},          {"100%", always},           {"50%", always / 2}, {"10%", 429'496'730},
        {"0.01%", 429'497}, {"33.333%", 1'431'641'449}, {"0.00000002%", 1},  {"99.99999998%", always - 1},
    };
    for (const Accepted& c : cases) EXPECT_EQ(format_probability({c.value}), c.text);
}

TEST(Probability, RoundTrips)
{
    std::mt19937_64 random(3);
    for (int i = 0; i < samples; ++i) {
        const Probability value{i % 2 == 0 ? random() % (always + 1) : std::min(any_magnitude(random), always)};
        const std::string text = format_probability(value);
        const auto parsed = parse_probability(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        ASSERT_EQ(*parsed, value) << text;
    }
}

// A probability typed with up to six decimals is formatted as it was typed.
TEST(Probability, KeepsShortDecimals)
{
    std::mt19937_64 random(4);
    for (int i = 0; i < samples; ++i) {
        const std::uint64_t millionths = random() % 100'000'000;
        std::string typed = fmt::format("{}.{:06}", millionths / 1'000'000, millionths % 1'000'000);
        typed.erase(typed.find_last_not_of('0') + 1);
        if (typed.ends_with('.')) typed.pop_back();
        typed += '%';
        const auto parsed = parse_probability(typed);
        ASSERT_TRUE(parsed) << typed << ": " << parsed.error().message;
        ASSERT_EQ(format_probability(*parsed), typed);
    }
}

// ---- size ----

TEST(Size, Accepts)
{
    expect_accepted(parse_size, {
                                    {"0b", 0},
                                    {"1500b", 1500},
                                    {"1500B", 1500},
                                    {" 64 kb ", 64'000},
                                    {"64KB", 64'000},
                                    {"64kB", 64'000},
                                    {"1.5kb", 1'500},
                                    {"64KiB", 65'536},
                                    {"64kib", 65'536},
                                    {"0.5KiB", 512},
                                    {"1mb", 1'000'000},
                                    {"1MiB", 1 << 20},
                                    {"1gb", 1'000'000'000},
                                    {"1GiB", 1 << 30},
                                    {"18446744073709551615b", largest},
                                    {"17179869183GiB", 17179869183ULL << 30},
                                });
}

TEST(Size, Refuses)
{
    expect_refused(parse_size, junk("kb"));
    expect_refused(parse_size, {
                                   {"1500", "needs a unit: write 1500b (b kb mb gb KiB MiB GiB)"},
                                   {"0", "needs a unit"},
                                   {"64k", "unknown unit k: use b kb mb gb KiB MiB GiB"},
                                   {"64kbit", "unknown unit kbit"},
                                   {"64 bytes", "unknown unit bytes"},
                                   {"1tb", "unknown unit tb"},
                                   {"0.5b", "not a whole number of bytes: write 1b"},
                                   {"1.0005kb", "write 1001b"},
                                   {"18446744073709551616b", "too large"},
                                   {"17179869184GiB", "too large: at most 18446744073gb"},
                                   {"18446744074gb", "too large"},
                               });
}

TEST(Size, Formats)
{
    const std::vector<Accepted> cases{
        {"0b", 0},
        {"1b", 1},
        {"999b", 999},
        {"1kb", 1'000},
        {"1KiB", 1'024},
        {"1.5kb", 1'500},
        {"64kb", 64'000},
        {"64KiB", 65'536},
        {"1MiB", 1 << 20},
        {"1mb", 1'000'000},
        {"1.500001mb", 1'500'001},
        {"1GiB", 1 << 30},
        {"1gb", 1'000'000'000},
        {"18446744073.709551615gb", largest},
    };
    for (const Accepted& c : cases) EXPECT_EQ(format_size(c.value), c.text);
}

TEST(Size, RoundTrips)
{
    std::mt19937_64 random(5);
    for (int i = 0; i < samples; ++i) {
        std::uint64_t value = any_magnitude(random);
        if (i % 3 == 0) value &= ~std::uint64_t{1023};
        const std::string text = format_size(value);
        const auto parsed = parse_size(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        ASSERT_EQ(*parsed, value) << text;
    }
}

}  // namespace
}  // namespace headwind::units_test::units_test
