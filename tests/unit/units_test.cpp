#include "units.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace headwind {
namespace {

using namespace std::string_literals;

constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t always = std::uint64_t{1} << 32;
constexpr int samples = 100'000;

struct Accepted {
    std::string text;
    std::uint64_t value;
};

// `hint` must appear in the error: the reason, and what would be right.
struct Refused {
    std::string text;
    std::string hint;
};

std::uint64_t value_of(std::uint64_t value)
{
    return value;
}

std::uint64_t value_of(Probability probability)
{
    return probability.threshold;
}

template <class T>
void expect_accepted(Result<T> (*parse)(std::string_view), const std::vector<Accepted>& cases)
{
    for (const Accepted& c : cases) {
        const auto result = parse(c.text);
        ASSERT_TRUE(result) << '"' << c.text << "\": " << result.error().message;
        EXPECT_EQ(value_of(*result), c.value) << '"' << c.text << '"';
    }
}

template <class T>
void expect_refused(Result<T> (*parse)(std::string_view), const std::vector<Refused>& cases)
{
    for (const Refused& c : cases) {
        const auto result = parse(c.text);
        ASSERT_FALSE(result) << '"' << c.text << "\" gave " << value_of(*result);
        EXPECT_EQ(result.error().kind, ErrorKind::usage) << c.text;
        EXPECT_NE(result.error().message.find(c.hint), std::string::npos)
            << '"' << c.text << "\": " << result.error().message << "\nlacks: " << c.hint;
        EXPECT_TRUE(is_plain_text(result.error().message)) << c.text;
    }
}

// What no parser takes, with `unit` where one belongs.
std::vector<Refused> junk(const std::string& unit)
{
    return {
        {"", "empty"},
        {"   ", "empty"},
        {"\t", "empty"},
        {unit, "no number"},
        {"nan" + unit, "no number"},
        {"NaN", "no number"},
        {"inf" + unit, "no number"},
        {"infinity", "no number"},
        {"-1" + unit, "negative"},
        {"-0" + unit, "negative"},
        {"-inf", "negative"},
        {"+1" + unit, "no number"},
        {"1e3" + unit, "unknown unit e"},
        {"0x10" + unit, "unknown unit x"},
        {"1.5.5" + unit, ".5"},
        {"." + unit, "no digit after the point"},
        {"1." + unit, "no digit after the point"},
        {"1,5" + unit, "write 1.5" + unit},
        {"1" + unit + "x", "x"},
        {"1" + unit + " x", ": "},
        {"1" + unit + "\n", "\\x0a"},
        {"1\0"s + unit, "\\x00"},
        {"1" + unit + "\0"s, "\\x00"},
        {"\0"s, "no number"},
        {"\xff\xfe", "no number"},
        {"1\xff", "\\xff"},
        {"0.1234567890123456789" + unit, "18 digits"},
        {std::string(100'000, '9') + unit, "too large"},
        {std::string(100'000, 'x'), "no number"},
        {"1" + std::string(100'000, 'x'), "xxx..."},
    };
}

// Values of every magnitude.
std::uint64_t any_magnitude(std::mt19937_64& random)
{
    return random() >> (random() % 64);
}

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
             "mbps is bytes per second in tc and bits elsewhere: write 10mbit (bits) or 80mbit (if you meant "
             "bytes)"},
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

// What a user types with up to six decimals comes back as typed.
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

// ---- text ----

TEST(Text, Trims)
{
    EXPECT_EQ(trimmed(""), "");
    EXPECT_EQ(trimmed(" \t "), "");
    EXPECT_EQ(trimmed(" a b\t"), "a b");
    EXPECT_EQ(trimmed("\na"), "\na");
}

TEST(Text, Plain)
{
    for (const std::string& text : {""s, "a b"s, "\xc2\xb5s"s, "\xc2\xa0"s, "\xe2\x82\xac"s, "\xf0\x9f\x8c\xac"s,
                                    "\xed\x9f\xbf"s, "\xee\x80\x80"s, "\xf4\x8f\xbf\xbf"s, "~"s}) {
        EXPECT_TRUE(is_plain_text(text)) << text;
    }
    for (const std::string& text :
         {"\n"s, "\t"s, "\0"s, "\x1b[31m"s, "\x7f"s, "\x80"s, "\xff"s, "\xc2"s, "\xc2\x41"s, "\xc0\xaf"s, "\xc1\xbf"s,
          "\xc2\x9b"s, "\xe2\x82"s, "\xe0\x80\xaf"s, "\xed\xa0\x80"s, "\xf0\x80\x80\xaf"s, "\xf4\x90\x80\x80"s,
          "\xf5\x80\x80\x80"s, "\xf0\x9f\x8c"s}) {
        EXPECT_FALSE(is_plain_text(text)) << printable(text);
    }
}

TEST(Text, Printable)
{
    EXPECT_EQ(printable("250"), "250");
    EXPECT_EQ(printable(""), "\"\"");
    EXPECT_EQ(printable(" 10 %"), "\" 10 %\"");
    EXPECT_EQ(printable("a\tb"), "\"a\\x09b\"");
    EXPECT_EQ(printable("\x1b[31m\0\xff"s), "\\x1b[31m\\x00\\xff");
    EXPECT_EQ(printable("\xc2\xb5s"), "\xc2\xb5s");
    EXPECT_EQ(printable(std::string(60, 'x')), std::string(60, 'x'));
    EXPECT_EQ(printable(std::string(61, 'x')), std::string(60, 'x') + "...");
}

// ---- arbitrary bytes ----

// Valid texts with bytes changed, cut, doubled; and plain noise.
std::string mangled(std::mt19937_64& random)
{
    static const std::vector<std::string> seeds{"250ms",
                                                "1m30s",
                                                "1.5s",
                                                "10%",
                                                "0.01 %",
                                                "9.6kbit",
                                                "1mbit/s",
                                                "10mbps",
                                                "64KiB",
                                                "1500b",
                                                "18446744073709551615ns"};
    static const std::string alphabet = "0123456789.,-+ \t%eExbBkKmMgGtTiIsSnuhp/\xc2\xb5\xff\n"s + '\0';
    std::string text = random() % 8 == 0 ? "" : seeds[random() % seeds.size()];
    for (std::uint64_t edits = random() % 6; edits > 0; --edits) {
        const std::size_t at = random() % (text.size() + 1);
        const char byte = random() % 4 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
        if (random() % 3 == 0 && at < text.size())
            text.erase(at, 1);
        else if (random() % 3 == 0 && at < text.size())
            text[at] = byte;
        else
            text.insert(at, 1, byte);
    }
    return text;
}

template <class T>
void expect_sane(Result<T> (*parse)(std::string_view), std::string (*format)(T), const std::string& text)
{
    const auto parsed = parse(text);
    if (!parsed) {
        ASSERT_FALSE(parsed.error().message.empty()) << printable(text);
        ASSERT_TRUE(is_plain_text(parsed.error().message)) << printable(text);
        return;
    }
    const auto again = parse(format(*parsed));
    ASSERT_TRUE(again) << printable(text) << ": " << again.error().message;
    ASSERT_EQ(*again, *parsed) << printable(text);
}

TEST(Units, SurviveArbitraryBytes)
{
    std::mt19937_64 random(6);
    for (int i = 0; i < samples; ++i) {
        const std::string text = mangled(random);
        expect_sane(parse_duration, format_duration, text);
        expect_sane(parse_rate, format_rate, text);
        expect_sane(parse_probability, format_probability, text);
        expect_sane(parse_size, format_size, text);
        if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace headwind
