// SPDX-License-Identifier: MIT
// Tests that Headwind works in the BPF file system of process 1, whatever the mounts of the process that starts it.
//
// Its work is seen from everywhere, and outlives that process.
#include "net_test.h"

#include <filesystem>

namespace headwind::test::mounts_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Way {
    const char* name;
    Arguments wrapper;  // in front of the command, in a's network namespace
};

void PrintTo(const Way& way, std::ostream* out)
{
    *out << way.name;
}

const Way ways[] = {
    {"IpNetnsExec", {"ip", "netns", "exec", "a"}},
    {"UnshareMounts", {"unshare", "--mount"}},
    {"FreshSys", {"unshare", "--mount", "sh", "-c", "mount -t sysfs none /sys && exec \"$@\"", "sh"}},
    // The command's own BPF file system, whose pins would die with the command.
    {"OwnBpfFileSystem", {"unshare", "--mount", "sh", "-c", "mount -t bpf none /sys/fs/bpf && exec \"$@\"", "sh"}},
};

class Elsewhere : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        before_ = footprint(a());
    }
    void TearDown() override
    {
        if (!IsSkipped() && !HasFatalFailure()) {
            expect_footprint(a(), before_);
            EXPECT_FALSE(std::filesystem::exists(pins));
        }
        PairTest::TearDown();
    }

private:
    std::string before_;
};

class Mounts : public Elsewhere, public testing::WithParamInterface<Way> {
protected:
    Output inside(const std::string& arguments) const
    {
        auto command = GetParam().wrapper;
        command.push_back(headwind_binary());
        for (const auto& word : words(arguments)) command.push_back(word);
        return run(&a(), command);
    }
};

INSTANTIATE_TEST_SUITE_P(Ways, Mounts, testing::ValuesIn(ways), [](const auto& one) { return one.param.name; });

TEST_P(Mounts, WhatIsDoneInsideIsSeenOutside)
{
    expect_ok(inside("add --name cut --dev va --loss 100% --proto tcp"));
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(rule_of(a(), "cut")["state"], "live");
    EXPECT_THAT(inside("list").out, HasSubstr("cut"));
    EXPECT_THAT(headwind(a(), "list --all").out, HasSubstr("cut"));
    expect_ok(inside("change cut --proto udp"));
    EXPECT_EQ(arrive({.count = 20}), 0U) << "it outlives the command";
    EXPECT_EQ(counters_of(a(), "cut").loss, 20U);
    expect_ok(inside("clear"));
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

TEST_P(Mounts, WhatIsDoneOutsideIsSeenInside)
{
    change(a(), "add --name cut --dev va --partition --proto udp");
    EXPECT_THAT(inside("list").out, HasSubstr("cut"));
    expect_ok(inside("add --name other --dev lo --partition --proto tcp"));
    EXPECT_THAT(headwind(a(), "list").out, AllOf(HasSubstr("cut"), HasSubstr("other")));
    expect_ok(inside("del cut other"));
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

TEST_P(Mounts, ACommandIsImpairedInside)
{
    const auto ping = inside("run --partition --dev va -- ping -c 2 -i 0.1 -W 1 10.77.0.2");
    EXPECT_EQ(ping.status, 1) << ping.err;
    EXPECT_THAT(ping.out, HasSubstr("2 packets transmitted, 0 received"));
}

// The namespace has no name and belongs to the command alone.
TEST_F(Elsewhere, ANamespaceThatOnlyTheCommandHasIsSweptLater)
{
    const auto output = run(
        &a(),
        {"unshare", "--mount", "--net", "sh", "-c",
         "mount -t sysfs none /sys && ip link set lo up && \"$0\" add --name cut --dev lo --partition --proto udp && \"$0\" list",
         headwind_binary()});
    expect_ok(output);
    EXPECT_THAT(output.out, HasSubstr("cut"));
    change(a(), "add --name other --dev va --partition --proto tcp");
    change(a(), "clear");
}

// The container's process 1 is not the host's: nobody outside would know of its rules, or could undo them.
TEST_F(Elsewhere, AContainerThatSharesOnlyTheHostsNetworkIsRefused)
{
    for (const std::string command :
         {"list", "add --name x --dev lo --partition --proto udp", "clear --all", "panic"}) {
        auto arguments = words("nsenter --net=/proc/1/ns/net " + headwind_binary() + " " + command);
        const auto output = run(nullptr, arguments);
        EXPECT_EQ(output.status, 5) << command << output.out;
        EXPECT_THAT(output.err, AllOf(HasSubstr("shares the host's network"), HasSubstr("--pid host"))) << command;
    }
}

// A container with mounts and processes of its own, in a network namespace that it shares with others, keeps its pins
// to itself. Users outside are told that there is something, and can take it off.
TEST_F(Elsewhere, WhatAContainerDoesCanBeEndedFromOutside)
{
    Process container(
        &a(),
        {"unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
         "mount -t sysfs none /sys && \"$0\" add --name cut --dev va --partition --proto udp && \"$0\" list && echo ready && sleep 1000",
         headwind_binary()});
    ASSERT_TRUE(eventually([&] { return container.out().find("ready") != std::string::npos; })) << container.err();
    EXPECT_THAT(container.out(), HasSubstr("live"));
    EXPECT_EQ(arrive({.count = 20}), 0U);
    for (const std::string command : {"list", "add --name x --dev va --partition", "clear"}) {
        const auto output = headwind(a(), command);
        EXPECT_EQ(output.status, 1) << command << output.out;
        EXPECT_THAT(output.err, AllOf(HasSubstr("programs without rules"), HasSubstr("va (egress, ingress)")))
            << command;
    }
    EXPECT_THAT(headwind(a(), "list --everywhere").err, HasSubstr("programs without rules"));
    expect_ok(headwind(a(), "clear --all"));
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

// These tests need a process 1 that is in the host's network namespace.
RUNS_IN("*/Mounts.*:Elsewhere.*", native, linux_6_12 | linux_6_1);
RUNS_IN("Elsewhere.AContainerThatSharesOnlyTheHostsNetworkIsRefused", linux_6_12, linux_6_1);

}  // namespace
}  // namespace headwind::test::mounts_test
