// SPDX-License-Identifier: MIT
// Parses TZif files, with the rule at their end, and finds a zone's offset at a time and its next change.
#include "util/zone.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

#include <headwind/abi.h>

namespace headwind {
namespace {

namespace chrono = std::chrono;

constexpr std::int64_t hour = 3600, day = 24 * hour;  // s
constexpr std::int64_t furthest = 26 * hour;          // from UTC; this limit and the next as RFC 8536 has them
constexpr std::int64_t furthest_time = std::int64_t{1} << 59;

// ---- the file ----

constexpr std::string_view magic = "TZif";
constexpr std::size_t header_size = 44, counts_at = 20;

struct Counts {
    std::size_t is_utc = 0, is_standard = 0, leaps = 0, times = 0, types = 0, characters = 0;
};

// A big-endian number. The caller has seen to it that the bytes are there.
std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size)
{
    std::uint64_t value = 0;
    for (const char c : bytes.substr(at, size)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
}

std::int64_t signed_at(std::string_view bytes, std::size_t at, std::size_t size)
{
    const auto value = number_at(bytes, at, size);
    return size == 4 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
}

tl::unexpected<Error> damaged(std::string_view what)
{
    return fail(ErrorKind::failed, "no time zone (TZif) file: {}", what);
}

// One of the file's two blocks: the second is all of the first again with longer times.
struct Block {
    Counts counts;
    // `begin`, `types` and `end`: bytes from the file's begin; `end` is behind the block.
    std::size_t time_size = 4, begin = 0, types = 0, end = 0;
};

Result<Block> block_at(std::string_view bytes, std::size_t at, std::size_t time_size)
{
    if (bytes.size() < at + header_size || bytes.substr(at, magic.size()) != magic) return damaged("no header");
    const auto count = [&](std::size_t index) { return number_at(bytes, at + counts_at + 4 * index, 4); };
    Block out;
    out.counts = {count(0), count(1), count(2), count(3), count(4), count(5)};
    const auto& [is_utc, is_standard, leaps, times, types, characters] = out.counts;
    out.time_size = time_size;
    out.begin = at + header_size;
    out.types = out.begin + times * (time_size + 1);
    out.end = out.types + types * 6 + characters + leaps * (time_size + 4) + is_standard + is_utc;
    if (out.end > bytes.size() || types == 0) return damaged("it is cut off");
    return out;
}

Status read_block(std::string_view bytes, const Block& block, Zone& zone)
{
    const auto [is_utc, is_standard, leaps, times, types, characters] = block.counts;
    std::vector<std::int32_t> offsets;
    for (std::size_t i = 0; i < types; ++i) {
        offsets.push_back(static_cast<std::int32_t>(number_at(bytes, block.types + 6 * i, 4)));
        if (offsets.back() < -furthest || offsets.back() > furthest) return damaged("an offset of more than a day");
    }
    zone.offset = offsets.front();
    for (std::size_t i = 0; i < times; ++i) {
        const auto at = signed_at(bytes, block.begin + i * block.time_size, block.time_size);
        const auto type = number_at(bytes, block.begin + times * block.time_size + i, 1);
        if (type >= types) return damaged("an offset is missing");
        if (at < -furthest_time || at > furthest_time) return damaged("a time before or after all time");
        if (!zone.changes.empty() && at <= zone.changes.back().at) return damaged("its times are not in order");
        zone.changes.push_back({at, offsets[type]});
    }
    return {};
}

// ---- the rule for the time after the last change: "CET-1CEST,M3.5.0,M10.5.0/3" ----

struct Date {
    enum class Kind { month, julian, zero_based } kind = Kind::zero_based;
    unsigned month = 0, week = 0, number = 0;  // number: the weekday, or the day of the year
    std::int64_t time = 2 * hour;              // s from midnight; may be below 0, or days long
};

struct Footer {
    std::int32_t standard = 0, summer = 0;
    std::optional<std::pair<Date, Date>> turns;  // begin and end of summer time
};

bool take(std::string_view& rest, char c)
{
    if (!rest.starts_with(c)) return false;
    rest.remove_prefix(1);
    return true;
}

// Takes digits off; their number is at most `most`.
bool take_number(std::string_view& rest, unsigned most, unsigned& value)
{
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{} || value > most) return false;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
}

// Takes a name off: "EST" or "<-03>".
bool take_zone_name(std::string_view& rest)
{
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const bool quoted = take(rest, '<');
    const auto end =
        quoted ? rest.find('>')
               : static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_letter) - rest.begin());
    if (end == std::string_view::npos || end < 3) return false;
    rest.remove_prefix(end + (quoted ? 1 : 0));
    return true;
}

// Takes a time off: "[+-]h[:m[:s]]".
bool take_time(std::string_view& rest, unsigned most_hours, std::int64_t& seconds)
{
    const bool negative = take(rest, '-');
    if (!negative) take(rest, '+');
    unsigned hours = 0, minutes = 0, rest_seconds = 0;
    if (!take_number(rest, most_hours, hours)) return false;
    if (take(rest, ':') && !take_number(rest, 59, minutes)) return false;
    if (take(rest, ':') && !take_number(rest, 59, rest_seconds)) return false;
    seconds = hours * hour + minutes * 60 + rest_seconds;
    if (negative) seconds = -seconds;
    return true;
}

// Takes an offset off. In the text, west of Greenwich is positive.
bool take_offset(std::string_view& rest, std::int32_t& offset)
{
    std::int64_t west = 0;
    if (!take_time(rest, 24, west)) return false;
    offset = static_cast<std::int32_t>(-west);
    return true;
}

// Takes a date off: ",M3.5.0/3", ",J60" or ",59/-1".
bool take_date(std::string_view& rest, Date& date)
{
    if (!take(rest, ',')) return false;
    if (take(rest, 'M')) {
        date.kind = Date::Kind::month;
        const bool read = take_number(rest, 12, date.month) && take(rest, '.') && take_number(rest, 5, date.week) &&
                          take(rest, '.') && take_number(rest, 6, date.number);
        if (!read || date.month == 0 || date.week == 0) return false;
    } else {
        if (take(rest, 'J')) date.kind = Date::Kind::julian;
        if (!take_number(rest, 365, date.number)) return false;
        if (date.kind == Date::Kind::julian && date.number == 0) return false;
    }
    return !take(rest, '/') || take_time(rest, 167, date.time);
}

std::optional<Footer> parse_footer(std::string_view text)
{
    Footer out;
    if (!take_zone_name(text) || !take_offset(text, out.standard)) return std::nullopt;
    if (text.empty()) return out;
    out.summer = static_cast<std::int32_t>(out.standard + hour);
    if (!take_zone_name(text) || (!text.starts_with(',') && !take_offset(text, out.summer))) return std::nullopt;
    Date begin, end;
    if (!take_date(text, begin) || !take_date(text, end) || !text.empty()) return std::nullopt;
    out.turns.emplace(begin, end);
    return out;
}

// The unix time of the date, as if local time were UTC.
std::int64_t date_in(chrono::year year, const Date& date)
{
    chrono::sys_days found = year / chrono::January / 1;
    switch (date.kind) {
        case Date::Kind::month: {
            const auto month = year / chrono::month(date.month);
            const chrono::weekday weekday(date.number);
            found = date.week == 5 ? chrono::sys_days(month / weekday[chrono::last])
                                   : chrono::sys_days(month / weekday[date.week]);
            break;
        }
        case Date::Kind::julian:  // never counts 29 February
            found += chrono::days(date.number - 1 + (year.is_leap() && date.number >= 60 ? 1 : 0));
            break;
        case Date::Kind::zero_based: found += chrono::days(date.number); break;
    }
    return found.time_since_epoch().count() * day + date.time;
}

chrono::year year_of(std::int64_t time)
{
    return chrono::year_month_day(chrono::floor<chrono::days>(chrono::sys_seconds(chrono::seconds(time)))).year();
}

void add_changes(const Footer& footer, std::int64_t now, Zone& zone)
{
    const auto last = zone.changes.empty() ? 0 : zone.changes.back().at;
    const auto add = [&](std::int64_t at, std::int32_t offset) {
        if (zone.changes.empty() || at > last) zone.changes.push_back({at, offset});
    };
    if (zone.changes.empty()) zone.offset = footer.standard;
    if (!footer.turns) return;  // the last change has led to the standard offset
    const auto known = static_cast<std::ptrdiff_t>(zone.changes.size());
    for (auto year = year_of(std::clamp<std::int64_t>(last, 0, now)); year <= year_of(now) + chrono::years(2); ++year) {
        add(date_in(year, footer.turns->first) - footer.standard, footer.summer);
        add(date_in(year, footer.turns->second) - footer.summer, footer.standard);
    }
    // In the south, summer time ends earlier in the year than it begins. Where it never ends, the end in one year is at
    // the begin in the next, which counts.
    std::stable_sort(zone.changes.begin() + known, zone.changes.end(),
                     [](const ZoneChange& a, const ZoneChange& b) { return a.at < b.at; });
}

// The first change of the zone's offset after `now`.
std::vector<ZoneChange>::const_iterator next_change(const Zone& zone, std::int64_t now)
{
    return std::upper_bound(zone.changes.begin(), zone.changes.end(), now,
                            [](std::int64_t time, const ZoneChange& change) { return time < change.at; });
}

std::uint32_t shift_of(std::int32_t offset, std::int64_t ahead)
{
    constexpr std::int64_t epoch = 3 * day;  // 1970 began on a Thursday
    const auto shift = (epoch + offset - ahead) % HW_WEEK;
    return static_cast<std::uint32_t>(shift < 0 ? shift + HW_WEEK : shift);
}

}  // namespace

Result<Zone> parse_zone(std::string_view bytes, std::int64_t now)
{
    Zone out;
    HW_TRY(auto block, block_at(bytes, 0, 4));
    const bool has_footer = bytes[magic.size()] >= '2';
    if (has_footer) {
        HW_TRY(block, block_at(bytes, block.end, 8));
    }
    HW_CHECK(read_block(bytes, block, out));
    if (!has_footer) return out;
    auto footer = bytes.substr(block.end);
    if (!take(footer, '\n') || footer.find('\n') == std::string_view::npos) return damaged("it is cut off");
    footer = footer.substr(0, footer.find('\n'));
    if (footer.empty()) return out;
    const auto rule = parse_footer(footer);
    if (!rule) return damaged("the rule at its end is none");
    add_changes(*rule, now, out);
    return out;
}

std::int32_t offset_at(const Zone& zone, std::int64_t now)
{
    const auto next = next_change(zone, now);
    return next == zone.changes.begin() ? zone.offset : std::prev(next)->offset;
}

LocalClock local_clock(const Zone& zone, std::int64_t now, std::int64_t ahead)
{
    LocalClock out;
    out.shift = out.shift_after = shift_of(offset_at(zone, now), ahead);
    const auto next = next_change(zone, now);
    if (next == zone.changes.end()) return out;
    out.shift_after = shift_of(next->offset, ahead);
    out.turn = static_cast<std::uint64_t>(next->at + ahead);
    return out;
}

}  // namespace headwind
