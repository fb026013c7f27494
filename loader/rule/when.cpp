// SPDX-License-Identifier: MIT
// Parses the flags that say at which times a rule is in force, --flap, --between and --days, and formats hours and
// days.
#include <array>
#include <bit>
#include <charconv>

#include <headwind/abi.h>
#include "rule/factory.h"
#include "rule/rule.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t longest_phase = 30ULL * 24 * 3600 * 1'000'000'000;  // ns
constexpr std::string_view both_phases = "write both phases, each longer than nothing, like up=30s,down=5s";
constexpr std::array<std::string_view, 7> day_names{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::string_view times_expected = "write two times of day, like 09:00-17:00 or, over midnight, 22:00-06:00";
constexpr std::string_view days_expected = "write days like mon-fri, sat,sun or mon,wed-fri";

// A time of day, "09:00", "9:00" or up to "24:00", in s of the day.
Result<std::uint32_t> parse_time_of_day(std::string_view text)
{
    const auto colon = text.find(':');
    const auto digits = [](std::string_view part, std::size_t least, unsigned& value) {
        if (part.size() < least || part.size() > 2) return false;
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
        return error == std::errc{} && end == part.data() + part.size();
    };
    unsigned hours = 0, minutes = 0;
    if (colon == std::string_view::npos || !digits(text.substr(0, colon), 1, hours) ||
        !digits(text.substr(colon + 1), 2, minutes))
        return fail(ErrorKind::usage, "{}", times_expected);
    if (hours > 24 || minutes > 59 || (hours == 24 && minutes != 0))
        return fail(ErrorKind::usage, "{} is no time of day: they go from 00:00 to 24:00", text);
    return hours * 3600 + minutes * 60;
}

Result<unsigned> parse_day(std::string_view text)
{
    for (unsigned i = 0; i < day_names.size(); ++i)
        if (text == day_names[i]) return i;
    return fail(ErrorKind::usage, "{}", days_expected);
}

// Reads one word, "up=30s", into its phase.
Status read_phase(std::string_view word, Flap& flap)
{
    const std::size_t sign = word.find('=');
    const std::string_view name = trimmed(word.substr(0, sign));
    std::uint64_t* phase = name == "up" ? &flap.up : name == "down" ? &flap.down : nullptr;
    if (sign == std::string_view::npos || phase == nullptr || *phase != 0)
        return fail(ErrorKind::usage, "{}", both_phases);
    HW_TRY(*phase, parse_duration(trimmed(word.substr(sign + 1))));
    if (*phase == 0) return fail(ErrorKind::usage, "{}", both_phases);
    if (*phase > longest_phase) return fail(ErrorKind::usage, "a phase lasts 720h (30 days) at most");
    return {};
}

}  // namespace

Result<Flap> parse_flap(std::string_view text)
{
    const std::size_t comma = text.find(',');
    if (comma == std::string_view::npos) return fail(ErrorKind::usage, "{}", both_phases);
    Flap flap;
    HW_CHECK(read_phase(text.substr(0, comma), flap));
    HW_CHECK(read_phase(text.substr(comma + 1), flap));
    return flap;
}

Result<Hours> parse_between(std::string_view text)
{
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return fail(ErrorKind::usage, "{}", times_expected);
    Hours out;
    HW_TRY(out.from, parse_time_of_day(trimmed(text.substr(0, dash))));
    HW_TRY(out.to, parse_time_of_day(trimmed(text.substr(dash + 1))));
    if (out.from == HW_DAY) return fail(ErrorKind::usage, "the day begins at 00:00: only the end may be 24:00");
    if (out.from == out.to) return fail(ErrorKind::usage, "no time lies between: for all day leave --between away");
    if (out.to < out.from) out.to += HW_DAY;
    return out;
}

std::string format_time_of_day(std::uint32_t second)
{
    return fmt::format("{:02}:{:02}", second / 3600, second / 60 % 60);
}

std::string format_between(const Hours& hours)
{
    return fmt::format("{}-{}", format_time_of_day(hours.from),
                       format_time_of_day(is_overnight(hours) ? hours.to - HW_DAY : hours.to));
}

Result<std::uint8_t> parse_days(std::string_view text)
{
    unsigned days = 0;
    for (bool more = true; more;) {
        const auto comma = text.find(',');
        const auto word = text.substr(0, comma);
        const auto dash = word.find('-');
        HW_TRY(const auto first, parse_day(trimmed(word.substr(0, dash))));
        auto last = first;
        if (dash != std::string_view::npos) {
            HW_TRY(last, parse_day(trimmed(word.substr(dash + 1))));
        }
        for (auto day = first; day != last; day = (day + 1) % 7) days |= 1U << day;
        days |= 1U << last;
        more = comma != std::string_view::npos;
        if (more) text.remove_prefix(comma + 1);
    }
    return static_cast<std::uint8_t>(days);
}

std::vector<std::pair<unsigned, unsigned>> day_ranges(std::uint8_t days)
{
    if (days == every_day) return {{0, 6}};
    const auto has = [days](unsigned day) { return (days >> day % 7 & 1) != 0; };
    std::vector<std::pair<unsigned, unsigned>> out;
    for (unsigned first = 0; first < 7; ++first) {
        if (!has(first) || has(first + 6)) continue;
        unsigned last = first;
        while (has(last + 1)) ++last;
        out.emplace_back(first, last % 7);
    }
    return out;
}

std::string format_days(std::uint8_t days)
{
    std::string text;
    for (const auto& [first, last] : day_ranges(days)) {
        if (!text.empty()) text += ',';
        text += day_names.at(first);
        if (last != first) text += fmt::format("{}{}", last == (first + 1) % 7 ? ',' : '-', day_names.at(last));
    }
    return text;
}

Result<std::optional<Hours>> make_hours(const RuleSpec& text)
{
    Hours hours;
    if (text.between) {
        HW_TRY(hours, named("--between", *text.between, parse_between(*text.between)));
    }
    if (text.days) {
        HW_TRY(hours.days, named("--days", *text.days, parse_days(*text.days)));
    }
    return hours == Hours{} ? std::nullopt : std::optional(hours);
}

}  // namespace headwind
