// SPDX-License-Identifier: MIT
// Tests rate and queue, in virtual time: the rate is read off the receiving device.
#include <linux/net_tstamp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

#include <headwind/testing.h>

#include "measure.h"

namespace headwind::test::rate_test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t header_bytes = 42;  // Ethernet, IPv4, UDP

struct Rate {
    const char* text;
    double bits_per_second;
};

// The bits per second of frames that arrive within `window`, after `settle`.
double arriving(const Namespace& where, std::chrono::nanoseconds settle, std::chrono::nanoseconds window)
{
    std::this_thread::sleep_for(settle);
    const auto start = monotonic_ns();
    const auto before = received_bytes(where, Pair::device_b);
    std::this_thread::sleep_for(window);
    const auto bytes = received_bytes(where, Pair::device_b) - before;
    return static_cast<double>(bytes) * 8e9 / static_cast<double>(monotonic_ns() - start);
}

void expect_rate(const char* what, const Rate& asked, double measured, double tolerance)
{
    std::printf("%-4s %-8s measured %14.0f bit/s (%+.3f%%)\n", what, asked.text, measured,
                (measured / asked.bits_per_second - 1) * 100);
    EXPECT_NEAR(measured / asked.bits_per_second, 1, tolerance);
}

class GuestRate : public testing::TestWithParam<Rate> {
protected:
    // At high rates frames are jumbo frames: the test counts bytes, and packets cost the guest most.
    bool jumbo() const { return GetParam().bits_per_second > 50e6; }
    std::size_t frame_bytes() const { return jumbo() ? 9'000 : 1'000; }
    PairOptions devices() const
    {
        PairOptions options;
        if (jumbo()) options.mtu = 9'000;
        return options;
    }
};

RUNS_IN("*/GuestRate.*/100mbit:*/GuestRate.HoldsForUdp/10mbit", nowhere, virtual_6_12);

TEST_P(GuestRate, HoldsForUdp)
{
    const Pair pair(devices());
    const auto asked = GetParam();
    ASSERT_EQ(headwind(pair.a, std::string("add --name r --dev va --rate ") + asked.text).status, 0);
    std::atomic<bool> stop{false};
    Flow flow;
    flow.size = frame_bytes() - header_bytes;
    flow.per_second = static_cast<unsigned>(asked.bits_per_second * 1.2 / 8 / static_cast<double>(frame_bytes()));
    flow.count = SIZE_MAX;
    flow.stop = &stop;
    UdpSink sink(pair.b, target);
    std::thread sender([&] { send_udp(pair.a, target, flow); });
    const double measured = arriving(pair.b, 2s, 20s);
    stop = true;
    sender.join();
    expect_rate("UDP", asked, measured, 0.005);
    EXPECT_TRUE(in_order(sink.finish(1s)));
    const auto counters = counters_of(pair.a, "r");
    EXPECT_GT(counters.queue, 0U);
    EXPECT_EQ(counters.line, 0U);
}

TEST_P(GuestRate, HoldsForTcp)
{
    const Pair pair(devices());
    const auto asked = GetParam();
    ASSERT_EQ(headwind(pair.a, std::string("add --name r --dev va --rate ") + asked.text).status, 0);
    const Process server(&pair.b, words("iperf3 --server --one-off"));
    std::this_thread::sleep_for(500ms);
    const Process client(&pair.a, words("iperf3 --time 24 --client " + std::string(Pair::b4)));
    const double measured = arriving(pair.b, 3s, 20s);
    expect_rate("TCP", asked, measured, 0.005);
}

INSTANTIATE_TEST_SUITE_P(Rates, GuestRate,
                         testing::Values(Rate{"1mbit", 1e6}, Rate{"10mbit", 10e6}, Rate{"100mbit", 100e6}),
                         [](const auto& test) { return std::string(test.param.text); });

// The wait in front of the rate never exceeds the limit, and comes close to it.
TEST(GuestQueue, LimitIsRespected)
{
    const Pair pair;
    Flow flow;
    flow.size = 1000 - header_bytes;
    flow.count = 1000;
    flow.per_second = 1000;
    for (const auto& [text, limit_ns] : {std::pair{"50ms", 50e6}, {"25kb", 200e6}}) {
        const auto add = std::string("add --name q --dev va --rate 1mbit --queue ") + text;
        ASSERT_EQ(headwind(pair.a, add).status, 0);
        const auto arrivals = send_and_receive(pair.a, pair.b, target, flow);
        const auto wait = moments(delays(arrivals));
        std::printf("queue %s: longest wait %.3f ms\n", text, static_cast<double>(wait.max) / 1e6);
        EXPECT_LT(static_cast<double>(wait.max), limit_ns + 1e6);
        EXPECT_GT(static_cast<double>(wait.max), limit_ns - 17e6);  // two frames of 8 ms
        EXPECT_EQ(counters_of(pair.a, "q").queue + arrivals.size(), 1000U);
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// A packet has passed a link when its last bit has, as in netem.
TEST(GuestPing, ThroughARateIsAsThroughNetems)
{
    const Pair pair;
    const auto round_trip_ms = [&pair] {
        const auto output = run(&pair.a, words("ping -q -c 20 -i 0.3 " + std::string(Pair::b4)));
        const auto at = output.out.find(" = ");  // rtt min/avg/max/mdev = 0.1/0.2/0.3/0.0 ms
        EXPECT_NE(at, std::string::npos) << output.out << output.err;
        return at == std::string::npos ? 0 : std::stod(output.out.substr(output.out.find('/', at) + 1));
    };
    settle();
    for (const std::string rate : {"100kbit", "1mbit"}) {
        tc(pair.a, "qdisc add dev va root netem rate " + rate);
        const double netem = round_trip_ms();
        tc(pair.a, "qdisc del dev va root");
        change(pair.a, "add --name r --dev va --rate " + rate);
        const double ours = round_trip_ms();
        change(pair.a, "clear");
        std::printf("ping through %s: netem %.3f ms, headwind %.3f ms\n", rate.c_str(), netem, ours);
        EXPECT_NEAR(ours, netem, 0.1);
    }
}

// ---- departure times of the senders' own ----

// Sends a packet that is to leave `ahead` ns from now, as anybody may.
void send_for_later(const Namespace& from, std::int64_t ahead)
{
    const auto socket = connected_udp(from, target);
    std::thread([&socket, ahead] {
        ASSERT_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);  // this thread's
        const sock_txtime clock{CLOCK_MONOTONIC, 0};
        ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_TXTIME, &clock, sizeof(clock)), 0);
        const auto when = static_cast<std::uint64_t>(monotonic_ns() + ahead);
        Stamp stamp{99, 0, monotonic_ns()};
        iovec data{&stamp, sizeof(stamp)};
        alignas(cmsghdr) char room[CMSG_SPACE(sizeof(when))]{};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof(room);
        auto* control = CMSG_FIRSTHDR(&message);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_TXTIME;
        control->cmsg_len = CMSG_LEN(sizeof(when));
        std::memcpy(CMSG_DATA(control), &when, sizeof(when));
        ASSERT_EQ(sendmsg(socket.get(), &message, 0), static_cast<ssize_t>(sizeof(stamp)));
    }).join();
}

class GuestDeparture : public testing::Test {
protected:
    // The delays of packets of a sender of its own.
    std::vector<std::int64_t> delays_of_others() const
    {
        return delays(send_and_receive(pair_.a, pair_.b, target, {.count = 20, .per_second = 50}, 1s));
    }
    void expect_the_same(const std::vector<std::int64_t>& before) const
    {
        const auto now = delays_of_others();
        ASSERT_EQ(now.size(), before.size());
        for (std::size_t i = 0; i < now.size(); ++i)
            EXPECT_LT(std::abs(now[i] - before[i]), 3'000'000) << "packet " << i;
    }
    // How long it takes, ns.
    std::int64_t clear() const
    {
        const auto start = monotonic_ns();
        change(pair_.a, "clear");
        return monotonic_ns() - start;
    }

    Pair pair_;
};

TEST_F(GuestDeparture, AnHourAheadConcernsNobodyElse)
{
    settle();
    change(pair_.a, "add --name r --dev va --rate 1mbit --delay 100ms --proto udp");
    const auto before = delays_of_others();
    ASSERT_EQ(before.size(), 20U);
    send_for_later(pair_.a, 3'600'000'000'000);
    expect_the_same(before);
    EXPECT_EQ(line_of(pair_.a).held_packets, 1U);
    EXPECT_LT(clear(), 1'500'000'000) << "delay and queue are 300 ms together";
}

TEST_F(GuestDeparture, APacedConnectionConcernsNobodyElse)
{
    settle();
    tc(pair_.a, "qdisc add dev va root fq");  // from now on TCP leaves pacing to the device
    const auto tcp = connect_tcp(pair_.a, pair_.b, {Pair::b4, 7001});
    const unsigned rate = 20'000;  // bytes a second
    ASSERT_EQ(setsockopt(tcp.sender.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)), 0);
    ASSERT_EQ(send_tcp(tcp, 3'000).error, "");
    change(pair_.a, "add --name r --dev va --rate 1gbit --delay 100ms");
    const auto before = delays_of_others();
    ASSERT_EQ(before.size(), 20U);
    const int room = 1 << 20;
    ASSERT_EQ(setsockopt(tcp.sender.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)), 0);
    const std::vector<char> much(300'000);
    ASSERT_GT(send(tcp.sender.get(), much.data(), much.size(), MSG_DONTWAIT), 100'000);
    expect_the_same(before);
    EXPECT_LT(clear(), 1'500'000'000);
    // Else TCP would go on to send what is left, and keep the namespace for as long.
    const linger abort{1, 0};
    for (const auto* end : {&tcp.sender, &tcp.receiver})
        ASSERT_EQ(setsockopt(end->get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), 0);
}

// fq paces a UDP socket that asks for it. A held packet has no socket any more, so the datapath does it in fq's place.
TEST(GuestPacing, ASocketThatFqPacesStaysPaced)
{
    constexpr unsigned pace = 1'000'000;  // bytes/s of frames
    constexpr std::size_t frame = 1'000, seconds = 4;
    const Pair pair;
    expect_ok(run(&pair.a, words("tc qdisc add dev va root fq")));
    settle();
    const auto send = [&] {
        const auto socket = connected_udp(pair.a, target);
        EXPECT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace)), 0);
        Flow flow{.count = 2 * pace / frame * seconds, .size = frame - header_bytes, .per_second = 2 * pace / frame};
        std::thread sender([&] { send_udp(socket.get(), flow); });
        const auto measured = arriving(pair.b, 1s, 2s) / 8;
        sender.join();
        return measured;
    };
    const auto bare = send();
    expect_ok(headwind(pair.a, "add --name slow --dev va --proto udp --delay 50ms"));
    const auto held = send();
    const auto counters = counters_of(pair.a, "slow");
    expect_ok(headwind(pair.a, "clear"));
    expect_ok(headwind_without(HW_WORKAROUND_PACING, pair.a, "add --name slow --dev va --proto udp --delay 50ms"));
    const auto unpaced = send();
    std::printf("[  FIGURES ] bare %.0f bytes/s, under a rule %.0f, without the workaround %.0f\n", bare, held,
                unpaced);
    EXPECT_NEAR(bare / pace, 1, 0.01);
    EXPECT_NEAR(held / pace, 1, 0.01);
    EXPECT_GT(unpaced / pace, 1.9);
    EXPECT_EQ(counters.queue + counters.delayed, counters.packets);
    EXPECT_NEAR(static_cast<double>(counters.queue) / static_cast<double>(counters.packets), 0.5, 0.05);
}

}  // namespace
}  // namespace headwind::test::rate_test
