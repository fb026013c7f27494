// SPDX-License-Identifier: MIT
// What lo holds arrives as it would have without the rule, only later: with its route, its connection and its order.
#include "net_test.h"

#include <linux/net_tstamp.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>
#include <poll.h>

#include <headwind/testing.h>

#include "host/backlog.h"

namespace headwind::test::loopback_test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t ms = 1'000'000;
constexpr const char* slow = "add --name slow --dev lo --delay 5ms";

class Loopback : public PairTest {
protected:
    void SetUp() override
    {
        SKIP_WITHOUT_FQ();
        PairTest::SetUp();
    }

    // Sends 20 datagrams within the namespace a, from and to sockets bound to va if `bound`, and returns those that
    // arrive.
    std::vector<Arrival> send_bound(const std::string& address, bool bound) const
    {
        const Endpoint to{address, 5000};
        UdpSink sink(a(), to);
        const auto socket = connected_udp(a(), to);
        if (bound) {
            EXPECT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, "va", 3), 0);
            EXPECT_TRUE(sink.bind_to_device("va"));
        }
        EXPECT_EQ(send_udp(socket.get(), {.count = 20, .per_second = 500}).failed, 0U);
        return sink.finish(std::chrono::milliseconds(500), 20);
    }
    static void expect_later(const std::vector<Arrival>& arrivals, std::int64_t delay, const std::string& what)
    {
        EXPECT_EQ(arrivals.size(), 20U) << what;
        for (const auto& arrival : arrivals)
            if (arrival.arrived_ns - arrival.stamp.sent_ns < delay) {
                ADD_FAILURE() << what << ": early";
                return;
            }
    }
    bool chooses_cpus() const
    {
        const Inside inside(a());
        return *is_received_by_choice("lo", 1);
    }
};

RUNS_IN("Loopback.*", native | linux_6_12, linux_6_1);
RUNS_IN("Loopback.WhatIsHeldKeepsItsConnection", native | linux_6_12 | linux_6_1);

TEST_F(Loopback, WhatIsHeldKeepsItsRoute)
{
    const auto all = [this](std::int64_t delay) {
        expect_later(send_bound(Pair::a4, false), delay, "IPv4");
        expect_later(send_bound(Pair::a4, true), delay, "IPv4, bound to a device");
        expect_later(send_bound(Pair::a6, true), delay, "IPv6, bound to a device");
        expect_later(send_bound("127.0.0.1", false), delay, "127.0.0.1");
        expect_later(send_bound("::1", false), delay, "::1");
    };
    all(0);
    change(a(), slow);
    all(5 * ms);
    EXPECT_EQ(counters_of(a(), "slow").delayed, 100U);
    EXPECT_EQ(read_sysctl_of(a(), "net/ipv4/conf/lo/route_localnet"), "0");
    change(a(), "clear");
    change_without(HW_WORKAROUND_ROUTE, a(), slow);
    EXPECT_EQ(send_bound(Pair::a4, true).size(), 0U);
}

TEST_F(Loopback, WhatIsSentToALinkLocalAddressArrives)
{
    ip(a(), "address add fe80::77/64 dev va nodad");
    const auto to = fmt::format("fe80::77%{}", device_index(a(), "va"));
    expect_later(send_bound(to, false), 0, to);
    change(a(), slow);
    expect_later(send_bound(to, false), 5 * ms, to);
}

// A connection to 10.99.0.1 that nftables sends to the proxy at port 8080 of this namespace, as sidecars have it.
TEST_F(Loopback, WhatIsHeldKeepsItsConnection)
{
    expect_ok(run(&a(), {"nft",
                         "table ip t {\nchain o { type nat hook output priority -100; ip daddr 10.99.0.1 meta l4proto "
                         "{ tcp, udp } redirect to :8080; }\n}"}));
    ip(a(), "route add 10.99.0.0/24 dev va");
    const auto through_proxy = [this](std::int64_t delay) {
        const auto listener = listen_tcp(a(), {"0.0.0.0", 8080});
        auto client = try_connect(a(), {"10.99.0.1", 80}, std::chrono::milliseconds(3000));
        ASSERT_EQ(client.error, 0);
        EXPECT_GE(client.ns, 2 * delay) << "there and back";
        const Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        sockaddr_in asked{};
        socklen_t size = sizeof(asked);
        EXPECT_EQ(getsockopt(accepted.get(), SOL_IP, SO_ORIGINAL_DST, &asked, &size), 0) << std::strerror(errno);
        EXPECT_EQ(ntohl(asked.sin_addr.s_addr), 0x0a630001U);
        EXPECT_EQ(ntohs(asked.sin_port), 80);
        // An answer over UDP comes from the address that was asked.
        const auto server = udp_socket(a(), {"127.0.0.1", 8080});
        const auto asker = connected_udp(a(), {"10.99.0.1", 53});
        const auto begin = monotonic_ns();
        ASSERT_EQ(send(asker.get(), "?", 1, 0), 1);
        sockaddr_in from{};
        size = sizeof(from);
        char byte = 0;
        const auto readable = [](const Fd& socket) {
            pollfd one{socket.get(), POLLIN, 0};
            return poll(&one, 1, 5000) == 1;
        };
        ASSERT_TRUE(readable(server));
        ASSERT_EQ(recvfrom(server.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size), 1);
        ASSERT_EQ(sendto(server.get(), "!", 1, 0, reinterpret_cast<sockaddr*>(&from), size), 1);
        ASSERT_TRUE(readable(asker));
        EXPECT_EQ(recv(asker.get(), &byte, 1, 0), 1);
        EXPECT_EQ(byte, '!');
        EXPECT_GE(monotonic_ns() - begin, 2 * delay);
    };
    through_proxy(0);
    change(a(), slow);
    through_proxy(5 * ms);
}

class LoopbackCut : public PairTest {};

// A bit is flipped in wire packets. Those enter lo again, without their route, where packets of 127.0.0.0/8 and of
// local addresses are refused otherwise.
TEST_F(LoopbackCut, WithoutItsSysctlsAllIsLost)
{
    const auto received = [this] {
        const auto before = stack_count(a(), "UdpInCsumErrors");
        EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}, {.count = 20}), 0U) << "a bit is wrong";
        return stack_count(a(), "UdpInCsumErrors") - before;
    };
    const std::string corrupt = "add --name corrupt --dev lo --proto udp --corrupt 100%";
    change(a(), corrupt);
    EXPECT_EQ(received(), 20U);
    change(a(), "clear");
    change_without(HW_WORKAROUND_LOOPBACK, a(), corrupt);
    EXPECT_EQ(received(), 0U);
}

// lo heeds no departure time that a sender asks for; its fq would.
TEST_F(Loopback, UnmatchedPacketsAreNotHeld)
{
    change(a(), "add --name slow --dev lo --remote-port 7000 --delay 5ms");
    UdpSink sink(a(), {"127.0.0.1", 5000});
    const auto socket = connected_udp(a(), {"127.0.0.1", 5000});
    const sock_txtime clock{CLOCK_MONOTONIC, 0};
    ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_TXTIME, &clock, sizeof(clock)), 0);
    for (int i = 0; i < 20; ++i) {
        Stamp stamp{0, static_cast<std::uint32_t>(i), monotonic_ns()};
        iovec data{&stamp, sizeof(stamp)};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint64_t))]{};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        auto* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_TXTIME;
        header->cmsg_len = CMSG_LEN(sizeof(std::uint64_t));
        const auto hour_ahead = static_cast<std::uint64_t>(monotonic_ns()) + 3'600'000'000'000U;
        std::memcpy(CMSG_DATA(header), &hour_ahead, sizeof(hour_ahead));
        ASSERT_EQ(sendmsg(socket.get(), &message, 0), static_cast<ssize_t>(sizeof(stamp)));
    }
    EXPECT_EQ(sink.finish(std::chrono::milliseconds(300), 20).size(), 20U);
}

TEST_F(Loopback, ItsFqComesAndGoesWithTheRule)
{
    const auto qdisc = [this] { return tc(a(), "qdisc show dev lo"); };
    const auto bare = qdisc();
    change(a(), "add --name other --dev va --proto udp --delay 1ms");
    EXPECT_EQ(qdisc(), bare);
    change(a(), slow);
    EXPECT_THAT(qdisc(), HasSubstr("qdisc fq 4857: root"));
    EXPECT_EQ(chooses_cpus(), std::thread::hardware_concurrency() > 1);
    change(a(), "del slow");
    EXPECT_EQ(qdisc(), bare);
    EXPECT_FALSE(chooses_cpus());
    change(a(), slow);
    tc(a(), "qdisc del dev lo root");
    EXPECT_EQ(rule_of(a(), "slow")["state"], "not effective");
    change(a(), "add --name third --dev va --proto tcp --loss 1%");  // as any command does, and the agent
    EXPECT_EQ(rule_of(a(), "slow")["state"], "live");
    EXPECT_THAT(qdisc(), HasSubstr("qdisc fq 4857: root"));
    change(a(), "clear");
    EXPECT_EQ(qdisc(), bare);
    EXPECT_FALSE(chooses_cpus());
}

TEST_F(Loopback, AnotherQdiscIsNotReplaced)
{
    tc(a(), "qdisc add dev lo root prio");
    const auto before = footprint(a());
    const auto refused = headwind(a(), slow);
    EXPECT_EQ(refused.status, 5) << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("in place of the qdisc 'prio'"));
    EXPECT_EQ(footprint(a()), before);
    change(a(), "add --name lossy --dev lo --loss 1%");
    change(a(), "add --name elsewhere --dev va --delay 1ms");
}

// A cgroup's rules are not for lo, unless they say so.
TEST_F(Loopback, IsNoDefaultDeviceOfACgroup)
{
    const auto devices = [this](const char* rule) -> std::vector<std::string> {
        return rule_of(a(), rule)["attached_to"];
    };
    change(a(), "add --for ever --name all --cgroup / --loss 1%");
    EXPECT_THAT(devices("all"), ElementsAre("va"));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("through va, not lo"));
    change(a(), "add --for ever --name neighbours --cgroup / --remote 127.0.0.0/8,::1 --delay 5ms");
    EXPECT_THAT(devices("neighbours"), Contains("lo"));
    EXPECT_THAT(devices("all"), ElementsAre("va"));
    change(a(), "add --for ever --name too --cgroup / --loopback --remote-port 81 --loss 1%");
    EXPECT_THAT(devices("too"), ElementsAre("lo", "va"));
    change(a(), "add --for ever --name named --cgroup / --dev lo --remote-port 80 --loss 1%");
    EXPECT_THAT(devices("named"), ElementsAre("lo"));
    change(a(), "add --name host --loss 1%");
    EXPECT_THAT(devices("host"), Contains("lo"));
    EXPECT_THAT(devices("all"), ElementsAre("va"));
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 100U);
    EXPECT_EQ(counters_of(a(), "neighbours").delayed, 100U);
    EXPECT_EQ(counters_of(a(), "all").packets, 0U);
}

}  // namespace
}  // namespace headwind::test::loopback_test
