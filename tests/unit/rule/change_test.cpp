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

// What shapes an impairment stays while it is 0.
TEST(ChangeToZero, AndBackAgain)
{
    const std::tuple<const char*, const char*, const char*, const char*> cases[] = {
        {"--loss 100% --port 80", "--loss", "0%", "100%"},
        {"--loss 5% --loss-burst 3 --seed 7", "--loss", "0%", "5%"},
        {"--loss 5% --loss-correlation 20%", "--loss", "0%", "5%"},
        {"--corrupt 1% --corrupt-correlation 5%", "--corrupt", "0%", "1%"},
        {"--duplicate 1%", "--duplicate", "0%", "1%"},
        {"--delay 9ms --reorder 25% --reorder-gap 5 --reorder-correlation 9%", "--reorder", "0%", "25%"},
        {"--delay 9ms", "--delay", "0ms", "9ms"},
        {"--delay 9ms --jitter 3ms --distribution pareto", "--jitter", "0ms", "3ms"},
        {"--delay 9ms --jitter 3ms --delay-correlation 25%", "--jitter", "0ms", "3ms"},
        {"--delay 9ms --jitter 3ms --keep-order", "--jitter", "0ms", "3ms"},
        {"--delay 9ms --jitter 3ms --seed 7", "--jitter", "0ms", "3ms"},
        {"--delay 9ms --jitter 3ms --keep-order --correlation-time 90ms", "--jitter", "0ms", "3ms"},
    };
    for (const auto& [flags, flag, zero, value] : cases) {
        SCOPED_TRACE(flags);
        const auto before = valid(flags);
        const auto changed = change_rule(before, text_of({flag, zero}));
        ASSERT_TRUE(changed) << changed.error().message;
        EXPECT_NE(*changed, before);
        EXPECT_EQ(rule_from_json(to_json(*changed)).value(), *changed);
        EXPECT_EQ(change_rule(*changed, text_of({flag, value})).value(), before);
    }
}

RuleSpec off(const std::string& name)
{
    RuleSpec text;
    text.off = {name};
    return text;
}

TEST(ChangePass, OffLeadsBack)
{
    for (const char* flags : {"--loss 5% --loss-burst 3", "--delay 9ms --jitter 3ms --rate 1mbit --queue 9kb",
                              "--loss-model 'gemodel 1% 10%'", "--partition", "--loss 0%"}) {
        SCOPED_TRACE(flags);
        const auto before = valid(std::string(flags) + " --direction out --port 80");
        const auto passing = change_rule(before, text_of({"--pass"})).value();
        EXPECT_EQ(passing.impairment, valid("--pass").impairment);
        EXPECT_EQ(rule_from_json(to_json(passing)).value(), passing);
        EXPECT_EQ(change_rule(passing, off("pass")).value(), before);
        if (before.impairment.partition) {
            EXPECT_EQ(change_rule(passing, text_of({"--partition"})).value(), before);
            continue;
        }
        // Over another one, and with a change meanwhile.
        const auto both = change_rule(passing, text_of({"--partition"})).value();
        const auto moved = change_rule(both, text_of({"--port", "81"})).value();
        EXPECT_EQ(change_rule(moved, off("partition")).value(),
                  valid(std::string(flags) + " --direction out --port 81"));
    }
    EXPECT_EQ(describe_rule(change_rule(valid("--loss 5% --port 80"), text_of({"--pass"})).value(), {}),
              "packets sent to or from port 80 through every lowest device that is up: pass in place of loss 5%");
}

TEST(ChangePass, OffWithAnotherImpairment)
{
    const auto passing = change_rule(valid("--loss 5% --duplicate 1%"), text_of({"--pass"})).value();
    auto more = text_of({"--loss", "6%"});
    more.off = {"pass"};
    EXPECT_EQ(change_rule(passing, more).value(), valid("--loss 6% --duplicate 1%"));
    EXPECT_EQ(change_rule(passing, text_of({"--loss", "6%"})).value(), valid("--loss 6%")) << "takes its place";
    EXPECT_EQ(change_rule(valid("--pass --direction out"), more).value(), valid("--loss 6%"));
}

TEST(ChangePass, OffOfWhatTookThePlaceOfAPartition)
{
    auto loss = text_of({"--loss", "1%"}), reply = text_of({"--reject", "rst"});
    loss.off = reply.off = {"pass"};
    const auto passing = change_rule(valid("--partition --direction out"), text_of({"--pass"})).value();
    EXPECT_EQ(change_rule(passing, loss).value(), valid("--loss 1%"));
    EXPECT_EQ(change_rule(valid("--pass"), reply).value(), valid("--reject rst"));
}

TEST(ChangePass, OffAndTheOtherOn)
{
    auto partition = text_of({"--partition"});
    partition.off = {"pass"};
    const auto passing = change_rule(valid("--loss 5% --direction both"), text_of({"--pass"})).value();
    const auto cut = change_rule(passing, partition).value();
    EXPECT_EQ(cut.impairment, valid("--partition").impairment);
    EXPECT_EQ(change_rule(cut, off("partition")).value(), valid("--loss 5% --direction both"));
    EXPECT_EQ(change_rule(valid("--pass"), partition).value().impairment, cut.impairment);
}

// What stands beside a partition goes with it.
TEST(ChangePass, OffTakesTheAnswersOfThePartitionAlong)
{
    for (const char* flags : {"--delay 9ms", "--loss 5%"}) {
        const auto cut = change_rule(valid(flags), text_of({"--partition", "--reject", "rst"})).value();
        EXPECT_EQ(cut.impairment.reject, Reject::rst);
        EXPECT_EQ(change_rule(cut, off("partition")).value(), valid(flags));
    }
}

TEST(ChangeToZero, AReplyTakesItsPlace)
{
    EXPECT_EQ(change_rule(valid("--delay 0"), text_of({"--reject", "rst"})).value().impairment,
              valid("--reject rst").impairment);
    EXPECT_EQ(change_rule(valid("--delay 0"), text_of({"--reject", "off"})).value(), valid("--delay 0"));
}

TEST(ChangePass, OffIsRefusedWhereItLeadsNowhere)
{
    EXPECT_THAT(message(change_rule(valid("--pass"), off("pass"))), HasSubstr("nothing that it leads back to"));
    EXPECT_THAT(message(change_rule(change_rule(valid("--ramp loss=0%..5%,over=60s"), text_of({"--pass"})).value(),
                                    off("pass"))),
                HasSubstr("a ramp or a trace is not kept"));
    EXPECT_THAT(message(change_rule(valid("--reject rst"), off("partition"))), HasSubstr("it comes of --reject"));
    EXPECT_THAT(message(change_rule(valid("--ramp loss=0%..5%,over=60s --repeat"), off("repeat"))),
                HasSubstr("--repeat: it is said with --ramp or --trace"));
    EXPECT_THAT(message(change_rule(valid("--loss 1%"), off("pass"))),
                HasSubstr("--pass off: the rule has none: loss"));
    EXPECT_THAT(message(change_rule(valid("--pass"), off("partition"))),
                HasSubstr("--partition off: the rule has none"));
}

TEST(ChangeSwitches, OffTakesThemAway)
{
    EXPECT_EQ(change_rule(valid("--delay 9ms --jitter 1ms --keep-order"), off("keep-order")).value(),
              valid("--delay 9ms --jitter 1ms"));
    EXPECT_EQ(change_rule(valid("--delay 9ms --rate 1mbit --rate-last"), off("rate-last")).value(),
              valid("--delay 9ms --rate 1mbit"));
}

}  // namespace
}  // namespace headwind::rule_test::change_test
