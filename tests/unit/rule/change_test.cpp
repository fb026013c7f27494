// SPDX-License-Identifier: MIT
// Tests which parts of a rule's flows and flapping `change` keeps, takes away and refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rule_test.h"

namespace headwind::rule_test::change_test {
namespace {

using testing::HasSubstr;

TEST(ChangeFlows, TheShareAndTheSeedChangeApart)
{
    const auto before = valid("--loss 1% --flows 5% --flow-seed 7");
    const auto more = change_rule(before, text_of({"--flows", "50%"})).value();
    EXPECT_EQ(more, valid("--loss 1% --flows 50% --flow-seed 7"));
    const auto others = change_rule(before, text_of({"--flow-seed", "8"})).value();
    EXPECT_EQ(others, valid("--loss 1% --flows 5% --flow-seed 8"));
    EXPECT_EQ(change_rule(before, text_of({"--loss", "2%"})).value(), valid("--loss 2% --flows 5% --flow-seed 7"));
}

TEST(ChangeFlows, AnyTakesTheSeedAlong)
{
    const auto before = valid("--loss 1% --flows 5% --flow-seed 7");
    EXPECT_EQ(change_rule(before, text_of({"--flows", "any"})).value(), valid("--loss 1%"));
}

TEST(ChangeFlows, ASeedWithoutAShareIsRefused)
{
    EXPECT_THAT(message(change_rule(valid("--loss 1%"), text_of({"--flow-seed", "8"}))), HasSubstr("--flows"));
    EXPECT_THAT(message(change_rule(valid("--loss 1% --flows 5%"), text_of({"--flows", "any", "--flow-seed", "8"}))),
                HasSubstr("--flows"));
}

TEST(ChangeFlap, StaysUnlessNamed)
{
    const auto before = valid("--loss 50% --flap up=30s,down=5s");
    EXPECT_EQ(change_rule(before, text_of({"--loss", "10%"})).value(), valid("--loss 10% --flap up=30s,down=5s"));
    EXPECT_EQ(change_rule(before, text_of({"--flap", "up=1s,down=1s"})).value(),
              valid("--loss 50% --flap up=1s,down=1s"));
    EXPECT_EQ(change_rule(before, text_of({"--flap", "off"})).value(), valid("--loss 50%"));
}

TEST(ChangeLosses, OneSayingTakesThePlaceOfTheOther)
{
    const auto model = valid("--delay 9ms --loss-model 'gemodel 1% 10%'");
    EXPECT_EQ(change_rule(model, text_of({"--loss", "5%"})).value(), valid("--delay 9ms --loss 5%"));
    EXPECT_EQ(change_rule(model, text_of({"--loss-nth", "5"})).value(), valid("--delay 9ms --loss-nth 5"));
    EXPECT_EQ(change_rule(model, text_of({"--delay", "1ms"})).value(),
              valid("--delay 1ms --loss-model 'gemodel 1% 10%'"));
    EXPECT_EQ(change_rule(model, text_of({"--loss-model", "off"})).value(), valid("--delay 9ms"));
    const auto correlated = valid("--loss 5% --loss-correlation 50%");
    EXPECT_EQ(change_rule(correlated, text_of({"--loss-burst", "4"})).value(), valid("--loss 5% --loss-burst 4"));
    EXPECT_EQ(change_rule(correlated, text_of({"--loss", "6%"})).value(), valid("--loss 6% --loss-correlation 50%"));
    EXPECT_EQ(change_rule(correlated, text_of({"--loss-model", "gemodel 1%"})).value(),
              valid("--loss-model 'gemodel 1%'"));
    EXPECT_EQ(change_rule(valid("--delay 9ms --loss 5% --loss-burst 3"), text_of({"--loss", "off"})).value(),
              valid("--delay 9ms"));
}

}  // namespace
}  // namespace headwind::rule_test::change_test
