// SPDX-License-Identifier: MIT
// Reject: the sender is answered at once, as by a firewall, on every way that a packet can take.
#include "net_test.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "verify/statistics.h"

namespace headwind::test::reject_test {
namespace {

using testing::HasSubstr;

constexpr std::uint16_t port = 5001;

// The errno that the socket reports within half a second; 0: none.
int pending_error(const Fd& socket)
{
    int error = 0;
    eventually(std::chrono::milliseconds(500), [&] {
        socklen_t size = sizeof(error);
        getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        return error != 0;
    });
    return error;
}

class Reject : public PairTest {
protected:
    struct Tried {
        std::size_t expected = 0, other = 0;  // numbers of attempts, by their errno
        int last_other = 0;
    };

    static Tried try_often(const Namespace& from, const Endpoint& to, int error, std::size_t times)
    {
        Tried out;
        for (std::size_t i = 0; i < times; ++i) {
            const auto attempt = try_connect(from, to);
            ++(attempt.error == error ? out.expected : out.other);
            if (attempt.error != error) out.last_other = attempt.error;
        }
        return out;
    }

    // Expects that each connection to a server is refused before anything is sent again (the limit of try_connect()).
    static void expect_refused(const Namespace& from, const Namespace& server, const std::string& address, int error,
                               std::size_t times = 20)
    {
        SCOPED_TRACE("connect to " + address);
        const auto listener = listen_tcp(server, {address, port});
        const auto tried = try_often(from, {address, port}, error, times);
        EXPECT_EQ(tried.expected, times) << "another error: " << std::strerror(tried.last_other);
    }

    // Expects a refusal within seconds. Over IPv6 the kernel overlooks an ICMP error that comes while connect() still
    // has the socket (TcpExtLockDroppedIcmps), as an answer from so near does. It heeds the error that answers the
    // first retransmission, a second later.
    static void expect_refused_late(const Namespace& from, const Namespace& server, const std::string& address)
    {
        const auto listener = listen_tcp(server, {address, port});
        EXPECT_EQ(try_connect(from, {address, port}, std::chrono::seconds(5)).error, EACCES) << address;
    }

    // Expects that a datagram is dropped, and that the sender's next call tells why.
    static void expect_udp_error(const Namespace& from, const Namespace& to_namespace, const std::string& address,
                                 int error)
    {
        SCOPED_TRACE("datagram to " + address);
        UdpSink sink(to_namespace, {address, 5000});
        const Fd socket = connected_udp(from, {address, 5000});
        EXPECT_EQ(send(socket.get(), "0123456789", 10, 0), 10);
        EXPECT_EQ(pending_error(socket), error);
        EXPECT_EQ(sink.finish(std::chrono::milliseconds(30)).size(), 0U);
    }

    Output ping(const std::string& address) const
    {
        return run(&a(), {"ping", "-c", "2", "-i", "0.1", "-W", "1", address});
    }
};

RUNS_IN("Reject.*", native, sanitized);
RUNS_IN("Reject.ConnectIs*", native | linux_6_1, sanitized);
RUNS_IN("Reject.Connections*", native, linux_6_1 | sanitized);

TEST_F(Reject, ConnectIsRefusedAtOnce)
{
    change(a(), "add --name no --reject rst --proto tcp");
    expect_refused(a(), b(), Pair::b4, ECONNREFUSED, 200);
    expect_refused(a(), b(), Pair::b6, ECONNREFUSED, 200);
    const auto counters = counters_of(a(), "no");
    EXPECT_EQ(counters.packets, 400U);
    EXPECT_EQ(counters.reject, 400U);
    EXPECT_EQ(counters.partition, 0U);
    EXPECT_EQ(stack_count(a(), "TcpInCsumErrors"), 0U);
}

TEST_F(Reject, WithoutItConnectTimesOut)
{
    const auto listener = listen_tcp(b(), {Pair::b4, port});
    change(a(), "add --name no --partition");
    EXPECT_EQ(try_connect(a(), {Pair::b4, port}, std::chrono::milliseconds(100)).error, ETIMEDOUT);
    change(a(), "clear");
    EXPECT_EQ(try_connect(a(), {Pair::b4, port}).error, 0);
}

TEST_F(Reject, ConnectionsFromOutsideAreRefusedToo)
{
    change(b(), "add --name no --reject rst --direction in --proto tcp,udp");
    expect_refused(a(), b(), Pair::b4, ECONNREFUSED, 100);
    expect_refused(a(), b(), Pair::b6, ECONNREFUSED, 100);
    EXPECT_EQ(counters_of(b(), "no", "in").reject, 200U);
    expect_udp_error(a(), b(), Pair::b4, EHOSTUNREACH);
    expect_udp_error(a(), b(), Pair::b6, EACCES);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 100U) << "in only";
}

// Established connections end whoever sends next, also with much data in flight.
TEST_F(Reject, EstablishedConnectionsAreReset)
{
    for (const auto& address : {Pair::b4, Pair::b6}) {
        const auto ours = connect_tcp(a(), b(), {address, port}), theirs = connect_tcp(a(), b(), {address, port});
        change(a(), "add --name no --reject rst --proto tcp");
        const std::string data(100'000, 'x');
        EXPECT_GT(send(ours.sender.get(), data.data(), data.size(), MSG_NOSIGNAL), 0);
        EXPECT_EQ(pending_error(ours.sender), ECONNRESET) << address;
        EXPECT_EQ(send(ours.sender.get(), "x", 1, MSG_NOSIGNAL), -1);
        EXPECT_EQ(errno, EPIPE) << address;
        EXPECT_GT(send(theirs.receiver.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT), 0);
        EXPECT_EQ(pending_error(theirs.receiver), ECONNRESET) << address;
        EXPECT_EQ(send(theirs.receiver.get(), "x", 1, MSG_NOSIGNAL), -1);
        EXPECT_EQ(errno, EPIPE) << address;
        EXPECT_GT(counters_of(a(), "no", "out").reject, 0U);
        EXPECT_GT(counters_of(a(), "no", "in").reject, 0U);
        change(a(), "clear");
    }
}

TEST_F(Reject, DatagramsAreAnsweredWithIcmp)
{
    for (const char* how : {"rst", "icmp"}) {
        change(a(), std::string("add --name no --replace --proto udp --reject ") + how);
        expect_udp_error(a(), b(), Pair::b4, EHOSTUNREACH);  // ICMP 3/13
        expect_udp_error(a(), b(), Pair::b6, EACCES);        // ICMPv6 1/1
        EXPECT_EQ(counters_of(a(), "no").reject, 2U);
    }
    EXPECT_EQ(stack_count(a(), "IcmpInCsumErrors") + stack_count(a(), "Icmp6InCsumErrors"), 0U);
    EXPECT_EQ(stack_count(a(), "IcmpInErrors") + stack_count(a(), "Icmp6InErrors"), 0U);
}

// Each wire packet of a super-packet gets its own answer, and none of them arrives.
TEST_F(Reject, SuperPacketsAreAnsweredPieceByPiece)
{
    change(a(), "add --name no --reject icmp --proto udp");
    EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 20}), 0U);
    EXPECT_EQ(counters_of(a(), "no").reject, 20U);
    EXPECT_EQ(stack_count(a(), "IcmpInDestUnreachs"), 20U);
}

TEST_F(Reject, TcpCanBeAnsweredWithIcmpToo)
{
    change(a(), "add --name no --reject icmp --proto tcp");
    expect_refused(a(), b(), Pair::b4, EHOSTUNREACH);
    EXPECT_EQ(counters_of(a(), "no").reject, 20U);
    expect_refused_late(a(), b(), Pair::b6);
}

TEST_F(Reject, OnLoopbackToo)
{
    change(a(), "add --name no --reject rst");
    for (const auto* address : {"127.0.0.1", "::1", Pair::a4, Pair::a6})
        expect_refused(a(), a(), address, ECONNREFUSED);
    expect_udp_error(a(), a(), "127.0.0.1", EHOSTUNREACH);
    expect_udp_error(a(), a(), "::1", EACCES);
    change(a(), "add --name no --replace --reject icmp");
    expect_refused(a(), a(), "127.0.0.1", EHOSTUNREACH);
    EXPECT_EQ(stack_count(a(), "TcpInCsumErrors") + stack_count(a(), "IcmpInCsumErrors"), 0U);
}

TEST_F(Reject, PingIsToldThatItIsFiltered)
{
    EXPECT_EQ(ping(Pair::b4).status, 0);
    change(a(), "add --name no --reject icmp");
    const auto v4 = ping(Pair::b4), v6 = ping(Pair::b6);
    EXPECT_EQ(v4.status, 1);
    EXPECT_THAT(v4.out, HasSubstr("filtered"));
    EXPECT_EQ(v6.status, 1);
    EXPECT_THAT(v6.out, HasSubstr("prohibited"));
}

// There is never an error about an error, a reset about a reset, or an answer to a packet for a group.
TEST_F(Reject, WhatGetsNoAnswer)
{
    change(b(), "add --name no --reject rst --direction out --proto icmp,tcp,udp");
    // b's own ICMP error (no such port) and b's own reset (no listener) are rejected silently.
    const Fd socket = connected_udp(a(), {Pair::b4, 9});
    EXPECT_EQ(send(socket.get(), "x", 1, 0), 1);
    EXPECT_EQ(try_connect(a(), {Pair::b4, 9}, std::chrono::milliseconds(50)).error, ETIMEDOUT);
    EXPECT_EQ(counters_of(b(), "no").reject, 2U);
    EXPECT_EQ(stack_count(b(), "IcmpInDestUnreachs"), 0U);
    EXPECT_EQ(stack_count(b(), "TcpInSegs"), 1U) << "a's SYN";
    ip(b(), "route add 239.0.0.0/8 dev vb");
    const Fd group = connected_udp(b(), {"239.7.7.7", 5000});
    EXPECT_EQ(send(group.get(), "x", 1, 0), 1);
    EXPECT_TRUE(eventually([this] { return counters_of(b(), "no").reject == 3; }));
    EXPECT_EQ(stack_count(b(), "IcmpInDestUnreachs"), 0U);
}

TEST_F(Reject, OfThirtyPercent)
{
    const std::size_t times = scaled(2'000, 300);
    change(a(), "add --name no --loss 30% --reject rst --remote-port 5001");
    const auto listener = listen_tcp(b(), {Pair::b4, port});
    std::size_t refused = 0, unexpected = 0;
    for (std::size_t i = 0; i < times; ++i) {
        const auto attempt = try_connect(a(), {Pair::b4, port});
        refused += attempt.error == ECONNREFUSED ? 1 : 0;  // the SYN was answered
        // The reset may also be an answer to the last packet of the handshake.
        unexpected += attempt.error != 0 && attempt.error != ECONNREFUSED && attempt.error != ECONNRESET ? 1 : 0;
        const linger at_once{1, 0};
        setsockopt(attempt.socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    EXPECT_EQ(unexpected, 0U);
    EXPECT_GT(statistics::binomial_p_value(refused, times, 0.3), alpha) << refused << " of " << times;
    const auto counters = counters_of(a(), "no");
    EXPECT_EQ(counters.loss, 0U) << "what is answered is counted as rejected";
    EXPECT_GT(statistics::binomial_p_value(counters.reject, counters.packets, 0.3), alpha)
        << counters.reject << " of " << counters.packets;
}

// ---- forwarded packets -------------------------------------------------------------------------------------------

class RejectForwarded : public Reject {
protected:
    void SetUp() override
    {
        Reject::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) far_.emplace(a(), b());
    }
    void TearDown() override
    {
        far_.reset();
        Reject::TearDown();
    }
    const Namespace& far() const { return far_->far; }

private:
    std::optional<Far> far_;
};

TEST_F(RejectForwarded, TheAnswerGoesBackToTheSender)
{
    // The rule is at the device that the packet leaves by, at the one it comes in by, and at whichever is first.
    for (const char* where : {"--dev vc --direction out", "--dev vb --direction in", "--direction out", ""}) {
        SCOPED_TRACE(where);
        change(b(), std::string("add --name no --replace --reject rst ") + where);
        expect_refused(a(), far(), Far::address4, ECONNREFUSED);
        expect_refused(a(), far(), Far::address6, ECONNREFUSED);
        expect_udp_error(a(), far(), Far::address4, EHOSTUNREACH);
        expect_udp_error(a(), far(), Far::address6, EACCES);
    }
    EXPECT_EQ(stack_count(a(), "TcpInCsumErrors"), 0U);
    EXPECT_EQ(stack_count(far(), "TcpInSegs"), 0U);
}

TEST_F(RejectForwarded, AnEstablishedConnectionIsReset)
{
    const auto ours = connect_tcp(a(), far(), {Far::address4, port});
    const auto theirs = connect_tcp(a(), far(), {Far::address4, port});
    change(b(), "add --name no --reject rst --proto tcp");
    EXPECT_EQ(send(ours.sender.get(), "x", 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(pending_error(ours.sender), ECONNRESET);
    EXPECT_EQ(send(theirs.receiver.get(), "x", 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(pending_error(theirs.receiver), ECONNRESET);
}

}  // namespace
}  // namespace headwind::test::reject_test
