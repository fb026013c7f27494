// SPDX-License-Identifier: MIT
// --ramp and --trace: flags, files, steps, JSON, descriptions, changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rule_test.h"
#include "ruleset/compile.h"
#include "timeline/trace.h"

namespace headwind::rule_test::timeline_test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t ms = 1'000'000, second = 1000 * ms;

template <class T>
std::string error_of(const Result<T>& result)
{
    return result ? "no error" : result.error().message;
}

RuleSpec traced(const std::string& rows, const std::string& line = "", bool repeat = false)
{
    auto text = text_of(split(line));
    text.trace = "t.csv";
    text.repeat = repeat;
    const auto trace = parse_trace(rows, "t.csv", repeat);
    EXPECT_TRUE(trace) << error_of(trace);
    if (trace) text.timeline = *trace;
    return text;
}

TEST(Ramp, BecomesEvenStepsAndItsEnd)
{
    const auto rule = valid("--ramp delay=0ms..200ms,loss=10%..0%,over=60s");
    const auto steps = compile_steps(rule);
    ASSERT_EQ(steps.size(), 1002U);
    for (std::size_t i = 0; i < 1000; ++i) {
        EXPECT_EQ(steps[i].begin, i * 60 * ms);
        EXPECT_EQ(steps[i].end, (i + 1) * 60 * ms);
        EXPECT_EQ(steps[i].impairment.delay, i * 200'000 + 100'000);
        EXPECT_TRUE(steps[i].impairment.flags & HW_TIMED_STEPS);
    }
    EXPECT_EQ(steps[1000].impairment.delay, 200 * ms);
    EXPECT_EQ(steps[1000].impairment.events[HW_EVENT_LOSS].threshold, 0U);
    EXPECT_EQ(steps[1000].end, ~0ULL);
    EXPECT_EQ(compile_steps(valid("--ramp loss=0%..1%,over=1s --repeat")).size(), 1001U);
    EXPECT_EQ(compile_steps(valid("--ramp loss=0%..1%,over=3ns")).size(), 3U);
    EXPECT_FALSE(compile_steps(valid("--ramp loss=0%..1%,over=1s"))[0].impairment.flags & HW_TIMED_STEPS);
}

TEST(Ramp, RefusedWithWhatWouldBeRight)
{
    expect_refused({
        {split("--ramp delay=0ms..200ms"), "--ramp delay=0ms..200ms", "over=60s"},
        {split("--ramp over=1s"), "--ramp over=1s", "nothing varies"},
        {split("--ramp delay=5ms,over=1s"), "--ramp delay=5ms,over=1s", "from one value to another"},
        {split("--ramp delay=5..6ms,over=1s"), "--ramp delay=5..6ms,over=1s", "unit"},
        {split("--ramp loss=0..200%,over=1s"), "--ramp loss=0..200%,over=1s", "%"},
        {split("--ramp queue=1..2,over=1s"), "--ramp queue=1..2,over=1s", "use delay, jitter"},
        {split("--ramp delay=0..1s,delay=0..2s,over=1s"), "--ramp delay=0..1s,delay=0..2s,over=1s", "twice"},
        {split("--ramp delay=0..1s,over=0s"), "--ramp delay=0..1s,over=0s", "more than nothing"},
        {split("--ramp delay=0..1s,over=721h"), "--ramp delay=0..1s,over=721h", "720h"},
        {split("--ramp delay=0..1s,over=1s --delay 5ms"), "--ramp delay=0..1s,over=1s --delay 5ms", "use one of them"},
        {split("--ramp loss=0%..1%,over=1s --partition"), "--ramp loss=0%..1%,over=1s --partition", "use one of them"},
        {split("--ramp loss=0%..1%,over=1s --trace f"), "--ramp loss=0%..1%,over=1s --trace f", "one timeline"},
        {split("--ramp rate=8bit..1mbit,over=1s --queue 64mb"), "--rate 8bit --queue 64mb", "4294s"},
        {split("--loss 1% --repeat"), "--repeat", "--ramp or --trace"},
    });
}

TEST(Trace, UnitsInCellsOrInTheFirstLine)
{
    const auto in_cells =
        parse_trace("time, delay ,loss,rate\r\n# a comment\n\n0s,50ms,1%,1mbit\n1s,-,,2mbit\n", "f", false);
    const auto in_names =
        parse_trace("\xef\xbb\xbftime_ms,delay_us,loss_percent,rate_kbit\n0,50000,1,1000\n1000,-,-,2000", "f", false);
    ASSERT_TRUE(in_cells && in_names) << error_of(in_cells) << error_of(in_names);
    EXPECT_EQ(*in_cells, *in_names);
    ASSERT_EQ(in_cells->rows->size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ((*in_cells->rows)[i].values, (*in_names->rows)[i].values);
    EXPECT_EQ(in_cells->varying, (std::vector<Varying>{{Quantity::delay, 50 * ms, 50 * ms},
                                                       {Quantity::loss, 42949673, 42949673},
                                                       {Quantity::rate, 1'000'000, 2'000'000}}));
}

TEST(Trace, ErrorsNameTheLine)
{
    std::string long_one = "time_ns,loss\n0,1%\n";
    for (int i = 1; i <= HW_MAX_STEPS; ++i) long_one += fmt::format("{},-\n", i);
    for (const auto& [rows, expected] : {std::pair<std::string, const char*>{"", "t.csv: empty"},
                                         {"time,loss\n", "t.csv: no rows"},
                                         {"loss,time\n", "t.csv:1: time must be the first"},
                                         {"time,loss,time\n", "t.csv:1: time must be the first"},
                                         {"time,loss,loss_percent\n", "t.csv:1: loss_percent is there twice"},
                                         {"time\n", "t.csv:1: nothing varies"},
                                         {"time,lose\n", "t.csv:1: no column is called lose: use time, delay"},
                                         {"time,delay_kg\n", "t.csv:1: delay_kg: no such unit"},
                                         {"time,rate_ \tkbit\n", R"(t.csv:1: "rate_ \x09kbit": no such unit)"},
                                         {"time,loss\n#\n1s,1%\n", "t.csv:3: time 1s: the first row is at 0"},
                                         {"time,loss\n0s,-\n", "t.csv:2: loss: no value"},
                                         {"time,loss\n0s,1%\n,2%\n", "t.csv:3: time: no value"},
                                         {"time,loss\n0s,1%\n0s,2%\n", "t.csv:3: time 0s: not after"},
                                         {"time,loss\n0s,1\n", "t.csv:2: loss 1: needs"},
                                         {"time,rate\n0s,0bit\n", "t.csv:2: rate 0bit: "},
                                         {"time,loss\n0s,1%,5\n", "t.csv:2: 3 cells"},
                                         {"time,loss\n0s,1%\n721h,2%\n", "t.csv:3: time 721h: at most"},
                                         {long_one, "t.csv:65538: a trace has at most 65536 rows"}})
        EXPECT_THAT(error_of(parse_trace(rows, "t.csv", false)), HasSubstr(expected));
    EXPECT_THAT(error_of(parse_trace("time,loss\n0s,1%\n", "t.csv", true)), HasSubstr("--repeat"));
}

TEST(Trace, StepsHaveWhatItNamesAndWhatTheFlagsSay)
{
    const auto rule = make_rule(traced("time,delay,rate\n0s,10ms,8mbit\n2s,5ms,4mbit\n3s,1s,8mbit\n",
                                       "--jitter 7ms --corrupt 1%", true))
                          .value();
    EXPECT_EQ(rule.impairment.delay, second) << "the worst";
    EXPECT_EQ(rule.impairment.rate, 4'000'000U);
    const auto steps = compile_steps(rule);
    ASSERT_EQ(steps.size(), 4U);
    EXPECT_EQ(steps[2].end, 4 * second) << "the last as long as the one before";
    EXPECT_EQ(steps[1].impairment.jitter, 5 * ms);
    EXPECT_EQ(steps[2].impairment.jitter, 7 * ms);
    for (int i = 0; i < 3; ++i)
        EXPECT_NE(steps[static_cast<std::size_t>(i)].impairment.events[HW_EVENT_CORRUPT].threshold, 0U);
    const std::uint64_t megabyte = 1'000'000ULL << 8;
    EXPECT_EQ(steps[1].sent, 2 * megabyte);
    EXPECT_EQ(steps[2].sent, 2 * megabyte + megabyte / 2);
    EXPECT_EQ(steps[3].sent, 3 * megabyte + megabyte / 2) << "of a period";
}

// `change` reads the rows back from the kernel; compiled again they must give the same steps.
TEST(Trace, RowsAreReadBackFromSteps)
{
    std::string rows = "time,delay,loss,rate\n";
    for (unsigned i = 0; i < 200; ++i)
        rows += fmt::format("{}ns,{}ns,{}%,{}bit\n", i * 1000, i * i, i % 101, 8 + (1ULL << (i % 37)) + i);
    auto rule = make_rule(traced(rows, "--duplicate 1%")).value();
    const auto steps = compile_steps(rule);
    const auto back = phases_of(*rule.timeline, {steps.begin(), steps.end() - 1});
    rule.timeline->rows = std::make_shared<const std::vector<Phase>>(back);
    const auto again = compile_steps(rule);
    ASSERT_EQ(steps.size(), again.size());
    for (std::size_t i = 0; i < steps.size(); ++i)
        EXPECT_EQ(std::memcmp(&steps[i], &again[i], sizeof(hw_step)), 0) << i;
}

TEST(Timelines, SurviveJson)
{
    for (const char* line :
         {"--ramp delay=0ms..200ms,over=60s", "--ramp loss=0.1%..33.3%,rate=1mbit..8bit,over=7ns --repeat",
          "--ramp jitter=0s..5ms,over=1m30s --delay 10ms --loss 1% --flap up=1s,down=2s"}) {
        const auto rule = valid(line);
        EXPECT_EQ(rule_from_json(to_json(rule)).value(), rule) << line;
    }
    const auto rejecting = make_rule(traced("time,loss,delay\n0s,0%,5ms\n1s,2%,9ms\n", "--reject rst")).value();
    EXPECT_FALSE(partitions(rejecting.impairment)) << "it answers what the trace's loss takes";
    EXPECT_EQ(rule_from_json(to_json(rejecting)).value(), rejecting);
    const auto plain = make_rule(traced("time,loss,delay\n0s,1%,5ms\n1s,2%,9ms\n", "--corrupt 1%", true)).value();
    EXPECT_EQ(rule_from_json(to_json(plain)).value(), plain);
    EXPECT_FALSE(to_json(plain)["impairment"].contains("delay_ns"));
}

TEST(Timelines, AreToldInASentence)
{
    EXPECT_EQ(
        describe_rule(valid("--dev eth0 --ramp delay=0ms..200ms,over=60s --loss 1%")),
        "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, delay 0 s to 200 ms over 1 m");
    EXPECT_EQ(
        describe_rule(valid("--dev eth0 --ramp rate=10mbit..1mbit,over=5s --queue 50ms --repeat")),
        "all frames but ARP, neighbour discovery and DHCP sent through eth0: queue 50 ms, rate 10 mbit to 1 mbit over 5 s, again and again");
    EXPECT_TRUE(
        describe_rule(valid("--dev eth0 --ramp loss=0%..5%,over=60s")).ends_with("eth0: loss 0% to 5% over 1 m"));
    std::string rows = "time_ms,loss_percent,delay_ms\n";
    for (int i = 0; i < 10'000; ++i) rows += fmt::format("{},{},{}\n", i * 100, i % 2, 20 + i % 161);
    const auto rule = make_rule(traced(rows, "--dev eth0 --jitter 5ms")).value();
    EXPECT_EQ(
        describe_rule(rule),
        "all frames but ARP, neighbour discovery and DHCP sent through eth0: jitter 5 ms, trace t.csv: 10,000 steps over 16 m 39.9 s, delay 20 ms to 180 ms, loss 0% to 1%");
}

TEST(Timelines, ChangeKeepsThemUnlessNamed)
{
    const auto before = valid("--ramp delay=0ms..200ms,over=60s");
    EXPECT_EQ(change_rule(before, text_of({"--corrupt", "1%"})).value(),
              valid("--ramp delay=0ms..200ms,over=60s --corrupt 1%"));
    EXPECT_EQ(change_rule(before, text_of({"--ramp", "off", "--loss", "1%"})).value(), valid("--loss 1%"));
    EXPECT_EQ(change_rule(before, text_of({"--partition"})).value(), valid("--partition --direction out"));
    EXPECT_EQ(change_rule(valid("--delay 5ms --loss 1%"), text_of({"--ramp", "delay=1s..2s,over=1s"})).value(),
              valid("--loss 1% --ramp delay=1s..2s,over=1s"));
    EXPECT_THAT(error_of(change_rule(before, text_of({"--delay", "1ms"}))), HasSubstr("both say what the delay is"));
    EXPECT_THAT(error_of(change_rule(before, text_of({"--repeat"}))), HasSubstr("--ramp or --trace"));
    auto after = change_rule(before, traced("time,loss\n0s,1%\n"));
    ASSERT_TRUE(after) << error_of(after);
    EXPECT_EQ(after->timeline->file, "t.csv");
    EXPECT_EQ(after->impairment.delay, 0U);
    EXPECT_EQ(change_rule(*after, text_of({"--delay", "1ms"})).value().timeline, after->timeline);
}

TEST(Timelines, AreNothingForXdp)
{
    EXPECT_TRUE(is_for_xdp(valid("--loss 1% --direction in")));
    EXPECT_FALSE(is_for_xdp(valid("--ramp loss=0%..1%,over=1s --direction in")));
}

}  // namespace
}  // namespace headwind::rule_test::timeline_test
