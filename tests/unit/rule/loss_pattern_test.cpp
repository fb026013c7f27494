// SPDX-License-Identifier: MIT
// Rules that lose the packets of a list: from a file, changed, described, as JSON; what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "chance/chain.h"
#include "chance/packet_list.h"
#include "rule_files.h"

namespace headwind::rule_test::loss_pattern_test {
namespace {

using testing::HasSubstr;

TEST(LossPattern, IsOfTheRule)
{
    const test::TextFile file("3 7-9\n20");
    const auto rule = loaded("--loss-pattern " + file.path()).value();
    EXPECT_EQ(rule.impairment.lost_packets, (PacketList{{3, 3}, {7, 9}, {20, 20}}));
    EXPECT_NEAR(fraction_of(*rule.impairment.loss), 0.25, 1e-9);
    EXPECT_EQ(facts_of(loss_chain(rule.impairment)).share, 0) << "no other is lost";
    EXPECT_EQ(describe(rule.impairment), "loss of 5 of the first 20 packets (" + file.path() + ")");
    EXPECT_EQ(to_json(rule)["impairment"]["lost_packets"], "3,7-9,20");
    for (const auto& line : {"--loss-pattern " + file.path(), "--reject icmp --loss-pattern " + file.path()}) {
        const auto one = loaded(line).value();
        EXPECT_EQ(rule_from_json(nlohmann::json::parse(to_json(one).dump())).value(), one) << line;
        EXPECT_EQ(make_rule(text_of(one)).value(), one) << line;
        EXPECT_EQ(change_rule(one, {}).value(), one) << line;
        EXPECT_FALSE(partitions(one.impairment));
    }
}

TEST(LossPattern, IsChanged)
{
    const test::TextFile file("3"), other("5");
    const auto before = loaded("--delay 1ms --loss-pattern " + file.path()).value();
    EXPECT_EQ(changed(before, "--loss-pattern " + other.path()),
              loaded("--delay 1ms --loss-pattern " + other.path()).value());
    EXPECT_EQ(changed(before, "--loss 1%"), valid("--delay 1ms --loss 1%"));
    EXPECT_EQ(changed(before, "--loss-pattern off"), valid("--delay 1ms"));
    EXPECT_EQ(changed(valid("--delay 1ms --loss-nth 7"), "--loss-pattern " + file.path()), before);
    EXPECT_EQ(changed(before, "--netem 'loss 1%'"), valid("--loss 1%"));
    EXPECT_EQ(changed(before, "--ramp loss=0%..5%,over=1s"), valid("--delay 1ms --ramp loss=0%..5%,over=1s"));
}

TEST(LossPattern, IsRefusedWhereItCannotBe)
{
    const test::TextFile file("3"), broken("1\n2\nx\n");
    for (const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
             {"--loss-pattern /none", "--loss-pattern /none: there is no such file"},
             {"--loss-pattern /etc", "--loss-pattern /etc: is a folder: name a file"},
             {"--loss-pattern " + broken.path(), broken.path() + ":3: x: write numbers of packets"},
             {"--loss-pattern /dev/zero", "is larger than 16 MiB"},
             {"--loss 1% --loss-pattern " + file.path(), "it says what is lost, and so does --loss: use one"},
             {"--loss-nth 7 --loss-pattern " + file.path(), "and so does --loss-nth"},
             {"--loss-burst 3 --loss-pattern " + file.path(), "--loss-burst 3: it says how the losses come together"},
             {"--partition --loss-pattern " + file.path(), "use it alone"},
             {"--ramp loss=0%..5%,over=1s --loss-pattern " + file.path(), file.path() + ": both say what the loss is"},
             {"--ramp corrupt=0%..5%,over=1s --loss-pattern " + file.path(), "--loss-nth, --loss-pattern"}}) {
        const auto rule = loaded(line);
        ASSERT_FALSE(rule) << line;
        EXPECT_THAT(rule.error().message, HasSubstr(why)) << line;
    }
    EXPECT_THAT(message(make_rule(text_of(split("--loss-pattern x")))), HasSubstr("its file has not been read"));
    EXPECT_THAT(message(rule_from_json(nlohmann::json::parse(
                    R"({"name": "r", "impairment": {"loss_pattern": "f", "lost_packets": "0"}})"))),
                HasSubstr("impairment.lost_packets:1: 0: packets are counted from 1"));
}

}  // namespace
}  // namespace headwind::rule_test::loss_pattern_test
