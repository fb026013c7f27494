// SPDX-License-Identifier: MIT
// Parses and formats the words of a rule's selector: protocols, addresses, ports, directions.
#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <fmt/ranges.h>

#include <headwind/abi.h>
#include "rule/rule.h"
#include "util/text.h"

namespace headwind {
namespace {

struct ProtocolName {
    Protocol protocol;
    std::string_view name;
};

// The first name of a protocol is the one printed.
constexpr ProtocolName protocol_names[] = {
    {1, "icmp"},
    {2, "igmp"},
    {4, "ipip"},
    {6, "tcp"},
    {17, "udp"},
    {33, "dccp"},
    {47, "gre"},
    {50, "esp"},
    {51, "ah"},
    {58, "icmpv6"},
    {58, "ipv6-icmp"},
    {58, "icmp6"},
    {89, "ospf"},
    {103, "pim"},
    {112, "vrrp"},
    {115, "l2tp"},
    {132, "sctp"},
    {136, "udplite"},
    {HW_PROTO_ARP, "arp"},
    {HW_PROTO_ND, "nd"},
    {HW_PROTO_DHCP, "dhcp"},
    {HW_PROTO_LLC, "llc"},
    {0x88cc, "lldp"},
    {0x8809, "lacp"},
    {HW_PROTO_MPLS, "mpls"},
    {HW_PROTO_PPPOE, "pppoe"},
    {0x88f7, "ptp"},
    {0x888e, "eapol"},
};

constexpr std::uint8_t mapped_bits = 96;
constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The number that the text's digits make, 0 .. most; nullopt: it is none.
std::optional<std::uint32_t> parse_whole(std::string_view text, std::uint32_t most)
{
    if (text.empty()) return std::nullopt;
    std::uint32_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<std::uint32_t>(c - '0');
        if (value > most) return std::nullopt;
    }
    return value;
}

// ---- protocols ----

// Parses the digits behind 0x.
Result<Protocol> parse_ethertype(std::string_view digits)
{
    unsigned value = 0;
    const auto* const behind = digits.data() + digits.size();
    const auto [end, error] = std::from_chars(digits.data(), behind, value, 16);
    if (error != std::errc{} || end != behind || value < HW_FIRST_ETHERTYPE || value > 0xffff)
        return fail(
            ErrorKind::usage,
            "no EtherType: write 0x0600 to 0xffff, or the number of an IP protocol in decimal (llc: frames with a length in its place)");
    switch (value) {
        case 0x0800: return fail(ErrorKind::usage, "that is IPv4: write --remote 0.0.0.0/0 instead");
        case 0x86dd: return fail(ErrorKind::usage, "that is IPv6: write --remote ::/0 instead");
        case 0x8100:
        case 0x88a8: return fail(ErrorKind::usage, "that is a VLAN tag: write the protocol that is behind it");
        case 0x0806: return static_cast<Protocol>(HW_PROTO_ARP);
        default: return static_cast<Protocol>(value);
    }
}

// ---- addresses ----

bool is_mapped(const std::array<std::uint8_t, 16>& address)
{
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), address.begin());
}

// Parses an address without a prefix length; the prefix is that of a single host.
std::optional<Cidr> parse_address(std::string_view text)
{
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
    const std::string terminated(text);
    Cidr cidr;
    cidr.prefix = 128;
    if (inet_pton(AF_INET6, terminated.c_str(), cidr.address.data()) == 1) return cidr;
    cidr.v4 = true;
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), cidr.address.begin());
    if (inet_pton(AF_INET, terminated.c_str(), cidr.address.data() + mapped_prefix.size()) == 1) return cidr;
    return std::nullopt;
}

void clear_host_bits(Cidr& cidr)
{
    for (std::size_t i = 0; i < cidr.address.size(); ++i) {
        const std::size_t kept = cidr.prefix > i * 8 ? std::min<std::size_t>(cidr.prefix - i * 8, 8) : 0;
        cidr.address[i] = static_cast<std::uint8_t>(cidr.address[i] & (0xff00U >> kept));
    }
}

// ---- ports ----

Result<PortRange> parse_range(std::string_view text)
{
    const std::size_t separator = text.find_first_of("-:");
    const std::string_view first_text = trimmed(text.substr(0, separator));
    const std::string_view last_text =
        separator == std::string_view::npos ? first_text : trimmed(text.substr(separator + 1));
    const auto first = parse_whole(first_text, 65535);
    const auto last = parse_whole(last_text, 65535);
    if (!first || !last || *first == 0 || *last == 0) {
        return fail(ErrorKind::usage, "{} is no port: write numbers from 1 to 65535, like 22,8000-8080",
                    printable(text));
    }
    if (*first > *last) {
        return fail(ErrorKind::usage, "{} is backwards: write {}-{}", printable(text), *last, *first);
    }
    return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

// The ranges, sorted; ranges that overlap or touch become one.
std::vector<PortRange> merge(std::vector<PortRange> ranges)
{
    std::sort(ranges.begin(), ranges.end(), [](const PortRange& a, const PortRange& b) { return a.first < b.first; });
    std::vector<PortRange> merged;
    for (const PortRange& range : ranges) {
        if (!merged.empty() && range.first <= merged.back().last + 1) {
            merged.back().last = std::max(merged.back().last, range.last);
        } else {
            merged.push_back(range);
        }
    }
    return merged;
}

}  // namespace

Result<Protocol> parse_protocol(std::string_view text)
{
    const std::string name = lowered(trimmed(text));
    if (const auto number = parse_whole(name, 255)) return static_cast<Protocol>(*number);
    if (name.starts_with("0x")) return parse_ethertype(std::string_view(name).substr(2));
    std::vector<std::string_view> known;
    for (const ProtocolName& entry : protocol_names) {
        if (entry.name == name) return entry.protocol;
        known.push_back(entry.name);
    }
    return fail(
        ErrorKind::usage,
        "unknown protocol: write an IP protocol from 0 to 255, an EtherType from 0x0600 to 0xffff, or one of {} (none given: all frames but arp, nd and dhcp)",
        fmt::join(known, " "));
}

std::string format_protocol(Protocol protocol)
{
    for (const ProtocolName& entry : protocol_names) {
        if (entry.protocol == protocol) return std::string(entry.name);
    }
    return protocol < HW_FIRST_ETHERTYPE ? fmt::format("{}", protocol) : fmt::format("{:#06x}", protocol);
}

bool is_ethernet(Protocol protocol)
{
    return protocol >= HW_PROTO_LLC;
}

bool carries_ports(Protocol protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP ||
           protocol == IPPROTO_UDPLITE || protocol == HW_PROTO_DHCP;
}

Result<Cidr> parse_cidr(std::string_view text)
{
    const std::string_view typed = trimmed(text);
    const std::size_t slash = typed.find('/');
    const auto address = parse_address(typed.substr(0, slash));
    if (!address) {
        return fail(ErrorKind::usage,
                    "no IP address (names are not looked up): write 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32");
    }
    const std::string host = format_cidr(*address);
    Cidr cidr = *address;
    if (slash != std::string_view::npos) {
        const std::uint32_t longest = cidr.v4 ? 32 : 128;
        const auto prefix = parse_whole(typed.substr(slash + 1), longest);
        if (!prefix) {
            return fail(ErrorKind::usage, "the prefix length is 0 to {0}: write {1} or {1}/{0}", longest, host);
        }
        cidr.prefix = static_cast<std::uint8_t>(*prefix + (cidr.v4 ? mapped_bits : 0));
    }
    clear_host_bits(cidr);
    Cidr as_v4 = cidr;
    as_v4.v4 = true;
    if (!cidr.v4 && cidr.prefix >= mapped_bits && is_mapped(cidr.address)) {
        return fail(ErrorKind::usage, "an IPv4 address in IPv6 clothes: write {}", format_cidr(as_v4));
    }
    if (cidr.address != address->address) {
        return fail(ErrorKind::usage, "bits are set beyond the prefix: write {} or {}", format_cidr(cidr), host);
    }
    return cidr;
}

std::string format_cidr(const Cidr& cidr)
{
    char text[INET6_ADDRSTRLEN] = "";
    const std::uint8_t* address = cidr.address.data() + (cidr.v4 ? mapped_prefix.size() : 0);
    inet_ntop(cidr.v4 ? AF_INET : AF_INET6, address, text, sizeof(text));
    if (cidr.prefix == 128) return text;
    return fmt::format("{}/{}", text, cidr.v4 ? cidr.prefix - mapped_bits : cidr.prefix);
}

Result<std::vector<PortRange>> parse_ports(std::string_view text)
{
    std::vector<PortRange> ranges;
    for (bool more = true; more;) {
        const std::size_t comma = text.find(',');
        HW_TRY(const PortRange range, parse_range(trimmed(text.substr(0, comma))));
        ranges.push_back(range);
        more = comma != std::string_view::npos;
        if (more) text.remove_prefix(comma + 1);
    }
    return merge(std::move(ranges));
}

std::string format_ports(const std::vector<PortRange>& ports)
{
    std::string text;
    for (const PortRange& range : ports) {
        if (!text.empty()) text += ',';
        text +=
            range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}-{}", range.first, range.last);
    }
    return text;
}

std::string_view format_direction(Direction direction)
{
    switch (direction) {
        case Direction::out: return "out";
        case Direction::in: return "in";
        case Direction::both: return "both";
    }
    return "out";
}

}  // namespace headwind
