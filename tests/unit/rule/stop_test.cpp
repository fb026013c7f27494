// SPDX-License-Identifier: MIT
// --max-share and --stop-if: the values they accept, their descriptions, changes, and the reasons of a stop.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "rule_test.h"
#include "ruleset/stops.h"

namespace headwind::stop_test {
namespace {

using rule_test::expect_contains;
using rule_test::expect_refused;
using rule_test::split;
using rule_test::text_of;
using rule_test::valid;

TEST(RuleStop, Refused)
{
    const auto with = [](const char* flag, std::string value, const char* impairment = "--partition") {
        return rule_test::Arguments{impairment, flag, std::move(value)};
    };
    expect_refused({
        {with("--max-share", "20"), "--max-share 20", "write 20%"},
        {with("--max-share", "0%"), "--max-share 0%", "between 0% and 100%"},
        {with("--max-share", "100%"), "--max-share 100%", "between 0% and 100%"},
        {with("--max-share", ""), "--max-share \"\"", ""},
        {with("--max-share", "20%", "--pass"), "--max-share 20%", "nothing to stop"},
        {with("--stop-if", "true", "--pass"), "--stop-if true", "nothing to stop"},
        {with("--stop-if", " "), "--stop-if \" \"", "a shell command"},
        {with("--stop-if", "true\nfalse"), "--stop-if true\\x0afalse", "one line"},
        {with("--stop-if", std::string(513, 'x')), "--stop-if " + std::string(60, 'x') + "...", "at most 512 bytes"},
    });
}

TEST(RuleStop, IsInTheSentence)
{
    EXPECT_EQ(
        describe_rule(valid("--dev eth0 --loss 1% --max-share 20%")),
        "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, as long as that is at most 20% of a hook's packets in a minute");
    DescribeContext context;
    context.lease = check_lease;
    EXPECT_EQ(
        describe_rule(valid("--dev eth0 --loss 1% --stop-if true"), context),
        "all frames but ARP, neighbour discovery and DHCP sent through eth0: loss 1%, as long as `true` succeeds");
}

TEST(RuleStop, SurvivesJson)
{
    for (const char* line :
         {"--loss 1% --max-share 33.3%", "--loss 1% --stop-if true", "--loss 1% --max-share 0.001% --stop-if exit"}) {
        const auto rule = valid(line);
        const auto again = rule_from_json(to_json(rule));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, rule) << line;
    }
    EXPECT_EQ(to_json(valid("--loss 1% --max-share 20%"))["max_share_percent"], 20);
}

TEST(RuleStop, StaysUnlessTakenAway)
{
    const auto before = valid("--loss 1% --max-share 20% --stop-if true");
    EXPECT_EQ(change_rule(before, text_of(split("--loss 2%"))).value(),
              valid("--loss 2% --max-share 20% --stop-if true"));
    EXPECT_EQ(change_rule(before, text_of(split("--max-share off"))).value(), valid("--loss 1% --stop-if true"));
    EXPECT_EQ(change_rule(before, text_of(split("--stop-if off"))).value(), valid("--loss 1% --max-share 20%"));
    EXPECT_EQ(change_rule(before, text_of(split("--stop-if false"))).value(),
              valid("--loss 1% --max-share 20% --stop-if false"));
}

// XDP does not count the packets of a hook, so it cannot know a share of them.
TEST(RuleStop, OfAShareIsNotForXdp)
{
    EXPECT_TRUE(is_for_xdp(valid("--direction in --partition --stop-if true")));
    EXPECT_FALSE(is_for_xdp(valid("--direction in --partition --max-share 20%")));
    expect_refused({{split("--dev eth0 --direction in --partition --xdp native --max-share 20%"), "--xdp native",
                     "leave out --cgroup, --container, --pod, --max-share"}});
}

TEST(RuleStop, SaysWhy)
{
    hw_stop stop{};
    stop.cause = HW_STOP_SHARE;
    stop.touched = 812;
    stop.packets = 3000;
    EXPECT_EQ(describe(stop, valid("--loss 1% --max-share 20%")),
              "it matched 812 of 3000 packets of a hook in one minute, more than 20%");
    stop.cause = HW_STOP_CHECK;
    std::fill(std::begin(stop.words), std::end(stop.words), '\x1b');  // no NUL at the end, and unsafe on a terminal
    expect_contains(describe(stop, valid("--loss 1% --stop-if true")), "its --stop-if failed: \\x1b\\x1b", "");
}

}  // namespace
}  // namespace headwind::stop_test
