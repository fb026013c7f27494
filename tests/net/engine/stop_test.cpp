// SPDX-License-Identifier: MIT
// Rules that stop by themselves (--max-share, --stop-if).
#include "agent_test.h"

#include <filesystem>
#include <fstream>

#include "datapath/instance.h"

namespace headwind::test::stop_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Ends every lease of the instance.
void expire_leases(const Namespace& where)
{
    const Inside inside(where);
    const auto instance = open_instance();
    ASSERT_TRUE(instance && *instance);
    for (const auto key : (*instance)->leases.keys()) {
        hw_lease lease{};
        lease.until = 1;
        ASSERT_TRUE((*instance)->leases.rewrite(key, lease));
    }
}

class Stop : public Agent {
protected:
    // Adds a partition of port 5000 with this command of --stop-if, which may have blanks.
    static Output add(const Namespace& where, const std::string& name, const std::string& command,
                      const std::string& more = "")
    {
        auto arguments = words(headwind_binary() + " add --partition --remote-port 5000 --name " + name + " " + more);
        arguments.insert(arguments.end(), {"--stop-if", command});
        return run(&where, arguments);
    }
    static std::string trouble(const Namespace& where, const std::string& name)
    {
        return rule_of(where, name)["trouble"];
    }
    static std::string listed(const Namespace& where) { return headwind(where, "list").out; }
};

// A file that exists or not, for the commands of --stop-if.
class Switch {
public:
    Switch() { std::ofstream(path()) << "on"; }
    ~Switch() { fs::remove(path()); }
    Switch(const Switch&) = delete;
    Switch& operator=(const Switch&) = delete;
    void off() const { fs::remove(path()); }
    std::string path() const { return fmt::format("/tmp/headwind-test-switch-{}", unique_number()); }
};

TEST_F(Stop, MaxShareStopsTheRuleAndTheAgentTells)
{
    RunningAgent agent(home());
    change(a(), "add --name cut --remote-port 5000 --partition --max-share 60%");
    EXPECT_THAT(listed(a()), HasSubstr("as long as that is at most 60% of a hook's packets in a minute"));
    // In whichever minutes the packets fall, one minute has enough of them, and all of them are the rule's.
    const auto arrived = arrive({.count = 3'000});
    EXPECT_GE(arrived, 1'000U) << "of 2000 in one minute the first 999 at most are taken";
    EXPECT_EQ(state_of(a(), "cut"), "stopped");
    EXPECT_TRUE(agent.heard("stopped", "cut"));
    EXPECT_THAT(trouble(a(), "cut"), HasSubstr("of a hook in one minute, more than 60%"));
    EXPECT_THAT(listed(a()), HasSubstr("`headwind change cut --go-on` starts it again"));
    EXPECT_EQ(arrive({.count = 10}), 10U);
    change(a(), "change cut --go-on --max-share off");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 2'000}), 0U);
}

TEST_F(Stop, IfTheCommandFails)
{
    const Switch on;
    RunningAgent agent(home());
    ASSERT_EQ(add(a(), "cut", fmt::format("test -e {} || {{ echo no switch; exit 3; }}", on.path())).status, 0);
    EXPECT_EQ(arrive({.count = 20}), 0U);
    on.off();
    ASSERT_TRUE(agent.heard("stopped", "cut"));
    EXPECT_EQ(state_of(a(), "cut"), "stopped");
    EXPECT_THAT(trouble(a(), "cut"), HasSubstr("its --stop-if failed: exit status 3: no switch"));
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

TEST_F(Stop, IfRunsInTheNetworkNamespaceOfTheRule)
{
    RunningAgent agent(home());
    ASSERT_EQ(add(a(), "cut", "ip -o link show va; exit 1").status, 0);
    ASSERT_TRUE(agent.heard("stopped", "cut"));
    EXPECT_THAT(trouble(a(), "cut"), HasSubstr(": va@")) << "a line of ip's";
    ASSERT_EQ(add(a(), "other", "ip -o link show vb || exit 1").status, 0);
    ASSERT_TRUE(agent.heard("stopped", "other"));
    EXPECT_THAT(trouble(a(), "other"), HasSubstr("does not exist"));
}

TEST_F(Stop, IfNeedsAnAgent)
{
    const auto refused = add(a(), "cut", "true");
    EXPECT_EQ(refused.status, 5);
    EXPECT_THAT(refused.err, HasSubstr("--stop-if true: `headwind agent` runs it, and none runs here"));
    RunningAgent elsewhere(home(), "--netns b");
    EXPECT_EQ(add(a(), "cut", "true").status, 5);
    EXPECT_EQ(add(b(), "cut", "true").status, 0);
    const auto leased = add(b(), "two", "true", "--lease 3s");
    EXPECT_EQ(leased.status, 2);
    EXPECT_THAT(leased.err, HasSubstr("not with --lease or --hold"));
    EXPECT_EQ(headwind(b(), "renew cut").status, 2) << "only the agent renews it";
    EXPECT_THAT(listed(a()), HasSubstr("no rules"));
    change(b(), "clear");
}

// The rule ends after 30 s, which the test does not wait for.
TEST_F(Stop, IfTheAgentDiesTheRuleEnds)
{
    RunningAgent agent(home());
    ASSERT_EQ(add(a(), "cut", "true").status, 0);
    EXPECT_EQ(rule_of(a(), "cut")["lease_ns"], 30'000'000'000);
    EXPECT_THAT(listed(a()), Not(HasSubstr("lease of")));
    agent.process().signal(SIGKILL);
    agent.process().wait();
    EXPECT_EQ(arrive({.count = 20}), 0U);
    expire_leases(a());
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(state_of(a(), "cut"), "lease ended");
}

TEST_F(Stop, AnotherCommandTakesTheOnesPlace)
{
    RunningAgent agent(home());
    ASSERT_EQ(add(a(), "cut", "true").status, 0);
    change(a(), "change cut --stop-if false");
    ASSERT_TRUE(agent.heard("stopped", "cut"));
    change(a(), "change cut --stop-if off --go-on");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_FALSE(rule_of(a(), "cut").contains("lease_ns"));
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// A command that does not end by itself is ended, with all that it started.
TEST_F(Stop, IfEndsWithTheRule)
{
    RunningAgent agent(home());
    const auto sleep = "sleep 4242." + std::to_string(getpid());  // no other test process has this argument
    const auto sleeps = [&sleep] { return run(nullptr, {"pgrep", "-fc", "^" + sleep + "$"}).out; };
    ASSERT_EQ(add(a(), "cut", sleep + "; true").status, 0);
    EXPECT_TRUE(eventually([&] { return sleeps() != "0\n"; }));
    change(a(), "del cut");
    EXPECT_TRUE(eventually([&] { return sleeps() == "0\n"; }));
}

}  // namespace
}  // namespace headwind::test::stop_test
