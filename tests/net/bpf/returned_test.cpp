// SPDX-License-Identifier: MIT
// Packets that went through the line look to programs behind ours, the wire, bridges and sockets as on a bare path.
#include "net_test.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <set>

#include "foreign_program.h"
#include "packets.h"

namespace headwind::test::returned_test {
namespace {

using packets::Bytes;
using Sights = std::set<ForeignProgram::Sight>;

constexpr std::uint32_t mark = 0xbeef;
constexpr std::uint16_t vlan = 7;
constexpr int unverified = -EACCES;
const std::string corruption = "--corrupt 100%";
const std::set<std::uint32_t> lengths{14 + 20 + 8 + 50, 14 + 20 + 8 + 100, 14 + 40 + 8 + 100};  // our packets'

const Bytes to_b{2, 0, 0, 0, 0, 2}, to_other{2, 0, 0, 0, 0, 9}, to_group{1, 0, 0x5e, 7, 7, 7}, to_all(6, 0xff);

// Impairments that make every packet take a detour: through the bridge that cuts, as a copy, or through fq.
std::vector<std::string> detours()
{
    if (has_fq()) return {"--delay 5ms --duplicate 100%"};  // kernels without fq test the other detours
    return {corruption, "--duplicate 100%"};
}

class Returned : public PairTest {
protected:
    // Sends a UDP frame to each of these Ethernet addresses, and UDP packets from a socket, whose checksums are
    // offloaded.
    void send_frames(const std::vector<Bytes>& destinations = {to_b, to_other, to_group, to_all}) const
    {
        {
            const Inside inside(a());
            const Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
            sockaddr_ll at{};
            at.sll_family = AF_PACKET;
            at.sll_ifindex = static_cast<int>(if_nametoindex(Pair::device_a));
            for (const auto& destination : destinations) {
                auto frame = packets::frame(packets::ipv4({.source = Pair::a4, .destination = Pair::b4},
                                                          packets::udp(6000, 5000, packets::payload(50))));
                std::copy(destination.begin(), destination.end(), frame.begin());
                EXPECT_EQ(sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&at), sizeof(at)),
                          static_cast<ssize_t>(frame.size()));
            }
        }
        EXPECT_EQ(send_udp(a(), {Pair::b4, 5000}, {.count = 3}).failed, 0U);
        EXPECT_EQ(send_udp(a(), {Pair::b6, 5000}, {.count = 3}).failed, 0U);
        usleep(slow_machine() ? 150'000 : 60'000);
    }

    static Sights sights_of(const ForeignProgram& recorder)
    {
        Sights all;
        for (auto sight : recorder.sights()) {
            sight.tc_index = 0;  // it may show our marks
            if (lengths.contains(sight.length)) all.insert(sight);
        }
        return all;
    }
    // The sights expected after `detour`: after a flipped bit nothing is verified any more.
    static Sights as_after(const std::string& detour, const Sights& bare)
    {
        Sights out;
        for (auto sight : bare) {
            if (detour == corruption) sight.verified = unverified;
            out.insert(sight);
        }
        return out;
    }
};

RUNS_IN("Returned.*", native, linux_6_12 | linux_6_1);

TEST_F(Returned, AtEgressTheyAreAsOnABarePath)
{
    const auto seen = [this](const std::string& detour) {
        if (!detour.empty()) change(a(), "add --name r --dev va --proto udp " + detour);
        const auto tagger = ForeignProgram::tagger(a(), Pair::device_a, Hook::egress, mark, vlan);
        const auto behind = ForeignProgram::recorder(a(), Pair::device_a, Hook::egress);
        const auto wire = ForeignProgram::recorder(b(), Pair::device_b, Hook::ingress);
        send_frames();
        if (!detour.empty()) change(a(), "clear");
        return std::pair(sights_of(behind), sights_of(wire));
    };
    const auto bare = seen("");
    ASSERT_GE(bare.first.size(), 3U);
    ASSERT_GE(bare.second.size(), 5U) << "four kinds of destination, and a socket's";
    for (const auto& sight : bare.first) {
        EXPECT_EQ(sight.mark, mark);
        EXPECT_EQ(sight.tag, vlan);
    }
    for (const auto& detour : detours()) {
        const auto [behind, wire] = seen(detour);
        EXPECT_EQ(behind, as_after(detour, bare.first)) << detour;
        EXPECT_EQ(wire, as_after(detour, bare.second)) << detour;
    }
}

TEST_F(Returned, AtIngressTheyAreAsOnABarePath)
{
    const auto seen = [this](const std::string& detour) {
        if (!detour.empty()) change(b(), "add --name r --dev vb --direction in --proto udp " + detour);
        const auto tagger = ForeignProgram::tagger(b(), Pair::device_b, Hook::ingress, mark, vlan);
        const auto behind = ForeignProgram::recorder(b(), Pair::device_b, Hook::ingress);
        send_frames();
        if (!detour.empty()) change(b(), "clear");
        return sights_of(behind);
    };
    const auto bare = seen("");
    std::set<std::uint32_t> types;
    for (const auto& sight : bare) {
        EXPECT_EQ(sight.mark, mark);
        EXPECT_EQ(sight.tag, vlan);
        types.insert(sight.type);
    }
    EXPECT_EQ(types, (std::set<std::uint32_t>{PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST}));
    for (const auto& detour : detours()) EXPECT_EQ(seen(detour), as_after(detour, bare)) << detour;
}

// b is a bridge between vb and two more ports, whose other ends are in the namespaces `near` and `other`.
class ReturnedToBridge : public PairTest {
protected:
    static constexpr const char* near4 = "10.77.0.3";

    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        ports_.emplace();
        ip(b(),
           "link add br0 type bridge\n"
           "link set br0 address 02:00:00:00:00:02\n"
           "address flush dev vb\n"
           "link set vb master br0\n"
           "link add near type veth peer name eth0 address 02:00:00:00:00:03 netns near\n"
           "link add other type veth peer name eth0 address 02:00:00:00:00:04 netns other\n"
           "link set near master br0 up\n"
           "link set other master br0 up\n"
           "link set br0 up\n"
           "address add 10.77.0.2/24 dev br0");
        ip(ports_->near, "address add 10.77.0.3/24 dev eth0\nlink set eth0 up");
        ip(ports_->other, "address add 10.77.0.4/24 dev eth0\nlink set eth0 up");
        ip(a(),
           "neighbour replace 10.77.0.3 lladdr 02:00:00:00:00:03 nud permanent dev va\n"
           "route add 239.0.0.0/8 dev va");
        for (const char* device : {"br0", "near", "other"}) wait_until_operational(b(), device);
        EXPECT_EQ(deliver(ports_->near, b(), {Pair::b4, 4999}, {.count = 1}), 1U) << "the bridge learns where near is";
    }

    void TearDown() override
    {
        ports_.reset();
        PairTest::TearDown();
    }

    // The numbers of packets, of 50 each, that reach near and b by unicast, and b, near and other by multicast.
    std::vector<std::size_t> deliveries() const
    {
        std::vector<std::size_t> out{deliver(a(), ports_->near, {near4, 5000}, {.count = 50}),
                                     deliver(a(), b(), {Pair::b4, 5000}, {.count = 50})};
        UdpSink in_b(b(), group), in_near(ports_->near, group), in_other(ports_->other, group);
        EXPECT_TRUE(in_b.join(group.address, Pair::b4));
        EXPECT_TRUE(in_near.join(group.address, near4));
        EXPECT_TRUE(in_other.join(group.address, "10.77.0.4"));
        send_udp(a(), group, {.count = 50});
        for (auto* sink : {&in_b, &in_near, &in_other}) out.push_back(sink->finish().size());
        return out;
    }

    struct Ports {
        Namespace near{"near"}, other{"other"};
    };
    std::optional<Ports> ports_;
    const Endpoint group{"239.7.7.7", 5000};
};

TEST_F(ReturnedToBridge, EveryPortGetsWhatItWouldGet)
{
    using testing::Each;
    ASSERT_THAT(deliveries(), Each(50U));
    for (const std::string place :
         {"vb --direction in", "br0 --direction in", "near --direction out", "other --direction out"}) {
        const std::string delay = has_fq() ? "--delay 5ms " : "";
        change(b(), "add --name r --proto udp --duplicate 100% " + delay + "--dev " + place);
        const bool port = place.starts_with("vb");
        const std::size_t at_near = port || place.starts_with("near") ? 100 : 50;
        const std::size_t at_b = port || place.starts_with("br0") ? 100 : 50;
        const std::size_t at_other = port || place.starts_with("other") ? 100 : 50;
        EXPECT_THAT(deliveries(), testing::ElementsAre(at_near, at_b, at_b, at_near, at_other)) << place;
        change(b(), "clear");
    }
}

}  // namespace
}  // namespace headwind::test::returned_test
