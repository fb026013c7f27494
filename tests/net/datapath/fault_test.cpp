// SPDX-License-Identifier: MIT
// Tests damage by others: `list` reports it, traffic stays healthy, the agent or the next change mends it.
//
// A rule is listed as without effect meanwhile, and nothing is left in the end.
#include <fstream>

#include "fault_test.h"

namespace headwind::test::fault_test {
namespace {

RUNS_IN("Fault.*", native, linux_6_1 | linux_6_12);
RUNS_IN("Fault.TheLinesQdisc:Fault.ProgramsTakenOff", native | linux_6_1, linux_6_12);
RUNS_IN("Fault.TheFqOfLo:Fault.PacketsWithADelay*", native | linux_6_12, linux_6_1);

TEST_F(Fault, ProgramsTakenOff)
{
    change(a(), "add --name cut --dev va --partition --local-port 1-100 --remote-port 5000");
    change(a(), "add --name other --dev lo --partition --proto udp");
    take_programs_off(a(), "va");
    expect_not_effective("cut", "took Headwind's program off va");
    EXPECT_EQ(state_of(a(), "other"), "live") << "it is elsewhere";
    EXPECT_EQ(arrive({.count = 20}), 20U);
    change(a(), "change cut --local-port any");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);

    take_programs_off(a(), "va");
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
    expect_not_effective("lossy", "the line that it needs is not as it was made, headwind0 is gone");
    EXPECT_EQ(state_of(a(), "cut"), "live") << "it needs no line";
    RunningAgent agent(home());
    agent.heard("mended");
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 0U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 20U) << "super-packets are cut again";
}

// Packets that need the part pass meanwhile, whole and in time; none vanishes.
class FaultOfLine : public Fault, public testing::WithParamInterface<LineFault> {};

RUNS_IN("*/FaultOfLine.*", native, linux_6_1 | linux_6_12);

TEST_P(FaultOfLine, SuperPacketsPass)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    EXPECT_EQ(arrive(supers), 40U);
    break_line(GetParam());
    EXPECT_EQ(arrive(supers), 20U);
    EXPECT_EQ(passed_without_line("twice"), 20U);
    expect_not_effective("twice", GetParam().why);
    EXPECT_THAT(headwind(a(), "stats").out, HasSubstr("20 packets were only subject to loss and partition"));
    change(a(), "change twice --duplicate 99.9999999%");
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(arrive(supers), 40U) << "from the first packet on";

    break_line(GetParam());
    RunningAgent agent(home());
    agent.heard("mended");
    EXPECT_THAT(agent.all("mended")[0]["why"], HasSubstr(GetParam().why));
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(arrive(supers), 40U);
    EXPECT_EQ(passed_without_line("twice"), 20U);
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Each, FaultOfLine, testing::ValuesIn(line_faults),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(Fault, PacketsWithADelayPassALineThatIsApart)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    std::uint64_t passed = 0, delayed = 0;
    for (const auto& fault : line_faults) {
        SCOPED_TRACE(fault.name);
        break_line(fault);
        EXPECT_EQ(arrive({.count = 20}), 20U);
        EXPECT_EQ(passed_without_line("slow"), passed += 20);
        expect_not_effective("slow", fault.why);
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed) << "what passed was not";
        change(a(), "change slow --loss 0%");
        EXPECT_EQ(state_of(a(), "slow"), "live");
        EXPECT_EQ(arrive({.count = 20}), 20U);
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed += 20);
    }
}

// The bridge is on the way of what is segmented only.
TEST_F(Fault, TheLinesBridge)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (const auto& [command, why] :
         {std::pair{"link set headwind2 down", "headwind2 is down"}, {"link del headwind2", "headwind2 is gone"}}) {
        EXPECT_EQ(arrive(supers), 40U);
        ip(a(), command);
        EXPECT_EQ(arrive(supers), 20U);
        expect_not_effective("twice", why);
        change(a(), "change twice --loss 0%");
        EXPECT_EQ(state_of(a(), "twice"), "live");
    }
}

// The kernel knows devices by their numbers.
TEST_F(Fault, TheLinesDevicesRenamed)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (const char* name : {"headwind0", "headwind1", "headwind2"})
        ip(a(), fmt::format("link set {0} down\nlink set {0} name my{0}\nlink set my{0} up", name));
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(arrive(supers), 40U);
    change(a(), "change twice --loss 0%");
    EXPECT_EQ(arrive(supers), 40U);
    EXPECT_GT(device_index(a(), "myheadwind2"), 0) << "nobody made another one";
}

// Delays are not said to have been given where no fq gave them; where one of other options did, they were.
TEST_F(Fault, TheLinesQdisc)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    std::uint64_t delayed = 0;
    for (const auto& [command, gives] : {std::pair{"qdisc del dev headwind1 root", false},
                                         {"qdisc replace dev headwind1 root pfifo", false},
                                         {"qdisc replace dev headwind1 root fq", true},
                                         {"qdisc replace dev headwind1 root fq horizon 1s limit 10000", true}}) {
        SCOPED_TRACE(command);
        tc(a(), command);
        EXPECT_EQ(arrive({.count = 20}), 20U);
        expect_not_effective("slow", "the fq of headwind1 is gone, or has other options");
        delayed += gives ? 20 : 0;
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed);
        RunningAgent agent(home());
        agent.heard("mended");
        EXPECT_EQ(state_of(a(), "slow"), "live");
        EXPECT_THAT(tc(a(), "qdisc show dev headwind1"), HasSubstr("limit 10000000p"));
        EXPECT_THAT(agent.all("trouble"), IsEmpty());
        EXPECT_EQ(arrive({.count = 20}), 20U);
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed += 20);
    }
}

TEST_F(Fault, TheLinesMtuAndQdiscs)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (const auto& [tool, command, why] :
         {std::tuple{"ip", "link set headwind0 mtu 68", "headwind0 has an MTU of 68"},
          {"ip", "link set headwind1 mtu 1500", "headwind1 has an MTU of 1500"},
          {"ip", "link set headwind2 mtu 1500", "headwind2 has an MTU of 1500"},
          {"tc", "qdisc add dev headwind2 root pfifo limit 1", "headwind2 has a qdisc, pfifo"},
          {"tc", "qdisc add dev headwind0 root pfifo limit 1", "headwind0 has a qdisc, pfifo"}}) {
        SCOPED_TRACE(command);
        if (std::string_view(tool) == "ip")
            ip(a(), command);
        else
            tc(a(), command);
        expect_not_effective("twice", why);
        change(a(), "change twice --loss 0%");
        EXPECT_EQ(state_of(a(), "twice"), "live");
        EXPECT_EQ(arrive(supers), 40U);
    }
}

// What is not ours is told, and stays.
TEST_F(Fault, SomebodysFiltersAtTheLine)
{
    change(a(), "add --name lossy --dev va --loss 1% --proto udp");
    change(a(), "add --name cut --dev va --partition --proto tcp");
    RunningAgent agent(home());
    {
        const auto guest = ForeignProgram::counter(a(), "headwind1", Hook::egress, 1, 0, Place::behind);
        const auto lossy = rule_of(a(), "lossy");
        EXPECT_EQ(lossy["state"], "live") << "they may be harmless";
        EXPECT_THAT(lossy["trouble"].dump(), HasSubstr("others' tc programs or filters at headwind1 may drop"));
        EXPECT_FALSE(rule_of(a(), "cut").contains("trouble")) << "it needs no line";
        change(a(), "change lossy --loss 2%");
        EXPECT_TRUE(rule_of(a(), "lossy").contains("trouble"));
    }
    if (!kernel_has_tcx()) tc(a(), "qdisc del dev headwind1 clsact");
    EXPECT_FALSE(rule_of(a(), "lossy").contains("trouble"));
    EXPECT_THAT(agent.all("mended"), IsEmpty());
}

// A device takes our programs with it into another network namespace: there they leave packets alone.
TEST_F(Fault, TheDeviceMovedWithItsPrograms)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    change(a(), "add --name lossy --dev va --loss 100% --remote-port 5001 --proto udp");
    EXPECT_EQ(arrive({.count = 20}), 40U);
    EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 0U);
    const Namespace other("moved");
    ip(a(), "link set va netns " + other.name());
    ip(other, fmt::format("link set va up\naddr add {}/24 dev va", Pair::a4));
    EXPECT_EQ(deliver(other, b(), {Pair::b4, 5000}, {.count = 20}), 20U);
    EXPECT_EQ(deliver(other, b(), {Pair::b4, 5001}, {.count = 20}), 20U);
    EXPECT_EQ(state_of(a(), "twice"), "no device");
    ip(other, "link set va netns " + a().name());
    ip(a(), fmt::format("link set va up\naddr add {}/24 dev va", Pair::a4));
    change(a(), "change twice --loss 0%");
    EXPECT_EQ(arrive({.count = 20}), 40U);
}

TEST_F(Fault, TheFqOfLo)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev lo --delay 100ms --proto udp");
    const auto arrive_on_lo = [this] { return deliver(a(), a(), {"127.0.0.1", 5000}, {.count = 20}); };
    std::uint64_t delayed = 0;
    for (const std::string command : {"qdisc del dev lo root", "qdisc replace dev lo root pfifo"}) {
        tc(a(), command);
        EXPECT_EQ(arrive_on_lo(), 20U);
        expect_not_effective("slow", "the fq of lo is gone");
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed);
        if (command.find("pfifo") != std::string::npos) tc(a(), "qdisc del dev lo root");  // it was not ours to replace
        change(a(), "change slow --loss 0%");
        EXPECT_EQ(state_of(a(), "slow"), "live");
        EXPECT_EQ(arrive_on_lo(), 20U);
        EXPECT_EQ(counters_of(a(), "slow").delayed, delayed += 20);
    }
    change(a(), "add --name far --dev va --delay 1ms --proto udp");
    ip(a(), "link set lo down");
    EXPECT_EQ(state_of(a(), "far"), "live") << "nothing passes lo, and nobody minds";
    EXPECT_EQ(arrive({.count = 20}), 20U);
    ip(a(), "link set lo up");
}

TEST_F(Fault, TheLinesSysctls)
{
    change(a(), "add --name flip --dev lo --corrupt 1% --proto udp");
    for (const char* name : {"route_localnet", "accept_local"}) {
        const auto path = fmt::format("/proc/sys/net/ipv4/conf/lo/{}", name);
        const auto set = [&](int value) {
            expect_ok(run(&a(), {"sh", "-c", fmt::format("echo {} > {}", value, path)}));
        };
        set(0);
        expect_not_effective("flip", fmt::format("{} is 0 again", name));
        change(a(), "change flip --corrupt 2%");
        EXPECT_EQ(state_of(a(), "flip"), "live");
        EXPECT_EQ(run(&a(), {"cat", path}).out, "1\n");
    }
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
RUNS_IN("FaultOfCpus.TheLinesFlowsOnTheSendersCpu*", native, linux_6_1 | linux_6_12);

TEST_F(FaultOfCpus, TheLinesFlowsOnTheSendersCpu)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 100ms --proto udp");
    const auto before = masks();
    rps("echo 0 > rx-1/rps_cpus");
    expect_not_effective("slow", "headwind0 receives a flow on several CPUs");
    expect_mended("slow");
    EXPECT_EQ(masks(), before);
}

TEST_F(FaultOfCpus, TheLinesFlowsOnTheSendersCpuUnderLoss)
{
    change(a(), "add --name lossy --dev va --loss 1% --proto udp");
    const auto before = masks();
    EXPECT_THAT(before, Not(MatchesRegex("[0,\n]*")));
    rps("echo 0 > rx-0/rps_cpus");
    expect_not_effective("lossy", "headwind0 receives a flow on several CPUs");
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
