// SPDX-License-Identifier: MIT
// Tests setting transmit offloads and GSO limits.
#include "netlink_test.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace headwind::netlink::test::netlink_offload_test {
namespace {

// Reads an offload with one of the older requests, each of which covers a group of features.
bool is_on(const std::string& name, std::uint32_t request)
{
    const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ethtool_value value{request, 0};
    ifreq ask{};
    name.copy(ask.ifr_name, IFNAMSIZ - 1);
    ask.ifr_data = reinterpret_cast<char*>(&value);
    EXPECT_EQ(ioctl(fd.get(), SIOCETHTOOL, &ask), 0) << std::strerror(errno);
    return value.data != 0;
}

TEST_F(NetlinkTest, TurnsTransmitOffloadsOff)
{
    make_pair();
    ASSERT_TRUE(is_on("a", ETHTOOL_GTSO));
    ASSERT_TRUE(is_on("a", ETHTOOL_GTXCSUM));
    const auto done = disable_transmit_offloads("a");
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_FALSE(is_on("a", ETHTOOL_GTSO));
    EXPECT_FALSE(is_on("a", ETHTOOL_GTXCSUM));
    EXPECT_TRUE(is_on("a", ETHTOOL_GGSO)) << "the kernel's own segmentation stays";
    EXPECT_TRUE(is_on("a", ETHTOOL_GSG));
    EXPECT_TRUE(is_on("b", ETHTOOL_GTSO)) << "the peer is left alone";
    EXPECT_TRUE(disable_transmit_offloads("a")) << "twice is as good as once";
}

// Fact 7 of the design: a packet that has crossed the line's first end is a wire packet with a checksum of its own.
TEST_F(NetlinkTest, SuperPacketsBecomeWirePackets)
{
    make_pair();
    const PacketSocket sender(a_), receiver(b_);
    sender.send(super_packet(6000, 1000));
    auto frames = receiver.receive(10);
    ASSERT_EQ(frames.size(), 1U) << "by default a veth pair passes super-packets whole";
    EXPECT_EQ(frames[0].offload.gso_size, 1000);
    EXPECT_NE(frames[0].offload.flags & needs_csum, 0);
    EXPECT_FALSE(tcp_checksum_is_right(frames[0].bytes));

    ASSERT_TRUE(disable_transmit_offloads("a"));
    sender.send(super_packet(6000, 1000));
    frames = receiver.receive(10);
    ASSERT_EQ(frames.size(), 6U);
    for (const Frame& frame : frames) {
        EXPECT_EQ(frame.offload.gso_type, 0);
        EXPECT_EQ(frame.offload.flags & needs_csum, 0);
        EXPECT_EQ(frame.bytes.size(), payload_at + 1000);
        EXPECT_TRUE(tcp_checksum_is_right(frame.bytes));
    }
}

TEST_F(NetlinkTest, OffloadsThatStayOnAreReported)
{
    const auto done = disable_transmit_offloads("lo");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, ErrorKind::unsupported);
    EXPECT_THAT(done.error().message, AllOf(HasSubstr("lo: "), HasSubstr("tx-checksum-")));
}

TEST_F(NetlinkTest, OffloadsOfAMissingDevice)
{
    const auto done = disable_transmit_offloads("nosuch");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, ErrorKind::not_found);
    EXPECT_THAT(done.error().message, HasSubstr("nosuch: "));
    EXPECT_FALSE(disable_transmit_offloads("a-name-of-16-byte"));
}

TEST_F(NetlinkTest, SetsGsoLimits)
{
    constexpr unsigned gso_ipv4_max_size = 63;  // IFLA_GSO_IPV4_MAX_SIZE, since 6.3
    make_pair();
    for (const std::uint32_t bytes : {16384U, 65536U, 262144U}) {
        const auto done = set_gso_max(a_, bytes, 20);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(link_value(a_, IFLA_GSO_MAX_SIZE), bytes);
        EXPECT_EQ(link_value(a_, IFLA_GSO_MAX_SEGS), 20U);
        EXPECT_EQ(link_value(a_, gso_ipv4_max_size).value_or(bytes), bytes);
    }
    const auto refusal = set_gso_max(a_, 0xffffffff, 20);
    ASSERT_FALSE(refusal);
    EXPECT_THAT(refusal.error().message, HasSubstr("a: set gso_max_size 4294967295 and gso_max_segs 20: "));
}

}  // namespace
}  // namespace headwind::netlink::test::netlink_offload_test
