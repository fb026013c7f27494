// Each test has a network namespace of its own, left (and with it destroyed) when the test or the process ends.
// iproute2 arranges what is to be found and is the second opinion on what was set.
#include "netlink.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <net/if.h>  // before the kernel's, which give way to it
#include <net/if_arp.h>
#include <netinet/in.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netlink_request.h"

namespace headwind::netlink {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Bytes = std::vector<std::uint8_t>;

bool run(const std::string& command)
{
    return std::system((command + " 2>/dev/null").c_str()) == 0;
}

std::string output_of(const std::string& command)
{
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string text;
    std::array<char, 4096> chunk{};
    while (pipe && std::fgets(chunk.data(), chunk.size(), pipe.get()) != nullptr) text += chunk.data();
    return text;
}

std::string content_of(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Link> all_links()
{
    auto links = list_links();
    EXPECT_TRUE(links) << links.error().message;
    return links ? *links : std::vector<Link>();
}

std::optional<Link> find_link(const std::string& name)
{
    for (const Link& link : all_links()) {
        if (link.name == name) return link;
    }
    return std::nullopt;
}

Link link_named(const std::string& name)
{
    const auto link = find_link(name);
    EXPECT_TRUE(link) << "no " << name;
    return link.value_or(Link());
}

// nullopt: this kernel does not tell.
std::optional<std::uint32_t> link_value(int index, unsigned attribute)
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

std::size_t open_files()
{
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

// Until then the end of a veth pair that came up first drops what is sent.
void wait_until_operational(int index)
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

    // a, b: a plain veth pair, up.
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
    std::optional<OwnedFd> home_;
};

// struct virtio_net_hdr of linux/virtio_net.h, which is no C++. In the byte order of the host.
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

    // Frames of IPv4 that come within `wait_ms` of each other, at most `limit`.
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
    OwnedFd fd_;
};

constexpr std::size_t ip_at = ETH_HLEN;
constexpr std::size_t tcp_at = ip_at + 20;
constexpr std::size_t payload_at = tcp_at + 20;

void put16(Bytes& bytes, std::size_t at, std::size_t value)
{
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

// Ones' complement sum of 16-bit words, folded, not inverted.
std::uint32_t internet_sum(const Bytes& bytes, std::size_t first, std::size_t end, std::uint32_t sum = 0)
{
    for (std::size_t i = first; i < end; i += 2) {
        sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < end ? bytes[i + 1] : 0U);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

// Source, destination, protocol, length of what follows the IP header.
std::uint32_t pseudo_header_sum(const Bytes& bytes)
{
    const auto rest = static_cast<std::uint32_t>(bytes.size() - tcp_at);
    return internet_sum(bytes, ip_at + 12, ip_at + 20, IPPROTO_TCP + rest);
}

// A TCP segment, its checksum left to whoever sends it.
Bytes tcp_frame(std::size_t payload)
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

bool tcp_checksum_is_right(const Bytes& bytes)
{
    return internet_sum(bytes, tcp_at, bytes.size(), pseudo_header_sum(bytes)) == 0xffff;
}

Frame super_packet(std::size_t payload, std::uint16_t segment)
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

// --- links ---

TEST_F(NetlinkTest, ListsLoOfAFreshNamespace)
{
    const Link lo = link_named("lo");
    EXPECT_EQ(lo.index, 1);
    EXPECT_EQ(lo.type, ARPHRD_LOOPBACK);
    EXPECT_EQ(lo.flags & (IFF_UP | IFF_LOOPBACK), static_cast<unsigned>(IFF_LOOPBACK));
    EXPECT_EQ(lo.mtu, 65536U);
    EXPECT_EQ(lo.kind, "");
    EXPECT_EQ(lo.parent, 0);
    EXPECT_EQ(lo.master, 0);
    EXPECT_FALSE(lo.parent_elsewhere);
}

TEST_F(NetlinkTest, ListsKindAliasMtuAndFlags)
{
    make_pair("mtu 1400");
    ASSERT_TRUE(run("ip link set dev a alias 'of mine'"));
    const Link a = link_named("a");
    EXPECT_EQ(a.kind, "veth");
    EXPECT_EQ(a.alias, "of mine");
    EXPECT_EQ(a.mtu, 1400U);
    EXPECT_EQ(a.type, ARPHRD_ETHER);
    EXPECT_NE(a.flags & IFF_UP, 0U);
    EXPECT_EQ(a.parent, b_) << "the peer, while it is here";
    EXPECT_EQ(link_named("b").alias, "");
}

TEST_F(NetlinkTest, ListsParentsAndMasters)
{
    make_pair();
    if (!run("ip link add name br type bridge && ip link add link a name mv type macvlan")) {
        GTEST_SKIP() << "no bridge or macvlan in this kernel";
    }
    ASSERT_TRUE(run("ip link set dev b master br"));
    EXPECT_EQ(link_named("b").master, link_named("br").index);
    EXPECT_EQ(link_named("br").kind, "bridge");
    EXPECT_EQ(link_named("br").parent, 0);
    EXPECT_EQ(link_named("mv").kind, "macvlan");
    EXPECT_EQ(link_named("mv").parent, a_);
}

TEST_F(NetlinkTest, AParentInAnotherNamespaceIsNoneHere)
{
    make_pair();
    if (!run("ip link add link a name mv type macvlan")) GTEST_SKIP() << "no macvlan in this kernel";
    const OwnedFd before(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    const OwnedFd after(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(setns(before.get(), CLONE_NEWNET), 0);
    const std::string path = fmt::format("/proc/{}/fd/{}", getpid(), after.get());
    ASSERT_TRUE(run("ip link set dev mv netns " + path + " && ip link set dev b netns " + path));
    EXPECT_TRUE(link_named("a").parent_elsewhere);
    EXPECT_EQ(link_named("a").parent, 0);

    ASSERT_EQ(setns(after.get(), CLONE_NEWNET), 0);
    EXPECT_TRUE(link_named("mv").parent_elsewhere);
    EXPECT_EQ(link_named("mv").parent, 0);
    EXPECT_EQ(link_named("b").parent, 0);
}

TEST_F(NetlinkTest, KnowsMetadataTunnels)
{
    if (!run("ip link add name plain type vxlan id 7 dstport 4789")) GTEST_SKIP() << "no vxlan in this kernel";
    ASSERT_TRUE(run("ip link add name meta type vxlan external dstport 4790"));
    EXPECT_FALSE(link_named("plain").metadata_tunnel);
    EXPECT_TRUE(link_named("meta").metadata_tunnel);
    for (const std::string kind : {"geneve", "gretap", "ip6gretap"}) {
        const bool made = run("ip link add name " + kind + "1 type " + kind + " external");
        EXPECT_TRUE(!made || link_named(kind + "1").metadata_tunnel) << kind;
    }
}

TEST_F(NetlinkTest, ListsMoreThanOneBufferFull)
{
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(create_veth({fmt::format("x{}", i), fmt::format("y{}", i), std::string(200, 'z')}));
    }
    const auto links = all_links();
    EXPECT_EQ(std::count_if(links.begin(), links.end(), [](const Link& link) { return link.kind == "veth"; }), 120);
    EXPECT_EQ(link_named("y59").alias, std::string(200, 'z'));
}

// --- the line's veth pair ---

TEST_F(NetlinkTest, CreatesTheVethPairOfTheLine)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind", 65535, 3});
    ASSERT_TRUE(veth) << veth.error().message;
    for (const char* name : {"headwind0", "headwind1"}) {
        const Link link = link_named(name);
        EXPECT_EQ(link.kind, "veth");
        EXPECT_EQ(link.alias, "headwind");
        EXPECT_EQ(link.mtu, 65535U);
        constexpr unsigned flags = IFF_UP | IFF_NOARP | IFF_RUNNING;
        EXPECT_EQ(link.flags & flags, flags);
        EXPECT_THAT(output_of(fmt::format("ip -d -o link show dev {}", name)),
                    AllOf(HasSubstr("addrgenmode none"), HasSubstr("numtxqueues 3")));
        EXPECT_EQ(content_of(fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", name)), "1\n");
    }
    EXPECT_EQ(link_named("headwind0").index, veth->index0);
    EXPECT_EQ(link_named("headwind1").index, veth->index1);
    EXPECT_THAT(content_of("/proc/net/if_inet6"), Not(HasSubstr("headwind")));

    // It has said nothing of its own accord.
    const auto stats = link_stats(veth->index0);
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(stats->tx_packets + stats->rx_packets, 0U);
}

TEST_F(NetlinkTest, HasNoAddressEvenIfIpv6IsTurnedOnAgain)
{
    const std::string control = "/proc/sys/net/ipv6/conf/headwind0/disable_ipv6";
    ASSERT_TRUE(create_veth({"headwind0", "headwind1", "headwind"}));
    if (!std::filesystem::exists(control)) GTEST_SKIP() << "no IPv6 in this kernel";
    std::ofstream(control) << "0" << std::flush;
    ASSERT_EQ(content_of(control), "0\n");
    EXPECT_THAT(content_of("/proc/net/if_inet6"), Not(HasSubstr("headwind0")));
}

// IPv6 does not exist on a device whose MTU is below 1280, as on a host without it.
TEST_F(NetlinkTest, DoesWithoutIpv6)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind", 1200});
    ASSERT_TRUE(veth) << veth.error().message;
    EXPECT_FALSE(std::filesystem::exists("/proc/sys/net/ipv6/conf/headwind0"));
    EXPECT_EQ(link_named("headwind1").mtu, 1200U);
}

TEST_F(NetlinkTest, ATakenNameIsRefusedAndNothingIsLeft)
{
    make_pair();
    for (const auto& [name0, name1] : {std::pair{"a", "new"}, std::pair{"new", "a"}, std::pair{"new", "new"}}) {
        const auto veth = create_veth({name0, name1, "headwind"});
        ASSERT_FALSE(veth);
        EXPECT_EQ(veth.error().kind, ErrorKind::failed);
        EXPECT_THAT(veth.error().message,
                    AllOf(HasSubstr(fmt::format("veth pair {} and {}", name0, name1)), HasSubstr("File exists")));
        EXPECT_FALSE(find_link("new"));
    }
    EXPECT_EQ(link_named("a").alias, "") << "the one that was there is untouched";
}

TEST_F(NetlinkTest, NamesThatTheKernelWouldReplaceAreRefused)
{
    for (const char* name : {"", "hw%d", "a-name-of-16-byte"}) {
        const auto veth = create_veth({name, "other", "headwind"});
        ASSERT_FALSE(veth);
        EXPECT_EQ(veth.error().kind, ErrorKind::usage) << name;
    }
    EXPECT_FALSE(create_veth({"a", "b", std::string(256, 'x')}));
    EXPECT_FALSE(find_link("a"));
}

TEST_F(NetlinkTest, AnMtuBeyondTheDeviceIsRefused)
{
    const auto veth = create_veth({"a", "b", "headwind", 70000});
    ASSERT_FALSE(veth);
    EXPECT_THAT(veth.error().message, HasSubstr("a and b: Invalid argument"));
    EXPECT_FALSE(find_link("a"));
}

TEST_F(NetlinkTest, TheKernelsReasonIsPassedOn)
{
    make_pair();
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = a_;
    mnl_attr_put_u32(request.message(), IFLA_MTU, 70000);
    const auto answer = send(request);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().error, EINVAL);
    EXPECT_EQ(refused(answer.error(), "a: set MTU").value().message,
              "a: set MTU: Invalid argument (mtu greater than device maximum)");
}

// In a mount namespace where /proc/sys is read-only. The exit code is the number of the first thing that went wrong.
int create_veth_without_sysctl()
{
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
    if (mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) != 0) return 2;
    if (mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) return 3;
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    if (veth) return 4;
    if (veth.error().message.find("headwind0/disable_ipv6: Read-only") == std::string::npos) return 5;
    return find_link("headwind0") || find_link("headwind1") ? 6 : 0;
}

TEST_F(NetlinkTest, FailureAfterCreationLeavesNothing)
{
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(create_veth_without_sysctl());
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(NetlinkTest, DeletesBothEndsAndToleratesThatTheyAreGone)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    EXPECT_TRUE(delete_link(veth->index1));
    EXPECT_FALSE(find_link("headwind0"));
    EXPECT_FALSE(find_link("headwind1"));
    EXPECT_TRUE(delete_link(veth->index0));
    EXPECT_TRUE(delete_link(veth->index1));
}

TEST_F(NetlinkTest, WhatCannotBeDeletedIsNamed)
{
    const auto deleted = delete_link(1);
    ASSERT_FALSE(deleted);
    EXPECT_THAT(deleted.error().message, HasSubstr("lo: delete: "));
}

TEST_F(NetlinkTest, TheLineCarriesPacketsFromTheStart)
{
    for (int round = 0; round < 30; ++round) {
        const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
        ASSERT_TRUE(veth) << veth.error().message;
        const PacketSocket end0(veth->index0), end1(veth->index1);
        end0.send({{}, tcp_frame(1)});
        ASSERT_EQ(end1.receive(1).size(), 1U) << "0 to 1, round " << round;
        end1.send({{}, tcp_frame(2)});
        ASSERT_EQ(end0.receive(1).size(), 1U) << "1 to 0, round " << round;
        ASSERT_TRUE(delete_link(veth->index0));
    }
}

// Nothing larger than the MTU crosses a veth pair, unless it is a super-packet.
TEST_F(NetlinkTest, LargeFramesCrossTheLine)
{
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    const PacketSocket sender(veth->index0), receiver(veth->index1);
    sender.send({{}, tcp_frame(60000)});
    const auto frames = receiver.receive(1, 2000);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].bytes.size(), payload_at + 60000);
}

TEST_F(NetlinkTest, CountsPackets)
{
    make_pair();
    const PacketSocket sender(a_), receiver(b_);
    const auto before = link_stats(b_);
    ASSERT_TRUE(before) << before.error().message;
    for (int i = 0; i < 5; ++i) sender.send({{}, tcp_frame(100)});
    ASSERT_EQ(receiver.receive(5, 2000).size(), 5U);
    const auto after = link_stats(b_);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_GE(after->rx_packets - before->rx_packets, 5U);
    EXPECT_GE(link_stats(a_)->tx_packets, 5U);
    ASSERT_TRUE(run("ip link set dev b down"));
    EXPECT_TRUE(link_stats(b_)) << "down is no error";
}

TEST_F(NetlinkTest, StatisticsOfADeviceThatIsGoneAreNotFound)
{
    const auto stats = link_stats(12345);
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error().kind, ErrorKind::not_found);
    EXPECT_THAT(stats.error().message, HasSubstr("device 12345: read statistics"));
}

// --- offloads ---

// By the older requests, each of which covers a group of features.
bool is_on(const std::string& name, std::uint32_t request)
{
    const OwnedFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
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

// Fact 7 of the design: what has crossed the line's first end is a wire packet with a checksum of its own.
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

// --- qdiscs ---

TEST_F(NetlinkTest, RootQdiscOfADeviceThatHasNone)
{
    make_pair();
    for (const int index : {1, a_}) {  // lo is down
        const auto stats = root_qdisc_stats(index);
        ASSERT_TRUE(stats) << stats.error().message;
        EXPECT_EQ(stats->value_or(QdiscStats{"noqueue"}).kind, "noqueue") << index;
    }
    const auto gone = root_qdisc_stats(12345);
    ASSERT_TRUE(gone) << gone.error().message;
    EXPECT_FALSE(*gone);
}

TEST_F(NetlinkTest, RootQdiscCountsWhatItSent)
{
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a root pfifo limit 100"));
    const auto before = root_qdisc_stats(a_);
    ASSERT_TRUE(before && *before);
    const PacketSocket sender(a_);
    for (int i = 0; i < 7; ++i) sender.send({{}, tcp_frame(946)});
    const auto after = root_qdisc_stats(a_);
    ASSERT_TRUE(after && *after);
    EXPECT_EQ((*after)->kind, "pfifo");
    EXPECT_GE((*after)->packets - (*before)->packets, 7U);
    EXPECT_GE((*after)->bytes - (*before)->bytes, 7000U);
    EXPECT_EQ((*after)->backlog_packets, 0U);
    EXPECT_EQ((*after)->drops, 0U);
}

TEST_F(NetlinkTest, RootQdiscShowsBacklogAndDrops)
{
    make_pair();
    ASSERT_TRUE(run("ip link set dev a down; echo 1 > /proc/sys/net/ipv6/conf/a/disable_ipv6; ip link set dev a up"));
    wait_until_operational(a_);
    if (!run("tc qdisc add dev a root tbf rate 8kbit burst 2100 limit 3000")) GTEST_SKIP() << "no tbf in this kernel";
    const OwnedFd raw(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = a_;
    const Bytes frame = tcp_frame(946);  // 1000 bytes
    for (int i = 0; i < 10; ++i) {       // of which the last are refused with ENOBUFS
        sendto(raw.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
    const auto stats = root_qdisc_stats(a_);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "tbf");
    EXPECT_GT((*stats)->backlog_packets, 0U);
    EXPECT_EQ((*stats)->backlog_bytes, (*stats)->backlog_packets * 1000);
    EXPECT_GT((*stats)->drops, 0U);
    EXPECT_EQ((*stats)->packets + (*stats)->backlog_packets + (*stats)->drops, 10U);
}

TEST_F(NetlinkTest, CreatesAndRemovesClsact)
{
    make_pair();
    auto made = create_clsact(a_);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(*made);
    EXPECT_THAT(output_of("tc qdisc show dev a"), HasSubstr("clsact"));
    made = create_clsact(a_);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_FALSE(*made) << "it was there already";

    for (int i = 0; i < 2; ++i) {
        const auto gone = delete_clsact(a_);
        ASSERT_TRUE(gone) << gone.error().message;
        EXPECT_THAT(output_of("tc qdisc show dev a"), Not(HasSubstr("clsact")));
    }
    EXPECT_TRUE(delete_clsact(b_)) << "there never was one";
    EXPECT_TRUE(delete_clsact(12345)) << "nor such a device";
    const auto nowhere = create_clsact(12345);
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().kind, ErrorKind::not_found);
}

TEST_F(NetlinkTest, AnIngressQdiscIsNoClsactAndStays)
{
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a ingress"));
    const auto made = create_clsact(a_);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, AllOf(HasSubstr("a: create clsact"), HasSubstr("'ingress'")));
    EXPECT_TRUE(delete_clsact(a_));
    EXPECT_THAT(output_of("tc qdisc show dev a"), HasSubstr("ingress"));
}

unsigned filters(int index)
{
    const auto count = count_clsact_filters(index);
    EXPECT_TRUE(count) << count.error().message;
    return count ? *count : 999;
}

TEST_F(NetlinkTest, CountsFiltersOfBothDirections)
{
    make_pair();
    EXPECT_EQ(filters(a_), 0U) << "without clsact";
    ASSERT_TRUE(create_clsact(a_));
    EXPECT_EQ(filters(a_), 0U);
    const std::string bpf = " bpf da bytecode '1,6 0 0 4294967295,'";
    if (!run("tc filter add dev a egress pref 1 handle 1" + bpf)) GTEST_SKIP() << "no cls_bpf in this kernel";
    EXPECT_EQ(filters(a_), 1U);
    ASSERT_TRUE(run("tc filter add dev a egress pref 1 handle 2" + bpf));
    EXPECT_EQ(filters(a_), 2U);
    ASSERT_TRUE(run("tc filter add dev a egress pref 2" + bpf));
    ASSERT_TRUE(run("tc filter add dev a ingress pref 7" + bpf));
    EXPECT_EQ(filters(a_), 4U);
    EXPECT_EQ(filters(b_), 0U);
    ASSERT_TRUE(run("tc filter del dev a egress"));
    EXPECT_EQ(filters(a_), 1U);
}

TEST_F(NetlinkTest, CountsFiltersOfOtherKinds)
{
    make_pair();
    ASSERT_TRUE(create_clsact(a_));
    if (!run("tc filter add dev a ingress u32 match u32 0 0")) GTEST_SKIP() << "no cls_u32 in this kernel";
    EXPECT_GE(filters(a_), 1U);
}

// --- fq ---

TEST_F(NetlinkTest, AskingForFqTouchesNothing)
{
    const auto files = open_files();
    const auto links = all_links().size();
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    EXPECT_EQ(kernel_has_fq().value_or(!*fq), *fq);
    EXPECT_EQ(all_links().size(), links);
    EXPECT_THAT(output_of("tc qdisc show"), Not(HasSubstr("fq")));
    EXPECT_EQ(open_files(), files);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

TEST_F(NetlinkTest, WithoutFqItIsRefusedClearly)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (*fq) GTEST_SKIP() << "this kernel has fq";
    make_pair();
    const auto set = set_root_fq(a_, {});
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(set.error().message, "a: set root qdisc fq: this kernel has no fq (module sch_fq, CONFIG_NET_SCH_FQ)");
}

TEST_F(NetlinkTest, SetsFqAtTheRoot)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (!*fq) GTEST_SKIP() << "this kernel has no sch_fq; runs in the guests";
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth) << veth.error().message;
    const auto set = set_root_fq(veth->index1, {});
    ASSERT_TRUE(set) << set.error().message;
    const auto stats = root_qdisc_stats(veth->index1);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "fq");
    // iproute2 prints a horizon of 4294967295 µs as 4294.97s or 4.29e+03s, depending on its version.
    EXPECT_THAT(
        output_of("tc -d qdisc show dev headwind1"),
        AllOf(HasSubstr("limit 10000000p flow_limit 10000000p buckets 16384 orphan_mask 1048575"),
              HasSubstr("nopacing"), HasSubstr("timer_slack 1ns"), HasSubstr("horizon 4"), HasSubstr("horizon_drop")));
    EXPECT_THAT(output_of("tc qdisc show dev headwind0"), Not(HasSubstr("fq")));

    FqOptions options;  // a second time changes the one that is there
    options.horizon_us = 7'000'000;
    options.limit_packets = 1234;
    ASSERT_TRUE(set_root_fq(veth->index1, options));
    EXPECT_THAT(output_of("tc -d qdisc show dev headwind1"), AllOf(HasSubstr("limit 1234p"), HasSubstr("horizon 7s")));
}

TEST_F(NetlinkTest, FqReplacesAnotherRootAndSends)
{
    const auto fq = kernel_has_fq();
    ASSERT_TRUE(fq) << fq.error().message;
    if (!*fq) GTEST_SKIP() << "this kernel has no sch_fq; runs in the guests";
    make_pair();
    ASSERT_TRUE(run("tc qdisc add dev a root pfifo limit 100"));
    const auto set = set_root_fq(a_, {});
    ASSERT_TRUE(set) << set.error().message;
    const PacketSocket sender(a_), receiver(b_);
    for (int i = 0; i < 200; ++i) sender.send({{}, tcp_frame(100)});  // the default flow_limit is 100
    EXPECT_EQ(receiver.receive(200, 2000).size(), 200U);
    const auto stats = root_qdisc_stats(a_);
    ASSERT_TRUE(stats && *stats);
    EXPECT_EQ((*stats)->kind, "fq");
    EXPECT_GE((*stats)->packets, 200U);
    EXPECT_EQ((*stats)->drops, 0U);
}

TEST_F(NetlinkTest, SettingFqOnAMissingDevice)
{
    const auto set = set_root_fq(12345, {});
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::not_found);
    EXPECT_THAT(set.error().message, HasSubstr("device 12345: set root qdisc fq"));
}

// --- resources ---

TEST_F(NetlinkTest, NoFileIsLeftOpen)
{
    const auto before = open_files();
    const auto veth = create_veth({"headwind0", "headwind1", "headwind"});
    ASSERT_TRUE(veth);
    ASSERT_FALSE(create_veth({"headwind0", "headwind1", "headwind"}));
    ASSERT_TRUE(disable_transmit_offloads("headwind0"));
    ASSERT_FALSE(disable_transmit_offloads("nosuch"));
    ASSERT_TRUE(create_clsact(veth->index0));
    ASSERT_TRUE(count_clsact_filters(veth->index0));
    ASSERT_TRUE(root_qdisc_stats(veth->index0));
    ASSERT_TRUE(delete_link(veth->index0));
    EXPECT_EQ(open_files(), before);
}

}  // namespace
}  // namespace headwind::netlink
