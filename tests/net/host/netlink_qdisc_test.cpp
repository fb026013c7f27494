// SPDX-License-Identifier: MIT
// Tests root qdiscs, clsact with its filters, and fq.
#include "netlink_test.h"

#include <sys/wait.h>

namespace headwind::netlink::test::netlink_qdisc_test {
namespace {

std::vector<Qdisc> qdiscs_now()
{
    const auto found = list_qdiscs();
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(std::vector<Qdisc>());
}

// --- qdiscs ---

TEST_F(NetlinkTest, RootQdiscOfADeviceThatHasNone)
{
    make_pair();
    for (const int index : {1, a_}) {  // lo is down
        const auto stats = root_qdisc_stats(index);
        ASSERT_TRUE(stats) << stats.error().message;
        EXPECT_EQ(stats->value_or(QdiscStats{"noqueue"}).kind, "noqueue") << index;
    }
    const auto gone = root_qdisc_stats(12345);
    ASSERT_TRUE(gone) << gone.error().message;
    EXPECT_FALSE(*gone);
}

TEST_F(NetlinkTest, RootQdiscCountsWhatItSent)
{
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a root pfifo limit 100"));
    const auto before = root_qdisc_stats(a_);
    ASSERT_TRUE(before && *before);
    const PacketSocket sender(a_);
    for (int i = 0; i < 7; ++i) sender.send({{}, tcp_frame(946)});
    const auto after = root_qdisc_stats(a_);
    ASSERT_TRUE(after && *after);
    EXPECT_EQ((*after)->kind, "pfifo");
    EXPECT_GE((*after)->packets - (*before)->packets, 7U);
    EXPECT_GE((*after)->bytes - (*before)->bytes, 7000U);
    EXPECT_EQ((*after)->backlog_packets, 0U);
    EXPECT_EQ((*after)->drops, 0U);
}

TEST_F(NetlinkTest, RootQdiscShowsBacklogAndDrops)
{
    make_pair();
    ASSERT_TRUE(run("ip link set dev a down; echo 1 > /proc/sys/net/ipv6/conf/a/disable_ipv6; ip link set dev a up"));
    wait_until_operational(a_);
    if (!run("tc qdisc add dev a root tbf rate 8kbit burst 2100 limit 3000")) GTEST_SKIP() << "no tbf in this kernel";
    const Fd raw(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = a_;
    const Bytes frame = tcp_frame(946);  // 1000 bytes
    for (int i = 0; i < 10; ++i) {       // the last of them are refused with ENOBUFS
        sendto(raw.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
    const auto stats = root_qdisc_stats(a_);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "tbf");
    EXPECT_GT((*stats)->backlog_packets, 0U);
    EXPECT_EQ((*stats)->backlog_bytes, (*stats)->backlog_packets * 1000);
    EXPECT_GT((*stats)->drops, 0U);
    EXPECT_EQ((*stats)->packets + (*stats)->backlog_packets + (*stats)->drops, 10U);
}

TEST_F(NetlinkTest, CreatesAndRemovesClsact)
{
    make_pair();
    auto made = create_clsact(a_);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(*made);
    EXPECT_THAT(output_of("tc qdisc show dev a"), HasSubstr("clsact"));
    made = create_clsact(a_);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_FALSE(*made) << "it was there already";

    for (int i = 0; i < 2; ++i) {
        const auto gone = delete_clsact(a_);
        ASSERT_TRUE(gone) << gone.error().message;
        EXPECT_THAT(output_of("tc qdisc show dev a"), Not(HasSubstr("clsact")));
    }
    EXPECT_TRUE(delete_clsact(b_)) << "there never was one";
    EXPECT_TRUE(delete_clsact(12345)) << "nor such a device";
    const auto nowhere = create_clsact(12345);
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().kind, ErrorKind::not_found);
}

TEST_F(NetlinkTest, AnIngressQdiscIsNoClsactAndStays)
{
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a ingress"));
    const auto made = create_clsact(a_);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, AllOf(HasSubstr("a: create clsact"), HasSubstr("'ingress'")));
    EXPECT_TRUE(delete_clsact(a_));
    EXPECT_THAT(output_of("tc qdisc show dev a"), HasSubstr("ingress"));
}

unsigned filters(int index)
{
    const auto count = count_clsact_filters(index);
    EXPECT_TRUE(count) << count.error().message;
    return count ? *count : 999;
}

TEST_F(NetlinkTest, CountsFiltersOfBothDirections)
{
    make_pair();
    EXPECT_EQ(filters(a_), 0U) << "without clsact";
    ASSERT_TRUE(create_clsact(a_));
    EXPECT_EQ(filters(a_), 0U);
    const std::string bpf = " bpf da bytecode '1,6 0 0 4294967295,'";
    if (!run("tc filter add dev a egress pref 1 handle 1" + bpf)) GTEST_SKIP() << "no cls_bpf in this kernel";
    EXPECT_EQ(filters(a_), 1U);
    ASSERT_TRUE(run("tc filter add dev a egress pref 1 handle 2" + bpf));
    EXPECT_EQ(filters(a_), 2U);
    ASSERT_TRUE(run("tc filter add dev a egress pref 2" + bpf));
    ASSERT_TRUE(run("tc filter add dev a ingress pref 7" + bpf));
    EXPECT_EQ(filters(a_), 4U);
    EXPECT_EQ(filters(b_), 0U);
    ASSERT_TRUE(run("tc filter del dev a egress"));
    EXPECT_EQ(filters(a_), 1U);
}

TEST_F(NetlinkTest, CountsFiltersOfOtherKinds)
{
    make_pair();
    ASSERT_TRUE(create_clsact(a_));
    if (!run("tc filter add dev a ingress u32 match u32 0 0")) GTEST_SKIP() << "no cls_u32 in this kernel";
    EXPECT_GE(filters(a_), 1U);
}

// --- fq ---

using headwind::test::linux_6_1, headwind::test::linux_6_12, headwind::test::native;
RUNS_IN("NetlinkTest.*Fq*", native | linux_6_12 | linux_6_1);

TEST_F(NetlinkTest, AskingForFqTouchesNothing)
{
    const auto files = open_files();
    const auto links = all_links().size();
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    EXPECT_EQ(kernel_has_fq().value_or(!*fq), *fq);
    EXPECT_EQ(all_links().size(), links);
    EXPECT_THAT(output_of("tc qdisc show"), Not(HasSubstr("fq")));
    EXPECT_EQ(open_files(), files);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

TEST_F(NetlinkTest, WithoutFqItIsRefusedClearly)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (*fq) GTEST_SKIP() << "this kernel has fq";
    make_pair();
    const auto set = set_fq(a_, 1, {});
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(set.error().message, "a: set qdisc fq: this kernel has no fq (module sch_fq, CONFIG_NET_SCH_FQ)");
}

TEST_F(NetlinkTest, SetsFqAtTheRoot)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (!*fq) GTEST_SKIP() << "this kernel has no sch_fq; runs in the guests";
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    const auto set = set_fq(veth->index1, 1, {});
    ASSERT_TRUE(set) << set.error().message;
    const auto stats = root_qdisc_stats(veth->index1);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "fq");
    // iproute2 prints a horizon of 4294967295 µs as 4294.97s or 4.29e+03s, depending on its version.
    EXPECT_THAT(
        output_of("tc -d qdisc show dev headwind1"),
        AllOf(HasSubstr("limit 10000000p flow_limit 10000000p buckets 16384 orphan_mask 4294967295"),
              HasSubstr("nopacing"), HasSubstr("timer_slack 1ns"), HasSubstr("horizon 4"), HasSubstr("horizon_drop")));
    EXPECT_THAT(output_of("tc qdisc show dev headwind0"), Not(HasSubstr("fq")));

    FqOptions options;  // a second time changes the one that is there
    options.horizon_us = 7'000'000;
    options.limit_packets = 1234;
    ASSERT_TRUE(set_fq(veth->index1, 1, options));
    EXPECT_THAT(output_of("tc -d qdisc show dev headwind1"), AllOf(HasSubstr("limit 1234p"), HasSubstr("horizon 7s")));
}

TEST_F(NetlinkTest, SetsFqAtEachQueue)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (!*fq) GTEST_SKIP() << "this kernel has no sch_fq; runs in the guests";
    const auto veth = create_veth({.name0 = "headwind0", .name1 = "headwind1", .alias = "headwind", .queues = 4});
    ASSERT_TRUE(veth) << veth.error().message;
    EXPECT_EQ(has_fq(qdiscs_now(), veth->index1, 4, {}), false);
    for (int i = 0; i < 2; ++i) {  // a second time changes the ones that are there
        const auto set = set_fq(veth->index1, 4, {});
        ASSERT_TRUE(set) << set.error().message;
        EXPECT_EQ(has_fq(qdiscs_now(), veth->index1, 4, {}), true);
    }
    const auto shown = output_of("tc qdisc show dev headwind1");
    EXPECT_THAT(shown, HasSubstr("qdisc mq 1: root"));
    for (const char* queue : {"1:1", "1:2", "1:3", "1:4"})
        EXPECT_THAT(shown,
                    HasSubstr(fmt::format("parent {} limit 10000000p flow_limit 10000000p buckets 4096", queue)));
    ASSERT_TRUE(run("tc qdisc replace dev headwind1 parent 1:3 pfifo"));
    EXPECT_EQ(has_fq(qdiscs_now(), veth->index1, 4, {}), false);
    ASSERT_TRUE(set_fq(veth->index1, 4, {}));
    EXPECT_EQ(has_fq(qdiscs_now(), veth->index1, 4, {}), true);
    EXPECT_EQ(has_fq(qdiscs_now(), veth->index1, 1, {}), false);
}

TEST_F(NetlinkTest, FqReplacesAnotherRootAndSends)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (!*fq) GTEST_SKIP() << "this kernel has no sch_fq; runs in the guests";
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a root pfifo limit 100"));
    const auto set = set_fq(a_, 1, {});
    ASSERT_TRUE(set) << set.error().message;
    const PacketSocket sender(a_), receiver(b_);
    for (int i = 0; i < 200; ++i) sender.send({{}, tcp_frame(100)});  // the default flow_limit is 100
    EXPECT_EQ(receiver.receive(200, 2000).size(), 200U);
    const auto stats = root_qdisc_stats(a_);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "fq");
    EXPECT_GE((*stats)->packets, 200U);
    EXPECT_EQ((*stats)->drops, 0U);
}

TEST_F(NetlinkTest, SettingFqOnAMissingDevice)
{
    const auto set = set_fq(12345, 1, {});
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::not_found);
    EXPECT_THAT(set.error().message, HasSubstr("device 12345: set qdisc fq"));
}

}  // namespace
}  // namespace headwind::netlink::test::netlink_qdisc_test
