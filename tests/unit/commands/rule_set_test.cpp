// SPDX-License-Identifier: MIT
// A declared set against the rules in force: what is added, changed, left, removed, and what does not come back.
#include "commands/rule_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rule/protect.h"

namespace headwind::test::rule_set_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* us = "scenario-lab";
constexpr std::uint64_t second = 1'000'000'000, now = 1'000 * second;

Rule rule_named(const std::string& name, const std::string& loss)
{
    RuleSpec text;
    text.name = name;
    text.loss = loss;
    return *make_rule(text);
}

DeclaredRule declared(const std::string& name, const std::string& loss = "1%", std::uint64_t duration = 0)
{
    DeclaredRule out;
    out.request.rule = rule_named(name, loss);
    out.request.duration = duration;
    out.request.owner = us;
    out.words = "add --name " + name + " --loss " + loss + " --for " + std::to_string(duration);
    out.place = "lab.rules:7";
    return out;
}

RuleInfo in_force(const DeclaredRule& rule, std::uint64_t deadline = 0, const std::string& owner = us)
{
    RuleInfo out;
    out.rule = rule.request.rule;
    out.owner = owner;
    out.deadline = deadline;
    return out;
}

AppliedRules applied(const DeclaredRule& rule, std::uint64_t deadline = 0, bool stopped = false)
{
    return {{rule.request.rule.name, {rule.words, deadline, stopped}}};
}

SetChange planned(const std::vector<DeclaredRule>& rules, const AppliedRules& memory,
                  const std::vector<RuleInfo>& records, bool again = false)
{
    auto out = plan_set(rules, us, memory, records, now, again);
    EXPECT_TRUE(out) << out.error().message;
    return out ? *out : SetChange{};
}

TEST(RuleSet, WhatIsNewIsAddedAndWaitsForItsDevice)
{
    const auto out = planned({declared("x", "1%", 5 * second)}, {}, {});
    ASSERT_EQ(out.changes.add.size(), 1U);
    EXPECT_EQ(out.changes.add[0].duration, 5 * second);
    EXPECT_EQ(out.changes.add[0].owner, us);
    EXPECT_TRUE(out.changes.may_wait);
}

TEST(RuleSet, WhatIsThereAlreadyIsLeftAlone)
{
    const auto x = declared("x", "1%", 5 * second);
    const auto out = planned({x}, applied(x, now + 2 * second), {in_force(x, now + 2 * second)});
    EXPECT_TRUE(out.changes.empty());
    EXPECT_THAT(out.unchanged, ElementsAre("x"));
}

TEST(RuleSet, ProtectionsOfRulesThatAreThereAreAddedOnce)
{
    auto x = declared("x");
    x.request.protect = *make_protections({"22,80"});
    auto there = in_force(x);
    there.rule = x.request.protect[0];
    there.owner = "headwind";
    there.guard = Guard::protect;
    const auto out = planned({x}, applied(x), {in_force(x), there});
    ASSERT_EQ(out.changes.protect.size(), 1U);
    EXPECT_EQ(out.changes.protect[0].name, "protect-80");
    EXPECT_THAT(out.changes.remove, IsEmpty());
    EXPECT_THAT(out.unchanged, ElementsAre("x"));
    EXPECT_TRUE(planned({x}, applied(x, now - 1), {}).changes.empty()) << "it has ended, and what it protects with it";
}

TEST(RuleSet, WhatIsDeclaredOtherwiseIsChangedAndBeginsItsTimeAnew)
{
    const auto old = declared("x", "1%", 5 * second), fresh = declared("x", "2%", 9 * second);
    const auto out = planned({fresh}, applied(old, now + second), {in_force(old, now + second)});
    ASSERT_EQ(out.changes.change.size(), 1U);
    EXPECT_EQ(out.changes.change[0].edit(old.request.rule)->impairment.loss, fresh.request.rule.impairment.loss);
    EXPECT_EQ(out.changes.change[0].duration, 9 * second);
}

// A rule that somebody changed with `headwind change` becomes again what was declared, and ends when it would have.
TEST(RuleSet, WhatIsDeclaredToHaveNoEndIsNotAskedAbout)
{
    auto endless = declared("x", "2%");
    endless.request.for_ever = true;
    const auto out = planned({endless}, {}, {in_force(declared("x"))});
    ASSERT_EQ(out.changes.change.size(), 1U);
    EXPECT_TRUE(out.changes.change[0].for_ever);
}

TEST(RuleSet, WhatSomebodyChangedIsPutBack)
{
    const auto x = declared("x", "1%", 5 * second);
    const auto out = planned({x}, applied(x, now + second), {in_force(declared("x", "9%"), now + second)});
    ASSERT_EQ(out.changes.change.size(), 1U);
    EXPECT_FALSE(out.changes.change[0].duration.has_value());
}

TEST(RuleSet, OnlyItsOwnRulesGo)
{
    const auto out = planned({}, {}, {in_force(declared("x")), in_force(declared("y"), 0, "alice")});
    EXPECT_THAT(out.changes.remove, ElementsAre("x"));
}

TEST(RuleSet, WhatEndedDoesNotComeBackUnlessAsked)
{
    const auto x = declared("x", "1%", 5 * second);
    for (const auto& records : {std::vector<RuleInfo>{}, std::vector{in_force(x, now - 1)}}) {
        const auto out = planned({x}, applied(x, now - 1), records);
        EXPECT_TRUE(out.changes.empty());
        EXPECT_THAT(out.ended, ElementsAre("x"));
        const auto asked = planned({x}, applied(x, now - 1), records, true);
        ASSERT_EQ(asked.changes.add.size(), 1U);
        EXPECT_EQ(asked.changes.add[0].duration, 5 * second);
    }
    EXPECT_EQ(planned({declared("x", "2%")}, applied(x, now - 1), {}).changes.add.size(), 1U) << "another declaration";
}

TEST(RuleSet, AStopIsNoEnd)
{
    const auto x = declared("x", "1%", 50 * second);
    const auto memory = remember_stop(applied(x, now + 20 * second), us, {in_force(x, now + 20 * second)}, now);
    const auto out = planned({x}, memory, {});
    ASSERT_EQ(out.changes.add.size(), 1U);
    EXPECT_EQ(out.changes.add[0].duration, 20 * second) << "the rest of its time";
    auto late = plan_set({x}, us, memory, {}, now + 30 * second, false);
    ASSERT_TRUE(late);
    EXPECT_THAT(late->ended, ElementsAre("x")) << "its time is over";
    const auto gone = remember_stop(applied(x, now + 20 * second), us, {}, now);
    EXPECT_THAT(planned({x}, gone, {}).ended, ElementsAre("x")) << "it had been deleted before the stop";
}

TEST(RuleSet, AnothersRuleOfTheNameIsAnErrorThatNamesTheLine)
{
    const auto out = plan_set({declared("x")}, us, {}, {in_force(declared("x"), 0, "alice")}, now, false);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().kind, ErrorKind::usage);
    EXPECT_THAT(out.error().message, testing::AllOf(HasSubstr("lab.rules:7"), HasSubstr("alice")));
    EXPECT_EQ(planned({declared("x")}, {}, {in_force(declared("x"), now - 1, "alice")}).changes.add.size(), 1U)
        << "one that expired is no obstacle";
    EXPECT_FALSE(plan_set({declared("x"), declared("x", "2%")}, us, {}, {}, now, false));
}

TEST(RuleSet, ANewLeaseIsANewRule)
{
    auto x = declared("x");
    x.request.lease = 3 * second;
    const auto out = planned({x}, {}, {in_force(declared("x"))});
    ASSERT_EQ(out.changes.add.size(), 1U);
    EXPECT_TRUE(out.changes.add[0].replace);
}

TEST(RuleSet, IsRememberedForThisBootAndNamespaceOnly)
{
    const auto x = declared("x", "1%", 5 * second);
    const auto memory = remember_set({x}, us, {}, {in_force(x, now + second)});
    EXPECT_EQ(memory.at("x").deadline, now + second);
    const BootId here{"1234-5678", 77};
    const auto text = format_applied(memory, here);
    const auto again = parse_applied(text, here);
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(again.at("x").words, x.words);
    EXPECT_EQ(again.at("x").deadline, now + second);
    EXPECT_THAT(parse_applied(text, {"1234-5679", 77}), IsEmpty());
    EXPECT_THAT(parse_applied(text, {"1234-5678", 78}), IsEmpty());
    EXPECT_THAT(parse_applied(text.substr(0, text.size() / 2), here), IsEmpty());
    EXPECT_THAT(parse_applied("", here), IsEmpty());
}

}  // namespace
}  // namespace headwind::test::rule_set_test
