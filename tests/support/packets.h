// SPDX-License-Identifier: MIT
// Packets, built from the inside out: frame(vlan(7, ipv4({.source = "10.0.0.1"}, udp(4000, 53, payload(20))))).
//
// Each layer knows the number by which the layer around it must name it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace headwind::packets {

using Bytes = std::vector<std::uint8_t>;

struct Layer {
    std::uint16_t number = 0;  // EtherType or IP protocol
    Bytes bytes;
};

Layer raw(std::uint16_t number, Bytes bytes);
Layer payload(std::size_t size);  // zeros of no protocol

// ---- transport ----

Layer udp(std::uint16_t source, std::uint16_t destination, const Layer& inner = {});
Layer tcp(std::uint16_t source, std::uint16_t destination, const Layer& inner = {}, unsigned option_words = 0);
Layer sctp(std::uint16_t source, std::uint16_t destination, const Layer& inner = {});
Layer dccp(std::uint16_t source, std::uint16_t destination, const Layer& inner = {});
Layer udplite(std::uint16_t source, std::uint16_t destination, const Layer& inner = {});
Layer icmp(std::uint8_t type, const Layer& inner = {});
Layer icmpv6(std::uint8_t type, const Layer& inner = {});

// ---- network ----

struct Ipv4 {
    std::string source = "10.0.0.1", destination = "10.0.0.2";
    unsigned option_words = 0;     // 0 .. 10
    unsigned fragment_offset = 0;  // units of 8 bytes
    bool more_fragments = false;
    std::uint16_t identification = 0;
};
Layer ipv4(const Ipv4& header, const Layer& inner);

struct Ipv6 {
    std::string source = "2001:db8::1", destination = "2001:db8::2";
    std::uint8_t hop_limit = 64;
};
Layer ipv6(const Ipv6& header, const Layer& inner);

// An IPv6 extension header of 8 + 8 * more bytes, with `kind` as its number.
Layer extension(std::uint8_t kind, const Layer& inner, std::uint8_t more = 0);
Layer authentication(const Layer& inner, std::uint8_t length = 4);  // AH: (length + 2) * 4 bytes
struct Fragment {
    unsigned offset = 0;  // units of 8 bytes
    bool more = true;
    std::uint32_t identification = 0;
};
Layer fragment(const Fragment& header, const Layer& inner);

Layer arp();
Layer neighbour(std::uint8_t type);          // of neighbour discovery, with its hop limit of 255
Layer dhcp_message(std::size_t size = 300);  // of IPv4, with its cookie
Layer dhcpv6_message(std::uint8_t type = 1, std::size_t size = 60);  // 1: solicit
Layer dhcp_discover();                                               // in its IPv4 packet
Layer dhcpv6_solicit();
Layer lldp();
Layer llc();  // 802.3 with a length, as IS-IS and spanning tree have it

// ---- link ----

Layer vlan(std::uint16_t id, const Layer& inner, std::uint16_t tag_protocol = 0x8100);
Bytes frame(const Layer& inner);

// A packet of UDP over IPv4 from port 1000, for tests that need just any packet.
Bytes usual_packet(std::uint16_t port = 2000);

}  // namespace headwind::packets
