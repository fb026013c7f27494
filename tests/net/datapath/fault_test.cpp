// SPDX-License-Identifier: MIT
// Tests damage by others: `list` reports it, traffic stays healthy, the agent or the next change mends it.
//
// A rule is listed as without effect meanwhile, and nothing is left in the end.
#include <fstream>

#include "agent_test.h"
#include "datapath/link.h"

namespace headwind::test::fault_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

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

// RPS of headwind0.
class FaultOfCpus : public Fault {
protected:
    void SetUp() override
    {
        Fault::SetUp();
        if (!IsSkipped() && sysconf(_SC_NPROCESSORS_ONLN) == 1) GTEST_SKIP() << "one CPU";
    }
    void TearDown() override
    {
        if (gone_) set_online(true);
        Fault::TearDown();
    }
    // Of the last CPU.
    void set_online(bool online)
    {
        gone_ = !online;
        std::ofstream file(fmt::format("/sys/devices/system/cpu/cpu{}/online", sysconf(_SC_NPROCESSORS_CONF) - 1));
        file << (online ? "1" : "0") << std::flush;
        ASSERT_TRUE(file) << "cannot set a CPU online or offline";
    }
    std::string rps(const std::string& command) const
    {
        const auto done = run(&a(), {"unshare", "-m", "sh", "-c",
                                     "mount -t sysfs none /mnt && cd /mnt/class/net/headwind0/queues && " + command});
        expect_ok(done);
        return done.out;
    }
    std::string masks() const { return rps("cat rx-*/rps_cpus"); }
    void expect_mended(const std::string& rule)
    {
        RunningAgent agent(home());
        agent.heard("mended");
        EXPECT_EQ(state_of(a(), rule), "live");
    }

private:
    bool gone_ = false;
};

RUNS_IN("FaultOfCpus.*", linux_6_1, linux_6_12);
RUNS_IN("FaultOfCpus.TheLinesFlowsOnTheSendersCpu*", native | linux_6_1, linux_6_12);

TEST_F(FaultOfCpus, TheLinesFlowsOnTheSendersCpu)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    const auto before = masks();
    rps("echo 0 > rx-1/rps_cpus");
    expect_not_effective("slow", "took the line apart");
    expect_mended("slow");
    EXPECT_EQ(masks(), before);
}

TEST_F(FaultOfCpus, TheLinesFlowsOnTheSendersCpuUnderLoss)
{
    change(a(), "add --name lossy --dev va --loss 1% --proto udp");
    const auto before = masks();
    EXPECT_THAT(before, Not(MatchesRegex("[0,\n]*")));
    rps("echo 0 > rx-0/rps_cpus");
    expect_not_effective("lossy", "took the line apart");
    change(a(), "change lossy --loss 0.1%");
    EXPECT_EQ(masks(), before) << "the next command mends it, too";
    EXPECT_EQ(state_of(a(), "lossy"), "live");
}

TEST_F(FaultOfCpus, OneGoesOffline)
{
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    const auto before = masks();
    set_online(false);
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(counters_of(a(), "slow").delayed, 20U);
    expect_mended("slow");
    EXPECT_NE(masks(), before);
    EXPECT_EQ(arrive({.count = 20}), 20U);
    set_online(true);
    EXPECT_EQ(state_of(a(), "slow"), "live") << "flows have a CPU each, of those that were online";
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(counters_of(a(), "slow").delayed, 60U);
}

TEST_F(FaultOfCpus, AnotherComesOnline)
{
    set_online(false);
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    EXPECT_THAT(masks(), MatchesRegex("[0,\n]*")) << "one CPU needs none";
    set_online(true);
    expect_mended("slow");
    EXPECT_THAT(masks(), Not(MatchesRegex("[0,\n]*")));
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(counters_of(a(), "slow").delayed, 20U);
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
