// SPDX-License-Identifier: MIT
// Rules for packets that the sockets of a cgroup receive.
#include <sys/socket.h>

#include "net_test.h"

namespace headwind::test::receiver_test {
namespace {

constexpr std::size_t packets = 50;

class Receiver : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        web.emplace("web");
    }
    void TearDown() override
    {
        web.reset();
        PairTest::TearDown();
    }
    std::unique_ptr<UdpSink> sink_in(const TestCgroup& cgroup, const Endpoint& at) const
    {
        const InCgroup inside(cgroup);
        return std::make_unique<UdpSink>(b(), at);
    }
    Fd listener_in(const TestCgroup& cgroup, const Endpoint& at) const
    {
        const InCgroup inside(cgroup);
        return listen_tcp(b(), at);
    }
    void partition(const std::string& more = "") const
    {
        change(b(), "add --for ever --name split --partition --direction in --cgroup " + web->path() + more);
    }
    std::uint64_t dropped() const { return counters_of(b(), "split", "in").partition; }

    std::optional<TestCgroup> web;
};

RUNS_IN("Receiver.*", native, linux_6_12 | linux_6_1);
RUNS_IN("Receiver.Tcp*", native | linux_6_1, linux_6_12);

TEST_F(Receiver, UdpOfTheCgroupOnlyOlderThanTheRuleOrNot)
{
    for (const auto* const address : {Pair::b4, Pair::b6}) {
        const auto old = sink_in(*web, {address, 5000});
        UdpSink other(b(), {address, 5001});
        partition();
        const auto young = sink_in(*web, {address, 5002});
        for (const std::uint16_t port : {std::uint16_t{5000}, std::uint16_t{5001}, std::uint16_t{5002}})
            send_udp(a(), {address, port}, {.count = packets});
        EXPECT_EQ(other.finish().size(), packets) << address;
        EXPECT_EQ(old->finish().size(), 0U) << address;
        EXPECT_EQ(young->finish().size(), 0U) << address;
        EXPECT_EQ(dropped(), 2 * packets) << address;
        change(b(), "clear");
    }
}

// The socket is found by the port, which only the first fragment has.
TEST_F(Receiver, OfDatagramsInFragments)
{
    constexpr std::size_t fragments = 3;
    for (const auto* const address : {Pair::b4, Pair::b6}) {
        const auto sink = sink_in(*web, {address, 5000});
        UdpSink other(b(), {address, 5001});
        partition();
        for (const std::uint16_t port : {std::uint16_t{5000}, std::uint16_t{5001}})
            send_udp(a(), {address, port}, {.count = packets, .size = 3000});
        EXPECT_EQ(other.finish().size(), packets) << address;
        EXPECT_EQ(sink->finish().size(), 0U) << address;
        EXPECT_EQ(dropped(), fragments * packets) << address;
        change(b(), "clear");
    }
}

TEST_F(Receiver, OfACgroupBelow)
{
    const TestCgroup inner("web/inner");
    const auto sink = sink_in(inner, {Pair::b4, 5000});
    partition();
    send_udp(a(), {Pair::b4, 5000}, {.count = packets});
    EXPECT_EQ(sink->finish().size(), 0U);
    change(b(), "add --name spare --pass --direction in --cgroup " + inner.path());
    const auto spared = sink_in(inner, {Pair::b4, 5001});
    send_udp(a(), {Pair::b4, 5001}, {.count = packets});
    EXPECT_EQ(spared->finish().size(), packets) << "the more specific rule";
}

TEST_F(Receiver, ConnectedUdp)
{
    for (const auto& [at_a, at_b] : {std::pair{Pair::a4, Pair::b4}, {Pair::a6, Pair::b6}}) {
        UdpSink peer(a(), {at_a, 6000});
        Fd connected;
        {
            const InCgroup inside(*web);
            connected = connected_udp(b(), {at_a, 6000});
        }
        sockaddr_storage name{};
        socklen_t size = sizeof(name);
        ASSERT_EQ(getsockname(connected.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
        const auto port = ntohs(reinterpret_cast<sockaddr_in*>(&name)->sin_port);  // the same in sockaddr_in6
        const auto receive = [&] {
            std::array<char, 2000> buffer{};
            std::size_t count = 0;
            usleep(50'000);
            while (recv(connected.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) ++count;
            return count;
        };
        peer.send({at_b, port}, {.count = packets});
        EXPECT_EQ(receive(), packets) << at_b;
        partition();
        peer.send({at_b, port}, {.count = packets});
        EXPECT_EQ(receive(), 0U) << at_b;
        EXPECT_EQ(dropped(), packets);
        change(b(), "clear");
    }
}

TEST_F(Receiver, TcpListeningAndEstablished)
{
    for (const auto* const address : {Pair::b4, Pair::b6}) {
        const auto listener = listener_in(*web, {address, 5001});
        const auto other = listen_tcp(b(), {address, 5002});
        const auto before = try_connect(a(), {address, 5001});
        ASSERT_EQ(before.error, 0);
        const Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        partition();
        EXPECT_EQ(try_connect(a(), {address, 5001}, std::chrono::milliseconds(200)).error, ETIMEDOUT) << address;
        EXPECT_EQ(try_connect(a(), {address, 5002}).error, 0) << address;
        ASSERT_EQ(send(before.socket.get(), "hello", 5, 0), 5);
        std::array<char, 10> buffer{};
        usleep(100'000);
        EXPECT_EQ(recv(accepted.get(), buffer.data(), buffer.size(), MSG_DONTWAIT), -1) << address;
        EXPECT_GT(dropped(), 1U) << "a SYN and data";
        change(b(), "clear");
        EXPECT_TRUE(eventually([&] { return recv(accepted.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) == 5; }))
            << "TCP tries again";
    }
}

// A socket bound to any address looks as if it were to receive packets that are only forwarded.
TEST_F(Receiver, WhatIsForwardedIsNotReceived)
{
    const Far far(a(), b());
    for (const auto& [any, there, here] :
         {std::tuple{"0.0.0.0", Far::address4, Pair::b4}, {"::", Far::address6, Pair::b6}}) {
        const auto sink = sink_in(*web, {any, 5000});
        partition();
        EXPECT_EQ(deliver(a(), far.far, {there, 5000}, {.count = packets}), packets) << there;
        EXPECT_EQ(dropped(), 0U) << there;
        send_udp(a(), {here, 5000}, {.count = packets});
        EXPECT_EQ(sink->finish().size(), 0U) << here;
        EXPECT_EQ(dropped(), packets) << here;
        change(b(), "clear");
    }
}

// A packet on lo goes out for one subject and comes in for another.
TEST_F(Receiver, OnLoopback)
{
    for (const auto* const address : {"127.0.0.1", "::1"}) {
        const auto sink = sink_in(*web, {address, 5000});
        partition(" --dev lo");
        UdpSink other(b(), {address, 5001});
        send_udp(b(), {address, 5000}, {.count = packets});
        send_udp(b(), {address, 5001}, {.count = packets});
        EXPECT_EQ(sink->finish().size(), 0U) << address;
        EXPECT_EQ(other.finish().size(), packets) << address;
        EXPECT_EQ(dropped(), packets);
        change(b(), "clear");
    }
}

TEST_F(Receiver, OnLoopbackWithoutACgroupToo)
{
    change(b(), "add --name split --partition --direction in --local-port 5000 --proto udp");
    EXPECT_EQ(deliver(b(), b(), {"127.0.0.1", 5000}, {.count = packets}), 0U);
    EXPECT_EQ(deliver(b(), b(), {"127.0.0.1", 5001}, {.count = packets}), packets);
    EXPECT_EQ(dropped(), packets);
}

TEST_F(Receiver, BothDirectionsOfACgroup)
{
    const auto sink = sink_in(*web, {Pair::b4, 5000});
    change(b(), "add --name split --pass --direction both --cgroup " + web->path());
    UdpSink peer(a(), {Pair::a4, 6000});
    peer.send({Pair::b4, 5000}, {.count = packets});
    sink->send({Pair::a4, 6000}, {.count = packets + 1});
    EXPECT_EQ(peer.finish().size(), packets + 1);
    EXPECT_EQ(counters_of(b(), "split", "in").packets, packets);
    EXPECT_EQ(counters_of(b(), "split", "out").packets, packets + 1);
}

}  // namespace
}  // namespace headwind::test::receiver_test
