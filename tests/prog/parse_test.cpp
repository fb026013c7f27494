// SPDX-License-Identifier: MIT
// Tests how far the datapath understands packets.
//
// A rule for port 2000 tells whether the transport header was found, one for every address whether the IP header was,
// and one for everything whether the frame was matched at all: what is spared is not.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::parse_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::Ipv4;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::udp;
using packets::vlan;

constexpr std::uint8_t hop_by_hop = 0, routing = 43, destination_options = 60, mobility = 135, hip = 139, shim6 = 140;

enum class Seen { nothing, frame, packet, ports };

class Parse : public testing::Test {
protected:
    Parse()
    {
        port_ = datapath.add("--remote-port 2000 --priority 1 --partition --direction out");
        address_ = datapath.add("--remote 0.0.0.0/0,::/0 --partition --direction both");
        all_ = datapath.add("--partition --direction both");
    }
    Seen look(const Bytes& packet, const Arrival& arrival = {})
    {
        const auto ports = datapath.counters(port_).packets, addresses = datapath.counters(address_).packets,
                   all = datapath.counters(all_).packets;
        const int verdict = datapath.run(Hook::egress, packet, arrival).verdict;
        const auto seen = datapath.counters(port_).packets != ports          ? Seen::ports
                          : datapath.counters(address_).packets != addresses ? Seen::packet
                          : datapath.counters(all_).packets != all           ? Seen::frame
                                                                             : Seen::nothing;
        EXPECT_EQ(verdict, seen == Seen::nothing ? next : stolen);
        return seen;
    }
    Seen look(const Layer& layer, const Arrival& arrival = {}) { return look(frame(layer), arrival); }

    Datapath datapath;

private:
    std::uint32_t port_ = 0, address_ = 0, all_ = 0;
};

Layer usual_udp()
{
    return udp(1000, 2000, payload(20));
}

Layer usual_v4()
{
    return ipv4({}, usual_udp());
}

TEST_F(Parse, Ipv4Options)
{
    for (unsigned words = 0; words <= 10; ++words) {
        EXPECT_EQ(look(ipv4({.option_words = words}, usual_udp())), Seen::ports) << words;
        EXPECT_EQ(look(ipv4({.option_words = words}, udp(2000, 1000))), Seen::packet) << words;
    }
}

TEST_F(Parse, Ipv4Fragments)
{
    EXPECT_EQ(look(ipv4({.more_fragments = true, .identification = 1}, usual_udp())), Seen::ports)
        << "the first has the ports";
    for (unsigned offset = 1; offset <= 0x1fff; offset <<= 1)
        EXPECT_EQ(look(ipv4({.fragment_offset = offset, .more_fragments = true}, usual_udp())), Seen::packet) << offset;
    EXPECT_EQ(look(ipv4({.fragment_offset = 0x1fff}, usual_udp())), Seen::packet)
        << "the last; what looks like ports is data";
}

TEST_F(Parse, FragmentsStillHaveAddressesAndProtocol)
{
    Datapath other;
    const auto id = other.add("--proto udp --local 10.0.0.1 --remote 10.0.0.2 --partition");
    other.out(frame(ipv4({.fragment_offset = 100}, payload(64))));
    EXPECT_EQ(other.counters(id).packets, 0U) << "protocol 0";
    other.out(frame(ipv4({.fragment_offset = 100}, packets::raw(17, Bytes(64)))));
    EXPECT_EQ(other.counters(id).packets, 1U);
}

TEST_F(Parse, DamagedIpv4)
{
    auto packet = frame(usual_v4());
    packet[14] = 0x55;
    EXPECT_EQ(look(packet), Seen::frame) << "version 5";
    packet[14] = 0x44;
    EXPECT_EQ(look(packet), Seen::frame) << "header of 16 bytes";
    packet[14] = 0x4f;
    EXPECT_EQ(look(packet), Seen::packet) << "options longer than the packet";
    packet = frame(ipv6({}, usual_udp()));
    packet[14] = 0x40;
    EXPECT_EQ(look(packet), Seen::frame) << "version 4 in IPv6";
}

TEST_F(Parse, EveryIpv6ExtensionHeader)
{
    for (const std::uint8_t kind : {hop_by_hop, routing, destination_options, mobility, hip, shim6}) {
        for (const auto more : std::initializer_list<std::uint8_t>{0, 1, 7}) {
            EXPECT_EQ(look(ipv6({}, packets::extension(kind, usual_udp(), more))), Seen::ports)
                << +kind << " " << +more;
            EXPECT_EQ(look(ipv6({}, packets::extension(kind, udp(2000, 1000), more))), Seen::packet) << +kind;
        }
    }
    EXPECT_EQ(look(ipv6({}, packets::authentication(usual_udp()))), Seen::ports);
    EXPECT_EQ(look(ipv6({}, packets::authentication(usual_udp(), 1))), Seen::ports) << "4-byte units";
    EXPECT_EQ(look(ipv6({}, packets::fragment({}, usual_udp()))), Seen::ports);
}

TEST_F(Parse, ProtocolsThatEndTheChain)
{
    Datapath other;
    for (const int number : {50, 59, 41, 253}) {
        const auto id = other.add("--proto " + std::to_string(number) + " --partition");
        const auto inner = packets::raw(static_cast<std::uint16_t>(number), Bytes(16));
        other.out(frame(ipv6({}, inner)));
        other.out(frame(ipv6({}, packets::extension(hop_by_hop, inner))));
        EXPECT_EQ(other.counters(id).packets, 2U) << number << " (ESP, no next header, ...)";
    }
}

TEST_F(Parse, ChainsOfExtensionHeaders)
{
    const auto chain = [](unsigned length) {
        auto layer = usual_udp();
        for (unsigned i = 0; i < length; ++i)
            layer = packets::extension(i + 1 == length ? hop_by_hop : destination_options, layer);
        return ipv6({}, layer);
    };
    for (unsigned length = 0; length <= 8; ++length) EXPECT_EQ(look(chain(length)), Seen::ports) << length;
    EXPECT_EQ(look(chain(9)), Seen::packet) << "too long to follow: its addresses are known";
    EXPECT_EQ(look(chain(20)), Seen::packet);
    auto mixed = packets::extension(
        hop_by_hop, packets::extension(routing, packets::authentication(packets::fragment({}, usual_udp())), 2));
    EXPECT_EQ(look(ipv6({}, mixed)), Seen::ports);
}

// No rule for a protocol takes what may be another one, not even that of the header where the walk ended.
TEST_F(Parse, WhatIsBehindTooManyHeadersIsOfNoProtocol)
{
    auto layer = usual_udp();
    for (unsigned i = 0; i < 9; ++i) layer = packets::extension(destination_options, layer);
    for (const char* protocols : {"udp", "0", "60"}) {
        Datapath other;
        other.add(std::string("--partition --proto ") + protocols);
        EXPECT_EQ(other.out(frame(ipv6({}, layer))), next) << protocols;
    }
}

TEST_F(Parse, Ipv6Fragments)
{
    EXPECT_EQ(look(ipv6({}, packets::fragment({.identification = 1}, usual_udp()))), Seen::ports);
    for (unsigned offset = 1; offset <= 0x1fff; offset <<= 1)
        EXPECT_EQ(look(ipv6({}, packets::fragment({.offset = offset}, usual_udp()))), Seen::packet) << offset;
    EXPECT_EQ(look(ipv6({}, packets::fragment({.offset = 0x1fff, .more = false}, usual_udp()))), Seen::packet);
    auto reserved = packets::fragment({.identification = 1}, usual_udp());
    reserved.bytes[3] |= 6;  // the two reserved bits beside the offset
    EXPECT_EQ(look(ipv6({}, reserved)), Seen::ports);
}

TEST_F(Parse, DataOfLaterFragmentsIsNotTakenForHeaders)
{
    const auto hidden = packets::extension(destination_options, usual_udp());
    EXPECT_EQ(look(ipv6({}, packets::fragment({.offset = 5}, hidden))), Seen::packet);
    const auto rest = packets::raw(destination_options, Bytes(1));
    EXPECT_EQ(look(ipv6({}, packets::fragment({.offset = 5, .more = false}, rest))), Seen::packet);
    Datapath other;
    other.add("--proto udp --partition");
    EXPECT_EQ(other.out(frame(ipv6({}, packets::fragment({.offset = 5}, hidden)))), next);
}

TEST_F(Parse, TagsInThePacketAndBesideIt)
{
    EXPECT_EQ(look(vlan(7, usual_v4())), Seen::ports);
    EXPECT_EQ(look(vlan(0xe007, ipv6({}, usual_udp()))), Seen::ports) << "with a priority";
    EXPECT_EQ(look(vlan(7, vlan(8, usual_v4()), 0x88a8)), Seen::ports) << "QinQ";
    EXPECT_EQ(look(vlan(7, vlan(8, usual_v4()))), Seen::ports);
    EXPECT_EQ(look(vlan(1, vlan(2, vlan(3, usual_v4())))), Seen::frame) << "three tags";
    Arrival beside;
    beside.vlan = 7;
    EXPECT_EQ(look(usual_v4(), beside), Seen::ports);
    EXPECT_EQ(look(vlan(8, usual_v4()), beside), Seen::ports);
    EXPECT_EQ(look(vlan(7, packets::lldp())), Seen::frame);
}

TEST_F(Parse, WhatIsNotIpIsTaken)
{
    for (const auto protocol :
         std::initializer_list<std::uint16_t>{0x0000, 0x0001, 0x0027, 0x05dc, 0x0600, 0x8847, 0x8863, 0x88cc, 0xffff})
        EXPECT_EQ(look(packets::raw(protocol, usual_v4().bytes)), Seen::frame) << protocol;
}

// ---- classes: ARP, neighbour discovery, DHCP ----

struct Named {
    const char* word;
    std::vector<Layer> packets;
};

std::vector<Named> classes()
{
    Named nd{"nd", {}};
    for (std::uint8_t type = 133; type <= 137; ++type) nd.packets.push_back(packets::neighbour(type));
    const auto four = [](std::uint16_t from, std::uint16_t to) {
        return ipv4({}, udp(from, to, packets::dhcp_message()));
    };
    const auto six = [](std::uint16_t from, std::uint16_t to, std::uint8_t type) {
        return ipv6({}, udp(from, to, packets::dhcpv6_message(type)));
    };
    return {{"arp", {packets::arp()}},
            nd,
            {"dhcp",
             {packets::dhcp_discover(), four(67, 68), four(67, 67), four(68, 68), packets::dhcpv6_solicit(),
              six(547, 546, 2), six(547, 547, 12), six(546, 547, 37)}}};
}

TEST_F(Parse, ClassesAreNotMatchedUnlessNamed)
{
    for (const auto& [word, members] : classes())
        for (const auto& member : members) EXPECT_EQ(look(member), Seen::nothing) << word;
    Datapath other;
    other.add("--proto udp,icmpv6,tcp --partition");
    other.add("--port 67,68,546,547 --partition");
    for (const auto& [word, members] : classes())
        for (const auto& member : members) EXPECT_EQ(other.out(frame(member)), next) << word;
}

TEST_F(Parse, ANamedClassIsMatchedAndNothingElse)
{
    for (const auto& [named, ignored] : classes()) {
        Datapath other;
        other.add(std::string("--partition --proto ") + named);
        for (const auto& [word, members] : classes()) {
            for (const auto& member : members) {
                EXPECT_EQ(other.out(frame(member)), word == named ? stolen : next) << word << " for " << named;
                EXPECT_EQ(other.in(frame(member)), word == named ? shot : next) << word << " for " << named;
            }
        }
        EXPECT_EQ(other.out(frame(usual_v4())), next);
    }
}

TEST_F(Parse, NeighboursOfTheClassesAreOrdinary)
{
    for (const auto type : std::initializer_list<std::uint8_t>{128, 129, 132, 138, 143})
        EXPECT_EQ(look(packets::neighbour(type)), Seen::packet) << +type;
    for (const auto hop_limit : std::initializer_list<std::uint8_t>{0, 1, 64, 254})
        EXPECT_EQ(look(ipv6({.hop_limit = hop_limit}, packets::icmpv6(135, payload(16)))), Seen::packet)
            << "forwarded, hence no neighbour's: " << +hop_limit;
    EXPECT_EQ(look(ipv4({}, packets::icmp(133))), Seen::packet);
    EXPECT_EQ(look(ipv4({}, packets::icmpv6(135))), Seen::packet) << "ICMPv6 in IPv4";
    for (const auto& layer :
         {udp(68, 53), udp(66, 67), udp(67, 69), udp(68, 547), packets::tcp(68, 67), packets::sctp(67, 68)})
        EXPECT_EQ(look(ipv4({}, layer)), Seen::packet) << layer.number;
    const auto message = packets::dhcp_message();
    EXPECT_EQ(look(ipv4({}, udp(68, 67, payload(300)))), Seen::packet) << "BOOTP, without the cookie";
    EXPECT_EQ(look(ipv4({}, udp(68, 67))), Seen::packet);
    EXPECT_EQ(look(ipv4({}, udp(68, 53, message))), Seen::packet);
    EXPECT_EQ(look(ipv6({}, udp(68, 67, message))), Seen::packet) << "ports of the other IP version";
    EXPECT_EQ(look(ipv4({}, udp(546, 547, packets::dhcpv6_message()))), Seen::packet);
    for (const auto type : std::initializer_list<std::uint8_t>{0, 38, 255})
        EXPECT_EQ(look(ipv6({}, udp(546, 547, packets::dhcpv6_message(type)))), Seen::packet) << "no message " << +type;
    EXPECT_EQ(look(ipv6({}, udp(546, 547))), Seen::packet);
    EXPECT_EQ(look(ipv4({.fragment_offset = 3}, udp(68, 67))), Seen::packet) << "no ports in a later fragment";
}

TEST_F(Parse, ANamedClassCanBeNarrowed)
{
    Datapath other;
    other.add("--proto nd --remote fe80::/10 --partition");
    const auto to = [](const char* address) {
        return frame(ipv6({.destination = address, .hop_limit = 255}, packets::icmpv6(135)));
    };
    EXPECT_EQ(other.out(to("fe80::1")), stolen);
    EXPECT_EQ(other.out(to("ff02::1")), next);
}

}  // namespace
}  // namespace headwind::prog::parse_test
