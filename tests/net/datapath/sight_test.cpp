// SPDX-License-Identifier: MIT
// Tests that a rule which no packet can come to is said to be without effect: what its device sends, or receives,
// passes the hook by.
#include <linux/if_packet.h>

#include "agent/pending.h"
#include "fault_test.h"
#include "foreign_xdp.h"
#include "packets.h"

namespace headwind::test::sight_test {
namespace {

using fault_test::Fault;
using testing::HasSubstr;

class Sight : public Fault {
protected:
    void SetUp() override
    {
        Fault::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        // IPv6 sends by itself, and that would be seen.
        for (const auto& [where, device] : {std::pair{&a(), Pair::device_a}, {&b(), Pair::device_b}})
            expect_ok(run(where, {"sysctl", "-qw", fmt::format("net.ipv6.conf.{}.disable_ipv6=1", device)}));
    }
    // Past the tc hook of va.
    void send_past_hooks(unsigned count) const
    {
        const Inside inside(a());
        const Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        const int on = 1;
        ASSERT_EQ(setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)), 0);
        sockaddr_ll at{};
        at.sll_family = AF_PACKET;
        at.sll_ifindex = device_index(a(), Pair::device_a);
        const auto frame = packets::frame(packets::ipv4({.source = Pair::a4, .destination = Pair::b4},
                                                        packets::udp(6000, 5000, packets::payload(50))));
        for (unsigned i = 0; i < count; ++i)
            ASSERT_EQ(sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&at), sizeof(at)),
                      static_cast<ssize_t>(frame.size()));
    }
    // As an agent does when these minutes are over.
    void pass_minutes(std::uint64_t from, std::uint64_t to) const
    {
        constexpr std::uint64_t minute = 60'000'000'000;
        const Inside inside(a());
        for (auto i = from; i < to; ++i) EXPECT_TRUE(find_pending_work(i * minute, (i + 1) * minute));
    }
    void watch_anew() const { pass_minutes(58, 61); }  // an hour ends, and another minute
};

RUNS_IN("Sight.*", native, linux_6_1 | linux_6_12);
RUNS_IN("Sight.WhatIpvlan*", linux_6_12, linux_6_1);

TEST_F(Sight, PacketsSentPastTheHook)
{
    constexpr const char* why = "sees nothing here: va sends, but nothing by Headwind";
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    change(a(), "add --name inward --dev va --loss 100% --direction in");
    change(a(), "add --name other --dev lo --loss 100% --proto udp");
    send_past_hooks(99);
    EXPECT_EQ(state_of(a(), "lossy"), "live") << "few packets prove nothing";
    send_past_hooks(1);
    expect_not_effective("lossy", why);
    EXPECT_EQ(state_of(a(), "inward"), "live");
    EXPECT_EQ(state_of(a(), "other"), "live");
    EXPECT_EQ(headwind(a(), "doctor").status, 5);

    RunningAgent agent(home());
    agent.heard("not-effective", "lossy");
    EXPECT_THAT(agent.all("not-effective")[0]["why"], HasSubstr(why));
    EXPECT_EQ(arrive({.count = 1}), 0U);
    EXPECT_EQ(state_of(a(), "lossy"), "live") << "it has seen one";
    ip(a(), "link set va alias changed");  // the agent looks now, not within 10 s
    agent.heard("healed", "lossy");
    EXPECT_THAT(agent.all("foreign-change"), testing::IsEmpty());
    EXPECT_THAT(agent.all("trouble"), testing::IsEmpty());
}

TEST_F(Sight, WhatPassesTheHookLaterIsFoundToo)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    EXPECT_EQ(arrive({.count = 1}), 0U);
    send_past_hooks(200);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    watch_anew();
    send_past_hooks(99);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    send_past_hooks(1);
    EXPECT_EQ(state_of(a(), "lossy"), "not effective");
    watch_anew();
    EXPECT_EQ(state_of(a(), "lossy"), "not effective") << "those that see nothing stay watched";
    EXPECT_EQ(arrive({.count = 1}), 0U);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    watch_anew();
    EXPECT_EQ(state_of(a(), "lossy"), "live") << "nothing is sent";
}

// What the kernel and NICs themselves send and count, packet by packet, is nothing that a rule could be for.
TEST_F(Sight, FewPacketsAMinuteAreForgotten)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    for (std::uint64_t minute = 1; minute < 5; ++minute) {
        send_past_hooks(99);
        pass_minutes(minute, minute + 1);
    }
    EXPECT_EQ(state_of(a(), "lossy"), "live");
}

// A hook that has seen a packet is watched anew from a minute later on: the device may count packets late that it met.
TEST_F(Sight, CountersThatLagBehind)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    EXPECT_EQ(arrive({.count = 1}), 0U);
    pass_minutes(59, 60);
    send_past_hooks(200);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    pass_minutes(60, 61);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    send_past_hooks(200);
    EXPECT_EQ(state_of(a(), "lossy"), "not effective");
}

TEST_F(Sight, AProgramPutBackBeginsToSeeThen)
{
    change(a(), "add --name lossy --dev va --loss 100% --proto udp");
    take_programs_off(a(), "va");
    EXPECT_EQ(arrive({.count = 200}), 200U);
    EXPECT_THAT(rule_of(a(), "lossy")["trouble"], HasSubstr("took Headwind's program off va"));
    change(a(), "change lossy --loss 99.9999999%");
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// One odd device of several does not make a rule one without effect, but is told.
TEST_F(Sight, ByOneDeviceOfSeveralOnly)
{
    ip(a(), "link add vx type veth peer name vy\nlink set vy netns " + b().name());
    change(a(), "add --name lossy --dev va,vx --loss 100% --proto udp");
    change(a(), "add --name anywhere --loss 100% --proto udp --remote-port 5001");
    send_past_hooks(200);
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_THAT(rule_of(a(), "lossy")["trouble"], HasSubstr("sees nothing here: va sends"));
    EXPECT_EQ(state_of(a(), "anywhere"), "not effective") << "vx is down, which leaves va, and lo, which may be idle";
    EXPECT_EQ(arrive({.count = 1}), 0U);
    EXPECT_EQ(rule_of(a(), "lossy").value("trouble", ""), "");
    ip(a(), "link del vx");
}

TEST_F(Sight, PacketsThatXdpTakes)
{
    change(b(), "add --name lossy --dev vb --direction in --loss 50% --proto udp");
    {
        const ForeignXdp takes(b(), Pair::device_b, XDP_DROP);
        EXPECT_EQ(arrive({.count = 200}), 0U);
        const auto rule = rule_of(b(), "lossy");
        EXPECT_EQ(rule["state"], "not effective");
        EXPECT_THAT(rule["trouble"], HasSubstr("sees nothing here: vb receives, but nothing comes to Headwind"));
    }
    EXPECT_GT(arrive({.count = 100}), 10U);
    EXPECT_EQ(state_of(b(), "lossy"), "live");
    change(b(), "clear");
}

// It comes to the namespace of the ipvlan device behind all hooks of that device.
TEST_F(Sight, WhatIpvlanReceivesInL3sMode)
{
    const Namespace inner("inner");
    if (run(&b(), words("ip link add iv link vb type ipvlan mode l3s")).status != 0)
        GTEST_SKIP() << "this kernel has no ipvlan";
    ip(b(), "link set iv netns " + inner.name());
    ip(inner, "address add 10.77.0.3/24 dev iv\nlink set lo up\nlink set iv up");
    ip(a(), "neighbour replace 10.77.0.3 lladdr 02:00:00:00:00:02 nud permanent dev va");
    change(inner, "add --name inward --dev iv --direction in --loss 100% --proto udp");
    EXPECT_EQ(deliver(a(), inner, {"10.77.0.3", 5000}, {.count = 200}), 200U);
    const auto rule = rule_of(inner, "inward");
    EXPECT_EQ(rule["state"], "not effective");
    EXPECT_THAT(rule["trouble"], HasSubstr("ipvlan"));
    change(inner, "clear");
}

// Where our own XDP program decides.
TEST_F(Sight, WhatXdpOfOursDropsIsSeen)
{
    change(b(), "add --name cut --dev vb --direction in --partition --xdp generic");
    EXPECT_EQ(arrive({.count = 200}), 0U);
    EXPECT_EQ(state_of(b(), "cut"), "live");
    change(b(), "clear");
}

// On lo all is decided at egress.
TEST_F(Sight, TrafficOnLoopback)
{
    change(a(), "add --name both --dev lo --direction both --loss 50% --proto udp");
    UdpSink sink(a(), {"127.0.0.1", 5000});
    EXPECT_EQ(send_udp(a(), {"127.0.0.1", 5000}, {.count = 200}).failed, 0U);
    EXPECT_EQ(state_of(a(), "both"), "live");
    take_programs_off(a(), "lo");
    EXPECT_EQ(state_of(a(), "both"), "not effective");
    change(a(), "change both --direction in");
    EXPECT_EQ(state_of(a(), "both"), "live");
    take_programs_off(a(), "lo");
    EXPECT_EQ(state_of(a(), "both"), "not effective");
}

TEST_F(Sight, CgroupsThatAreGoneOrOthers)
{
    std::optional<TestCgroup> first(std::in_place, "first");
    const auto path = first->path();
    change(a(), "add --for ever --name group --dev va --cgroup " + path + " --loss 100%");
    EXPECT_EQ(state_of(a(), "group"), "live");
    first.reset();
    expect_not_effective("group", "is gone");
    std::optional<TestCgroup> second(std::in_place, "first");
    expect_not_effective("group", "was made anew");
    change(a(), "change group --loss 99%");
    EXPECT_EQ(state_of(a(), "group"), "live");

    RunningAgent agent(home());
    second.reset();
    agent.heard("not-effective", "group");
    EXPECT_THAT(agent.all("foreign-change")[0]["why"], HasSubstr("is gone"));
    const TestCgroup third("first");
    agent.heard("healed", "group");
    EXPECT_EQ(agent.all("moved", "group").size(), 1U) << "healed before it was";
    EXPECT_EQ(state_of(a(), "group"), "live");
}

// It is without a device then, not effective again.
TEST_F(Sight, WhatLosesItsDeviceIsNotHealed)
{
    change(a(), "add --name lossy --dev va --loss 50% --proto udp");
    send_past_hooks(100);
    RunningAgent agent(home());
    agent.heard("not-effective", "lossy");
    ip(a(), "link set va down\nlink set va name other");
    agent.heard("device-gone", "lossy");
    ip(a(), "link set other name va\nlink set va up");
    agent.heard("device-back", "lossy");
    EXPECT_EQ(state_of(a(), "lossy"), "live");
    EXPECT_EQ(agent.all("healed").size(), 0U);
}

}  // namespace
}  // namespace headwind::test::sight_test
