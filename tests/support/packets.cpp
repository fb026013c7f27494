// SPDX-License-Identifier: MIT
// Builds packets from headers and payloads, with checksums.
#include "packets.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <linux/if_ether.h>

#include <algorithm>
#include <stdexcept>

namespace headwind::packets {
namespace {

constexpr std::uint16_t protocol_udplite = 136, protocol_dccp = 33, protocol_sctp = 132;

void put16(Bytes& bytes, std::size_t offset, std::size_t value)
{
    bytes.at(offset) = static_cast<std::uint8_t>(value >> 8);
    bytes.at(offset + 1) = static_cast<std::uint8_t>(value);
}

void append(Bytes& to, const Bytes& more)
{
    to.insert(to.end(), more.begin(), more.end());
}

// A layer with `header` in front of `inner`.
Layer around(std::uint16_t number, Bytes header, const Layer& inner)
{
    append(header, inner.bytes);
    return {number, std::move(header)};
}

Bytes address(int family, const std::string& text)
{
    Bytes out(family == AF_INET ? 4 : 16);
    if (inet_pton(family, text.c_str(), out.data()) != 1) throw std::invalid_argument("no address: " + text);
    return out;
}

Bytes ports(std::size_t header, std::uint16_t source, std::uint16_t destination)
{
    Bytes out(header);
    put16(out, 0, source);
    put16(out, 2, destination);
    return out;
}

std::uint16_t internet_checksum(const Bytes& header)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < header.size(); i += 2)
        sum += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace

Layer raw(std::uint16_t number, Bytes bytes)
{
    return {number, std::move(bytes)};
}

Layer payload(std::size_t size)
{
    return {0, Bytes(size)};
}

Layer udp(std::uint16_t source, std::uint16_t destination, const Layer& inner)
{
    auto header = ports(8, source, destination);
    put16(header, 4, 8 + inner.bytes.size());
    return around(IPPROTO_UDP, std::move(header), inner);
}

Layer tcp(std::uint16_t source, std::uint16_t destination, const Layer& inner, unsigned option_words)
{
    auto header = ports(20 + option_words * 4, source, destination);
    header[12] = static_cast<std::uint8_t>((5 + option_words) << 4);
    header[13] = 0x10;  // ACK
    return around(IPPROTO_TCP, std::move(header), inner);
}

Layer sctp(std::uint16_t source, std::uint16_t destination, const Layer& inner)
{
    return around(protocol_sctp, ports(12, source, destination), inner);
}

Layer dccp(std::uint16_t source, std::uint16_t destination, const Layer& inner)
{
    return around(protocol_dccp, ports(16, source, destination), inner);
}

Layer udplite(std::uint16_t source, std::uint16_t destination, const Layer& inner)
{
    return around(protocol_udplite, ports(8, source, destination), inner);
}

Layer icmp(std::uint8_t type, const Layer& inner)
{
    return around(IPPROTO_ICMP, {type, 0, 0, 0, 0, 0, 0, 0}, inner);
}

Layer icmpv6(std::uint8_t type, const Layer& inner)
{
    return around(58, {type, 0, 0, 0, 0, 0, 0, 0}, inner);
}

Layer ipv4(const Ipv4& options, const Layer& inner)
{
    Bytes header(20 + options.option_words * 4, 1);  // all options are no-ops
    std::fill(header.begin(), header.begin() + 20, std::uint8_t{0});
    header[0] = static_cast<std::uint8_t>(0x40 | header.size() / 4);
    put16(header, 2, header.size() + inner.bytes.size());
    put16(header, 4, options.identification);
    put16(header, 6, options.fragment_offset | (options.more_fragments ? 0x2000U : 0U));
    header[8] = 64;
    header[9] = static_cast<std::uint8_t>(inner.number);
    const auto source = address(AF_INET, options.source), destination = address(AF_INET, options.destination);
    std::copy(source.begin(), source.end(), header.begin() + 12);
    std::copy(destination.begin(), destination.end(), header.begin() + 16);
    put16(header, 10, internet_checksum(header));
    return around(ETH_P_IP, std::move(header), inner);
}

Layer ipv6(const Ipv6& options, const Layer& inner)
{
    Bytes header(8);
    header[0] = 0x60;
    put16(header, 4, inner.bytes.size());
    header[6] = static_cast<std::uint8_t>(inner.number);
    header[7] = options.hop_limit;
    append(header, address(AF_INET6, options.source));
    append(header, address(AF_INET6, options.destination));
    return around(ETH_P_IPV6, std::move(header), inner);
}

Layer extension(std::uint8_t kind, const Layer& inner, std::uint8_t more)
{
    Bytes header(8U + 8U * more);
    header[0] = static_cast<std::uint8_t>(inner.number);
    header[1] = more;
    return around(kind, std::move(header), inner);
}

Layer authentication(const Layer& inner, std::uint8_t length)
{
    Bytes header((length + 2U) * 4U);
    header[0] = static_cast<std::uint8_t>(inner.number);
    header[1] = length;
    return around(IPPROTO_AH, std::move(header), inner);
}

Layer fragment(const Fragment& options, const Layer& inner)
{
    Bytes header(8);
    header[0] = static_cast<std::uint8_t>(inner.number);
    put16(header, 2, options.offset << 3 | (options.more ? 1U : 0U));
    put16(header, 4, options.identification >> 16);
    put16(header, 6, options.identification & 0xffff);
    return around(44, std::move(header), inner);
}

Layer arp()
{
    return raw(ETH_P_ARP, {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2});
}

Layer neighbour(std::uint8_t type)
{
    return ipv6({.hop_limit = 255}, icmpv6(type, payload(16)));
}

Layer dhcp_message(std::size_t size)
{
    constexpr std::size_t cookie = 236;
    auto out = payload(size);
    put16(out.bytes, cookie, 0x6382);
    put16(out.bytes, cookie + 2, 0x5363);
    return out;
}

Layer dhcpv6_message(std::uint8_t type, std::size_t size)
{
    auto out = payload(size);
    out.bytes.at(0) = type;
    return out;
}

Layer dhcp_discover()
{
    return ipv4({.source = "0.0.0.0", .destination = "255.255.255.255"}, udp(68, 67, dhcp_message()));
}

Layer dhcpv6_solicit()
{
    return ipv6({.source = "fe80::1", .destination = "ff02::1:2"}, udp(546, 547, dhcpv6_message()));
}

Layer lldp()
{
    return raw(ETH_P_LLDP, {2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 3, 7, 'v', 'a', 6, 2, 0, 120, 0, 0});
}

Layer llc()
{
    constexpr std::uint8_t isis = 0xfe, unnumbered = 3;
    Bytes bytes(60);
    bytes[0] = bytes[1] = isis;
    bytes[2] = unnumbered;
    return raw(static_cast<std::uint16_t>(bytes.size()), std::move(bytes));
}

Layer vlan(std::uint16_t id, const Layer& inner, std::uint16_t tag_protocol)
{
    Bytes tag(4);
    put16(tag, 0, id);
    put16(tag, 2, inner.number);
    return around(tag_protocol, std::move(tag), inner);
}

Bytes frame(const Layer& inner)
{
    Bytes out{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0};
    put16(out, 12, inner.number);
    append(out, inner.bytes);
    return out;
}

Bytes usual_packet(std::uint16_t port)
{
    return frame(ipv4({}, udp(1000, port, payload(20))));
}

}  // namespace headwind::packets
