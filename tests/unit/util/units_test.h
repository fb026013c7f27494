// SPDX-License-Identifier: MIT
// Shared by the tests of units: texts that are accepted or refused, and random values.
#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "util/text.h"
#include "util/units.h"

namespace headwind::units_test {

constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t always = std::uint64_t{1} << 32;
constexpr int samples = 100'000;

struct Accepted {
    std::string text;
    std::uint64_t value;
};

// A text that is refused. `hint` must appear in the error: the reason, and what would be right.
struct Refused {
    std::string text;
    std::string hint;
};

inline std::uint64_t value_of(std::uint64_t value)
{
    return value;
}

inline std::uint64_t value_of(Probability probability)
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

// Texts that every parser refuses, with `unit` where a unit belongs.
inline std::vector<Refused> junk(const std::string& unit)
{
    using namespace std::string_literals;
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

// A random value; all magnitudes are equally likely.
inline std::uint64_t any_magnitude(std::mt19937_64& random)
{
    return random() >> (random() % 64);
}

}  // namespace headwind::units_test
