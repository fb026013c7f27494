#include "commands/cli.h"
#include "commands/print.h"

#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace headwind::cli_test {
namespace {

RuleText words(const std::string& line)
{
    RuleText text;
    CLI::App app;
    add_rule_flags(&app, text);
    app.parse(line);
    return text;
}

TEST(RuleFlags, EveryImpairment)
{
    const auto text = words(
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
    const auto text = words(
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
    const auto text = words("");
    for (const auto& value : {text.delay, text.jitter, text.distribution, text.loss, text.corrupt, text.duplicate,
                              text.reorder, text.reorder_gap, text.rate, text.queue, text.reject, text.netem})
        EXPECT_FALSE(value);
}

TEST(CountersJson, EveryCounter)
{
    Counters counters;
    constexpr std::size_t count = sizeof(counters) / sizeof(std::uint64_t);
    auto* fields = reinterpret_cast<std::uint64_t*>(&counters);
    for (std::size_t i = 0; i < count; ++i) fields[i] = i + 1;  // each another number
    const auto json = to_json(counters);
    EXPECT_EQ(json["dropped_packets"]["reject"], counters.dropped_by(DropReason::reject));
    EXPECT_EQ(json["dropped_packets"].size(), drop_reasons);
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
