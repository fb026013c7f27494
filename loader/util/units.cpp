// SPDX-License-Identifier: MIT
// Parses and formats durations, rates, probabilities and sizes with integers only.
#include "util/units.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "util/int128.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t always = std::uint64_t{1} << 32;  // threshold of 100%
constexpr std::size_t max_fraction_digits = 18;           // 10^18 fits in 60 bits

struct Unit {
    std::string_view name;
    std::uint64_t factor;  // in the dimension's base unit
};

// The units of one kind of quantity, and the words for errors about it.
struct Dimension {
    std::span<const Unit> units;
    std::string_view unit_list;  // the units as errors list them
    std::string_view example;
    std::string_view base;  // plural, as in "not a whole number of nanoseconds"
    std::string_view base_unit;
    std::string_view most;  // the largest round value
};

constexpr std::array<Unit, 8> duration_units{{
    {"ns", 1},
    {"us", 1'000},
    {"\xc2\xb5s", 1'000},  // U+00B5, the micro sign
    {"\xce\xbcs", 1'000},  // U+03BC, the Greek letter
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};
constexpr Dimension duration_dimension{duration_units, "ns us ms s m h", "250ms", "nanoseconds", "ns", "5124095h"};

constexpr std::array<Unit, 9> rate_units{{
    {"bit", 1},
    {"kbit", 1'000},
    {"mbit", 1'000'000},
    {"gbit", 1'000'000'000},
    {"tbit", 1'000'000'000'000},
    {"kibit", std::uint64_t{1} << 10},
    {"mibit", std::uint64_t{1} << 20},
    {"gibit", std::uint64_t{1} << 30},
    {"tibit", std::uint64_t{1} << 40},
}};
constexpr Dimension rate_dimension{
    rate_units, "bit kbit mbit gbit tbit kibit mibit gibit tibit", "10mbit", "bits per second", "bit", "18446744tbit"};

constexpr std::array<Unit, 7> size_units{{
    {"b", 1},
    {"kb", 1'000},
    {"mb", 1'000'000},
    {"gb", 1'000'000'000},
    {"kib", std::uint64_t{1} << 10},
    {"mib", std::uint64_t{1} << 20},
    {"gib", std::uint64_t{1} << 30},
}};
constexpr Dimension size_dimension{size_units, "b kb mb gb KiB MiB GiB", "64kb", "bytes", "b", "18446744073gb"};

constexpr std::string_view percent_example = "10%";

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const Unit* find_unit(const Dimension& dimension, std::string_view name)
{
    const auto found = std::find_if(dimension.units.begin(), dimension.units.end(),
                                    [name](const Unit& unit) { return unit.name == name; });
    return found == dimension.units.end() ? nullptr : &*found;
}

// ---- numbers ----

// whole + fraction / scale, exactly; scale is a power of ten, fraction < scale.
struct Number {
    std::uint64_t whole = 0, fraction = 0, scale = 1;
    std::string_view text;  // as typed
};

// Cuts the digits at the front of `rest` off and returns them.
std::string_view take_digits(std::string_view& rest)
{
    const auto end = std::find_if_not(rest.begin(), rest.end(), is_digit);
    const auto length = static_cast<std::size_t>(end - rest.begin());
    const std::string_view digits = rest.substr(0, length);
    rest.remove_prefix(length);
    return digits;
}

// Adds decimal digits to `value`; false: overflow.
bool append_digits(std::uint64_t& value, std::string_view digits)
{
    for (const char c : digits) {
        if (__builtin_mul_overflow(value, std::uint64_t{10}, &value)) return false;
        if (__builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value)) return false;
    }
    return true;
}

// Cuts a number and the blanks after it off the front of `rest`: digits, optionally with a point and more digits; no
// sign, no exponent, no comma.
Result<Number> take_number(std::string_view& rest, std::string_view example)
{
    if (rest.empty()) return fail(ErrorKind::usage, "empty: write {}", example);
    if (rest.front() == '-') return fail(ErrorKind::usage, "negative: write {}", example);

    const std::string_view start = rest;
    Number number;
    const std::string_view digits = take_digits(rest);
    std::string_view decimals;
    if (!rest.empty() && rest.front() == '.') {
        rest.remove_prefix(1);
        decimals = take_digits(rest);
        if (decimals.empty()) return fail(ErrorKind::usage, "no digit after the point: write {}", example);
    }
    if (digits.empty() && decimals.empty()) return fail(ErrorKind::usage, "no number: write {}", example);
    if (!rest.empty() && rest.front() == ',') {
        return fail(ErrorKind::usage, "a comma is no decimal point: write {}.{}", printable(digits),
                    printable(rest.size() > 1 ? rest.substr(1) : "0"));
    }
    number.text = start.substr(0, start.size() - rest.size());

    if (!append_digits(number.whole, digits)) return fail(ErrorKind::usage, "too large: write {}", example);
    decimals = decimals.substr(0, decimals.find_last_not_of('0') + 1);
    if (decimals.size() > max_fraction_digits) {
        return fail(ErrorKind::usage, "more than {} digits after the point: write {}", max_fraction_digits, example);
    }
    append_digits(number.fraction, decimals);
    for (std::size_t i = 0; i < decimals.size(); ++i) number.scale *= 10;
    rest = trimmed(rest);
    return number;
}

// number * factor, which must be whole.
Result<std::uint64_t> multiply(const Number& number, std::uint64_t factor, const Dimension& dimension)
{
    const u128 part = u128{number.fraction} * factor;
    std::uint64_t value = 0;
    if (__builtin_mul_overflow(number.whole, factor, &value) ||
        __builtin_add_overflow(value, static_cast<std::uint64_t>(part / number.scale), &value)) {
        return fail(ErrorKind::usage, "too large: at most {}", dimension.most);
    }
    const u128 remainder = part % number.scale;
    if (remainder == 0) return value;
    const bool up = value == 0 || (remainder * 2 >= number.scale && value < largest);
    return fail(ErrorKind::usage, "not a whole number of {}: write {}{}", dimension.base, up ? value + 1 : value,
                dimension.base_unit);
}

// whole + fraction / scale as text without superfluous zeros.
std::string decimal_text(std::uint64_t whole, std::uint64_t fraction, std::uint64_t scale)
{
    std::string text = fmt::format("{}", whole);
    if (fraction == 0) return text;
    text += '.';
    while (fraction != 0) {
        scale /= 10;
        text += static_cast<char>('0' + fraction / scale);
        fraction %= scale;
    }
    return text;
}

// value / unit as text; unit is a power of ten.
std::string quotient_text(std::uint64_t value, std::uint64_t unit)
{
    return decimal_text(value / unit, value % unit, unit);
}

tl::unexpected<Error> unknown_unit(std::string_view unit, const Dimension& dimension)
{
    return fail(ErrorKind::usage, "unknown unit {}: use {}, like {}", printable(unit), dimension.unit_list,
                dimension.example);
}

// ---- rates ----

// The unit without "/s" or "ps": "mbit/s" -> "mbit", "mbps" -> "mb".
std::string_view without_per_second(std::string_view unit)
{
    for (const std::string_view suffix : {"/s", "ps"}) {
        if (unit.size() > suffix.size() && unit.ends_with(suffix)) {
            unit.remove_suffix(suffix.size());
            return unit;
        }
    }
    return unit;
}

// The error for "mbps", "MB/s" or "kb", which are bytes to some and bits to others. It says how to write either.
tl::unexpected<Error> ambiguous_rate(const Number& number, std::string_view typed, const Unit& bits)
{
    const std::string_view why =
        lowered(typed).ends_with("bps") ? "is bytes per second in tc and bits elsewhere" : "may be bytes or bits";
    const std::string number_text = printable(number.text);
    const auto bytes = multiply(number, bits.factor * 8, rate_dimension);
    if (!bytes) return fail(ErrorKind::usage, "{} {}: write {}{} (bits)", typed, why, number_text, bits.name);
    return fail(ErrorKind::usage, "{} {}: write {}{} (bits) or {} (if you meant bytes)", typed, why, number_text,
                bits.name, format_rate(*bytes));
}

tl::unexpected<Error> bad_rate_unit(const Number& number, std::string_view typed)
{
    if (typed.empty()) {
        const std::string text = printable(number.text);
        return fail(ErrorKind::usage, "needs a unit: write {}bit or {}kbit ({})", text, text, rate_dimension.unit_list);
    }
    const std::string unit = lowered(typed);
    const std::string_view base = without_per_second(unit);
    if (base.ends_with('b')) {
        const Unit* bits = find_unit(rate_dimension, std::string(base) + "it");
        if (bits != nullptr) return ambiguous_rate(number, typed, *bits);
    }
    return unknown_unit(typed, rate_dimension);
}

// ---- probabilities ----

tl::unexpected<Error> missing_percent(const Number& number)
{
    const std::string text = printable(number.text);
    const bool above_one = number.whole > 1 || (number.whole == 1 && number.fraction != 0);
    if (above_one || (number.whole == 0 && number.fraction == 0)) {
        return fail(ErrorKind::usage, "needs '%': write {}%", text);
    }
    // 0.1 is a fraction to iptables and percent to tc.
    const u128 hundredfold = u128{number.fraction} * 100;
    const auto whole = number.whole * 100 + static_cast<std::uint64_t>(hundredfold / number.scale);
    const auto fraction = static_cast<std::uint64_t>(hundredfold % number.scale);
    return fail(ErrorKind::usage, "needs '%': write {}% or {}%", text, decimal_text(whole, fraction, number.scale));
}

// The threshold, rounded to nearest; `number` is at most 100.
std::uint64_t percent_to_threshold(const Number& number)
{
    const u128 percent = u128{number.whole} * number.scale + number.fraction;
    const u128 divisor = u128{number.scale} * 100;
    return static_cast<std::uint64_t>((percent * always + divisor / 2) / divisor);
}

}  // namespace

// ---- parsing ----

Result<std::uint64_t> parse_duration(std::string_view text)
{
    const Dimension& dimension = duration_dimension;
    std::string_view rest = trimmed(text);
    if (rest == "0") return 0;

    std::uint64_t total = 0;
    std::uint64_t previous = largest;  // the factor of the unit before this one
    do {
        HW_TRY(const Number number, take_number(rest, dimension.example));
        const auto end =
            std::find_if(rest.begin(), rest.end(), [](char c) { return is_digit(c) || is_blank(c) || c == '.'; });
        const std::string_view name = rest.substr(0, static_cast<std::size_t>(end - rest.begin()));
        if (rest.empty()) {
            const std::string typed = printable(number.text);
            if (previous == largest) {
                return fail(ErrorKind::usage, "needs a unit: write {}ms ({})", typed, dimension.unit_list);
            }
            return fail(ErrorKind::usage, "{} needs a unit too ({})", typed, dimension.unit_list);
        }
        const Unit* unit = find_unit(dimension, name);
        if (unit == nullptr) return unknown_unit(name.empty() ? rest : name, dimension);
        if (unit->factor >= previous) {
            return fail(ErrorKind::usage, "units go from large to small, each once: write 1m30s");
        }
        previous = unit->factor;
        HW_TRY(const std::uint64_t part, multiply(number, unit->factor, dimension));
        if (__builtin_add_overflow(total, part, &total)) {
            return fail(ErrorKind::usage, "too large: at most {}", dimension.most);
        }
        rest = trimmed(rest.substr(name.size()));
    } while (!rest.empty());
    return total;
}

Result<std::uint64_t> parse_rate(std::string_view text)
{
    std::string_view rest = trimmed(text);
    HW_TRY(const Number number, take_number(rest, rate_dimension.example));
    const std::string name = lowered(rest);
    const Unit* unit = find_unit(rate_dimension, without_per_second(name));
    if (unit == nullptr) return bad_rate_unit(number, rest);
    HW_TRY(const std::uint64_t rate, multiply(number, unit->factor, rate_dimension));
    if (rate < 8) return fail(ErrorKind::usage, "below the least rate: write 8bit or more");
    return rate;
}

Result<Probability> parse_probability(std::string_view text)
{
    std::string_view rest = trimmed(text);
    HW_TRY(const Number number, take_number(rest, percent_example));
    const bool above = number.whole > 100 || (number.whole == 100 && number.fraction != 0);
    if (above) return fail(ErrorKind::usage, "above 100%");
    if (rest.empty()) return missing_percent(number);
    if (rest != "%") return fail(ErrorKind::usage, "{} after the number: write {}", printable(rest), percent_example);
    const std::uint64_t threshold = percent_to_threshold(number);
    if (threshold == 0 && number.fraction != 0) {
        return fail(ErrorKind::usage, "too small to tell from 0%: write at least 0.0000000233%");
    }
    return Probability{threshold};
}

Result<std::uint64_t> parse_size(std::string_view text)
{
    std::string_view rest = trimmed(text);
    HW_TRY(const Number number, take_number(rest, size_dimension.example));
    if (rest.empty()) {
        return fail(ErrorKind::usage, "needs a unit: write {}b ({})", printable(number.text), size_dimension.unit_list);
    }
    const Unit* unit = find_unit(size_dimension, lowered(rest));
    if (unit == nullptr) return unknown_unit(rest, size_dimension);
    return multiply(number, unit->factor, size_dimension);
}

// ---- formatting ----

std::string format_duration(std::uint64_t nanoseconds)
{
    constexpr std::uint64_t second = 1'000'000'000, minute = 60 * second, hour = 60 * minute;
    if (nanoseconds == 0) return "0s";
    if (nanoseconds < 1'000) return fmt::format("{}ns", nanoseconds);
    if (nanoseconds < 1'000'000) return quotient_text(nanoseconds, 1'000) + "us";
    if (nanoseconds < second) return quotient_text(nanoseconds, 1'000'000) + "ms";

    std::string text;
    if (nanoseconds >= hour) text += fmt::format("{}h", nanoseconds / hour);
    if (nanoseconds % hour >= minute) text += fmt::format("{}m", nanoseconds % hour / minute);
    if (nanoseconds % minute != 0) text += quotient_text(nanoseconds % minute, second) + "s";
    return text;
}

std::string format_rate(std::uint64_t bits_per_second)
{
    const Unit* best = &rate_units.front();
    for (const Unit& unit : std::span(rate_units).first(5)) {  // the decimal units
        if (bits_per_second >= unit.factor) best = &unit;
    }
    return fmt::format("{}{}", quotient_text(bits_per_second, best->factor), best->name);
}

std::string format_probability(Probability probability)
{
    const u128 hundredfold = u128{std::min(probability.threshold, always)} * 100;
    Number number;
    // Neighbouring thresholds are 2.3e-8 % apart: eight decimals always suffice.
    for (number.scale = 1; number.scale <= 100'000'000; number.scale *= 10) {
        const auto scaled = static_cast<std::uint64_t>((hundredfold * number.scale + always / 2) / always);
        number.whole = scaled / number.scale;
        number.fraction = scaled % number.scale;
        if (percent_to_threshold(number) == probability.threshold) break;
    }
    return decimal_text(number.whole, number.fraction, number.scale) + "%";
}

std::string format_size(std::uint64_t bytes)
{
    const Unit* best = &size_units.front();
    for (const Unit& unit : std::span(size_units).first(4)) {  // the decimal units
        if (bytes >= unit.factor) best = &unit;
    }
    std::string text = fmt::format("{}{}", quotient_text(bytes, best->factor), best->name);
    constexpr std::array<Unit, 3> binary{{{"KiB", 1U << 10}, {"MiB", 1U << 20}, {"GiB", 1U << 30}}};
    for (const Unit& unit : binary) {
        if (bytes == 0 || bytes % unit.factor != 0) continue;
        std::string other = fmt::format("{}{}", bytes / unit.factor, unit.name);
        if (other.size() < text.size()) text = std::move(other);
    }
    return text;
}

double fraction_of(Probability probability)
{
    return std::ldexp(static_cast<double>(probability.threshold), -32);
}

}  // namespace headwind
