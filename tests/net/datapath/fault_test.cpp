// SPDX-License-Identifier: MIT
// Tests damage by others: `list` reports it, traffic stays healthy, the agent or the next change mends it.
//
// A rule is listed as without effect meanwhile, and nothing is left in the end.
#include "agent_test.h"
#include "datapath/link.h"

namespace headwind::test::fault_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Fault : public Agent {
protected:
    void SetUp() override
    {
        Agent::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    void TearDown() override
    {
        if (!IsSkipped() && !HasFatalFailure()) {
            change(a(), "clear");
            expect_footprint(a(), before_);
            EXPECT_EQ(arrive({.count = 20}), 20U);
        }
        Agent::TearDown();
    }
    void expect_not_effective(const std::string& rule, const std::string& why) const
    {
        const auto all = rule_of(a(), rule);
        EXPECT_EQ(all["state"], "not effective");
        EXPECT_THAT(all["trouble"], HasSubstr(why));
        const auto list = headwind(a(), "list").out;
        EXPECT_THAT(list, HasSubstr("not effective"));
        EXPECT_THAT(list, HasSubstr(why));
    }
    void take_programs_off(const std::string& device) const
    {
        if (kernel_has_tcx())
            take_links_off(a(), device, link_type_tcx);
        else
            tc(a(), "qdisc del dev " + device + " clsact");
    }

private:
    std::string before_;
};

RUNS_IN("Fault.*", native | linux_6_1, linux_6_12);

TEST_F(Fault, ProgramsTakenOff)
{
    change(a(), "add --name cut --dev va --partition --local-port 1-100 --remote-port 5000");
    change(a(), "add --name other --dev lo --partition --proto udp");
    take_programs_off("va");
    expect_not_effective("cut", "took Headwind's program off va");
    EXPECT_EQ(state_of(a(), "other"), "live") << "it is elsewhere";
    EXPECT_EQ(arrive({.count = 20}), 20U);
    change(a(), "change cut --local-port any");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);

    take_programs_off("va");
    RunningAgent agent(home());
    agent.heard("attached");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

TEST_F(Fault, TheLinesDevicesDeleted)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    change(a(), "add --name cut --dev va --partition --proto tcp");
    ip(a(), "link del headwind0");
    expect_not_effective("lossy", "took the line apart (headwind0, headwind1, headwind2)");
    EXPECT_EQ(state_of(a(), "cut"), "live") << "it needs no line";
    RunningAgent agent(home());
    agent.heard("mended");
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 0U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 20U) << "super-packets are cut again";
}

TEST_F(Fault, TheLinesProgramsTakenOff)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    take_programs_off("headwind0");
    expect_not_effective("lossy", "took the line apart");
    change(a(), "change lossy --loss 99.9999999%");
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 0U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 20U);
}

TEST_F(Fault, TheLinesQdiscReplaced)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    tc(a(), "qdisc replace dev headwind1 root pfifo");
    expect_not_effective("slow", "took the line apart");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    RunningAgent agent(home());
    agent.heard("mended");
    EXPECT_EQ(state_of(a(), "slow"), "live");
    EXPECT_THAT(tc(a(), "qdisc show dev headwind1"), HasSubstr("qdisc fq"));
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

TEST_F(Fault, TheLinesFlowsOnTheSendersCpu)
{
    SKIP_WITHOUT_FQ();
    if (sysconf(_SC_NPROCESSORS_ONLN) == 1) GTEST_SKIP() << "one CPU";
    const auto rps = [this](const std::string& command) {
        const auto done = run(&a(), {"unshare", "-m", "sh", "-c",
                                     "mount -t sysfs none /mnt && cd /mnt/class/net/headwind0/queues && " + command});
        expect_ok(done);
        return done.out;
    };
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    const auto before = rps("cat rx-0/rps_cpus rx-1/rps_cpus");
    rps("echo 0 > rx-1/rps_cpus");
    expect_not_effective("slow", "took the line apart");
    RunningAgent agent(home());
    agent.heard("mended");
    EXPECT_EQ(state_of(a(), "slow"), "live");
    EXPECT_EQ(rps("cat rx-0/rps_cpus rx-1/rps_cpus"), before);
}

// Somebody replaces the root qdisc of the device itself: the line does not care.
TEST_F(Fault, TheRootQdiscOfTheDeviceReplaced)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    for (const char* qdisc : {"pfifo limit 50", "tbf rate 1gbit burst 64kb latency 50ms"}) {
        Process made(&a(), words(std::string("tc qdisc replace dev va root ") + qdisc));
        if (made.wait().status != 0) continue;  // this kernel lacks the qdisc
        EXPECT_EQ(state_of(a(), "lossy"), "live");
        EXPECT_EQ(arrive({.count = 20}), 0U);
        tc(a(), "qdisc del dev va root");
    }
}

}  // namespace
}  // namespace headwind::test::fault_test
