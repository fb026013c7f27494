// SPDX-License-Identifier: MIT
// Tests the distributions of jitter and reordering, in virtual time, where packets overtake each other and where not.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <headwind/testing.h>

#include "chance/law.h"
#include "delay_series.h"
#include "lane.h"
#include "measure.h"
#include "rule_test.h"
#include "verify/expected.h"
#include "verify/statistics.h"

namespace headwind::test::jitter_test {
namespace {

using namespace std::chrono_literals;

using Cdf = std::function<double(double)>;
constexpr double ms = 1e6;
constexpr std::size_t packets = 30'000, share_packets = 6'000;
constexpr double most_distance = 0.0157;  // Kolmogorov-Smirnov, alpha 1e-6 at 30,000 packets

Flow paced(std::size_t count, unsigned per_second)
{
    Flow flow;
    flow.count = count;
    flow.per_second = per_second;
    return flow;
}

double bare_delay(const Pair& pair)
{
    send_and_receive(pair.a, pair.b, target, paced(20, 500));
    return moments(delays(send_and_receive(pair.a, pair.b, target, paced(200, 500)))).mean;
}

double ks_distance(const std::vector<std::int64_t>& values, double bare, const Cdf& cdf)
{
    std::vector<double> sorted;
    for (const auto value : values) sorted.push_back(static_cast<double>(value) - bare);
    std::sort(sorted.begin(), sorted.end());
    const auto n = static_cast<double>(sorted.size());
    double distance = 0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const double expected = cdf(sorted[i]), below = static_cast<double>(i) / n;
        distance = std::max({distance, expected - below, below + 1 / n - expected});
    }
    return distance;
}

double uniform_cdf(double x)
{
    return std::clamp(x / (40 * ms), 0.0, 1.0);
}

// The law of a rule's delays.
Cdf law_of(const std::string& words)
{
    const auto impairment = rule_test::valid(words).impairment;
    return
        [law = delay_law(impairment), delay = static_cast<double>(impairment.delay),
         jitter = static_cast<double>(impairment.jitter)](double x) { return share_up_to(law, (x - delay) / jitter); };
}

void expect_law(const Pair& pair, double bare, const std::string& words, const Cdf& cdf, unsigned per_second,
                double most = most_distance, std::size_t count = packets)
{
    ASSERT_EQ(headwind(pair.a, "add --name j --dev va " + words).status, 0);
    const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(count, per_second));
    ASSERT_EQ(arrivals.size(), count);
    const double distance = ks_distance(delays(arrivals), bare, cdf);
    std::printf("%s, %u a second: KS distance %.4f\n", words.c_str(), per_second, distance);
    EXPECT_LE(distance, most);
    ASSERT_EQ(headwind(pair.a, "clear").status, 0);
}

struct Case {
    const char* name;
    unsigned per_second;
};

class GuestJitter : public testing::TestWithParam<Case> {};

RUNS_IN("Spacing/GuestJitter.*/0:Spacing/GuestJitter.*/2", nowhere, virtual_6_12);

TEST_P(GuestJitter, FollowsItsLaw)
{
    const Pair pair;
    settle();
    const double bare = bare_delay(pair);
    const std::size_t count = takes_long() ? packets : packets / 3;
    const double most = takes_long() ? most_distance : most_distance * std::sqrt(3);
    expect_law(pair, bare, "--delay 20ms --jitter 20ms", &uniform_cdf, GetParam().per_second, most, count);
    for (const std::string words :
         {"--delay 100ms --jitter 20ms --distribution normal", "--delay 100ms --jitter 20ms --distribution pareto",
          "--delay 50ms --jitter 20ms --distribution paretonormal",
          "--delay 50ms --jitter 20ms --distribution exponential",
          "--delay 50ms --jitter 20ms --distribution lognormal"})
        expect_law(pair, bare, words, law_of(words), GetParam().per_second, most, count);
}

INSTANTIATE_TEST_SUITE_P(Spacing, GuestJitter,
                         testing::Values(Case{"each 100 us", 10'000}, Case{"each 1 ms", 1'000},
                                         Case{"each 20 ms", 50}));

// A ping that was recorded is what a rule replays.
TEST(GuestLaws, SamplesAreReplayed)
{
    const Pair pair;
    settle();
    const double bare = bare_delay(pair);
    std::mt19937_64 random(6);
    std::gamma_distribution<double> gamma(2, 5);
    std::string ping;
    std::vector<double> recorded(2000);
    for (auto& time : recorded) {
        time = std::round((12 + gamma(random) + (random() % 10 == 0 ? 40 : 0)) * 1000) / 1000;  // ms; two ways
        ping += fmt::format("64 bytes from 192.0.2.1: icmp_seq=1 ttl=57 time={:.3f} ms\n", time);
    }
    std::ofstream("/tmp/ping.txt") << ping;
    std::sort(recorded.begin(), recorded.end());
    const Cdf of_recorded = [&recorded](double x) {
        const auto up_to = std::upper_bound(recorded.begin(), recorded.end(), x / ms) - recorded.begin();
        return static_cast<double>(up_to) / static_cast<double>(recorded.size());
    };
    const double two_samples = 2.7 * std::sqrt(1.0 / packets + 1.0 / static_cast<double>(recorded.size()));  // 1e-6
    expect_law(pair, bare, "--distribution samples:/tmp/ping.txt", of_recorded, 1000, two_samples);
    std::filesystem::remove("/tmp/ping.txt");
}

// By the sequence of the rule, whichever CPU a packet is on: what is drawn is what the wire shows.
TEST(GuestLaws, DelaysAreCorrelated)
{
    const Pair pair;
    settle();
    for (const auto& [correlation, r] : {std::pair{"50%", 0.5}, {"90%", 0.9}}) {
        ASSERT_EQ(
            headwind(pair.a, std::string("add --name j --dev va --delay 100ms --jitter 20ms --distribution normal "
                                         "--delay-correlation ") +
                                 correlation)
                .status,
            0);
        const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(packets, 1000));
        ASSERT_EQ(arrivals.size(), packets);
        std::vector<double> in_turn(packets);
        for (const auto& arrival : arrivals)
            in_turn.at(arrival.stamp.sequence) = static_cast<double>(arrival.arrived_ns - arrival.stamp.sent_ns);
        std::printf("correlation %s: %.4f\n", correlation, verify::lag_correlation(in_turn));
        EXPECT_GT(lag_p_value(in_turn, r), 1e-6);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// Issue 17: 20 +- 5 ms, whatever the spacing: no packet comes before its predecessor.
TEST(GuestOrder, IsKeptBySmoothDelays)
{
    const Pair pair;
    settle();
    for (const std::string law : {"uniform", "normal", "exponential"}) {
        ASSERT_EQ(headwind(pair.a, "add --name o --dev va --delay 20ms --jitter 5ms --keep-order --distribution " + law)
                      .status,
                  0);
        for (const unsigned per_second : {100'000U, 10'000U, 1'000U, 50U}) {
            const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(packets / 3, per_second));
            EXPECT_EQ(arrivals.size(), packets / 3);
            EXPECT_TRUE(in_order(arrivals)) << law << ", " << per_second;
        }
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// Delays five correlation times apart have nothing to do with each other.
RUNS_IN("GuestOrder.SmoothDelays*", nowhere, virtual_6_12);
TEST(GuestOrder, SmoothDelaysHaveTheirLaw)
{
    constexpr std::size_t few = 20'000;
    constexpr double most = 0.0157;  // alpha 1e-4 at so many
    const Pair pair;
    settle();
    const double bare = bare_delay(pair);
    for (const std::string law : {"uniform", "normal"}) {
        const auto words = "--delay 20ms --jitter 5ms --distribution " + law;
        ASSERT_EQ(headwind(pair.a, "add --name o --dev va --keep-order " + words).status, 0);
        const auto found = delays(send_and_receive(pair.a, pair.b, target, paced(few, 4)));
        ASSERT_EQ(found.size(), few);
        const double distance = ks_distance(found, bare, law_of(words)), mean = moments(found).mean - bare;
        std::printf("%s, in order: KS distance %.4f, mean %.3f ms\n", law.c_str(), distance, mean / ms);
        EXPECT_LE(distance, most);
        EXPECT_NEAR(mean, 20 * ms, 0.005 * 20 * ms);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// With a rate, too: the delay comes before the link.
TEST(GuestOrder, IsKeptWithARate)
{
    const Pair pair;
    settle();
    for (const std::string words :
         {"--delay 20ms --jitter 5ms --keep-order --rate 10mbit --queue 5s", "--netem 'delay 20ms 5ms rate 10mbit'"}) {
        auto add = rule_test::split("add --name o --dev va " + words);
        add.insert(add.begin(), headwind_binary());
        ASSERT_EQ(run(&pair.a, add).status, 0);
        for (const unsigned per_second : {5'000U, 1'000U}) {
            const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(2'000, per_second));
            EXPECT_EQ(arrivals.size(), 2'000U);
            EXPECT_TRUE(in_order(arrivals)) << words << ", " << per_second;
        }
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// `verify` sends packets that are far apart for the law, and close together for the order.
TEST(GuestOrder, IsVerified)
{
    for (const std::string words :
         {"--delay 20ms --jitter 5ms --keep-order", "--delay 20ms --jitter 5ms --keep-order --rate 10mbit",
          "--netem 'delay 20ms 5ms rate 10mbit'"}) {
        auto verify = rule_test::split("verify --json " + words);
        verify.insert(verify.begin(), headwind_binary());
        const auto result = run(nullptr, verify);
        EXPECT_EQ(result.status, 0) << words << "\n" << result.out << result.err;
        EXPECT_NE(result.out.find("out of order"), std::string::npos) << words;
    }
}

// Each delay is what `headwind fate` prints.
TEST(GuestSeed, DecidesEachDelay)
{
    const Pair pair;
    settle();
    const double bare = bare_delay(pair);
    const std::string words =
        " --seed 7 --loss 5% --delay 100ms --jitter 20ms --distribution pareto --delay-correlation 30%";
    const auto printed = headwind(pair.a, "fate --json -n 5000" + words);
    ASSERT_EQ(printed.status, 0);
    const auto fate = nlohmann::json::parse(printed.out);
    ASSERT_EQ(headwind(pair.a, "add --name s --dev va --proto udp" + words).status, 0);
    const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(5000, 1000));
    double farthest = 0;
    for (const auto& arrival : arrivals) {
        const auto& one = fate[arrival.stamp.sequence];
        ASSERT_EQ(one["lost"], false);
        const auto delay = static_cast<double>(arrival.arrived_ns - arrival.stamp.sent_ns) - bare;
        farthest = std::max(farthest, std::abs(delay - one["delay_ns"].get<double>()));
    }
    std::printf("seed: %zu came, the farthest off %.1f us\n", arrivals.size(), farthest / 1000);
    EXPECT_EQ(arrivals.size(), static_cast<std::size_t>(std::count_if(
                                   fate.begin(), fate.end(), [](const auto& one) { return one["lost"] == false; })));
    EXPECT_LT(farthest, ms) << "ns; delays that are not these would be off by some 20 ms";
}

// Fact 5 of the design: in one flow of fq an early packet waits for the late one before it.
TEST(GuestJitterTrap, WithoutSpreadingFqHoldsEarlyPacketsBack)
{
    const Pair pair;
    settle();
    const double bare = bare_delay(pair);
    ASSERT_EQ(headwind_without(HW_WORKAROUND_SPREAD, pair.a, "add --name j --dev va --delay 20ms --jitter 20ms").status,
              0);
    const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(2'000, 200));
    const double distance = ks_distance(delays(arrivals), bare, uniform_cdf);
    std::printf("in one flow of fq: KS distance %.4f\n", distance);
    EXPECT_GT(distance, 2 * most_distance);
}

// By RFC 4737 a packet that comes after one with a higher number is reordered. At 1 ms spacing and 50 ms delay a packet
// without delay overtakes all that are in the line: these count, it does not.
TEST(GuestReorder, ShareAndGapAreAsAsked)
{
    const Pair pair;
    settle();
    for (const auto& [words, share] : {std::pair{"--reorder 10%", 0.1}, {"--reorder 100% --reorder-gap 5", 0.2}}) {
        ASSERT_EQ(headwind(pair.a, std::string("add --name r --dev va --delay 50ms ") + words).status, 0);
        const auto arrivals = send_and_receive(pair.a, pair.b, target, paced(share_packets, 1'000));
        ASSERT_EQ(arrivals.size(), share_packets);
        std::uint64_t early = 0;
        for (const auto delay : delays(arrivals)) early += delay < 25'000'000 ? 1 : 0;
        std::printf("%s: %llu of %zu went at once\n", words, static_cast<unsigned long long>(early), share_packets);
        EXPECT_EQ(early, counters_of(pair.a, "r").reordered);
        if (share == 0.2)
            EXPECT_EQ(early, share_packets / 5);
        else
            EXPECT_GT(statistics::binomial_p_value(early, share_packets, share), 1e-6);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// Each copy has a delay of its own.
TEST(GuestDuplicate, CopiesAreDelayedToo)
{
    const Pair pair;
    settle();
    ASSERT_EQ(headwind(pair.a, "add --name d --dev va --delay 20ms --duplicate 5%").status, 0);
    send_and_receive(pair.a, pair.b, target, paced(20, 500));  // fills the neighbour tables
    const auto before = counters_of(pair.a, "d").duplicated;
    settle();
    UdpSink sink(pair.b, target);
    send_udp(pair.a, target, paced(share_packets, 1'000));
    const auto arrivals = sink.finish(2s);
    const auto copies = arrivals.size() - share_packets;
    EXPECT_EQ(copies, counters_of(pair.a, "d").duplicated - before);
    EXPECT_GT(statistics::binomial_p_value(copies, share_packets, 0.05), 1e-6);
    const auto seen = moments(delays(arrivals));
    std::printf("%zu copies; delays %.3f .. %.3f ms\n", copies, static_cast<double>(seen.min) / ms,
                static_cast<double>(seen.max) / ms);
    EXPECT_GT(seen.min, 20'000'000);
    EXPECT_LT(seen.max, 21'000'000) << "one delay for each copy, not the original's and its own";
}

}  // namespace
}  // namespace headwind::test::jitter_test
