// SPDX-License-Identifier: MIT
// Counters are exact even if several CPUs send at once; and a rule is replaced in one instant.
#include "net_test.h"

namespace headwind::test::counter_test {
namespace {

constexpr std::size_t udp4_headers = 14 + 20 + 8, udp6_headers = 14 + 40 + 8;

class Counting : public PairTest {
protected:
    // Sends from two threads, each on a CPU of its own, as fast as `flow` says. Returns the number of packets sent.
    std::size_t send_from_two_cpus(const Endpoint& to, const Flow& flow) const
    {
        std::atomic<std::size_t> sent{0};
        std::vector<std::thread> threads;
        for (std::uint32_t cpu = 0; cpu < 2; ++cpu) {
            threads.emplace_back([&, cpu] {
                const OnCpu pinned(cpu);
                Flow mine = flow;
                mine.sender = cpu;
                sent += send_udp(a(), to, mine).packets;
            });
        }
        for (auto& thread : threads) thread.join();
        return sent;
    }
};

TEST_F(Counting, UdpPacketsAndBytes)
{
    change(a(), "add --name count --pass --proto udp");
    EXPECT_EQ(arrive({.count = 1000, .size = 100}), 1000U);
    EXPECT_EQ(arrive({.count = 500, .size = 1400}, {Pair::b6, 5000}), 500U);
    const auto counters = counters_of(a(), "count");
    EXPECT_EQ(counters.packets, 1500U);
    EXPECT_EQ(counters.bytes, 1000 * (100 + udp4_headers) + 500 * (1400 + udp6_headers));
    EXPECT_EQ(counters_of(a(), "count", "in").packets, 0U);
}

TEST_F(Counting, UdpAtIngress)
{
    change(b(), "add --name count --pass --proto udp --direction in");
    EXPECT_EQ(arrive({.count = 1000, .size = 100}), 1000U);
    EXPECT_EQ(arrive({.count = 2000, .size = 1000, .segments = 20}), 2000U);
    const auto counters = counters_of(b(), "count", "in");
    EXPECT_EQ(counters.packets, 3000U);
    EXPECT_EQ(counters.bytes, 1000 * (100 + udp4_headers) + 2000 * (1000 + udp4_headers));
}

// Waits until these rules have counted what TCP of the namespace has sent since it had sent `before`: TIME_WAIT, which
// is no socket any more, may still answer.
void expect_all_counted(const Namespace& sender, const std::vector<std::string>& rules, std::uint64_t before)
{
    std::uint64_t counted = 0, sent = 0;
    const bool equal = eventually([&] {
        counted = 0;
        for (const auto& rule : rules) counted += counters_of(sender, rule).packets;
        sent = tcp_segments_out(sender) - before;
        return counted == sent;
    });
    EXPECT_TRUE(equal) << counted << " counted, " << sent << " sent";
}

// Segments have headers and timestamps, and SYNs more options.
void expect_bytes(const Counters& counters, const TcpResult& result, std::size_t ip_header, std::size_t syns = 1)
{
    constexpr std::size_t ethernet = 14, tcp = 20, timestamps = 12, more_in_syn = 8;
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(counters.bytes,
              result.bytes_sent + syns * more_in_syn + counters.packets * (ethernet + ip_header + tcp + timestamps));
}

TEST_F(Counting, TcpSuperPacketsAsWirePackets)
{
    change(a(), "add --name v4 --pass --proto tcp --remote 0.0.0.0/0");
    change(a(), "add --name v6 --pass --proto tcp --remote ::/0");
    const auto bytes = scaled(20'000'000, 2'000'000);
    const auto before = tcp_segments_out(a());
    const auto v4 = transfer_tcp(a(), b(), {Pair::b4, 5001}, bytes);
    const auto v6 = transfer_tcp(a(), b(), {Pair::b6, 5001}, bytes);
    expect_all_counted(a(), {"v4", "v6"}, before);
    expect_bytes(counters_of(a(), "v4"), v4, 20);
    expect_bytes(counters_of(a(), "v6"), v6, 40);
}

// Only data is lost here: a lost last ACK is sent again by TIME_WAIT, which no socket counts, and a lost SYN has longer
// options when the socket sends it again.
TEST_F(Counting, TcpWithLossAsWirePackets)
{
    const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
    change(a(), "add --name lossy --loss 0.5% --proto tcp");
    const auto before = tcp_segments_out(a());
    const auto result = send_tcp(connection, scaled(10'000'000, 1'000'000));
    expect_all_counted(a(), {"lossy"}, before);
    expect_bytes(counters_of(a(), "lossy"), result, 20, 0);
    EXPECT_GT(result.retransmits, 0U);
}

TEST_F(Counting, DroppedAndReceivedAreWhatTwoCpusSent)
{
    const std::size_t each = scaled(20'000, 3'000);
    change(a(), "add --name lossy --loss 50% --proto udp");
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto sent = send_from_two_cpus({Pair::b4, 5000}, {.count = each});
    const auto arrived = sink.finish().size();
    const auto counters = counters_of(a(), "lossy");
    EXPECT_EQ(sent, 2 * each);
    EXPECT_EQ(counters.packets, sent);
    EXPECT_EQ(counters.bytes, sent * (100 + udp4_headers));
    EXPECT_EQ(counters.loss + arrived, sent);
}

TEST_F(Counting, ExactAsFastAsTwoCpusCan)
{
    const std::size_t each = scaled(200'000, 10'000);
    change(a(), "add --name split --partition --proto udp --remote-port 5000");
    const auto sent = send_from_two_cpus({Pair::b4, 5000}, {.count = each, .per_second = 1'000'000'000});
    const auto counters = counters_of(a(), "split");
    EXPECT_EQ(counters.packets, sent);
    EXPECT_EQ(counters.partition, sent);
    EXPECT_EQ(counters.bytes, sent * (100 + udp4_headers));
}

TEST_F(Counting, NeverGoesBackWhileOtherRulesChange)
{
    change(a(), "add --name count --pass --proto udp");
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> sent{0};
    UdpSink sink(b(), {Pair::b4, 5000});
    std::thread sender([&] {
        sent = send_udp(a(), {Pair::b4, 5000},
                        {.count = 1'000'000, .per_second = slow_machine() ? 500U : 5000U, .stop = &stop})
                   .packets;
    });
    std::uint64_t last = 0;
    for (int i = 0; i < 10; ++i) {
        change(a(), "add --name other --replace --loss 1% --remote-port " + std::to_string(7000 + i));
        const auto now = counters_of(a(), "count").packets;
        EXPECT_GE(now, last);
        last = now;
    }
    stop = true;
    sender.join();
    EXPECT_EQ(sink.finish().size(), sent);
    EXPECT_EQ(counters_of(a(), "count").packets, sent);
}

TEST_F(Counting, ReplacingARuleLetsNoPacketThrough)
{
    const char* forms[] = {"--loss 100% --proto udp", "--partition --remote-port 5000 --direction out",
                           "--loss 100% --remote 10.77.0.0/24", "--partition --dev va"};
    change(a(), std::string("add --name r ") + forms[3]);
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> sent{0};
    UdpSink sink(b(), {Pair::b4, 5000});
    std::thread sender([&] {
        sent = send_udp(a(), {Pair::b4, 5000},
                        {.count = 10'000'000, .per_second = slow_machine() ? 2'000U : 20'000U, .stop = &stop})
                   .packets;
    });
    const std::size_t times = scaled(60, 16);
    for (std::size_t i = 0; i < times; ++i) change(a(), std::string("add --name r --replace ") + forms[i % 4]);
    stop = true;
    sender.join();
    EXPECT_GT(sent, scaled(10'000, 1'000));
    EXPECT_EQ(sink.finish().size(), 0U);
}

}  // namespace
}  // namespace headwind::test::counter_test
