// SPDX-License-Identifier: MIT
// Tests super-packets that a virtual machine hands over through a tap device.
//
// They have gso_segs 0, and are forwarded, not local. Each of their wire packets must be decided on its own.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <set>

#include "net_test.h"
#include "tap.h"
#include "verify/statistics.h"

namespace headwind::test::tap_test {
namespace {

constexpr std::size_t segment_bytes = 1000, segments = 10;
constexpr std::size_t header_bytes = sizeof(ethhdr) + sizeof(iphdr) + sizeof(tcphdr);
constexpr const char* guest_address = "10.79.0.2";

// struct virtio_net_hdr (virtio 1.2, 5.1.6); <linux/virtio_net.h> cannot be compiled as C++.
struct virtio_net_hdr {
    std::uint8_t flags, gso_type;
    std::uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
constexpr std::uint8_t needs_checksum = 1, gso_tcpv4 = 1;

#pragma pack(push, 1)
struct SuperPacket {
    virtio_net_hdr offload;
    ethhdr ethernet;
    iphdr ip;
    tcphdr tcp;
    std::array<char, segment_bytes * segments> payload;
};
#pragma pack(pop)

std::uint16_t fold(std::uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

std::uint32_t sum_words(const void* data, std::size_t bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < bytes; i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, static_cast<const char*>(data) + i, sizeof(word));
        sum += word;
    }
    return sum;
}

SuperPacket super_packet(const std::array<unsigned char, 6>& to, std::uint32_t sequence)
{
    SuperPacket out{};
    out.offload.flags = needs_checksum;
    out.offload.gso_type = gso_tcpv4;
    out.offload.hdr_len = header_bytes;
    out.offload.gso_size = segment_bytes;
    out.offload.csum_start = sizeof(ethhdr) + sizeof(iphdr);
    out.offload.csum_offset = offsetof(tcphdr, check);
    std::memcpy(out.ethernet.h_dest, to.data(), to.size());
    out.ethernet.h_source[0] = 2;
    out.ethernet.h_proto = htons(ETH_P_IP);
    out.ip.version = 4;
    out.ip.ihl = 5;
    out.ip.tot_len = htons(sizeof(out) - sizeof(out.offload) - sizeof(out.ethernet));
    out.ip.ttl = 64;
    out.ip.protocol = IPPROTO_TCP;
    inet_pton(AF_INET, guest_address, &out.ip.saddr);
    inet_pton(AF_INET, Pair::b4, &out.ip.daddr);
    out.ip.check = static_cast<std::uint16_t>(~fold(sum_words(&out.ip, sizeof(out.ip))));
    out.tcp.source = htons(1000);
    out.tcp.dest = htons(2000);
    out.tcp.seq = htonl(sequence);
    out.tcp.doff = 5;
    out.tcp.ack = 1;
    // The checksum field holds the sum of the pseudo-header; the kernel adds the rest.
    out.tcp.check = fold(sum_words(&out.ip.saddr, 8) + htons(IPPROTO_TCP) +
                         htons(static_cast<std::uint16_t>(sizeof(tcphdr) + out.payload.size())));
    return out;
}

Fd sniffer(const Namespace& where)
{
    const Inside inside(where);
    Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_IP);
    at.sll_ifindex = static_cast<int>(if_nametoindex(Pair::device_b));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    const int room = 64 << 20;
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
    return fd;
}

enum class Arrive { as_wire_packets, as_they_are };

// Adds the sequence numbers of our TCP segments that have arrived, with those inside of super-packets for as_they_are.
void collect(const Fd& fd, Arrive how, std::set<std::uint32_t>& sequences)
{
    std::array<char, 65536> frame{};
    for (ssize_t size = 0; (size = recv(fd.get(), frame.data(), frame.size(), 0)) > 0;) {
        iphdr ip{};
        tcphdr tcp{};
        std::memcpy(&ip, frame.data() + sizeof(ethhdr), sizeof(ip));
        if (ip.protocol != IPPROTO_TCP || ip.daddr != inet_addr(Pair::b4)) continue;
        std::memcpy(&tcp, frame.data() + sizeof(ethhdr) + sizeof(ip), sizeof(tcp));
        const auto payload = static_cast<std::size_t>(size) - header_bytes;
        if (how == Arrive::as_wire_packets) {
            EXPECT_EQ(payload, segment_bytes);
        }
        for (std::uint32_t at = 0; at < payload; at += segment_bytes) sequences.insert(ntohl(tcp.seq) + at);
    }
}

class NetTap : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        tap_ = open_tap(a(), true);
        ip(a(), "address add 10.79.0.1/24 dev tap0\nlink set tap0 up");
        expect_ok(run(&a(), {"sysctl", "-qw", "net.ipv4.ip_forward=1"}));
        ip(b(), std::string("route add 10.79.0.0/24 via ") + Pair::a4);
    }

    // Forwards super-packets from the tap to b, and returns the sequence numbers of the segments that arrive.
    std::set<std::uint32_t> forward(std::size_t count, Arrive how = Arrive::as_wire_packets) const
    {
        const auto capture = sniffer(b());
        std::set<std::uint32_t> arrived;
        for (std::uint32_t i = 0; i < count; ++i) {
            const auto packet = super_packet(tap_.address, i * segment_bytes * segments);
            EXPECT_EQ(write(tap_.fd.get(), &packet, sizeof(packet)), static_cast<ssize_t>(sizeof(packet)));
            if (i % 20 == 19) wait_for_backlogs();
            collect(capture, how, arrived);
        }
        EXPECT_TRUE(eventually([] { return packets_in_backlogs() == 0; }));
        usleep(200'000);  // what fq holds
        collect(capture, how, arrived);
        return arrived;
    }

private:
    Tap tap_;
};

RUNS_IN("NetTap.*", native, linux_6_1);
RUNS_IN("NetTap.Delay*", native | linux_6_1);

TEST_F(NetTap, LossDecidesEachWirePacketOfASuperPacket)
{
    const std::size_t count = scaled(1000, 300), wire = count * segments;
    change(a(), "add --name t --dev va --proto tcp --remote-port 2000 --loss 20%");
    const auto arrived = forward(count, Arrive::as_they_are);  // super-packets without an event stay whole
    const auto counters = counters_of(a(), "t");
    EXPECT_EQ(counters.packets, wire);
    EXPECT_EQ(counters.bytes, wire * (header_bytes + segment_bytes));
    EXPECT_EQ(arrived.size() + counters.loss, wire);
    EXPECT_GT(statistics::binomial_p_value(counters.loss, wire, 0.2), 1e-6);
}

TEST_F(NetTap, PartitionCountsWirePackets)
{
    change(a(), "add --name t --dev va --proto tcp --remote-port 2000 --partition --direction out");
    EXPECT_TRUE(forward(100).empty());
    EXPECT_EQ(counters_of(a(), "t").partition, 100 * segments);
    EXPECT_EQ(counters_of(a(), "t").bytes, 100 * segments * (header_bytes + segment_bytes));
}

TEST_F(NetTap, DelayKeepsThemWhole)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name t --dev va --proto tcp --remote-port 2000 --delay 5ms");
    EXPECT_EQ(forward(100, Arrive::as_they_are).size(), 100 * segments);
    EXPECT_EQ(counters_of(a(), "t").delayed, 100 * segments);
}

}  // namespace
}  // namespace headwind::test::tap_test
