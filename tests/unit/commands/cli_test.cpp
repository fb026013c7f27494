// The words of a rule on the command line, and counters as JSON.
#include "commands/print.h"
#include "rule_text.h"

#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace headwind::cli_test {
namespace {

TEST(RuleFlags, EveryImpairment)
{
    const auto text = test::text_of_line(
        "--delay 1ms --jitter 2ms --distribution normal --loss 3% --corrupt 4% --duplicate 5% --reorder 6% "
        "--reorder-gap 7 --rate 8mbit --queue 9ms --reject rst --netem \"delay 100ms 20ms\" --partition --pass");
    EXPECT_EQ(text.delay, "1ms");
    EXPECT_EQ(text.jitter, "2ms");
    EXPECT_EQ(text.distribution, "normal");
    EXPECT_EQ(text.loss, "3%");
    EXPECT_EQ(text.corrupt, "4%");
    EXPECT_EQ(text.duplicate, "5%");
    EXPECT_EQ(text.reorder, "6%");
    EXPECT_EQ(text.reorder_gap, "7");
    EXPECT_EQ(text.rate, "8mbit");
    EXPECT_EQ(text.queue, "9ms");
    EXPECT_EQ(text.reject, "rst");
    EXPECT_EQ(text.netem, "delay 100ms 20ms");
    EXPECT_TRUE(text.partition && text.pass);
}

TEST(RuleFlags, NamesOfOtherTools)
{
    const auto text = test::text_of_line(
        "--latency 1ms --delay-distro 2ms --delay-distribution normal --packet-loss 3% --reordering 6% "
        "--network 10.0.0.0/8 --dst-port 80");
    EXPECT_EQ(text.delay, "1ms");
    EXPECT_EQ(text.jitter, "2ms");
    EXPECT_EQ(text.distribution, "normal");
    EXPECT_EQ(text.loss, "3%");
    EXPECT_EQ(text.reorder, "6%");
    EXPECT_EQ(text.remotes, std::vector<std::string>{"10.0.0.0/8"});
    EXPECT_EQ(text.remote_ports, std::vector<std::string>{"80"});
}

TEST(RuleFlags, NoneIsGivenByItself)
{
    const auto text = test::text_of_line("");
    for (const auto& value : {text.delay, text.jitter, text.distribution, text.loss, text.corrupt, text.duplicate,
                              text.reorder, text.reorder_gap, text.rate, text.queue, text.reject, text.netem})
        EXPECT_FALSE(value);
}

TEST(CountersJson, EveryCounter)
{
    hw_counters counters{};
    constexpr std::size_t count = sizeof(counters) / sizeof(__u64);
    auto* fields = reinterpret_cast<__u64*>(&counters);
    for (std::size_t i = 0; i < count; ++i) fields[i] = i + 1;  // each another number
    const auto json = to_json(counters);
    EXPECT_EQ(json["dropped_packets"]["reject"], counters.dropped[HW_CAUSE_REJECT]);
    EXPECT_EQ(json["dropped_packets"].size(), std::size_t{HW_CAUSES});
    EXPECT_EQ(json["corrupted_packets"], counters.corrupted);
    EXPECT_EQ(json["duplicated_packets"], counters.duplicated);
    EXPECT_EQ(json["reordered_packets"], counters.reordered);
    std::set<std::uint64_t> seen;
    const auto flat = json.flatten();
    for (const auto& value : flat) seen.insert(value.get<std::uint64_t>());
    EXPECT_EQ(seen.size(), count) << json.dump();
}

}  // namespace
}  // namespace headwind::cli_test
