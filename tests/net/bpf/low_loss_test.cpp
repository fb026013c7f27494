// SPDX-License-Identifier: MIT
// Tests rare events, which hit as many wire packets as asked.
//
// Super-packets without an event stay whole, and packets keep their order although some take the way that cuts them.
#include "net_test.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <numeric>

#include <headwind/testing.h>

#include "verify/statistics.h"

namespace headwind::test::low_loss_test {
namespace {

std::uint64_t sent_packets(const Namespace& where, const std::string& device)
{
    const auto output = run(&where, {"ip", "-j", "-s", "link", "show", device});
    const auto links = nlohmann::json::parse(output.out, nullptr, false);
    if (!links.is_array() || links.empty()) {
        ADD_FAILURE() << device << ": " << output.err;
        return 0;
    }
    return links[0]["stats64"]["tx"]["packets"];
}

// Watches the order in which a device sends TCP packets, from all CPUs. Each packet, also one that is sent again,
// carries a number from its sender: the IP identification.
class OrderWatch {
public:
    OrderWatch(const Namespace& where, const std::string& device)
    {
        const Inside inside(where);
        socket_ = Fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)));
        sockaddr_ll at{};
        at.sll_family = AF_PACKET;
        at.sll_protocol = htons(ETH_P_ALL);
        at.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
        EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
        const int room = 1 << 30;
        EXPECT_EQ(setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
        thread_ = std::thread([this] { watch(); });
    }
    OrderWatch(const OrderWatch&) = delete;
    OrderWatch& operator=(const OrderWatch&) = delete;
    ~OrderWatch() { end(); }

    struct Seen {
        std::uint64_t buffers = 0;  // a super-packet is one buffer
        std::uint64_t late = 0;     // packets that came after one that was sent later
        std::uint64_t missed = 0;   // packets that this socket missed
    };
    Seen end()
    {
        stop_ = true;
        if (!thread_.joinable()) return seen_;
        thread_.join();
        tpacket_stats stats{};
        socklen_t size = sizeof(stats);
        getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size);
        seen_.missed = stats.tp_drops;
        return seen_;
    }

private:
    void watch()
    {
        std::uint16_t highest = 0;
        pollfd waiting{socket_.get(), POLLIN, 0};
        while (poll(&waiting, 1, 50) == 1 || !stop_) {
            iphdr ip{};
            sockaddr_ll from{};
            socklen_t size = sizeof(from);
            if (recvfrom(socket_.get(), &ip, sizeof(ip), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size) < 0 ||
                from.sll_pkttype != PACKET_OUTGOING || from.sll_protocol != htons(ETH_P_IP) ||
                ip.protocol != IPPROTO_TCP || (ntohs(ip.frag_off) & 0x3fff) != 0)
                continue;
            const auto number = ntohs(ip.id);
            const auto ahead = static_cast<std::int16_t>(number - highest);
            if (seen_.buffers++ != 0 && ahead < 0)
                ++seen_.late;
            else
                highest = number;
        }
    }

    Fd socket_;
    std::atomic<bool> stop_{false};
    Seen seen_;
    std::thread thread_;
};

class LowLoss : public PairTest {
protected:
    void expect_loss(const std::string& probability, double p, std::uint64_t bytes, double largest_detour) const
    {
        quicken_tcp();
        const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
        change(a(), "add --name rare --proto tcp --loss " + probability);
        const auto before = sent_packets(a(), Pair::device_a);
        const auto result = send_tcp(connection, bytes);
        EXPECT_EQ(result.error, "");
        const auto counters = counters_of(a(), "rare");
        const auto detour = sent_packets(a(), "headwind2");
        const auto buffers = sent_packets(a(), Pair::device_a) - before;
        RecordProperty("result", fmt::format("{} lost of {}, {} by way of headwind2, {} buffers, {:.1f} s",
                                             counters.loss, counters.packets, detour, buffers, result.seconds));
        EXPECT_EQ(counters.packets, result.segments_out);
        EXPECT_GT(statistics::binomial_p_value(counters.loss, counters.packets, p), alpha)
            << counters.loss << " of " << counters.packets;
        EXPECT_GT(detour, counters.loss) << "the super-packets of which one was lost were cut";
        EXPECT_LT(static_cast<double>(detour), largest_detour * static_cast<double>(counters.packets));
        EXPECT_LT(buffers, counters.packets / 2) << "super-packets";
    }
    OrderWatch::Seen order_of_transfer() const
    {
        OrderWatch watch(a(), Pair::device_a);
        EXPECT_EQ(transfer_tcp(a(), b(), {Pair::b4, 5001}, scaled(250'000'000, 20'000'000)).error, "");
        return watch.end();
    }
};

TEST_F(LowLoss, OneInTenThousand)
{
    expect_loss("0.01%", 1e-4, scaled(1'500'000'000, 20'000'000), 0.1);
}

TEST_F(LowLoss, OneInAThousand)
{
    expect_loss("0.1%", 1e-3, scaled(500'000'000, 20'000'000), 0.5);
}

// A sender may move from CPU to CPU; still its packets leave the device in the order in which it sent them, as without
// Headwind.
TEST_F(LowLoss, WhatIsSentKeepsItsOrderOnAllCpus)
{
    quicken_tcp();
    for (const char* impairment : {"--loss 0.1%", "--duplicate 0.1%", "--corrupt 0.1%"}) {
        change(a(), std::string("add --name rare --proto tcp ") + impairment);
        const auto seen = order_of_transfer();
        change(a(), "clear");
        RecordProperty(impairment, fmt::format("{} of {}, {} missed", seen.late, seen.buffers, seen.missed));
        EXPECT_GT(seen.buffers, scaled(5'000, 100));
        EXPECT_EQ(seen.late, 0U) << impairment << ", of " << seen.buffers;
    }
}

// Counts the UDP packets that a device sends, by CPU and by what they carry.
class CpuWatch {
public:
    CpuWatch(const Namespace& where, const std::string& device)
    {
        const Inside inside(where);
        for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) {
            auto& socket = sockets_.emplace_back(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)));
            sockaddr_ll at{};
            at.sll_family = AF_PACKET;
            at.sll_protocol = htons(ETH_P_ALL);
            at.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
            EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
            const int room = 64 << 20;
            EXPECT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
            const int by_cpu = PACKET_FANOUT_CPU << 16 | 1;  // the n-th socket that joins has the packets of CPU n
            EXPECT_EQ(setsockopt(socket.get(), SOL_PACKET, PACKET_FANOUT, &by_cpu, sizeof(by_cpu)), 0)
                << std::strerror(errno);
        }
    }
    // Of packets whose payload has that size: by CPU.
    std::vector<std::uint64_t> sent(std::size_t payload) const
    {
        std::vector<std::uint64_t> count;
        for (const auto& socket : sockets_) {
            count.push_back(0);
            iphdr ip{};
            sockaddr_ll from{};
            for (socklen_t size = sizeof(from);
                 recvfrom(socket.get(), &ip, sizeof(ip), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size) >= 0;
                 size = sizeof(from))
                count.back() += from.sll_pkttype == PACKET_OUTGOING && ip.protocol == IPPROTO_UDP &&
                                        ntohs(ip.tot_len) == sizeof(iphdr) + sizeof(udphdr) + payload
                                    ? 1U
                                    : 0U;
        }
        return count;
    }

private:
    std::vector<Fd> sockets_;
};

// A flow may send from several CPUs (TCP from its caller's and from the one that handles its ACKs), and the veth behind
// the device has a backlog for each CPU, where what is cut waits while others of its flow pass. One CPU sends it on.
class LowLossOut : public LowLoss {
protected:
    // The number of wire packets that the device sent from each CPU, of super-packets sent from all in turn.
    std::vector<std::uint64_t> sent_by_cpu(unsigned without) const
    {
        constexpr std::size_t segments = 10, size = 100;
        change_without(without, a(), "add --name often --proto udp --duplicate 20%");
        const CpuWatch watch(a(), Pair::device_a);
        UdpSink sink(b(), {Pair::b4, 5000});
        const auto socket = connected_udp(a(), {Pair::b4, 5000});
        const int segment = size;
        EXPECT_EQ(setsockopt(socket.get(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
        for (unsigned n = 0; n < 200; ++n) {
            const OnCpu one(n % std::thread::hardware_concurrency());
            send_udp(socket.get(), {.count = segments, .size = size, .segments = segments});
        }
        sink.finish();
        EXPECT_GT(counters_of(a(), "often").duplicated, 200U);
        change(a(), "clear");
        return watch.sent(size);
    }
};

TEST_F(LowLossOut, WhatIsCutIsSentByOneCpuWhicheverItCameFrom)
{
    if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "one CPU";
    const auto of_others = [](const std::vector<std::uint64_t>& by_cpu) {
        return std::accumulate(by_cpu.begin(), by_cpu.end(), std::uint64_t{}) -
               *std::max_element(by_cpu.begin(), by_cpu.end());
    };
    EXPECT_EQ(of_others(sent_by_cpu(0)), 0U);
    EXPECT_GT(of_others(sent_by_cpu(HW_WORKAROUND_STEER)), 200U);
}

// Packets that are received, again on one CPU, as a NIC's queue belongs to one. The event is duplication, since a
// receiver tells duplicates from late packets.
class LowLossIn : public LowLoss {
protected:
    // The number of late packets in one transfer in which packets are duplicated.
    std::uint64_t late_of_transfer(unsigned without) const
    {
        change_without(without, b(), "add --name rare --proto tcp --direction in --duplicate 0.1%");
        const auto before = stack_count(b(), "TcpExtTCPOFOQueue");
        EXPECT_EQ(transfer_tcp(a(), b(), {Pair::b4, 5001}, scaled(500'000'000, 20'000'000)).error, "");
        const auto late = stack_count(b(), "TcpExtTCPOFOQueue") - before;
        EXPECT_GT(counters_of(b(), "rare", "in").duplicated, scaled(100, 2));
        change(b(), "clear");
        return late;
    }
    const OnCpu one{0};
};

TEST_F(LowLossIn, WhatIsReceivedKeepsItsOrder)
{
    EXPECT_EQ(late_of_transfer(0), 0U);
}

TEST_F(LowLossIn, WithoutFollowingWhatWasCutItDoesNot)
{
    bool late = false;
    for (int transfers = 0; transfers < 50 && !late; ++transfers) late = late_of_transfer(HW_WORKAROUND_ORDER) > 0;
    EXPECT_TRUE(late);
}

}  // namespace
}  // namespace headwind::test::low_loss_test
