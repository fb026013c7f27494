// SPDX-License-Identifier: MIT
// Tests that the lines of `list --commands` make the rules again.
#include "commands/rule_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "commands/rule_line.h"
#include "random_rules.h"
#include "rule_test.h"

namespace headwind::rule_test::rule_words_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t now = 1'000'000'000'000;

RuleView view_of(const Rule& rule, std::uint32_t id = 1)
{
    RuleView view;
    view.record.rule = rule;
    view.record.id = view.record.stable_id = id;
    view.record.owner = "root";
    return view;
}

std::vector<std::string> lines_of(const std::vector<RuleView>& views)
{
    Snapshot all;
    all.rules = views;
    all.max_held = 256ULL << 20;
    std::vector<std::string> lines;
    std::istringstream text(batch_lines(all, now, [](const auto&) { return ""; }));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
}

TEST(BatchLines, MakeTheSameRuleAgain)
{
    RandomRules random(11);
    RuleLine grammar;
    int made = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto rule = make_rule(random.text());
        if (!rule) continue;
        ++made;
        const auto lines = lines_of({view_of(*rule)});
        ASSERT_EQ(lines.size(), rule->timeline ? 2U : 1U);
        const auto words = grammar.parse(lines.back());
        ASSERT_TRUE(words) << lines.back() << "\n" << words.error().message;
        const auto request = add_request(words->add, std::nullopt);
        ASSERT_TRUE(request) << lines.back() << "\n" << request.error().message;
        ASSERT_EQ(request->rule, *rule) << lines.back();
    }
    EXPECT_GT(made, 500);
}

TEST(BatchLines, LeaveDefaultsOut)
{
    EXPECT_THAT(lines_of({view_of(valid("--loss 1% --port 80"))}),
                ElementsAre("add --name r --port 80 --loss 1% --owner root"));
    EXPECT_THAT(lines_of({view_of(valid("--partition --priority 3"))}),
                ElementsAre("add --name r --priority 3 --partition --owner root"));
    EXPECT_THAT(lines_of({view_of(valid("--partition --direction out"))}),
                ElementsAre("add --name r --direction out --partition --owner root"));
    EXPECT_THAT(lines_of({view_of(valid("--delay 0"))}), ElementsAre("add --name r --delay 0s --owner root"));
    EXPECT_THAT(lines_of({view_of(valid("--loss 1% --stop-if 'test -e \"/a b\"'"))}),
                ElementsAre("add --name r --loss 1% --stop-if 'test -e \"/a b\"' --owner root"));
}

// What is not one rule's is not lost where each line is a comment.
TEST(BatchLines, SayProtectionsEvenInAComment)
{
    auto guard = view_of(valid("--port 22 --pass"), 2);
    guard.record.guard = Guard::protect;
    Snapshot all;
    all.rules = {view_of(valid("--loss 1% --dev gone")), guard};
    all.max_held = 1 << 20;
    EXPECT_EQ(batch_lines(all, now, [](const auto&) { return "its device is not there"; }),
              "# r: its device is not there\n"
              "# add --name r --dev gone --loss 1% --owner root --protect 22 --max-held 1MiB\n");
}

TEST(BatchLines, SayForHowLongAndOfWhom)
{
    auto view = view_of(valid("--loss 1%"));
    view.record.deadline = now + 90'000'000'000;
    view.record.lease = 5'000'000'000;
    view.record.owner = "ci 7";
    EXPECT_THAT(lines_of({view}), ElementsAre("add --name r --loss 1% --for 1m30s --lease 5s --owner 'ci 7'"));
}

// The first one is older, and the list has it last.
TEST(BatchLines, AreInTheOrderThatDecidesBetweenEquals)
{
    auto older = valid("--loss 1%"), younger = valid("--loss 2%");
    older.name = "older";
    younger.name = "younger";
    EXPECT_THAT(lines_of({view_of(younger, 9), view_of(older, 3)}),
                ElementsAre("add --name older --loss 1% --owner root", "add --name younger --loss 2% --owner root"));
}

TEST(BatchLines, NameTheSubjectNotWhatWasFoundOfIt)
{
    auto rule = valid("--loss 1% --cgroup /found --dev found");
    rule.subject = Subject{"web", "0123456789ab", "default/shop", 0, true};
    EXPECT_THAT(lines_of({view_of(rule)}),
                ElementsAre("add --name r --container 0123456789ab --at host --loss 1% --for ever --owner root"));
    rule.subject = Subject{"", "", "default/shop", 0, false};
    EXPECT_THAT(lines_of({view_of(rule)}),
                ElementsAre("add --name r --pod default/shop --at pod --dev found --loss 1% --for ever --owner root"));
    rule.subject = Subject{"", "", "", 4711, false};
    EXPECT_THAT(lines_of({view_of(rule)}),
                ElementsAre("add --name r --pid 4711 --at pod --dev found --loss 1% --for ever --owner root"));
}

// The lease of a rule with --stop-if is the agent's: the line has none.
TEST(BatchLines, SayThatARuleWithACheckHasNoEnd)
{
    auto view = view_of(valid("--loss 1% --cgroup /a --stop-if true"));
    view.record.lease = 30'000'000'000;
    EXPECT_THAT(lines_of({view}),
                ElementsAre("add --name r --cgroup /a --loss 1% --stop-if true --for ever --owner root"));
}

TEST(BatchLines, HaveGuardsWhereTheyBelong)
{
    auto ssh = view_of(valid("--pass --port 22"), 2), kept = view_of(valid("--pass --remote 10.0.0.0/8"), 3);
    ssh.record.guard = Guard::ssh;
    kept.record.guard = Guard::protect;
    EXPECT_THAT(lines_of({kept, ssh, view_of(valid("--loss 1%"))}),
                ElementsAre("add --name r --loss 1% --owner root --protect 10.0.0.0/8"));
}

// Its line would have the whole batch refused.
TEST(BatchLines, OfWhatLacksSomethingAreComments)
{
    Snapshot all;
    all.max_held = 256ULL << 20;
    auto lacking = valid("--loss 1% --dev ppp0"), other = valid("--loss 2%");
    lacking.name = "lacking";
    all.rules = {view_of(other, 2), view_of(lacking, 1)};
    const auto missing = [](const auto& view) { return view.record.rule.name == "lacking" ? "no device" : ""; };
    EXPECT_EQ(batch_lines(all, now, missing),
              "# lacking: no device\n# add --name lacking --dev ppp0 --loss 1% --owner root\n"
              "add --name r --loss 2% --owner root\n");
}

TEST(BatchLines, SayWhatTheyCannot)
{
    auto view = view_of(change_rule(valid("--loss 5%"), text_of({"--pass"})).value());
    EXPECT_THAT(lines_of({view}), ElementsAre(HasSubstr("took the place of loss 5%"),
                                              "add --name r --direction out --pass --owner root"));
    EXPECT_THAT(lines_of({view_of(valid("--ramp loss=0%..5%,over=60s"))}),
                ElementsAre("# r: its ramp starts over", HasSubstr("--ramp loss=0%..5%,over=1m")));
    auto ended = view_of(valid("--loss 1%"));
    ended.record.deadline = now - 1;
    ended.state = RuleState::expired;
    EXPECT_THAT(lines_of({ended}), ElementsAre("# r is left out: expired"));
    auto stopped = view_of(valid("--loss 1% --max-share 20%"));
    stopped.state = RuleState::stopped;
    EXPECT_THAT(lines_of({stopped}), ElementsAre("# r is left out: stopped"));
    auto pending = view_of(valid("--loss 1%"));
    pending.record.pending = now + 1;
    EXPECT_THAT(lines_of({pending}), ElementsAre("# r is left out: it waits for `headwind confirm`"));
    EXPECT_THAT(lines_of({}), IsEmpty());
}

}  // namespace
}  // namespace headwind::rule_test::rule_words_test
