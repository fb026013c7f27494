// SPDX-License-Identifier: MIT
// The flags of a rule on the command line, and counters as JSON.
#include "commands/print.h"
#include "rule/flags.h"
#include "rule_text.h"

#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace headwind::cli_test {
namespace {

// The name of a flag and its aliases.
std::vector<std::string> names_of(const Flag& flag)
{
    std::vector<std::string> names{std::string(flag.name)};
    std::istringstream aliases{std::string(flag.aliases)};
    for (std::string alias; std::getline(aliases, alias, ',');) names.push_back(alias);
    return names;
}

TEST(RuleFlags, EachNameFillsItsMemberAndNoOther)
{
    for (const Flag& flag : rule_flags()) {
        for (const auto& name : names_of(flag)) {
            const bool is_switch = std::holds_alternative<Switch>(flag.member);
            const auto text = test::text_of_line(is_switch ? name : name + " 7");
            for (const Flag& other : rule_flags()) EXPECT_EQ(is_given(other, text), &other == &flag) << name;
            if (std::holds_alternative<Word>(flag.member)) {
                EXPECT_EQ(said(flag, text), "7") << name;
            } else if (const auto* list = std::get_if<List>(&flag.member)) {
                EXPECT_EQ(text.**list, std::vector<std::string>{"7"}) << name;
            }
        }
    }
}

TEST(RuleFlags, NamesOfOtherTools)
{
    const auto text = test::text_of_line(
        "--latency 1ms --delay-distro 2ms --delay-distribution normal --packet-loss 3% --reordering 6% --network 10.0.0.0/8 --dst-port 80");
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
    for (const Flag& flag : rule_flags()) EXPECT_FALSE(is_given(flag, text)) << flag.name;
}

TEST(CountersJson, EveryCounter)
{
    Counters counters;
    constexpr std::size_t count = sizeof(counters) / sizeof(std::uint64_t);
    auto* fields = reinterpret_cast<std::uint64_t*>(&counters);
    for (std::size_t i = 0; i < count; ++i) fields[i] = i + 1;  // a different number in each
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
