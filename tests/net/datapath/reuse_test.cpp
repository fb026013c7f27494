// SPDX-License-Identifier: MIT
// Tests that a device, or a network namespace, that has the number of one that is gone is not taken for it.
#include "agent_test.h"

namespace headwind::test::reuse_test {
namespace {

using testing::IsEmpty;

class Reuse : public Agent {
protected:
    // In the place of va: the same index, and the other end in b as vb was.
    void make(const std::string& name, int index) const
    {
        ip(a(), fmt::format("link add {} index {} address 02:00:00:00:00:01 type veth peer name vb address "
                            "02:00:00:00:00:02 netns {}\n"
                            "link set {} up",
                            name, index, b().name(), name));
        ip(b(), fmt::format("link set vb up\naddress add {}/24 dev vb\n"
                            "neighbour replace {} lladdr 02:00:00:00:00:01 nud permanent dev vb",
                            Pair::b4, Pair::a4));
        ip(a(), fmt::format("address add {}/24 dev {}\n"
                            "neighbour replace {} lladdr 02:00:00:00:00:02 nud permanent dev {}",
                            Pair::a4, name, Pair::b4, name));
        wait_until_operational(a(), name);
        wait_until_operational(b(), "vb");
    }
    std::vector<std::string> attached(const std::string& rule) const { return rule_of(a(), rule)["attached_to"]; }
};

RUNS_IN("Reuse.*", native, linux_6_1 | linux_6_12);

TEST_F(Reuse, AnotherDeviceWithTheSameIndex)
{
    change(a(), "add --name cut --dev va --partition --proto udp");
    const int index = device_index(a(), "va");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    ip(a(), "link del va");
    make("other", index);
    ASSERT_EQ(device_index(a(), "other"), index);
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_NE(state_of(a(), "cut"), "live");
    change(a(), "add --name else --dev lo --partition --proto tcp");  // it looks where the rules are to be
    EXPECT_EQ(arrive({.count = 20}), 20U) << "the rule is for va";
    EXPECT_THAT(attached("cut"), IsEmpty());
    EXPECT_NE(state_of(a(), "cut"), "live");
    ip(a(), "link del other");
    make("va", index);
    change(a(), "del else");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    change(a(), "clear");
    EXPECT_EQ(arrive({.count = 20}), 20U);
}

TEST_F(Reuse, TheDeviceMadeAnewWithTheSameIndex)
{
    change(a(), "add --name cut --dev va --partition --proto udp");
    const int index = device_index(a(), "va");
    ip(a(), "link del va");
    make("va", index);
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(state_of(a(), "cut"), "not effective");
    change(a(), "add --name else --dev lo --partition --proto tcp");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    change(a(), "clear");
}

// The kernel gives the lowest number that is free.
TEST_F(Reuse, AnotherNamespaceWithTheSameInode)
{
    std::optional<Namespace> first(std::in_place, "first");
    const auto inode = first->inode();
    change(*first, "add --name cut --dev lo --partition");
    first.reset();
    std::vector<std::unique_ptr<Namespace>> all;
    do all.push_back(std::make_unique<Namespace>(fmt::format("second{}", all.size())));
    while (all.back()->inode() != inode && all.size() < 50);
    if (all.back()->inode() != inode) GTEST_SKIP() << "others took the number of the namespace";
    const auto& second = *all.back();
    EXPECT_THAT(names_of(second), IsEmpty());
    EXPECT_EQ(deliver(second, second, {"127.0.0.1", 5000}, {.count = 20}), 20U);
    change(second, "add --name lossy --dev lo --loss 100%");
    EXPECT_EQ(names_of(second).size(), 1U);
    EXPECT_EQ(state_of(second, "lossy"), "live");
    EXPECT_EQ(deliver(second, second, {"127.0.0.1", 5000}, {.count = 20}), 0U);
    change(second, "clear");
}

}  // namespace
}  // namespace headwind::test::reuse_test
