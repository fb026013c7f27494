// SPDX-License-Identifier: MIT
// Tests the line's traps (design section 3), each with its workaround in place and taken out, in virtual time.
#include <sys/socket.h>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include <headwind/abi.h>
#include <headwind/testing.h>

#include "measure.h"

namespace headwind::test::line_test {
namespace {

using namespace std::chrono_literals;

// Sends super-packets and single packets of one flow in turns, none of which may overtake another.
std::vector<Arrival> mixed_flow(const Pair& pair)
{
    UdpSink sink(pair.b, target);
    for (std::uint32_t round = 0; round < 100; ++round) {
        Flow flow;
        flow.local_port = 7001;
        flow.segments = round % 2 == 0 ? 10 : 1;
        flow.count = round % 2 == 0 ? 20 : 7;
        flow.size = 500;
        flow.first = round * 100;
        flow.per_second = 20'000;
        send_udp(pair.a, target, flow);
    }
    return sink.finish(2s, 50 * 20 + 50 * 7);
}

TEST(GuestLine, KeepsOrder)
{
    const Pair pair;
    for (const auto* impairment :
         {"--delay 20ms", "--rate 10mbit --queue 10s", "--delay 20ms --rate 10mbit --queue 10s"}) {
        ASSERT_EQ(headwind(pair.a, std::string("add --name o --dev va ") + impairment).status, 0);
        const auto arrivals = mixed_flow(pair);
        EXPECT_EQ(arrivals.size(), 50U * 20 + 50 * 7) << impairment;
        EXPECT_TRUE(in_order(arrivals)) << impairment;
        ASSERT_EQ(headwind(pair.a, "clear").status, 0);
    }
}

// The worst round trip on lo of a flow whose two directions two rules of one instance impair (fact 5 of the design).
double round_trip_ms(const Namespace& alone, unsigned without)
{
    EXPECT_EQ(headwind_without(without, alone, "add --name there --dev lo --remote-port 7000 --delay 10ms").status, 0);
    EXPECT_EQ(headwind_without(without, alone, "add --name back --dev lo --local-port 7000 --delay 200ms").status, 0);
    const auto client = udp_socket(alone, {"127.0.0.1", 7001});
    const auto server = udp_socket(alone, {"127.0.0.1", 7000});
    std::thread echo([&server] {
        for (char packet[64];;) {
            sockaddr_in from{};
            socklen_t size = sizeof(from);
            const auto length =
                recvfrom(server.get(), packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (length <= 1) return;
            sendto(server.get(), packet, static_cast<std::size_t>(length), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
    });
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(7000);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto send_to_server = [&](const void* data, std::size_t size) {
        sendto(client.get(), data, size, 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
    };
    std::thread sender([&] {
        for (int i = 0; i < 50; ++i) {
            const auto now = monotonic_ns();
            send_to_server(&now, sizeof(now));
            std::this_thread::sleep_for(37ms);
        }
    });
    double worst = 0;
    for (int i = 0; i < 50; ++i) {
        std::int64_t sent = 0;
        if (recv(client.get(), &sent, sizeof(sent), 0) == sizeof(sent))
            worst = std::max(worst, static_cast<double>(monotonic_ns() - sent) / 1e6);
    }
    sender.join();
    send_to_server("", 1);
    echo.join();
    EXPECT_EQ(headwind(alone, "clear").status, 0);
    return worst;
}

TEST(GuestLine, RulesDoNotDelayEachOther)
{
    const Namespace alone("alone");
    const double with = round_trip_ms(alone, 0), sick = round_trip_ms(alone, HW_WORKAROUND_FLOWS);
    std::printf("10 + 200 ms: worst round trip %.3f ms; with a shared flow %.3f ms\n", with, sick);
    EXPECT_NEAR(with, 210, 0.5);
    EXPECT_GT(sick, 215);
}

// Fact 12 of the design: once any socket of the host asks for timestamps, every received packet gets the wall clock in
// skb->tstamp.
std::size_t arriving_with_timestamps(unsigned without)
{
    const Pair pair;
    const auto listener = udp_socket(pair.b, {"0.0.0.0", 9999});
    const int on = 1;
    EXPECT_EQ(setsockopt(listener.get(), SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)), 0);
    EXPECT_EQ(headwind_without(without, pair.b, "add --name t --dev vb --direction in --delay 20ms").status, 0);
    Flow flow;
    flow.per_second = 500;
    flow.segments = 10;
    return send_and_receive(pair.a, pair.b, target, flow, 500ms).size();
}

TEST(GuestLine, ReceiveTimestampsAreNoDepartureTimes)
{
    EXPECT_EQ(arriving_with_timestamps(0), 100U);
    EXPECT_EQ(arriving_with_timestamps(HW_WORKAROUND_TSTAMP), 0U);
}

// The number of packets of a burst that arrive. Fact 4 of the design: fq's defaults drop packets beyond 100 in a flow,
// and those with a delay beyond 10 s.
std::size_t burst(const Pair& pair, unsigned without, const std::string& impairment, std::chrono::milliseconds idle)
{
    EXPECT_EQ(headwind_without(without, pair.a, "add --name f --dev va " + impairment).status, 0);
    Flow flow;
    flow.count = 500;
    flow.per_second = 20'000;
    const auto count = send_and_receive(pair.a, pair.b, target, flow, idle).size();
    EXPECT_EQ(count + line_of(pair.a).dropped_packets, 500U) << "what the line loses is counted";
    EXPECT_EQ(headwind(pair.a, "clear").status, 0);
    return count;
}

TEST(GuestLine, HoldsManyPacketsOfOneFlow)
{
    const Pair pair;
    EXPECT_EQ(burst(pair, 0, "--delay 200ms", 1s), 500U);
    EXPECT_LT(burst(pair, HW_WORKAROUND_FQ, "--delay 200ms", 1s), 500U);
}

TEST(GuestLine, HoldsLongerThanTenSeconds)
{
    const Pair pair;
    EXPECT_EQ(burst(pair, 0, "--delay 15s", 17s), 500U);
    EXPECT_EQ(burst(pair, HW_WORKAROUND_FQ, "--delay 15s", 17s), 0U);
}

std::uint64_t available_memory()  // bytes
{
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
    return 0;
}

TEST(GuestLine, FloodStaysUnderMaxHeld)
{
    const Pair pair;
    ASSERT_EQ(headwind(pair.a, "add --name h --dev va --remote-port 7000 --delay 10s").status, 0);
    const auto before = available_memory();
    Flow flow;
    flow.count = 150'000;
    flow.size = 1400;
    flow.per_second = 1'000'000;
    const auto sent = send_udp(pair.a, target, flow);
    const auto taken = static_cast<std::int64_t>(before) - static_cast<std::int64_t>(available_memory());
    const auto line = line_of(pair.a);
    const auto dropped = counters_of(pair.a, "h").held;
    std::printf("flood of %zu: %zu packets held, %zu bytes counted, %.1f MB of memory taken, %zu dropped\n",
                sent.packets, line.held_packets, line.held_bytes, static_cast<double>(taken) / 1e6, dropped);
    EXPECT_EQ(sent.failed, 0U);
    EXPECT_LE(line.held_bytes, 256U << 20);
    EXPECT_GT(line.held_bytes, (256U << 20) / 10 * 9);
    EXPECT_LT(taken, 256 << 20);
    EXPECT_EQ(line.held_packets + dropped, flow.count);

    const Endpoint other{Pair::b4, 7001};
    change(pair.a, "add --name o --dev va --remote-port 7001 --delay 1ms");
    const auto others = delays(send_and_receive(pair.a, pair.b, other, {.count = 50, .per_second = 100}, 500ms));
    EXPECT_EQ(others.size(), 50U) << "a flood under one rule takes nothing from another";
    for (const auto delay : others) EXPECT_LT(delay, 2'000'000);
    std::this_thread::sleep_for(11s);
    EXPECT_EQ(line_of(pair.a).held_bytes, 0U);
}

}  // namespace
}  // namespace headwind::test::line_test
