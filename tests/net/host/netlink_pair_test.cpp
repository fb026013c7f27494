// SPDX-License-Identifier: MIT
// Tests how the line's veth pair is made.
#include "netlink_test.h"

#include <sys/mount.h>
#include <sys/wait.h>

namespace headwind::netlink::test::netlink_pair_test {
namespace {

TEST_F(NetlinkTest, CreatesTheVethPairOfTheLine)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind", 65535, 3});
    ASSERT_TRUE(veth) << veth.error().message;
    for (const char* name : {"headwind0", "headwind1"}) {
        const Link link = link_named(name);
        EXPECT_EQ(link.kind, "veth");
        EXPECT_EQ(link.alias, "headwind");
        EXPECT_EQ(link.mtu, 65535U);
        constexpr unsigned flags = IFF_UP | IFF_NOARP | IFF_RUNNING;
        EXPECT_EQ(link.flags & flags, flags);
        EXPECT_THAT(output_of(fmt::format("ip -d -o link show dev {}", name)),
                    AllOf(HasSubstr("addrgenmode none"), HasSubstr("numtxqueues 3")));
        EXPECT_EQ(content_of(fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", name)), "1\n");
    }
    EXPECT_EQ(link_named("headwind0").index, veth->index0);
    EXPECT_EQ(link_named("headwind1").index, veth->index1);
    EXPECT_THAT(content_of("/proc/net/if_inet6"), Not(HasSubstr("headwind")));

    // The pair has sent nothing of its own accord.
    const auto stats = link_stats(veth->index0);
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(stats->tx_packets + stats->rx_packets, 0U);
}

TEST_F(NetlinkTest, HasNoAddressEvenIfIpv6IsTurnedOnAgain)
{
    const std::string control = "/proc/sys/net/ipv6/conf/headwind0/disable_ipv6";
    ASSERT_TRUE(create_veth({"headwind0", "headwind1", "headwind"}));
    if (!std::filesystem::exists(control)) GTEST_SKIP() << "no IPv6 in this kernel";
    std::ofstream(control) << "0" << std::flush;
    ASSERT_EQ(content_of(control), "0\n");
    EXPECT_THAT(content_of("/proc/net/if_inet6"), Not(HasSubstr("headwind0")));
}

// IPv6 does not exist on a device whose MTU is below 1280, as on a host without it.
TEST_F(NetlinkTest, DoesWithoutIpv6)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind", 1200});
    ASSERT_TRUE(veth) << veth.error().message;
    EXPECT_FALSE(std::filesystem::exists("/proc/sys/net/ipv6/conf/headwind0"));
    EXPECT_EQ(link_named("headwind1").mtu, 1200U);
}

TEST_F(NetlinkTest, ATakenNameIsRefusedAndNothingIsLeft)
{
    make_pair();
    for (const auto& [name0, name1] : {std::pair{"a", "new"}, std::pair{"new", "a"}, std::pair{"new", "new"}}) {
        const auto veth = create_veth({name0, name1, "headwind"});
        ASSERT_FALSE(veth);
        EXPECT_EQ(veth.error().kind, ErrorKind::failed);
        EXPECT_THAT(veth.error().message,
                    AllOf(HasSubstr(fmt::format("veth pair {} and {}", name0, name1)), HasSubstr("File exists")));
        EXPECT_FALSE(find_link("new"));
    }
    EXPECT_EQ(link_named("a").alias, "") << "the one that was there is untouched";
}

TEST_F(NetlinkTest, NamesThatTheKernelWouldReplaceAreRefused)
{
    for (const char* name : {"", "hw%d", "a-name-of-16-byte"}) {
        const auto veth = create_veth({name, "other", "headwind"});
        ASSERT_FALSE(veth);
        EXPECT_EQ(veth.error().kind, ErrorKind::usage) << name;
    }
    EXPECT_FALSE(create_veth({"a", "b", std::string(256, 'x')}));
    EXPECT_FALSE(find_link("a"));
}

TEST_F(NetlinkTest, AnMtuBeyondTheDeviceIsRefused)
{
    const auto veth = create_veth({"a", "b", "headwind", 70000});
    ASSERT_FALSE(veth);
    EXPECT_THAT(veth.error().message, HasSubstr("a and b: Invalid argument"));
    EXPECT_FALSE(find_link("a"));
}

TEST_F(NetlinkTest, TheKernelsReasonIsPassedOn)
{
    make_pair();
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = a_;
    mnl_attr_put_u32(request.message(), IFLA_MTU, 70000);
    const auto answer = send(request);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().error, EINVAL);
    EXPECT_EQ(refused(answer.error(), "a: set MTU").value().message,
              "a: set MTU: Invalid argument (mtu greater than device maximum)");
}

// Makes a pair in a mount namespace where /proc/sys is read-only. Returns the number of the first thing that went
// wrong.
int create_veth_without_sysctl()
{
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
    if (mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) != 0) return 2;
    if (mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) return 3;
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    if (veth) return 4;
    if (veth.error().message.find("headwind0/disable_ipv6: Read-only") == std::string::npos) return 5;
    return find_link("headwind0") || find_link("headwind1") ? 6 : 0;
}

TEST_F(NetlinkTest, FailureAfterCreationLeavesNothing)
{
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(create_veth_without_sysctl());
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(NetlinkTest, DeletesBothEndsAndToleratesThatTheyAreGone)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    EXPECT_TRUE(delete_link(veth->index1));
    EXPECT_FALSE(find_link("headwind0"));
    EXPECT_FALSE(find_link("headwind1"));
    EXPECT_TRUE(delete_link(veth->index0));
    EXPECT_TRUE(delete_link(veth->index1));
}

TEST_F(NetlinkTest, WhatCannotBeDeletedIsNamed)
{
    const auto deleted = delete_link(1);
    ASSERT_FALSE(deleted);
    EXPECT_THAT(deleted.error().message, HasSubstr("lo: delete: "));
}

TEST_F(NetlinkTest, TheLineCarriesPacketsFromTheStart)
{
    for (int round = 0; round < 30; ++round) {
        const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
        ASSERT_TRUE(veth) << veth.error().message;
        const PacketSocket end0(veth->index0), end1(veth->index1);
        end0.send({{}, tcp_frame(1)});
        ASSERT_EQ(end1.receive(1).size(), 1U) << "0 to 1, round " << round;
        end1.send({{}, tcp_frame(2)});
        ASSERT_EQ(end0.receive(1).size(), 1U) << "1 to 0, round " << round;
        ASSERT_TRUE(delete_link(veth->index0));
    }
}

// Only a super-packet crosses a veth pair if it is larger than the MTU.
TEST_F(NetlinkTest, LargeFramesCrossTheLine)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    const PacketSocket sender(veth->index0), receiver(veth->index1);
    sender.send({{}, tcp_frame(60000)});
    const auto frames = receiver.receive(1, 2000);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].bytes.size(), payload_at + 60000);
}

TEST_F(NetlinkTest, CountsPackets)
{
    make_pair();
    const PacketSocket sender(a_), receiver(b_);
    const auto before = link_stats(b_);
    ASSERT_TRUE(before) << before.error().message;
    for (int i = 0; i < 5; ++i) sender.send({{}, tcp_frame(100)});
    ASSERT_EQ(receiver.receive(5, 2000).size(), 5U);
    const auto after = link_stats(b_);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_GE(after->rx_packets - before->rx_packets, 5U);
    EXPECT_GE(link_stats(a_)->tx_packets, 5U);
    ASSERT_TRUE(run("ip link set dev b down"));
    EXPECT_TRUE(link_stats(b_)) << "down is no error";
}

TEST_F(NetlinkTest, StatisticsOfADeviceThatIsGoneAreNotFound)
{
    const auto stats = link_stats(12345);
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error().kind, ErrorKind::not_found);
    EXPECT_THAT(stats.error().message, HasSubstr("device 12345: read statistics"));
}

TEST_F(NetlinkTest, NoFileIsLeftOpen)
{
    const auto before = open_files();
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth);
    ASSERT_FALSE(create_veth({"headwind0", "headwind1", "headwind"}));
    ASSERT_TRUE(disable_transmit_offloads("headwind0"));
    ASSERT_FALSE(disable_transmit_offloads("nosuch"));
    ASSERT_TRUE(create_clsact(veth->index0));
    ASSERT_TRUE(count_clsact_filters(veth->index0));
    ASSERT_TRUE(root_qdisc_stats(veth->index0));
    ASSERT_TRUE(delete_link(veth->index0));
    EXPECT_EQ(open_files(), before);
}

}  // namespace
}  // namespace headwind::netlink::test::netlink_pair_test
