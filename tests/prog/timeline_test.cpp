// SPDX-License-Identifier: MIT
// --ramp and --trace: the step that is in force, its effect, and the state that passes from one step to the next.
#include <cmath>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "packets.h"
#include "prog_run.h"
#include "verify/statistics.h"

namespace headwind::prog::timeline_test {
namespace {

constexpr std::uint64_t ms = 1'000'000, second = 1000 * ms, since = 12'345'678'901, now = 1'000'000 * second;
constexpr double alpha = 1e-6;
constexpr std::size_t frame_bytes = 1514;

std::string trace_file(const std::string& rows)
{
    auto name = testing::TempDir() + fmt::format("headwind-trace-{}.csv", getpid());
    std::ofstream(name) << rows;
    return name;
}

class Timelines : public testing::Test {
protected:
    Timelines()
    {
        line.connect(datapath);
        datapath.feed().monotonic = now;
        datapath.feed().boottime = since;
    }
    ~Timelines() override { std::remove(trace_file("").c_str()); }
    std::uint32_t follow(const std::string& rows, const std::string& flags = "")
    {
        return datapath.add("--trace " + trace_file(rows) + " " + flags, {.since = since});
    }
    // The delay in ns of a packet that is sent `at` ns after the beginning.
    std::uint64_t delay_at(std::uint64_t at)
    {
        datapath.feed().boottime = since + at;
        datapath.feed().monotonic = now + at;
        return datapath.run(Hook::egress, packets::usual_packet()).after.tstamp - now - at;
    }
    bool lost_at(std::uint64_t at)
    {
        datapath.feed().boottime = since + at;
        return datapath.out(packets::usual_packet()) == stolen;
    }

    Line line;
    Datapath datapath;
};

TEST_F(Timelines, ARampIsEvenToTheNanosecondAndStays)
{
    datapath.add("--ramp delay=0ms..1000ms,over=1s", {.since = since});
    for (const std::uint64_t i : {0U, 1U, 2U, 499U, 500U, 511U, 998U, 999U}) {
        EXPECT_EQ(delay_at(i * ms), i * ms + ms / 2) << i;
        EXPECT_EQ(delay_at(i * ms + ms - 1), i * ms + ms / 2) << i;
    }
    EXPECT_EQ(delay_at(second), second);
    EXPECT_EQ(delay_at(365 * 24 * 3600 * second), second) << "after a year";
}

TEST_F(Timelines, ARampRepeatsForYears)
{
    datapath.add("--ramp delay=0us..1000us,over=1s --repeat", {.since = since});
    for (const std::uint64_t n : {0ULL, 1ULL, 2ULL, 365ULL * 24 * 3600}) {
        EXPECT_EQ(delay_at(n * second + 300 * ms), 300'500U) << n;
        EXPECT_EQ(delay_at(n * second + 301 * ms - 1), 300'500U) << n;
        EXPECT_EQ(delay_at(n * second + 999 * ms), 999'500U) << n;
    }
}

TEST_F(Timelines, EachBoundaryOfATraceIsExact)
{
    const std::string rows = "time,loss\n0s,100%\n7ns,0%\n1s,100%\n1000000001ns,0%\n2s,100%\n";
    for (const bool repeat : {false, true}) {
        const auto id = follow(rows, repeat ? "--repeat" : "");
        const std::uint64_t period = 2 * second + second - 1;  // the last step is as long as the one before
        for (const std::uint64_t n : {0ULL, 1ULL, 1'000'000ULL, 10'000'000ULL}) {  // the last one after a year
            if (n != 0 && !repeat) continue;
            for (const auto& [at, lost] : {std::pair<std::uint64_t, bool>{0, true},
                                           {6, true},
                                           {7, false},
                                           {second - 1, false},
                                           {second, true},
                                           {second + 1, false},
                                           {2 * second - 1, false},
                                           {2 * second, true},
                                           {period - 1, true}})
                EXPECT_EQ(lost_at(n * period + at), lost) << n << ": " << at;
        }
        EXPECT_TRUE(lost_at(1'000'000'000 * second) || repeat) << "the last row holds";
        datapath.remove(id);
    }
}

// Every one of many steps is found, whether time goes forwards, backwards or jumps.
TEST_F(Timelines, EveryStepIsFound)
{
    std::string rows = "time_ns,delay_ns\n";
    constexpr std::uint64_t steps = HW_MAX_STEPS;
    for (std::uint64_t i = 0; i < steps; ++i) rows += fmt::format("{},{}\n", i * 1000, 10 * second + i * 1000 + 1);
    follow(rows);
    for (std::uint64_t i = 0; i < steps; i += 97) EXPECT_EQ(delay_at(i * 1000), 10 * second + i * 1000 + 1);
    EXPECT_EQ(delay_at((steps - 1) * 1000), 10 * second + (steps - 1) * 1000 + 1);
}

TEST_F(Timelines, NobodyOvertakesWhereTheDelayFalls)
{
    const auto id = follow("time,delay\n0s,100ms\n1s,10ms\n2s,0s\n");
    EXPECT_EQ(delay_at(999 * ms), 100 * ms);
    EXPECT_EQ(delay_at(1000 * ms), 99 * ms) << "with the one before";
    EXPECT_EQ(delay_at(1050 * ms), 49 * ms);
    EXPECT_EQ(delay_at(1089 * ms), 10 * ms);
    EXPECT_EQ(delay_at(1500 * ms), 10 * ms);
    EXPECT_EQ(delay_at(2000 * ms), 0U) << "but through the pacer";
    EXPECT_EQ(datapath.counters(id).delayed, 6U);
}

TEST_F(Timelines, WithReorderTheyMay)
{
    follow("time,delay\n0s,100ms\n1s,10ms\n", "--reorder 0.001%");
    EXPECT_EQ(delay_at(999 * ms), 100 * ms);
    EXPECT_EQ(delay_at(1000 * ms), 10 * ms);
}

TEST_F(Timelines, TheJitterIsNeverMoreThanTheDelay)
{
    follow("time,delay\n0s,1ms\n1s,100ms\n", "--jitter 50ms");
    for (int i = 0; i < 1000; ++i) EXPECT_LE(delay_at(0), 2 * ms);
    std::uint64_t longest = 0;
    for (int i = 0; i < 1000; ++i) longest = std::max(longest, delay_at(second));
    EXPECT_GT(longest, 140 * ms);
}

// The gap that one step drew does not outlive it, even if it is a million packets.
TEST_F(Timelines, TheLossOfEachStepIsItsOwn)
{
    constexpr unsigned packets_each = 200'000;
    const auto id = follow("time,loss\n0s,0.0001%\n1s,50%\n2s,1%\n3s,0%\n4s,5%\n");
    datapath.feed().seed = 20261127;
    Arrival many;
    many.repeat = packets_each;
    many.unmarked = true;
    std::uint64_t before = 0;
    for (const auto& [at, p] : {std::pair{0U, 1e-6}, {1U, 0.5}, {2U, 0.01}, {3U, 0.0}, {4U, 0.05}}) {
        datapath.feed().boottime = since + at * second;
        datapath.run(Hook::egress, packets::usual_packet(), many);
        const auto lost = datapath.counters(id).dropped[HW_DROP_LOSS];
        if (p == 0)
            EXPECT_EQ(lost, before);
        else
            EXPECT_GT(statistics::binomial_p_value(lost - before, packets_each, p), alpha)
                << at << ": " << lost - before;
        before = lost;
    }
}

struct Link {
    std::vector<std::uint64_t> begin;
    std::vector<double> bytes_per_ns;
    double sent_until(std::uint64_t at) const  // bytes in one period
    {
        double sum = 0;
        for (std::size_t i = 0; i + 1 < begin.size() && begin[i] < at; ++i)
            sum += static_cast<double>(std::min(at, begin[i + 1]) - begin[i]) * bytes_per_ns[i];
        return sum;
    }
};

// Packets that come all at once leave as the link's changing rate sends them, through several steps and round again.
TEST_F(Timelines, TheRateIsThatOfTheMomentAPacketIsSent)
{
    Link link;
    std::string rows = "time_ns,rate\n";
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i <= 400; ++i) {
        const auto dice = hw_dice(7, i);
        const std::uint64_t rate = dice % 5 == 0 ? 8 + dice % 1000 : 64'000 + dice % 10'000'000;  // some all but stop
        link.begin.push_back(at);
        link.bytes_per_ns.push_back(static_cast<double>(rate) / 8e9);
        if (i < 400) rows += fmt::format("{},{}bit\n", at, rate);
        at += 3 * ms;
    }
    const auto period = link.begin.back();
    const auto whole = link.sent_until(period);
    const auto id = follow(rows, "--repeat --queue 4000s");
    datapath.feed().boottime = since + 7 * period + 5 * ms + 1;
    const double first = link.sent_until(5 * ms + 1);
    const auto packet = packets::frame(packets::ipv4({}, packets::udp(1000, 2000, packets::payload(frame_bytes - 42))));
    for (unsigned i = 0; i < 3000; ++i) {
        const auto outcome = datapath.run(Hook::segment, packet, datapath.marked(id));
        const auto when = outcome.after.tstamp - now + 5 * ms + 1;
        const double sent = static_cast<double>(when / period) * whole + link.sent_until(when % period) - first;
        ASSERT_NEAR(sent, (i + 1) * static_cast<double>(frame_bytes), 2 + i * 0.05) << "packet " << i;
    }
    EXPECT_EQ(datapath.counters(id).delayed, 3000U);
}

TEST_F(Timelines, WithoutItsStepsARuleDoesNothing)
{
    const auto id = follow("time,loss\n0s,100%\n");
    EXPECT_TRUE(lost_at(1));
    ASSERT_TRUE(datapath.instance().timelines.erase(id));
    EXPECT_FALSE(lost_at(1));
}

TEST_F(Timelines, StepsGoWithTheirRule)
{
    auto id = follow("time,loss\n0s,100%\n");
    for (int i = 0; i < 3; ++i) id = datapath.alter(id, "--ramp loss=0%..10%,over=1s");
    EXPECT_EQ(datapath.instance().timelines.keys(), std::vector<__u32>{id});
    datapath.remove(id);
    EXPECT_TRUE(datapath.instance().timelines.keys().empty());
}

}  // namespace
}  // namespace headwind::prog::timeline_test
