// SPDX-License-Identifier: MIT
// Tests the line that the audit writes for a change: its user and rules, and that it stays one line.
#include "commands/audit.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headwind::test::audit_test {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

RuleView view_of(const std::string& name, std::uint32_t state, const std::string& loss = "1%")
{
    RuleSpec text;
    text.name = name;
    text.loss = loss;
    RuleView view;
    view.record.rule = *make_rule(text);
    view.record.stable_id = state;
    return view;
}

std::vector<std::string> names_of(const std::vector<RuleView>& views)
{
    std::vector<std::string> out;
    for (const auto& view : views) out.push_back(view.record.rule.name);
    return out;
}

RuleRecord record_of(const RuleView& view)
{
    RuleRecord out;
    static_cast<RuleInfo&>(out) = view.record;
    return out;
}

TEST(Changes, AreToldApart)
{
    Plan plan;
    for (const auto& view : {view_of("gone", 1), view_of("other", 2), view_of("same", 3), view_of("new", 4)})
        plan.remove.push_back(record_of(view));
    const auto changed =
        changes_of(plan, {view_of("fresh", 9), view_of("other", 2, "2%"), view_of("same", 3), view_of("new", 8)});
    EXPECT_THAT(names_of(changed.added), ElementsAre("fresh"));
    EXPECT_THAT(names_of(changed.changed), ElementsAre("other"));
    EXPECT_THAT(names_of(changed.replaced), ElementsAre("new"));
    EXPECT_THAT(changed.removed, ElementsAre("gone"));
}

TEST(Changes, ARuleThatStartsAgainOrEndsLaterIsChanged)
{
    Plan plan;
    plan.remove = {record_of(view_of("x", 1))};
    auto later = view_of("x", 1);
    later.record.deadline = 5;
    EXPECT_THAT(names_of(changes_of(plan, {later}).changed), ElementsAre("x"));
    EXPECT_THAT(changes_of(plan, {view_of("x", 1)}).changed, IsEmpty());
    plan.go_on = {1};
    EXPECT_THAT(names_of(changes_of(plan, {view_of("x", 1)}).changed), ElementsAre("x"));
}

TEST(Changes, NothingIsToldOfNothing)
{
    int told = 0;
    observe_changes([&told](const Changed&) { ++told; });
    tell({});
    EXPECT_EQ(told, 0);
    tell(changes_of({}, {view_of("x", 1)}));
    EXPECT_EQ(told, 1);
    observe_changes(nullptr);
    tell(changes_of({}, {view_of("x", 1)}));
    EXPECT_EQ(told, 1);
}

TEST(Audit, SaysWhoAndWhat)
{
    unsetenv("SUDO_USER");
    Changed changed;
    changed.added = {view_of("slow", 1)};
    changed.removed = {"old"};
    const auto line = audit_line("batch", changed);
    EXPECT_THAT(line, HasSubstr(fmt::format("(uid {}), headwind batch", getuid())));
    EXPECT_THAT(
        line,
        EndsWith(
            ": added slow: all frames but ARP, neighbour discovery and DHCP sent through every lowest device that is up: loss 1%; removed old"));
    setenv("SUDO_USER", "alice", 1);
    EXPECT_THAT(audit_line("add", changed),
                HasSubstr(fmt::format("(uid {}, by sudo from alice), headwind add", getuid())));
    unsetenv("SUDO_USER");
}

TEST(Audit, IsOneLineWhateverTheEnvironmentSays)
{
    setenv("SUDO_USER", "eve\nheadwind: audit: user root\x1b[2J\r", 1);
    Changed changed;
    changed.words = "every rule is off";
    const auto line = audit_line("panic", changed);
    unsetenv("SUDO_USER");
    EXPECT_THAT(line, HasSubstr("by sudo from eve\\x0aheadwind: audit: user root\\x1b[2J\\x0d)"));
    for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
}

TEST(Audit, AThousandRulesAreNotAllInTheLine)
{
    Changed changed;
    for (int i = 0; i < 1000; ++i) changed.removed.push_back("r" + std::to_string(i));
    const auto line = audit_line("clear", changed);
    EXPECT_THAT(line, EndsWith("; removed r19; and 980 more"));
    EXPECT_THAT(line, Not(HasSubstr("r20")));
}

}  // namespace
}  // namespace headwind::test::audit_test
