// SPDX-License-Identifier: MIT
// Time zones and hours: zone files against the C library, and the datapath's arithmetic against both.
#include <stdlib.h>
#include <time.h>

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "rule_test.h"
#include "ruleset/compile.h"
#include "util/zone.h"
#include "zone_file.h"

namespace headwind::rule_test::zone_test {
namespace {

using testing::HasSubstr;

constexpr std::int64_t hour = 3600, day = 24 * hour;
constexpr std::int64_t july = 1'782'864'000;  // 2026-07-01 00:00 UTC
constexpr std::int64_t ahead = 37;            // seconds of TAI ahead of UTC
// Zones of north and south, with half hours, without changes of the clock, with summer time that is not an hour, and
// with a rule whose times are beyond the day.
const std::vector<std::string> zones{"Europe/Berlin", "America/New_York",    "Australia/Sydney", "Asia/Kolkata",
                                     "Etc/UTC",       "Australia/Lord_Howe", "Asia/Gaza",        "America/Sao_Paulo"};

std::string read(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

Zone zone_of(const std::string& name, std::int64_t now = july)
{
    const auto zone = parse_zone(read("/usr/share/zoneinfo/" + name), now);
    EXPECT_TRUE(zone) << name << ": " << (zone ? "" : zone.error().message);
    return zone.value_or(Zone{});
}

// Sets $TZ as long as this lives.
class InZone {
public:
    explicit InZone(const std::string& name) : before_(getenv("TZ") != nullptr ? getenv("TZ") : "")
    {
        setenv("TZ", name.c_str(), 1);
        tzset();
    }
    InZone(const InZone&) = delete;
    InZone& operator=(const InZone&) = delete;
    ~InZone()
    {
        if (before_.empty())
            unsetenv("TZ");
        else
            setenv("TZ", before_.c_str(), 1);
        tzset();
    }

private:
    std::string before_;
};

tm local(std::int64_t at)
{
    tm out{};
    const time_t time = at;
    localtime_r(&time, &out);
    return out;
}

// ---- zone files ----

TEST(Zones, AreAsTheCLibraryHasThem)
{
    for (const auto& name : zones) {
        const auto zone = zone_of(name);
        const InZone in(":" + name);
        for (auto at = july - 30 * 365 * day; at < july + 2 * 365 * day; at += 7 * hour + 1)
            ASSERT_EQ(offset_at(zone, at), local(at).tm_gmtoff) << name << " at " << at;
    }
}

// A zone file with nothing but `rule`, the rule for all years after the last change: a zone file may have little else.
std::string slim(const std::string& rule)
{
    return test::zone_file(0, {}, rule);
}

TEST(Zones, TheRuleAtTheEndIsAsTheCLibraryHasIt)
{
    for (const std::string rule :
         {"CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "AEST-10AEDT,M10.1.0,M4.1.0/3", "<-03>3", "UTC0",
          "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "XXX3YYY,J60/1:30:15,J300/-1", "XXX3YYY,59/1,299",
          "IST-2IDT,M3.4.4/26,M10.5.0", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0"}) {
        const auto zone = parse_zone(slim(rule), july);
        ASSERT_TRUE(zone) << rule << ": " << zone.error().message;
        const InZone in(rule);
        for (auto at = july - 4 * 365 * day; at < july + 365 * day; at += hour / 2 + 1)
            ASSERT_EQ(offset_at(*zone, at), local(at).tm_gmtoff) << rule << " at " << at;
    }
}

// RFC 8536 says that this rule means summer time for ever. (The C library has winter time for some hours of New Year's
// Day.)
TEST(Zones, SummerTimeMayNeverEnd)
{
    const auto zone = parse_zone(slim("EST5EDT,0/0,J365/25"), july);
    ASSERT_TRUE(zone) << zone.error().message;
    for (auto at = july - 3 * 365 * day; at < july + 365 * day; at += hour / 2 + 1)
        ASSERT_EQ(offset_at(*zone, at), -4 * hour) << at;
}

TEST(Zones, WhatIsNoZoneFileIsRefused)
{
    const auto whole = read("/usr/share/zoneinfo/Europe/Berlin");
    ASSERT_FALSE(whole.empty());
    for (std::size_t size = 0; size < whole.size() - 1; ++size)
        EXPECT_FALSE(parse_zone(whole.substr(0, size), july)) << size << " bytes";
    for (const std::string rule :
         {"C", "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.0.0,M1.1.0",
          "CET-1CEST,J0,J5", "CET-25", "CET-1CEST,M3.5.0,M10.5.0x", "<CET-1"})
        EXPECT_THAT(message(parse_zone(slim(rule), july)), HasSubstr("rule at its end")) << rule;
    EXPECT_THAT(message(parse_zone("Europe/Berlin", july)), HasSubstr("no time zone (TZif) file"));
}

// ---- the datapath's arithmetic ----

bool in_force(const Hours& hours, const tm& now)
{
    const auto second = static_cast<std::uint32_t>(now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec);
    const auto begins = [&](int weekday) { return (hours.days >> (weekday + 7) % 7 & 1) != 0; };
    const int monday_based = now.tm_wday - 1;
    if (!is_overnight(hours)) return begins(monday_based) && second >= hours.from && second < hours.to;
    return (begins(monday_based) && second >= hours.from) || (begins(monday_based - 1) && second + 86400 < hours.to);
}

// Half a year, from before one change of the clocks until after the next, with what the loader knew at its beginning.
TEST(Hours, AreThoseOfTheLocalClockAcrossItsNextChange)
{
    const auto lines = {"--between 09:00-17:00",
                        "--days mon-fri",
                        "--between 22:00-06:00",
                        "--between 22:00-06:00 --days mon-fri",
                        "--between 00:00-24:00 --days sun",
                        "--between 12:00-11:59 --days sun,mon",
                        "--between 02:15-02:45",
                        "--between 23:30-24:00 --days fri-mon"};
    for (const auto& name : zones) {
        const auto zone = zone_of(name);
        const InZone in(":" + name);
        const auto clock = local_clock(zone, july, ahead);
        for (const std::string line : lines) {
            const auto hours = valid("--partition " + line).hours.value();
            const auto compiled = compile_hours(hours, clock);
            for (auto at = july; at < july + 250 * day; at += 5 * 60 - 1) {
                const auto tai = static_cast<std::uint64_t>(at + ahead) * 1'000'000'000;
                ASSERT_EQ(hw_in_hours(&compiled, tai) != 0, in_force(hours, local(at)))
                    << name << " " << line << " at " << at;
            }
        }
    }
}

TEST(Hours, BeginAndEndToTheNanosecond)
{
    const auto hours = compile_hours(valid("--partition --between 09:00-17:00").hours.value(),
                                     local_clock(zone_of("Europe/Berlin"), july, ahead));
    const auto nine = static_cast<std::uint64_t>(july + 7 * hour + ahead) * 1'000'000'000;  // summer time: UTC+2
    const auto seventeen = nine + 8 * 3600 * 1'000'000'000ULL;
    EXPECT_FALSE(hw_in_hours(&hours, nine - 1));
    EXPECT_TRUE(hw_in_hours(&hours, nine));
    EXPECT_TRUE(hw_in_hours(&hours, seventeen - 1));
    EXPECT_FALSE(hw_in_hours(&hours, seventeen));
}

TEST(Hours, TheNextOpeningIsTheFirstSecondInForce)
{
    for (const auto& name : zones) {
        const auto clock = local_clock(zone_of(name), july + 110 * day, ahead);  // northern zones: before 25 October
        for (const std::string line : {"--between 09:00-17:00 --days tue", "--days sun", "--between 02:15-02:45",
                                       "--between 22:00-06:00 --days sat,sun"}) {
            const auto hours = compile_hours(valid("--partition " + line).hours.value(), clock);
            const auto in = [&](std::uint64_t second) { return hw_in_hours(&hours, second * 1'000'000'000) != 0; };
            auto now = static_cast<std::uint64_t>(july + 110 * day + ahead);
            for (const auto end = now + 16 * 86400; now < end; now += 3607) {
                if (in(now)) continue;
                const auto next = next_opening(hours, now);
                ASSERT_GT(next, now);
                ASSERT_LE(next, now + 8 * 86400);
                ASSERT_TRUE(in(next)) << name << line << now;
                ASSERT_FALSE(in(next - 1)) << name << line << now;
                for (auto second = now; second < next; second += 60) ASSERT_FALSE(in(second)) << name << line << now;
            }
        }
    }
}

TEST(Hours, AFixedZoneNeverTurns)
{
    const auto clock = local_clock(zone_of("Asia/Kolkata"), july, ahead);
    EXPECT_EQ(clock.turn, ~std::uint64_t{0});
    EXPECT_EQ(clock.shift, clock.shift_after);
    // 05:30 on 2026-07-01, a Wednesday
    EXPECT_EQ((static_cast<std::uint64_t>(july + ahead) + clock.shift) % HW_WEEK, 2 * 86400 + 5 * 3600 + 1800U);
}

// ---- hours as text ----

TEST(HoursWords, AreReadAndWritten)
{
    for (const auto& [typed, shown] :
         std::vector<std::pair<std::string, std::string>>{{"09:00-17:00", "09:00-17:00"},
                                                          {"9:05 - 17:00", "09:05-17:00"},
                                                          {"22:00-06:00", "22:00-06:00"},
                                                          {"00:00-00:01", "00:00-00:01"},
                                                          {"18:00-24:00", "18:00-24:00"},
                                                          {"18:00-00:00", "18:00-24:00"}}) {
        const auto hours = parse_between(typed);
        ASSERT_TRUE(hours) << typed << ": " << hours.error().message;
        EXPECT_EQ(format_between(*hours), shown) << typed;
    }
    for (const auto& [typed, mask, shown] :
         std::vector<std::tuple<std::string, unsigned, std::string>>{{"mon-fri", 0x1f, "mon-fri"},
                                                                     {"sat,sun", 0x60, "sat,sun"},
                                                                     {"fri-mon", 0x71, "fri-mon"},
                                                                     {"mon,wed-fri", 0x1d, "mon,wed-fri"},
                                                                     {"sun", 0x40, "sun"},
                                                                     {"mon-sun", 0x7f, "mon-sun"},
                                                                     {"wed-tue", 0x7f, "mon-sun"},
                                                                     {"sun-mon", 0x41, "sun,mon"},
                                                                     {"fri , mon - wed,tue", 0x17, "mon-wed,fri"}}) {
        const auto days = parse_days(typed);
        ASSERT_TRUE(days) << typed << ": " << days.error().message;
        EXPECT_EQ(unsigned{*days}, mask) << typed;
        EXPECT_EQ(format_days(*days), shown) << typed;
    }
    for (unsigned days = 1; days <= every_day; ++days)
        EXPECT_EQ(parse_days(format_days(static_cast<std::uint8_t>(days))).value(), days);
}

TEST(HoursWords, SayWhatWouldBeRight)
{
    for (const std::string text : {"", "9", "9-17", "09:00", "09:00-", "09:00-17", "09:0-17:00", "009:00-17:00",
                                   "+9:00-17:00", "09:00-17:00-18:00", "9am-5pm", "09:00..17:00", "09:00:00-17:00:00"})
        EXPECT_THAT(message(make_rule(text_of({"--loss", "1%", "--between", text}))),
                    AllOf(HasSubstr("--between " + printable(text)), HasSubstr("09:00-17:00")))
            << text;
    EXPECT_THAT(message(rule_of("--loss 1% --between 09:00-25:00")), HasSubstr("25:00 is no time of day"));
    EXPECT_THAT(message(rule_of("--loss 1% --between 09:00-24:01")), HasSubstr("24:01 is no time of day"));
    EXPECT_THAT(message(rule_of("--loss 1% --between 09:60-17:00")), HasSubstr("09:60 is no time of day"));
    EXPECT_THAT(message(rule_of("--loss 1% --between 24:00-06:00")), HasSubstr("only the end may be 24:00"));
    EXPECT_THAT(message(rule_of("--loss 1% --between 09:00-09:00")), HasSubstr("for all day leave --between away"));
    for (const std::string text : {"", "mon-", "-", "monday", "Mon", "mon,", "mon;tue", "1-5", "mon-fri-sun"})
        EXPECT_THAT(message(make_rule(text_of({"--loss", "1%", "--days", text}))),
                    AllOf(HasSubstr("--days " + printable(text)), HasSubstr("mon-fri")))
            << text;
}

TEST(HoursWords, AllOfTheTimeIsNone)
{
    EXPECT_EQ(valid("--loss 1% --between 00:00-24:00 --days mon-sun"), valid("--loss 1%"));
    EXPECT_NE(valid("--loss 1% --between 00:00-24:00 --days mon-sat"), valid("--loss 1%"));
}

TEST(HoursWords, ChangeKeepsWhatItDoesNotName)
{
    const auto before = valid("--loss 1% --between 09:00-17:00 --days mon-fri");
    const auto changed = [&before](const Arguments& words) { return change_rule(before, text_of(words)).value(); };
    EXPECT_EQ(changed({"--loss", "2%"}), valid("--loss 2% --between 09:00-17:00 --days mon-fri"));
    EXPECT_EQ(changed({"--between", "22:00-06:00"}), valid("--loss 1% --between 22:00-06:00 --days mon-fri"));
    EXPECT_EQ(changed({"--days", "sat"}), valid("--loss 1% --between 09:00-17:00 --days sat"));
    EXPECT_EQ(changed({"--between", "off"}), valid("--loss 1% --days mon-fri"));
    EXPECT_EQ(changed({"--days", "off"}), valid("--loss 1% --between 09:00-17:00"));
    EXPECT_EQ(changed({"--days", "off", "--between", "off"}), valid("--loss 1%"));
}

}  // namespace
}  // namespace headwind::rule_test::zone_test
