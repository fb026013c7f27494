// SPDX-License-Identifier: MIT
// --confirm: the changes of a command are undone unless `headwind confirm` comes in time.
#include "net_test.h"

namespace headwind::test::confirm_test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class Confirm : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    std::size_t arrive_of_20() const { return arrive({.count = 20}); }
    bool all_taken() const { return arrive_of_20() == 0; }
    bool all_pass() const { return arrive_of_20() == 20; }
    std::string listed() const { return headwind(a(), "list").out; }
    void expect_nothing_left() const { expect_footprint(a(), before_); }

private:
    std::string before_;
};

TEST_F(Confirm, AnAddIsUndoneByItself)
{
    const auto added = change(a(), "add --name cut --remote-port 5000 --partition --confirm 3s");
    EXPECT_THAT(added.err, HasSubstr("undone in 3s unless `headwind confirm` comes first"));
    EXPECT_TRUE(all_taken());
    EXPECT_THAT(listed(), HasSubstr("A change waits for `headwind confirm` until"));
    EXPECT_EQ(rule_of(a(), "cut")["unconfirmed"], true);
    EXPECT_TRUE(eventually([this] { return all_pass(); }));
    EXPECT_THAT(listed(), Not(HasSubstr("cut")));
    EXPECT_EQ(headwind(a(), "confirm").status, 3) << "too late";
    change(a(), "clear");
    expect_nothing_left();
}

TEST_F(Confirm, AnAddThatIsConfirmedStays)
{
    change(a(), "add --name cut --remote-port 5000 --partition --confirm 2s --for 1h");
    EXPECT_THAT(change(a(), "confirm").out, HasSubstr("confirmed; in force: cut"));
    std::this_thread::sleep_for(2200ms);
    EXPECT_TRUE(all_taken());
    EXPECT_THAT(listed(), Not(HasSubstr("confirm")));
    EXPECT_TRUE(rule_of(a(), "cut").contains("until_unix_s")) << "its own end is still there";
    change(a(), "clear");
    expect_nothing_left();
}

TEST_F(Confirm, AChangeThatIsNotConfirmedIsAsBefore)
{
    change(a(), "add --name cut --remote-port 5000 --partition");
    EXPECT_TRUE(all_taken());
    change(a(), "change cut --remote-port 5001 --confirm 3s");
    EXPECT_TRUE(all_pass());
    EXPECT_EQ(rule_of(a(), "cut")["selector"]["remote_ports"][0], "5001");
    EXPECT_TRUE(eventually([this] { return all_taken(); }));
    const auto rule = rule_of(a(), "cut");
    EXPECT_EQ(rule["selector"]["remote_ports"][0], "5000");
    EXPECT_FALSE(rule.contains("unconfirmed"));
    EXPECT_GE(rule["counters"]["out"]["packets"], 40) << "counters live on";
    change(a(), "change cut --loss 1%");  // a confirmed rule is like any other
    change(a(), "clear");
    expect_nothing_left();
}

TEST_F(Confirm, AChangeIsConfirmedOrUndoneAtOnce)
{
    change(a(), "add --name cut --remote-port 5000 --partition");
    change(a(), "change cut --remote-port 5001 --confirm 1h");
    EXPECT_THAT(change(a(), "confirm --undo").out, HasSubstr("undone; in force: cut"));
    EXPECT_TRUE(all_taken());
    change(a(), "change cut --remote-port 5001 --confirm 1h");
    change(a(), "confirm");
    EXPECT_TRUE(all_pass());
    EXPECT_EQ(headwind(a(), "list --json").out.find("pending"), std::string::npos);
    change(a(), "clear");
    expect_nothing_left();
}

TEST_F(Confirm, WhatIsRemovedComesBack)
{
    for (const std::string removal : {"del cut", "clear"}) {
        change(a(), "add --name cut --remote-port 5000 --partition");
        change(a(), removal + " --confirm 3s");
        EXPECT_TRUE(all_pass()) << removal;
        EXPECT_THAT(listed(), HasSubstr("else these are as before: cut"));
        EXPECT_TRUE(eventually([this] { return all_taken(); })) << removal;
        change(a(), removal + " --confirm 1h");
        change(a(), "confirm");
        EXPECT_TRUE(all_pass());
        expect_nothing_left();
    }
}

TEST_F(Confirm, ReplacedRulesComeBack)
{
    change(a(), "add --name cut --remote-port 5000 --partition");
    change(a(), "add --replace --name cut --remote-port 5001 --partition --confirm 3s");
    EXPECT_TRUE(all_pass());
    EXPECT_TRUE(eventually([this] { return all_taken(); }));
    EXPECT_EQ(rule_of(a(), "cut")["counters"]["out"]["packets"], 20) << "of both moments it was in force";
    change(a(), "clear");
    expect_nothing_left();
}

// While a change waits, its rules cannot be changed otherwise, other rules can, and clear always works.
TEST_F(Confirm, NothingElseIsDoneToTheseRulesMeanwhile)
{
    change(a(), "add --name cut --remote-port 5000 --partition");
    change(a(), "change cut --loss 50% --confirm 1h");
    for (const char* words : {"change cut --loss 1%", "del cut", "add --replace --name cut --partition --remote-port 1",
                              "add --name other --partition --remote-port 1 --confirm 5s"}) {
        const auto refused = headwind(a(), words);
        EXPECT_EQ(refused.status, 6) << words;
        EXPECT_THAT(refused.err, HasSubstr("waits to be confirmed: `headwind confirm`, or `headwind confirm --undo`"));
    }
    change(a(), "add --name other --remote-port 5001 --partition");
    change(a(), "del other");
    EXPECT_THAT(change(a(), "clear").out, HasSubstr("removed cut\n"));
    expect_nothing_left();
    EXPECT_EQ(headwind(a(), "confirm").status, 3);
    EXPECT_EQ(headwind(a(), "add --name x --loss 1% --confirm 5").status, 2) << "no unit";
}

TEST_F(Confirm, ABatchIsUndoneAsAWhole)
{
    change(a(), "add --name one --remote-port 5000 --partition");
    const auto batch = run(&a(), {"bash", "-c",
                                  "printf '%s\\n' 'del one' 'add --name two --remote-port 5001 --partition' | " +
                                      headwind_binary() + " batch - --confirm 1h"});
    EXPECT_EQ(batch.status, 0) << batch.err;
    EXPECT_TRUE(all_pass());
    change(a(), "confirm --undo");
    EXPECT_TRUE(all_taken());
    EXPECT_THAT(listed(), Not(HasSubstr("two")));
    change(a(), "clear");
    expect_nothing_left();
}

}  // namespace
}  // namespace headwind::test::confirm_test
