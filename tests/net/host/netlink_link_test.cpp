// SPDX-License-Identifier: MIT
// Tests how the kernel's list of links is read.
#include "netlink_test.h"

namespace headwind::netlink::test::netlink_link_test {
namespace {

TEST_F(NetlinkTest, ListsLoOfAFreshNamespace)
{
    const Link lo = link_named("lo");
    EXPECT_EQ(lo.index, 1);
    EXPECT_EQ(lo.type, ARPHRD_LOOPBACK);
    EXPECT_EQ(lo.flags & (IFF_UP | IFF_LOOPBACK), static_cast<unsigned>(IFF_LOOPBACK));
    EXPECT_EQ(lo.mtu, 65536U);
    EXPECT_EQ(lo.kind, "");
    EXPECT_EQ(lo.parent, 0);
    EXPECT_EQ(lo.master, 0);
    EXPECT_FALSE(lo.parent_elsewhere);
}

TEST_F(NetlinkTest, ListsKindAliasMtuAndFlags)
{
    make_pair("mtu 1400");
    ASSERT_TRUE(run("ip link set dev a alias 'of mine'"));
    const Link a = link_named("a");
    EXPECT_EQ(a.kind, "veth");
    EXPECT_EQ(a.alias, "of mine");
    EXPECT_EQ(a.mtu, 1400U);
    EXPECT_EQ(a.type, ARPHRD_ETHER);
    EXPECT_NE(a.flags & IFF_UP, 0U);
    EXPECT_EQ(a.parent, b_) << "the peer, while it is here";
    EXPECT_EQ(link_named("b").alias, "");
}

TEST_F(NetlinkTest, ListsParentsAndMasters)
{
    make_pair();
    if (!run("ip link add name br type bridge && ip link add link a name mv type macvlan")) {
        GTEST_SKIP() << "no bridge or macvlan in this kernel";
    }
    ASSERT_TRUE(run("ip link set dev b master br"));
    EXPECT_EQ(link_named("b").master, link_named("br").index);
    EXPECT_EQ(link_named("br").kind, "bridge");
    EXPECT_EQ(link_named("br").parent, 0);
    EXPECT_EQ(link_named("mv").kind, "macvlan");
    EXPECT_EQ(link_named("mv").parent, a_);
}

TEST_F(NetlinkTest, AParentInAnotherNamespaceIsNoneHere)
{
    make_pair();
    if (!run("ip link add link a name mv type macvlan")) GTEST_SKIP() << "no macvlan in this kernel";
    const Fd before(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    const Fd after(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(setns(before.get(), CLONE_NEWNET), 0);
    const std::string path = fmt::format("/proc/{}/fd/{}", getpid(), after.get());
    ASSERT_TRUE(run("ip link set dev mv netns " + path + " && ip link set dev b netns " + path));
    EXPECT_TRUE(link_named("a").parent_elsewhere);
    EXPECT_EQ(link_named("a").parent, 0);

    ASSERT_EQ(setns(after.get(), CLONE_NEWNET), 0);
    EXPECT_TRUE(link_named("mv").parent_elsewhere);
    EXPECT_EQ(link_named("mv").parent, 0);
    EXPECT_EQ(link_named("b").parent, 0);
}

TEST_F(NetlinkTest, KnowsMetadataTunnels)
{
    if (!run("ip link add name plain type vxlan id 7 dstport 4789")) GTEST_SKIP() << "no vxlan in this kernel";
    ASSERT_TRUE(run("ip link add name meta type vxlan external dstport 4790"));
    EXPECT_FALSE(link_named("plain").metadata_tunnel);
    EXPECT_TRUE(link_named("meta").metadata_tunnel);
    for (const std::string kind : {"geneve", "gretap", "ip6gretap"}) {
        const bool made = run("ip link add name " + kind + "1 type " + kind + " external");
        EXPECT_TRUE(!made || link_named(kind + "1").metadata_tunnel) << kind;
    }
}

TEST_F(NetlinkTest, ListsMoreThanOneBufferFull)
{
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(create_veth({fmt::format("x{}", i), fmt::format("y{}", i), std::string(200, 'z')}));
    }
    const auto links = all_links();
    EXPECT_EQ(std::count_if(links.begin(), links.end(), [](const Link& link) { return link.kind == "veth"; }), 120);
    EXPECT_EQ(link_named("y59").alias, std::string(200, 'z'));
}

}  // namespace
}  // namespace headwind::netlink::test::netlink_link_test
