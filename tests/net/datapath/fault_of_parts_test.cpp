// SPDX-License-Identifier: MIT
// Tests damage to the line that random faults found (random_fault_test.cpp): it is told, and mended.
#include "datapath/instance.h"
#include "fault_test.h"

namespace headwind::test::fault_test {
namespace {

class FaultOfLinesParts : public Fault {};

RUNS_IN("FaultOfLinesParts.*", native, linux_6_1 | linux_6_12);

// What is cut goes home by headwind0's ingress: nothing is sent there if only that program is gone.
TEST_F(FaultOfLinesParts, OneOfTheLinesProgramsTakenOff)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (const char* hook : {"ingress", "egress"}) {
        SCOPED_TRACE(hook);
        EXPECT_EQ(arrive(supers), 40U);
        take_program_off_line(hook);
        EXPECT_EQ(arrive(supers), 20U);
        expect_not_effective("twice", "took Headwind's program off headwind0");
        change(a(), "change twice --loss 0%");
    }
}

// Another's program that is left there does not take its place.
TEST_F(FaultOfLinesParts, AnothersProgramIsNotTakenForOurs)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (const auto hook : {Hook::ingress, Hook::egress}) {
        const std::string name = hook == Hook::ingress ? "ingress" : "egress";
        SCOPED_TRACE(name);
        change(a(), "change twice --loss 0%");
        const auto others = ForeignProgram::counter(a(), "headwind0", hook, 0, 0);
        EXPECT_EQ(arrive(supers), 40U);
        take_program_off_line(name);
        EXPECT_EQ(arrive(supers), 20U);
        expect_not_effective("twice", "took Headwind's program off headwind0");
    }
}

RUNS_IN("FaultOfLinesParts.AnothersProgramDoesNot*", linux_6_12, linux_6_1);
TEST_F(FaultOfLinesParts, AnothersProgramDoesNotSendOnWhatIsHeld)
{
    change(a(), "add --name late --dev va --delay 1ms --proto udp");
    const auto others = ForeignProgram::counter(a(), "headwind0", Hook::ingress, 0, 0);
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(passed_without_line("late"), 0U);
    take_program_off_line("ingress");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(passed_without_line("late"), 20U);
}

TEST_F(FaultOfLinesParts, TheLinesBridgesOptions)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    unsigned done = 0;
    for (const std::string command :
         {"bridge link set dev headwind0 state 0", "bridge link set dev headwind0 flood off",
          "bridge link set dev headwind0 mcast_flood off", "ip link set headwind2 type bridge stp_state 1",
          "ip link set headwind2 type bridge vlan_filtering 1"}) {
        SCOPED_TRACE(command);
        if (run(&a(), words(command)).status != 0) continue;  // this kernel lacks the option
        ++done;
        expect_not_effective("twice", "the bridge headwind2 has other options");
        change(a(), "change twice --loss 0%");
        EXPECT_EQ(state_of(a(), "twice"), "live");
        EXPECT_EQ(arrive(supers), 40U);
    }
    EXPECT_GE(done, 4U);
}

// With them nobody cuts super-packets, nor computes the checksum that tells what was corrupted.
TEST_F(FaultOfLinesParts, TheLinesOffloads)
{
    change(a(), "add --name flipped --dev va --corrupt 100% --proto udp");
    expect_ok(run(&a(), words("ethtool -K headwind2 tx on")));
    expect_not_effective("flipped", "headwind2 has offloads");
    change(a(), "change flipped --loss 0%");
    EXPECT_EQ(state_of(a(), "flipped"), "live");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 0U);
}

// Somebody's device has the name of one that must be made anew: until it is gone there is no line, and that is told.
TEST_F(FaultOfLinesParts, TheLinesNameTaken)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    ip(a(), "link del headwind2\nlink add headwind2 type bridge\nlink set headwind2 up");
    for (int i = 0; i < 2; ++i) {
        EXPECT_THAT(headwind(a(), "change twice --loss 0%").err, HasSubstr("a device called headwind2 exists"));
        expect_not_effective("twice", "is gone");
        EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 20U);
    }
    ip(a(), "link del headwind2");
    change(a(), "change twice --loss 0%");
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 40U);
}

// The bridge's port refuses its options until the kernel has noted, asynchronously, that headwind0 is up again.
TEST_F(FaultOfLinesParts, TheLinesDevicesSetDownTimeAfterTime)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    for (int i = 0; i < 20; ++i) {
        ip(a(), std::string("link set ") + (i % 2 == 0 ? "headwind0" : "headwind1") + " down");
        change(a(), "change twice --loss 0%");
        ASSERT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 40U);
    }
}

// It sends nothing to what it finds out of order, whatever the loader thinks of it. Here it is told wrong places.
TEST_F(FaultOfLinesParts, WhatTheDatapathItselfFindsIsTold)
{
    const Flow supers{.count = 20, .size = 1000, .segments = 2};
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    EXPECT_EQ(arrive(supers), 40U);
    {
        const Inside inside(a());
        const auto instance = open_instance();
        ASSERT_TRUE(instance && *instance);
        auto& held = const_cast<hw_held&>(*(*instance)->held);  // what no command does
        held.segmenter = held.returns;
        held.segmenter_at = 0;
    }
    EXPECT_EQ(arrive(supers), 20U);
    expect_not_effective("twice", "the datapath finds headwind2 out of order");
    change(a(), "change twice --loss 0%");
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(arrive(supers), 40U);
}

// Its other end is gone, and nothing tells that it is the line's but its alias.
TEST_F(FaultOfLinesParts, ALinesDeviceRenamedThatIsAlone)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    const Namespace other("moved");
    ip(a(), "link set headwind1 down\nlink set headwind1 name mine\nlink set headwind0 netns " + other.name());
    change(a(), "change twice --loss 0%");
    EXPECT_EQ(state_of(a(), "twice"), "live");
    EXPECT_EQ(device_index(a(), "mine"), 0);
    EXPECT_EQ(device_index(other, "headwind0"), 0);
}

}  // namespace
}  // namespace headwind::test::fault_test
