// SPDX-License-Identifier: MIT
// Tests commands without root: looking needs CAP_BPF and read access to the pins; all else is refused by name.
#include "net_test.h"

namespace headwind::test::privilege_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Privilege : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        change(a(), "add --name cut --dev va --partition --proto udp");
        EXPECT_EQ(arrive({.count = 20}), 0U);
    }
    // Runs headwind as nobody with these capabilities: "+bpf,+net_admin", or "".
    Output as_nobody(const std::string& capabilities, const std::string& arguments) const
    {
        const std::string sets = "-all" + (capabilities.empty() ? "" : "," + capabilities);
        return run(&a(),
                   words("setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set " + sets + " --inh-caps " +
                         sets + " --ambient-caps " + sets + " " + headwind_binary() + " " + arguments));
    }
};

TEST_F(Privilege, LookingTakesCapBpfAndReadAccess)
{
    for (const std::string command : {"list", "stats"}) {
        auto mine = parse_json(headwind(a(), command + " --json"));
        const auto seen = as_nobody("+bpf,+dac_read_search", command + " --json");
        expect_ok(seen, command);
        EXPECT_EQ(parse_json(seen), mine) << command;
        EXPECT_EQ(mine["rules"][0]["state"], "live");
    }
}

// The line is asked, too.
TEST_F(Privilege, LookingAtTheLineTakesNoMore)
{
    change(a(), "add --name twice --dev va --duplicate 50%");
    const auto seen = as_nobody("+bpf,+dac_read_search,+net_admin", "list --json");
    expect_ok(seen);
    for (const auto& rule : parse_json(seen)["rules"]) EXPECT_EQ(rule["state"], "live") << rule["name"];
}

TEST_F(Privilege, WithoutItIsRefusedByName)
{
    for (const std::string capabilities : {"", "+bpf", "+dac_read_search"}) {
        const auto list = as_nobody(capabilities, "list");
        // Some kernels let anyone read a map that they can open, where unprivileged BPF is not switched off for good.
        if (capabilities == "+dac_read_search" && list.status == 0) {
            EXPECT_THAT(list.out, HasSubstr("cut"));
            continue;
        }
        EXPECT_EQ(list.status, 4) << capabilities;
        EXPECT_THAT(list.err, AllOf(HasSubstr("CAP_BPF"), HasSubstr("read access"))) << capabilities;
    }
}

TEST_F(Privilege, ChangingTakesMore)
{
    for (const std::string capabilities : {"", "+bpf,+dac_read_search"})
        for (const std::string command : {"add --name two --dev va --partition --port 1", "change cut --loss 1%",
                                          "del cut", "clear --all", "run --loss 1% -- true"}) {
            const auto refused = as_nobody(capabilities, command);
            EXPECT_EQ(refused.status, command.starts_with("run") ? 125 : 4) << command;
            EXPECT_THAT(refused.err, HasSubstr("root")) << command;
        }
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 1U);
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

}  // namespace
}  // namespace headwind::test::privilege_test
