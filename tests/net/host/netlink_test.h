// SPDX-License-Identifier: MIT
// Shared by the netlink tests. Each has a network namespace of its own, left (and with it destroyed) when the test or
// the process ends. iproute2 prepares what is to be found, and is the second opinion on what was set.
#pragma once

#include "host/netlink.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <net/if.h>  // before the kernel's headers, which give way to it
#include <net/if_arp.h>
#include <netinet/in.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/netlink_request.h"

namespace headwind::netlink::test {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Bytes = std::vector<std::uint8_t>;

inline bool run(const std::string& command)
{
    return std::system((command + " 2>/dev/null").c_str()) == 0;
}

inline std::string output_of(const std::string& command)
{
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string text;
    std::array<char, 4096> chunk{};
    while (pipe && std::fgets(chunk.data(), chunk.size(), pipe.get()) != nullptr) text += chunk.data();
    return text;
}

inline std::string content_of(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<Link> all_links()
{
    auto links = list_links();
    EXPECT_TRUE(links) << links.error().message;
    return links ? *links : std::vector<Link>();
}

inline std::optional<Link> find_link(const std::string& name)
{
    for (const Link& link : all_links()) {
        if (link.name == name) return link;
    }
    return std::nullopt;
}

inline Link link_named(const std::string& name)
{
    const auto link = find_link(name);
    EXPECT_TRUE(link) << "no " << name;
    return link.value_or(Link());
}

// The value of an attribute of a link; nullopt: this kernel does not tell it.
inline std::optional<std::uint32_t> link_value(int index, unsigned attribute)
{
    Request request(RTM_GETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    const auto answer = send(request);
    EXPECT_TRUE(answer && answer->size() == 1);
    if (!answer || answer->empty()) return std::nullopt;
    const nlattr* found = find_attribute(answer->front().get(), sizeof(ifinfomsg), attribute);
    if (found == nullptr) return std::nullopt;
    return value_of<std::uint32_t>(found);
}

inline std::size_t open_files()
{
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

// Waits until a device is operational: the end of a veth pair that came up first drops everything until then.
inline void wait_until_operational(int index)
{
    constexpr std::uint32_t up = 6;  // IF_OPER_UP
    for (int tries = 0; tries < 5000 && link_value(index, IFLA_OPERSTATE) != up; ++tries) usleep(1000);
    EXPECT_EQ(link_value(index, IFLA_OPERSTATE), up);
}

class NetlinkTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) GTEST_SKIP() << "needs root";
        home_.emplace(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        ASSERT_TRUE(*home_) << std::strerror(errno);
        ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    }

    void TearDown() override
    {
        if (!home_) return;
        ASSERT_EQ(setns(home_->get(), CLONE_NEWNET), 0) << std::strerror(errno);
    }

    // Makes a plain veth pair, a and b, and sets it up.
    void make_pair(const std::string& options = "")
    {
        ASSERT_TRUE(run("ip link add name a " + options + " type veth peer name b"));
        ASSERT_TRUE(run("ip link set dev a up && ip link set dev b up"));
        a_ = link_named("a").index;
        b_ = link_named("b").index;
        wait_until_operational(a_);
        wait_until_operational(b_);
    }

    int a_ = 0, b_ = 0;

private:
    std::optional<Fd> home_;
};

// struct virtio_net_hdr in the byte order of the host; linux/virtio_net.h cannot be compiled as C++.
struct OffloadHeader {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;
    std::uint16_t csum_offset = 0;
};
static_assert(sizeof(OffloadHeader) == 10);
constexpr std::uint8_t needs_csum = 1;  // in flags
constexpr std::uint8_t gso_tcp4 = 1;    // in gso_type

// A raw frame, with the offload facts the kernel knows of it.
struct Frame {
    OffloadHeader offload;
    Bytes bytes;
};

class PacketSocket {
public:
    explicit PacketSocket(int index) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0))
    {
        const int on = 1;
        const int room = 8 * 1024 * 1024;
        EXPECT_EQ(setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0) << std::strerror(errno);
        EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0) << std::strerror(errno);
        EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)), 0) << std::strerror(errno);
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = index;
        EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    }

    void send(const Frame& frame) const
    {
        Bytes data(sizeof(frame.offload) + frame.bytes.size());
        std::memcpy(data.data(), &frame.offload, sizeof(frame.offload));
        std::copy(frame.bytes.begin(), frame.bytes.end(), data.begin() + sizeof(frame.offload));
        EXPECT_EQ(::send(fd_.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()))
            << std::strerror(errno);
    }

    // The IPv4 frames that come within `wait_ms` of each other, at most `limit`.
    std::vector<Frame> receive(std::size_t limit, int wait_ms = 500) const
    {
        std::vector<Frame> frames;
        pollfd waiting{fd_.get(), POLLIN, 0};
        while (frames.size() < limit && poll(&waiting, 1, wait_ms) == 1) {
            Bytes data(128UL * 1024);
            const ssize_t length = recv(fd_.get(), data.data(), data.size(), 0);
            if (length < static_cast<ssize_t>(sizeof(OffloadHeader) + ETH_HLEN)) break;
            Frame frame;
            std::memcpy(&frame.offload, data.data(), sizeof(frame.offload));
            frame.bytes.assign(data.begin() + sizeof(frame.offload), data.begin() + length);
            if (frame.bytes[12] == 8 && frame.bytes[13] == 0) frames.push_back(frame);
        }
        return frames;
    }

private:
    Fd fd_;
};

constexpr std::size_t ip_at = ETH_HLEN;
constexpr std::size_t tcp_at = ip_at + 20;
constexpr std::size_t payload_at = tcp_at + 20;

inline void put16(Bytes& bytes, std::size_t at, std::size_t value)
{
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

// Ones' complement sum of 16-bit words, folded, not inverted.
inline std::uint32_t internet_sum(const Bytes& bytes, std::size_t first, std::size_t end, std::uint32_t sum = 0)
{
    for (std::size_t i = first; i < end; i += 2) {
        sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < end ? bytes[i + 1] : 0U);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

// The sum of source, destination, protocol, and length of what follows the IP header.
inline std::uint32_t pseudo_header_sum(const Bytes& bytes)
{
    const auto rest = static_cast<std::uint32_t>(bytes.size() - tcp_at);
    return internet_sum(bytes, ip_at + 12, ip_at + 20, IPPROTO_TCP + rest);
}

// A TCP segment whose checksum is left to its sender.
inline Bytes tcp_frame(std::size_t payload)
{
    Bytes bytes(payload_at + payload, 0x5a);
    std::fill_n(bytes.begin(), payload_at, std::uint8_t{0});
    bytes[0] = bytes[6] = 2;  // locally administered addresses
    put16(bytes, 12, ETH_P_IP);
    bytes[ip_at] = 0x45;
    put16(bytes, ip_at + 2, bytes.size() - ip_at);
    bytes[ip_at + 8] = 64;
    bytes[ip_at + 9] = IPPROTO_TCP;
    bytes[ip_at + 12] = bytes[ip_at + 16] = 10;
    bytes[ip_at + 19] = 1;
    put16(bytes, ip_at + 10, ~internet_sum(bytes, ip_at, tcp_at));
    put16(bytes, tcp_at, 1234);
    put16(bytes, tcp_at + 2, 5678);
    bytes[tcp_at + 12] = 0x50;
    bytes[tcp_at + 13] = 0x10;
    put16(bytes, tcp_at + 16, pseudo_header_sum(bytes));
    return bytes;
}

inline bool tcp_checksum_is_right(const Bytes& bytes)
{
    return internet_sum(bytes, tcp_at, bytes.size(), pseudo_header_sum(bytes)) == 0xffff;
}

inline Frame super_packet(std::size_t payload, std::uint16_t segment)
{
    Frame frame{{}, tcp_frame(payload)};
    frame.offload.flags = needs_csum;
    frame.offload.gso_type = gso_tcp4;
    frame.offload.hdr_len = payload_at;
    frame.offload.gso_size = segment;
    frame.offload.csum_start = tcp_at;
    frame.offload.csum_offset = 16;
    return frame;
}

}  // namespace headwind::netlink::test
