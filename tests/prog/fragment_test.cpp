// SPDX-License-Identifier: MIT
// Tests datagrams in fragments: the later ones get the rule of the first, whose ports they lack.
#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <headwind/testing.h>

#include "headwind.skel.h"
#include "packets.h"
#include "prog_run.h"
#include "prog_xdp.h"

namespace headwind::prog::fragment_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::raw;
using packets::udp;

constexpr std::uint8_t destination_options = 60;
constexpr std::uint64_t life = 60'000'000'000;

// The fragments of a datagram from port 1000. What stands where a later fragment would have ports is data.
struct Datagram {
    bool v4 = true;
    std::uint16_t port = 2000;
    std::uint32_t identification = 7;
    bool reply = false;  // the addresses are the other way round

    Bytes first(const Layer& layer) const { return with(0, true, layer); }
    Bytes first() const { return first(udp(1000, port, payload(40))); }
    Bytes later(std::uint16_t protocol = 17) const { return with(9, true, raw(protocol, udp(1000, 2000).bytes)); }
    Bytes last(std::uint16_t protocol = 17) const { return with(18, false, raw(protocol, Bytes(30))); }

private:
    Bytes with(unsigned offset, bool more, const Layer& layer) const
    {
        const char *four[] = {"10.0.0.1", "10.0.0.2"}, *six[] = {"2001:db8::1", "2001:db8::2"};
        if (v4)
            return frame(ipv4({.source = four[reply],
                               .destination = four[!reply],
                               .fragment_offset = offset,
                               .more_fragments = more,
                               .identification = static_cast<std::uint16_t>(identification)},
                              layer));
        return frame(
            ipv6({.source = six[reply], .destination = six[!reply]},
                 packets::fragment({.offset = offset, .more = more, .identification = identification}, layer)));
    }
};

std::string family_name(const testing::TestParamInfo<bool>& of)
{
    return of.param ? "Ipv4" : "Ipv6";
}

class Fragments : public testing::TestWithParam<bool> {
protected:
    explicit Fragments(const Options& options = {}) : datapath(options) {}
    Datagram datagram(std::uint16_t port = 2000, std::uint32_t identification = 7) const
    {
        return {GetParam(), port, identification};
    }
    bool taken(const Bytes& packet) { return datapath.out(packet) == stolen; }
    bool taken_in(const Bytes& packet) { return datapath.in(packet) == shot; }
    std::size_t remembered() const
    {
        std::size_t count = 0;
        hw_fragment_key key{};
        const int fd = bpf_map__fd(datapath.skeleton().maps.hw_fragments);
        for (const hw_fragment_key* last = nullptr; bpf_map_get_next_key(fd, last, &key) == 0; last = &key) ++count;
        return count;
    }

    Datapath datapath;
};

INSTANTIATE_TEST_SUITE_P(All, Fragments, testing::Bool(), family_name);

TEST_P(Fragments, FollowTheFirst)
{
    const auto id = datapath.add("--remote-port 2000 --partition");
    for (unsigned identification = 1; identification < 100; ++identification) {
        const auto one = datagram(2000, identification), other = datagram(2001, identification + 1000);
        EXPECT_TRUE(taken(one.first()));
        EXPECT_FALSE(taken(other.first()));
        EXPECT_TRUE(taken(one.later()));
        EXPECT_FALSE(taken(other.later())) << "its data looks like port 2000";
        EXPECT_TRUE(taken(one.last()));
        EXPECT_FALSE(taken(other.last()));
        EXPECT_TRUE(taken(one.last())) << "again";
    }
    EXPECT_EQ(datapath.counters(id).packets, 99U * 4);
}

TEST_P(Fragments, AreSeenFromBothSides)
{
    datapath.add("--local-port 2000 --partition --direction in");
    datapath.add("--local-port 1 --partition --direction out");
    EXPECT_FALSE(taken(datagram().first()));
    EXPECT_FALSE(taken(datagram().last()));
    EXPECT_TRUE(taken_in(datagram().last())) << "the first one was seen at another hook";
    EXPECT_FALSE(taken(datagram().last()));
    auto reply = datagram();
    reply.reply = true;
    EXPECT_FALSE(taken_in(reply.last())) << "another datagram, with the same identification";
    datapath.add("--remote-port 1000 --partition --direction in");
    EXPECT_TRUE(taken_in(datagram().last()));
}

TEST_P(Fragments, BeforeTheirFirstHaveNoPorts)
{
    const auto id = datapath.add("--remote-port 2000 --partition");
    const auto all = datapath.add("--proto udp --partition --direction out");
    EXPECT_TRUE(taken(datagram().last()));
    EXPECT_EQ(datapath.counters(all).packets, 1U);
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_TRUE(taken(datagram().last()));
    EXPECT_EQ(datapath.counters(id).packets, 2U);
    EXPECT_TRUE(taken(datagram(2000, 8).last())) << "of another datagram";
    EXPECT_EQ(datapath.counters(id).packets, 2U);
}

TEST_P(Fragments, AreForgottenWithTheirDatagram)
{
    datapath.add("--remote-port 2000 --partition");
    datapath.feed().boottime = 5;
    EXPECT_TRUE(taken(datagram().first()));
    datapath.feed().boottime = 4 + life;
    EXPECT_TRUE(taken(datagram().last()));
    datapath.feed().boottime = 5 + life;
    EXPECT_FALSE(taken(datagram().last()));
    EXPECT_FALSE(taken(datagram(2001).first())) << "the same identification comes again";
    EXPECT_FALSE(taken(datagram(2001).last()));
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_TRUE(taken(datagram().last()));
}

// A later fragment must find its first one, however many there were: the least recent ones are forgotten.
TEST_P(Fragments, OfManyDatagramsTheRecentAreRemembered)
{
    datapath.add("--remote-port 2000 --partition");
    for (unsigned identification = 1; identification <= 2 * HW_FRAGMENTED; ++identification) {
        const auto one = datagram(2000, identification);
        datapath.out(one.first());
        if (identification % 16 != 0) continue;
        ASSERT_TRUE(taken(one.last())) << identification;
    }
    EXPECT_LE(remembered(), static_cast<std::size_t>(HW_FRAGMENTED));
}

TEST_P(Fragments, AreRememberedOnlyIfARuleLooksAtThem)
{
    auto id = datapath.add("--proto udp --partition");
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_TRUE(taken(datagram().last()));
    EXPECT_EQ(remembered(), 0U);
    id = datapath.replace(id, "--remote-port 2000 --partition");
    EXPECT_TRUE(taken(frame(ipv4({}, udp(1000, 2000)))));
    EXPECT_TRUE(taken(frame(ipv6({}, packets::fragment({.more = false}, udp(1000, 2000)))))) << "all in one fragment";
    EXPECT_EQ(remembered(), 0U) << "whole packets";
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_EQ(remembered(), 1U);
    EXPECT_TRUE(taken(datagram().last()));
    EXPECT_EQ(remembered(), 1U);
    datapath.replace(id, "--proto udp --partition");
    EXPECT_TRUE(taken(datagram(2000, 8).first()));
    EXPECT_EQ(remembered(), 1U);
}

// The rules change while a datagram is on its way.
TEST_P(Fragments, MeetTheRulesOfTheMoment)
{
    const auto id = datapath.add("--remote-port 2000 --partition");
    EXPECT_TRUE(taken(datagram().first()));
    datapath.replace(id, "--remote-port 2001 --partition");
    EXPECT_FALSE(taken(datagram().last()));
    datapath.add("--local-port 1000 --partition");
    EXPECT_TRUE(taken(datagram().last()));
}

TEST_P(Fragments, OfAFlowAreOneFlow)
{
    datapath.add("--flows 50% --partition --direction out");
    unsigned of_datagrams = 0;
    for (std::uint16_t n = 0; n < 200; ++n) {
        const auto one = datagram(static_cast<std::uint16_t>(3000 + n), n);
        const bool first = taken(one.first());
        EXPECT_EQ(taken(one.later()), first) << n;
        EXPECT_EQ(taken(one.last()), first) << n;
        of_datagrams += first;
    }
    EXPECT_GT(of_datagrams, 50U);
    EXPECT_LT(of_datagrams, 150U);
}

TEST_P(Fragments, OfDhcpAreSpared)
{
    datapath.add("--partition");
    datapath.add("--port 1 --partition");
    auto one = datagram();
    const auto message = one.v4 ? udp(67, 68, packets::dhcp_message()) : udp(547, 546, packets::dhcpv6_message(2));
    EXPECT_FALSE(taken(one.first(message)));
    EXPECT_FALSE(taken(one.last()));
    one.identification = 8;
    EXPECT_TRUE(taken(one.last())) << "of another datagram";
    datapath.add("--proto dhcp --partition --priority 1");
    EXPECT_TRUE(taken(datagram().last()));
}

TEST_P(Fragments, OfEachProtocolOfIpv4AreApart)
{
    datapath.add("--remote-port 2000 --partition");
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_EQ(taken(datagram().last(6)), !GetParam()) << "a datagram of IPv6 has one identification for all of them";
}

// XDP and tc share what they remember: a packet that XDP leaves undecided, or decides, is seen by one of them only.
TEST_P(Fragments, FollowWhatXdpSaw)
{
    const XdpProgram xdp(datapath);
    datapath.add("--local-port 2000 --partition --direction in");
    EXPECT_EQ(xdp.run(datagram().first()).verdict, XDP_DROP);
    EXPECT_TRUE(taken_in(datagram().last()));
    EXPECT_TRUE(taken_in(datagram(2000, 8).first()));
    EXPECT_EQ(xdp.run(datagram(2000, 8).last()).verdict, XDP_DROP);
    EXPECT_EQ(xdp.run(datagram(2000, 9).last()).verdict, XDP_PASS);
}

TEST(Fragments6, HaveTheirProtocolFromTheFirst)
{
    Datapath datapath;
    datapath.add("--proto udp --remote-port 2000 --partition");
    datapath.add("--proto 60 --partition");
    const Datagram one{.v4 = false};
    EXPECT_EQ(datapath.out(one.last(destination_options)), next) << "what it is is not known";
    EXPECT_EQ(datapath.out(one.first(packets::extension(destination_options, udp(1000, 2000)))), stolen);
    EXPECT_EQ(datapath.out(one.last(destination_options)), stolen);
}

// The first fragment is too short to have all of its headers (RFC 7112 forbids that).
TEST(Fragments6, OfAFirstWithoutItsTransportHeaderAreOfNoProtocol)
{
    Datapath datapath;
    datapath.add("--remote-port 2000 --partition");
    const auto all = datapath.add("--remote 2001:db8::2 --partition --direction out");
    const Datagram one{.v4 = false};
    EXPECT_EQ(datapath.out(one.first(raw(destination_options, {17, 5, 0, 0, 0, 0, 0, 0}))), stolen);
    EXPECT_EQ(datapath.out(one.last(destination_options)), stolen);
    EXPECT_EQ(datapath.counters(all).packets, 2U);
}

class WithoutTheWorkaround : public Fragments {
protected:
    WithoutTheWorkaround() : Fragments({.without = HW_WORKAROUND_FRAGMENTS}) {}
};

INSTANTIATE_TEST_SUITE_P(All, WithoutTheWorkaround, testing::Bool(), family_name);

TEST_P(WithoutTheWorkaround, LaterFragmentsPass)
{
    datapath.add("--remote-port 2000 --partition");
    EXPECT_TRUE(taken(datagram().first()));
    EXPECT_FALSE(taken(datagram().later()));
    EXPECT_FALSE(taken(datagram().last()));
}

}  // namespace
}  // namespace headwind::prog::fragment_test
