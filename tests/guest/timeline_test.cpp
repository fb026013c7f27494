// SPDX-License-Identifier: MIT
// Tests in virtual time that --trace and --ramp give traffic the rates and delays of the file, at the right time.
#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "datapath/instance.h"
#include "host/clock.h"
#include "lane.h"
#include "measure.h"
#include "ruleset/records.h"

namespace headwind::test::timeline_test {
namespace {

constexpr std::int64_t timeline_ms = 1'000'000, timeline_second = 1000 * timeline_ms;

// The beginning of the rule's timeline, by CLOCK_MONOTONIC.
std::int64_t beginning(const Namespace& where)
{
    const Inside inside(where);
    const auto instance = open_instance();
    if (!instance || !*instance) return 0;
    const auto records = load_records(**instance);
    if (!records) return 0;
    const auto found =
        std::ranges::find_if(*records, [](const auto& view) { return view.record.rule.timeline.has_value(); });
    if (found == records->end()) return 0;
    const auto asleep = static_cast<std::int64_t>(boottime_ns()) - monotonic_ns();  // suspend_test.cpp
    return static_cast<std::int64_t>(found->record.since) - asleep;
}

TEST(GuestTrace, TenThousandStepsDeliverTheirBytes)
{
    constexpr std::size_t steps = 10'000, frame = 1000, headers = 42;
    constexpr double tolerance = 0.01;
    const std::size_t seconds = takes_long() ? 100 : 20;  // number of the trace's 100 seconds that are played
    const auto file = testing::TempDir() + "headwind-trace.csv";
    std::vector<double> expected(seconds);  // bytes in each second
    {
        std::ofstream rows(file);
        rows << "time_ms,rate_kbit\n";
        for (std::size_t i = 0; i < steps; ++i) {
            // The rate goes from 0.2 to 4.2 mbit, in waves, with a rough edge.
            const auto kbit =
                static_cast<unsigned>(2000 + 1600 * std::sin(static_cast<double>(i) / 500)) + i * 7919 % 400;
            rows << i * 10 << ',' << kbit << '\n';
            if (i / 100 < seconds) expected[i / 100] += static_cast<double>(kbit) * 1000 / 8 / 100;
        }
    }
    const Pair pair;
    settle();
    make_instance(pair.a);
    UdpSink sink(pair.b, target);
    ASSERT_EQ(headwind(pair.a, "add --name t --dev va --proto udp --trace " + file).status, 0);
    const auto begin = beginning(pair.a);
    send_udp(pair.a, target, {.count = 660 * seconds, .size = frame - headers, .per_second = 660});
    const auto arrivals = sink.finish(std::chrono::seconds(2));
    std::vector<double> got(seconds);
    for (const auto& arrival : arrivals) {
        const auto second = static_cast<std::size_t>((arrival.arrived_ns - begin) / timeline_second);
        if (second < seconds) got[second] += frame;
    }
    double sum = 0, sum_expected = 0, furthest = 0;
    for (std::size_t i = 1; i + 1 < seconds; ++i) {
        sum += got[i];
        sum_expected += expected[i];
        // A frame at the beginning of a second may count for either second.
        EXPECT_NEAR(got[i], expected[i], tolerance * expected[i] + frame) << "second " << i;
        furthest = std::max(furthest, std::abs(got[i] / expected[i] - 1));
    }
    std::printf("[  FIGURES ] all bytes %+.3f%% of the trace's, a second's at most %.2f%% off\n",
                (sum / sum_expected - 1) * 100, furthest * 100);
    EXPECT_NEAR(sum / sum_expected, 1, tolerance);
    EXPECT_TRUE(in_order(arrivals));
    EXPECT_EQ(counters_of(pair.a, "t").line, 0U);
}

TEST(GuestRamp, DelaysFollowTheLine)
{
    constexpr std::int64_t over = 10 * timeline_second, step = timeline_ms / 5, slack = timeline_ms / 10;
    for (const bool up : {true, false}) {
        const Pair pair;
        settle();
        UdpSink sink(pair.b, target);
        const auto* const words = up ? "delay=0ms..200ms" : "delay=200ms..0ms";
        ASSERT_EQ(headwind(pair.a, fmt::format("add --name t --dev va --proto udp --ramp {},over=10s", words)).status,
                  0);
        const auto begin = beginning(pair.a);
        send_udp(pair.a, target, {.count = 1'200, .per_second = 100});
        const auto arrivals = sink.finish(std::chrono::seconds(2));
        EXPECT_EQ(arrivals.size(), 1'200U);
        std::int64_t furthest = 0;
        for (const auto& arrival : arrivals) {
            const auto at = std::min(arrival.stamp.sent_ns - begin, over);
            const auto line = (up ? at : over - at) / 50;  // 200 ms in 10 s
            furthest = std::max(furthest, std::abs(arrival.arrived_ns - arrival.stamp.sent_ns - line));
        }
        std::printf("[  FIGURES ] %s: at most %.3f ms off the line\n", words, static_cast<double>(furthest) / 1e6);
        EXPECT_LE(furthest, step / 2 + slack);
        EXPECT_TRUE(in_order(arrivals));
    }
}

}  // namespace
}  // namespace headwind::test::timeline_test
