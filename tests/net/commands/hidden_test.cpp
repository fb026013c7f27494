// SPDX-License-Identifier: MIT
// Tests that commands say when rules of higher rank leave a rule nothing, or an exclusion not all that it is to spare.
#include "net_test.h"

#include <filesystem>
#include <fstream>

namespace headwind::test::hidden_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class HiddenRule : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        change(a(), "add --name wide --dev va --remote 10.77.0.0/16 --loss 100% --priority 10");
    }
    std::string state_of(const std::string& name) const { return rule_of(a(), name)["state"]; }

    static constexpr const char* why = "narrow: hidden by wide, which is of higher priority: --priority 11 would win";
};

RUNS_IN("HiddenRule.*", native, linux_6_1);

TEST_F(HiddenRule, IsToldByAddAndListAndGetsNoPacket)
{
    const auto added = change(a(), "add --name narrow --remote-port 5000 --remote 10.77.0.2 --dev va --loss 0%");
    EXPECT_THAT(added.err, HasSubstr(why));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(counters_of(a(), "narrow").packets, 0U);
    EXPECT_EQ(counters_of(a(), "wide").packets, 20U);
    const auto list = headwind(a(), "list").out;
    EXPECT_THAT(list, AllOf(HasSubstr("narrow  hidden "), HasSubstr("hidden by wide, which is of higher priority")));
    const auto rule = rule_of(a(), "narrow");
    EXPECT_EQ(rule["state"], "hidden");
    EXPECT_THAT(rule["hidden_by"], ElementsAre("wide"));

    const auto raised = change(a(), "change narrow --priority 11");
    EXPECT_THAT(raised.err, Not(HasSubstr("hidden")));
    EXPECT_EQ(state_of("narrow"), "live");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_THAT(change(a(), "change narrow --priority 9").err, HasSubstr(why));
    change(a(), "del wide");
    EXPECT_EQ(state_of("narrow"), "live");
    EXPECT_FALSE(rule_of(a(), "narrow").contains("hidden_by"));
}

TEST_F(HiddenRule, IsToldInJson)
{
    const auto added =
        parse_json(change(a(), "add --name narrow --remote-port 5000 --remote 10.77.0.2 --dev va --loss 0% --json"));
    EXPECT_EQ(added["state"], "hidden");
    EXPECT_THAT(added["hidden_by"], ElementsAre("wide"));
    EXPECT_THAT(std::string(added["trouble"]), HasSubstr("which is of higher priority"));
}

// Rules of one batch hide each other as any.
TEST_F(HiddenRule, IsToldByBatchAndApply)
{
    const auto path = testing::TempDir() + "hidden.rules";
    std::ofstream(path) << "add --name first --remote-port 5000-6000 --loss 1% --priority 20\n"
                           "add --name second --remote-port 5500 --loss 2%\n"
                           "add --name third --remote-port 5500,7000 --loss 2%\n";
    const auto batch = change(a(), "batch " + path);
    EXPECT_THAT(batch.err, HasSubstr("second: hidden by first, which is of higher priority: --priority 21 would win"));
    EXPECT_THAT(batch.err, Not(HasSubstr("third: hidden")));
    change(a(), "del first second third");
    EXPECT_THAT(change(a(), "apply " + path).err, HasSubstr("second: hidden by first"));
}

TEST_F(HiddenRule, OfACgroupBelowAnotherOne)
{
    const TestCgroup outer("outer");
    const std::string inner = outer.path() + "/inner", directory = outer.directory() + "/inner";
    ASSERT_TRUE(std::filesystem::create_directory(directory));
    change(a(), "add --for ever --name all-of-it --cgroup " + outer.path() + " --loss 1% --priority 1");
    const auto added = change(a(), "add --for ever --name part-of-it --remote-port 80 --loss 2% --cgroup " + inner);
    EXPECT_THAT(added.err, HasSubstr("part-of-it: hidden by all-of-it"));
    const auto other = change(a(), "add --name not-of-it --remote-port 80 --loss 2%");
    EXPECT_THAT(other.err, Not(HasSubstr("hidden")));
    std::filesystem::remove(directory);
}

TEST_F(HiddenRule, AsLongAsALeaseIsRenewed)
{
    change(a(), "add --name held --remote-port 80 --loss 1% --lease 1h --priority 20");
    EXPECT_THAT(change(a(), "add --name endless --remote-port 80 --loss 1%").err,
                HasSubstr("endless: hidden by held, which is of higher priority, while that is on"));
}

TEST_F(HiddenRule, OfRun)
{
    const HomeCgroup home;
    const auto ran = test::run(&a(), {headwind_binary(), "run", "--loss", "1%", "--dev", "va", "--remote", "10.77.0.2",
                                      "--name", "mine", "--", "true"});
    expect_ok(ran);
    EXPECT_THAT(ran.err, HasSubstr("mine: hidden by wide"));
}

TEST_F(HiddenRule, AnExclusionThatDoesNotSpareAll)
{
    const auto added = change(a(), "add --name spare --remote-port 5000 --pass");
    EXPECT_THAT(
        added.err,
        HasSubstr("spare: does not spare what wide selects, too, which is of higher priority: --priority 11 would"));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    const auto rule = rule_of(a(), "spare");
    EXPECT_EQ(rule["state"], "live") << "it is for other devices, too";
    EXPECT_THAT(rule["loses_to"], ElementsAre("wide"));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("does not spare what wide selects, too"));
    EXPECT_THAT(change(a(), "change spare --priority 11").err, Not(HasSubstr("does not spare")));
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

TEST_F(HiddenRule, AnExpiredRuleThatIsChangedIsSaidToBeSo)
{
    change(a(), "add --name brief --remote-port 80 --loss 1% --for 1ms");
    eventually([&] { return state_of("brief") == "expired"; });
    EXPECT_THAT(change(a(), "change brief --loss 2%").err, HasSubstr("brief: it has no effect: it has expired"));
}

TEST_F(HiddenRule, IsNotedByDoctor)
{
    change(a(), "add --name narrow --remote-port 5000 --remote 10.77.0.2 --dev va --loss 0%");
    EXPECT_THAT(headwind(a(), "doctor").out, HasSubstr("narrow is hidden by wide"));
}

}  // namespace
}  // namespace headwind::test::hidden_test
