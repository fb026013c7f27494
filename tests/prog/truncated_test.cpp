// SPDX-License-Identifier: MIT
// Tests packets that end too early, that are noise, or whose headers are in pieces: they match or pass, nothing else.
#include <random>

#include <gtest/gtest.h>

#include <net/if.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::truncated_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::udp;

constexpr std::size_t ethernet = 14;

constexpr std::size_t never = SIZE_MAX;

struct Sample {
    const char* what;
    Layer layer;
    std::size_t addresses, ports;  // bytes after the Ethernet header without which these are not known
};

std::vector<Sample> samples()
{
    const auto ports = udp(1000, 2000, payload(8));
    return {
        {"UDP", ipv4({}, ports), 20, 24},
        {"TCP", ipv4({}, packets::tcp(1000, 2000, payload(8), 3)), 20, 24},
        {"ICMP", ipv4({}, packets::icmp(8)), 20, never},
        {"IPv4 options", ipv4({.option_words = 10}, ports), 20, 64},
        {"IPv4 later fragment", ipv4({.option_words = 10, .fragment_offset = 9}, ports), 20, never},
        {"IPv6 UDP", ipv6({}, ports), 40, 44},
        {"IPv6 ESP", ipv6({}, packets::raw(50, Bytes(16))), 40, never},
        {"ICMPv6", ipv6({}, packets::icmpv6(128)), 40, never},
        {"IPv6 extensions", ipv6({}, packets::extension(0, packets::extension(60, ports), 2)), 40, 40 + 24 + 8 + 4},
        {"IPv6 first fragment", ipv6({}, packets::fragment({.identification = 1}, ports)), 40, 52},
        {"IPv6 later fragment", ipv6({}, packets::fragment({.offset = 1}, ports)), 40, never},
        {"VLAN", packets::vlan(7, ipv4({}, ports)), 4 + 20, 4 + 24},
        {"QinQ", packets::vlan(7, packets::vlan(8, ipv6({}, ports)), 0x88a8), 8 + 40, 8 + 44},
        {"LLDP", packets::lldp(), never, never},
        {"LLC", packets::llc(), never, never},
    };
}

// What of a packet is known from so many bytes on is matched from there on. A rule for everything takes them all.
TEST(Truncated, PacketsAreMatchedAsWhatIsKnownOfThem)
{
    Datapath datapath;
    const auto all = datapath.add("--partition");
    const auto by_address = datapath.add("--partition --remote 10.0.0.0/24,2001:db8::/32 --direction both");
    const auto by_port = datapath.add("--partition --port 2000 --priority 1");
    for (const auto& [what, layer, addresses, ports] : samples()) {
        const auto packet = frame(layer);
        for (auto length = static_cast<std::uint32_t>(ethernet); length <= packet.size(); ++length) {
            Arrival arrival;
            arrival.length = length;
            const auto expected = ports != never && length - ethernet >= ports           ? by_port
                                  : addresses != never && length - ethernet >= addresses ? by_address
                                                                                         : all;
            for (const auto hook : {Hook::egress, Hook::ingress}) {
                const auto direction = hook == Hook::egress ? HW_OUT : HW_IN;
                const auto before = datapath.counters(expected, direction).packets;
                EXPECT_EQ(datapath.run(hook, packet, arrival).verdict, dropped_at(hook)) << what << ", " << length;
                EXPECT_EQ(datapath.counters(expected, direction).packets, before + 1)
                    << what << ", " << length << " bytes";
            }
        }
    }
}

// What can no longer be told from other packets is no longer spared.
TEST(Truncated, Classes)
{
    Datapath datapath;
    datapath.add("--proto arp,nd,dhcp --partition");
    const std::pair<Layer, std::size_t> members[] = {
        {packets::arp(), 0},  // the EtherType says it all
        {packets::neighbour(135), 41},
        {packets::dhcp_discover(), 20 + 8 + 240},
        {packets::dhcpv6_solicit(), 40 + 8 + 1},
    };
    for (const auto& [layer, needed] : members) {
        const auto packet = frame(layer);
        for (auto length = static_cast<std::uint32_t>(ethernet); length <= ethernet + 280; ++length) {
            if (length > packet.size()) break;
            Arrival arrival;
            arrival.length = length;
            EXPECT_EQ(datapath.run(Hook::egress, packet, arrival).verdict, length >= ethernet + needed ? stolen : next)
                << layer.number << ", " << length << " bytes";
        }
    }
}

TEST(Garbage, MatchesOrPasses)
{
    Datapath datapath;
    datapath.add("--partition");
    datapath.add("--remote-port 1-100 --loss 50%");
    datapath.add("--proto arp,nd,dhcp --partition");
    datapath.add("--remote ::/1 --pass");
    std::mt19937 random(42);
    const auto valid = samples();
    const std::uint16_t protocols[] = {0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x88cc, 0x0040};
    unsigned taken = 0, passed = 0;
    const auto feed = [&](const Bytes& packet) {
        for (const auto hook : {Hook::egress, Hook::ingress}) {
            const int verdict = datapath.run(hook, packet).verdict;
            ASSERT_TRUE(verdict == next || verdict == dropped_at(hook)) << verdict;
            ++(verdict == next ? passed : taken);
        }
    };
    for (int i = 0; i < 20'000; ++i) {
        Layer noise{protocols[random() % std::size(protocols)], Bytes(60 + random() % 200)};
        for (auto& byte : noise.bytes) byte = static_cast<std::uint8_t>(random() % 3 == 0 ? 0 : random());
        if (random() % 2) noise.bytes[0] = noise.number == 0x86dd ? 0x60 : 0x45;
        feed(frame(noise));
        auto damaged = frame(valid[random() % valid.size()].layer);
        for (int bit = 0; bit < 4; ++bit) {
            auto& byte = damaged[ethernet + random() % (damaged.size() - ethernet)];
            byte = static_cast<std::uint8_t>(byte ^ 1U << random() % 8);
        }
        damaged.resize(std::max<std::size_t>(damaged.size(), 80));
        feed(damaged);
    }
    EXPECT_GT(taken, 1000U);
    EXPECT_GT(passed, 1000U);
}

// ---- headers outside the linear part: packet sockets make such packets, test_run only since Linux 6.19 ----

class Scattered : public testing::Test {
protected:
    Scattered()
    {
        datapath.add_device("veth", static_cast<unsigned>(line.cut), HW_DEVICE_DEFAULT);
        hook_.sz = sizeof(hook_);
        hook_.ifindex = line.cut;
        hook_.attach_point = BPF_TC_EGRESS;
        bpf_tc_opts options{};
        options.sz = sizeof(options);
        options.prog_fd = datapath.program(Hook::egress);
        EXPECT_EQ(bpf_tc_hook_create(&hook_), 0);
        EXPECT_EQ(bpf_tc_attach(&hook_, &options), 0);
    }
    // Sends more than a page, so that the kernel puts all but the Ethernet header into fragments.
    void send(const Layer& layer)
    {
        auto packet = frame(layer);
        packet.resize(8000);
        const Fd socket(::socket(AF_PACKET, SOCK_RAW, 0));
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_ifindex = line.cut;
        to.sll_protocol = htons(layer.number);
        const auto sent =
            sendto(socket.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
        ASSERT_EQ(sent, 8000) << std::strerror(errno);
    }

    Line line;
    Datapath datapath;

private:
    bpf_tc_hook hook_{};
};

TEST_F(Scattered, HeadersInFragmentsAreFound)
{
    const auto ports = udp(1000, 2000, payload(8));
    const Layer layers[] = {
        ipv4({}, ports),
        ipv4({.option_words = 10}, ports),
        ipv6({}, ports),
        ipv6({}, packets::extension(0, packets::extension(60, ports), 2)),
        packets::vlan(7, ipv4({}, ports)),
    };
    const auto id = datapath.add("--remote-port 2000 --partition");
    const auto other = datapath.add("--partition");
    std::uint64_t count = 0;
    for (const auto& layer : layers) {
        send(layer);
        EXPECT_EQ(datapath.counters(id).packets, ++count) << "EtherType " << layer.number;
    }
    send(ipv4({}, udp(2000, 1000)));
    EXPECT_EQ(datapath.counters(other).packets, 1U);
    EXPECT_EQ(datapath.counters(id).bytes, count * 8000);
    EXPECT_EQ(line.sent_to_cut(), 0U) << "all were dropped";
}

}  // namespace
}  // namespace headwind::prog::truncated_test
