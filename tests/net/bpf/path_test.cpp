// SPDX-License-Identifier: MIT
// What the detour through the line must not cost a packet: its priority, and what IPsec has noted on it.
#include "net_test.h"

#include <regex>
#include <set>

#include <headwind/testing.h>

#include "foreign_program.h"
#include "verify/statistics.h"

namespace headwind::test::path_test {
namespace {

constexpr std::int64_t ms = 1'000'000;

class Path : public PairTest {
protected:
    // Sends 50 datagrams of this priority, and returns those that arrive.
    std::vector<Arrival> send_with(int priority, const Endpoint& to = {Pair::b4, 5000}) const
    {
        UdpSink sink(b(), to);
        const auto socket = connected_udp(a(), to);
        EXPECT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)), 0);
        EXPECT_EQ(send_udp(socket.get(), {.count = 50, .per_second = 1000}).failed, 0U);
        return sink.finish(std::chrono::milliseconds(600), 50);
    }
};

RUNS_IN("Path.*", linux_6_12, linux_6_1);
RUNS_IN("Path.WhatCameThroughIpsecStaysOnItsWay", nowhere, linux_6_12 | linux_6_1);

std::size_t early(const std::vector<Arrival>& arrivals, std::int64_t delay)
{
    return static_cast<std::size_t>(std::count_if(arrivals.begin(), arrivals.end(), [delay](const Arrival& one) {
        return one.arrived_ns - one.stamp.sent_ns < delay;
    }));
}

// TC_PRIO_CONTROL is 7: before Linux 6.7 fq lets such packets pass at once.
TEST_F(Path, NoPriorityEscapesADelay)
{
    change(a(), "add --name slow --proto udp --delay 20ms");
    for (const int priority : {0, 6, 7, 0x10007}) {
        const auto arrivals = send_with(priority);
        EXPECT_EQ(arrivals.size(), 50U) << priority;
        EXPECT_EQ(early(arrivals, 20 * ms), 0U) << priority;
    }
    change(a(), "clear");
    change_without(HW_WORKAROUND_PRIORITY, a(), "add --name slow --proto udp --delay 20ms");
    const bool escapes = !kernel_has_tcx();  // since 6.6
    EXPECT_EQ(early(send_with(7), 20 * ms), escapes ? 50U : 0U);
}

TEST_F(Path, TheVlansPriorityIsThatOfTheSocket)
{
    const Endpoint to{"10.83.0.2", 5000};
    ip(a(),
       "link add link va name va.5 type vlan id 5 egress-qos-map 0:1 5:6\n"
       "link set va.5 up\naddress add 10.83.0.1/24 dev va.5\n"
       "neighbour replace 10.83.0.2 lladdr 02:00:00:00:00:02 nud permanent dev va.5");
    ip(b(), "link add link vb name vb.5 type vlan id 5\nlink set vb.5 up\naddress add 10.83.0.2/24 dev vb.5");
    constexpr std::uint32_t length = 14 + 20 + 8 + 100;  // Ethernet, IPv4, UDP, payload
    const auto tags = [&] {
        const auto recorder = ForeignProgram::recorder(b(), Pair::device_b, Hook::ingress);
        EXPECT_GE(send_with(5, to).size(), 50U);
        std::set<std::uint32_t> out;
        for (const auto& sight : recorder.sights())
            if (sight.tagged != 0 && sight.length == length) out.insert(sight.tag);  // not the kernel's own packets
        return out;
    };
    const std::set<std::uint32_t> as_asked{6U << 13 | 5};
    EXPECT_EQ(tags(), as_asked);
    change(a(), "add --name slow --dev va.5 --proto udp --delay 5ms");
    EXPECT_EQ(tags(), as_asked);
    change(a(), "clear");
    change(a(), "add --name slow --dev va.5 --proto udp --delay 5ms --duplicate 100%");
    EXPECT_EQ(tags(), as_asked);
    change(a(), "clear");
    change_without(HW_WORKAROUND_PRIORITY, a(), "add --name slow --dev va.5 --proto udp --delay 5ms");
    EXPECT_EQ(tags(), std::set<std::uint32_t>{1U << 13 | 5});
}

class PathQdisc : public Path, public testing::WithParamInterface<std::string> {
protected:
    // The numbers of packets that went through the classes of the qdisc.
    std::vector<unsigned> sent_by_class() const
    {
        std::vector<unsigned> out;
        const auto text = tc(a(), "-s class show dev m0");
        const std::regex sent("Sent [0-9]+ bytes ([0-9]+) pkt");
        for (std::sregex_iterator one(text.begin(), text.end(), sent), end; one != end; ++one)
            out.push_back(static_cast<unsigned>(std::stoul((*one)[1])));
        return out;
    }
    // The classes that packets of a socket of this priority go through.
    std::vector<std::size_t> classes_of(int priority) const
    {
        const auto before = sent_by_class();
        EXPECT_EQ(send_with(priority, {"10.85.0.2", 5000}).size(), 50U);
        const auto after = sent_by_class();
        EXPECT_EQ(before.size(), after.size());
        std::vector<std::size_t> found;
        for (std::size_t i = 0; i < after.size(); ++i)
            if (after[i] - before[i] >= 50) found.push_back(i);
        EXPECT_FALSE(found.empty());
        return found;
    }
};

RUNS_IN("*PathQdisc.*/prio", linux_6_12, linux_6_1);
RUNS_IN("*PathQdisc.*/mqprio", nowhere, linux_6_12 | linux_6_1);

TEST_P(PathQdisc, TheClassIsThatOfThePriority)
{
    ip(a(),
       "link add m0 numtxqueues 2 type veth peer name m1 netns b\naddress add 10.85.0.1/24 dev m0\nlink set m0 up");
    ip(b(), "address add 10.85.0.2/24 dev m1\nlink set m1 up");
    wait_until_operational(a(), "m0");
    tc(a(), "qdisc add dev m0 root " + GetParam());
    const auto bare = std::pair(classes_of(6), classes_of(2));
    EXPECT_NE(bare.first, bare.second);
    change(a(), "add --name slow --dev m0 --proto udp --delay 5ms");
    EXPECT_EQ(std::pair(classes_of(6), classes_of(2)), bare);
    change(a(), "clear");
    change_without(HW_WORKAROUND_PRIORITY, a(), "add --name slow --dev m0 --proto udp --delay 5ms");
    EXPECT_EQ(classes_of(6), classes_of(2));
}

INSTANTIATE_TEST_SUITE_P(Kinds, PathQdisc,
                         testing::Values("prio",
                                         "mqprio num_tc 2 map 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 queues 1@0 1@1 hw 0"),
                         [](const auto& one) { return one.param.substr(0, one.param.find(' ')); });

// Tunnel mode without an interface: the policy for what comes in looks for IPsec's note on the packet, which the line
// would take away.
TEST_F(Path, WhatCameThroughIpsecStaysOnItsWay)
{
    const std::string state = fmt::format(
        "xfrm state add src {} dst {} proto esp spi 1 mode tunnel enc ecb(cipher_null) ''", Pair::a4, Pair::b4);
    const auto policy = [](const char* direction) {
        return fmt::format(
            "xfrm policy add src 10.84.0.1 dst 10.84.0.2 dir {} tmpl src {} dst {} proto esp mode tunnel", direction,
            Pair::a4, Pair::b4);
    };
    ip(a(), state + "\n" + policy("out") + "\naddress add 10.84.0.1/32 dev lo\nroute add 10.84.0.2 via " + Pair::b4 +
                " src 10.84.0.1");
    ip(b(), state + "\n" + policy("in") + "\naddress add 10.84.0.2/32 dev lo\nroute add 10.84.0.1 via " + Pair::a4);
    const auto arrive = [&] { return this->arrive({.count = 50}, {"10.84.0.2", 5000}); };
    ASSERT_EQ(arrive(), 50U);
    const std::string slow =
        "add --name slow --direction in --proto udp --local-port 5000 --delay 20ms --duplicate 50%";
    change(b(), slow);
    EXPECT_EQ(arrive(), 50U);
    EXPECT_EQ(rule_of(b(), "slow")["counters"]["in"]["passed_ipsec_packets"], 50);
    EXPECT_THAT(headwind(b(), "list").out,
                testing::HasSubstr("in: 50 packets were only subject to loss and partition"));
    change(b(), "clear");
    change(b(), "add --name split --direction in --proto udp --local-port 5000 --partition");
    EXPECT_EQ(arrive(), 0U);
    change(b(), "clear");
    change_without(HW_WORKAROUND_IPSEC, b(), slow);
    EXPECT_EQ(arrive(), 0U);
}

TEST_F(Path, WhatCameThroughIpsecIsImpairedOnceOnItsWay)
{
    constexpr std::size_t count = 400;
    const Far far(a(), b());
    const std::string state = fmt::format(
        "xfrm state add src {} dst {} proto esp spi 1 mode tunnel enc ecb(cipher_null) ''", Pair::a4, Pair::b4);
    const auto policy = [](const char* direction) {
        return fmt::format("\nxfrm policy add src 10.84.0.1 dst {} dir {} tmpl src {} dst {} proto esp mode tunnel",
                           Far::address4, direction, Pair::a4, Pair::b4);
    };
    ip(a(), state + policy("out") + "\naddress add 10.84.0.1/32 dev lo\nroute replace " + Far::address4 + " via " +
                Pair::b4 + " src 10.84.0.1");
    ip(b(), state + policy("in") + policy("fwd") + "\nroute add 10.84.0.1 via " + Pair::a4);
    const auto arrive = [&] { return deliver(a(), far.far, {Far::address4, 5000}, {.count = count}); };
    ASSERT_EQ(arrive(), count);
    change(b(), "add --name in --dev vb --direction in --proto udp --loss 50%");
    change(b(), "add --name out --dev vc --direction out --proto udp --loss 50%");
    EXPECT_GT(statistics::binomial_p_value(arrive(), count, 0.5), alpha);
    EXPECT_EQ(counters_of(b(), "in", "in").packets, count);
    EXPECT_EQ(counters_of(b(), "out").packets, 0U);
}

}  // namespace
}  // namespace headwind::test::path_test
