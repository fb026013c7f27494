// SPDX-License-Identifier: MIT
// Tests how protocols, addresses and ports are parsed.
#include <random>

#include "rule_test.h"

namespace headwind::rule_test::parse_test {
namespace {

using namespace std::string_literals;

// ---- protocols ----

TEST(Protocols, Parse)
{
    const std::vector<std::pair<std::string, Protocol>> cases{
        {"tcp", 6},
        {"TCP", 6},
        {" udp ", 17},
        {"6", 6},
        {"0", 0},
        {"255", 255},
        {"icmp", 1},
        {"icmpv6", 58},
        {"icmp6", 58},
        {"ipv6-icmp", 58},
        {"sctp", 132},
        {"gre", 47},
        {"esp", 50},
        {"arp", HW_PROTO_ARP},
        {"nd", HW_PROTO_ND},
        {"dhcp", HW_PROTO_DHCP},
        {"llc", HW_PROTO_LLC},
        {"mpls", HW_PROTO_MPLS},
        {"pppoe", HW_PROTO_PPPOE},
        {"lldp", 0x88cc},
        {"LACP", 0x8809},
        {"ptp", 0x88f7},
        {"eapol", 0x888e},
        {"0x88cc", 0x88cc},
        {"0X88CC", 0x88cc},
        {"0x8847", 0x8847},
        {"0x0600", 0x0600},
        {"0x600", 0x0600},
        {"0xffff", 0xffff},
        {"0x0806", HW_PROTO_ARP},
    };
    for (const auto& [text, protocol] : cases) {
        const auto result = parse_protocol(text);
        ASSERT_TRUE(result) << text;
        EXPECT_EQ(*result, protocol) << text;
    }
    for (const std::string& text : {""s, "256"s, "257"s, "-1"s, "6 6"s, "tcpx"s, "tcp\0"s, "all"s, "ip"s, "+6"s, "6.0"s,
                                    "99999999999999999999"s, std::string(100'000, 't')}) {
        const auto result = parse_protocol(text);
        ASSERT_FALSE(result) << printable(text);
        expect_contains(result.error().message, "0 to 255, an EtherType from 0x0600 to 0xffff, or one of icmp",
                        printable(text));
    }
}

TEST(Protocols, EtherTypesThatAreSelectedOtherwise)
{
    const std::pair<const char*, const char*> cases[] = {
        {"0x05ff", "0x0600 to 0xffff"},   {"0x", "0x0600 to 0xffff"},        {"0x06", "in decimal"},
        {"0x88ccx", "0x0600 to 0xffff"},  {"0x10000", "0x0600 to 0xffff"},   {"0x-600", "0x0600 to 0xffff"},
        {"0x0800", "--remote 0.0.0.0/0"}, {"0x86dd", "--remote ::/0"},       {"0x8100", "VLAN tag"},
        {"0x88a8", "VLAN tag"},           {"0x99999999999999", "0x0600 to"}, {"0x 88cc", "0x0600 to"}};
    for (const auto& [text, expected] : cases) {
        const auto result = parse_protocol(text);
        ASSERT_FALSE(result) << text;
        expect_contains(result.error().message, expected, text);
    }
}

TEST(Protocols, RoundTrip)
{
    for (Protocol protocol = 0; protocol <= HW_PROTO_PPPOE; ++protocol) {
        EXPECT_EQ(parse_protocol(format_protocol(protocol)).value_or(9999), protocol);
    }
    for (const auto protocol : std::initializer_list<Protocol>{0x0600, 0x8847, 0x8863, 0x88cc, 0x9000, 0xffff}) {
        EXPECT_EQ(parse_protocol(format_protocol(protocol)).value_or(9999), protocol);
    }
    EXPECT_EQ(format_protocol(58), "icmpv6");
    EXPECT_EQ(format_protocol(147), "147");
    EXPECT_EQ(format_protocol(0x88cc), "lldp");
    EXPECT_EQ(format_protocol(0x0600), "0x0600");
}

// ---- addresses ----

TEST(Cidrs, ParseV4)
{
    const Cidr net = cidr("10.0.0.0/8");
    EXPECT_TRUE(net.v4);
    EXPECT_EQ(net.prefix, 104);
    EXPECT_EQ(net.address, (std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0}));
    EXPECT_EQ(cidr("192.0.2.1").prefix, 128);
    EXPECT_EQ(cidr("192.0.2.1/32"), cidr(" 192.0.2.1 "));
    EXPECT_EQ(cidr("0.0.0.0/0").prefix, 96);
    EXPECT_EQ(cidr("192.0.2.128/25").prefix, 121);
}

TEST(Cidrs, ParseV6)
{
    const Cidr net = cidr("2001:db8::/32");
    EXPECT_FALSE(net.v4);
    EXPECT_EQ(net.prefix, 32);
    EXPECT_EQ(net.address, (std::array<std::uint8_t, 16>{0x20, 0x01, 0x0d, 0xb8}));
    EXPECT_EQ(cidr("::1").prefix, 128);
    EXPECT_EQ(cidr("::/0").prefix, 0);
    EXPECT_EQ(cidr("2001:DB8::1"), cidr("2001:db8:0:0:0:0:0:1/128"));
}

TEST(Cidrs, Refuse)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "no IP address"},
        {"/8", "no IP address"},
        {"example.com", "names are not looked up"},
        {"10.0.0", "no IP address"},
        {"10.0.0.0.0", "no IP address"},
        {"10.0.0.256", "no IP address"},
        {"010.0.0.1", "no IP address"},
        {"10.0.0.1\0"s, "no IP address"},
        {"fe80::1%eth0", "no IP address"},
        {"[::1]", "no IP address"},
        {":::", "no IP address"},
        {std::string(100'000, '1'), "no IP address"},
        {"10.0.0.0/", "0 to 32: write 10.0.0.0 or 10.0.0.0/32"},
        {"10.0.0.0/33", "0 to 32"},
        {"10.0.0.0/-1", "0 to 32"},
        {"10.0.0.0/8/8", "0 to 32"},
        {"10.0.0.0/8x", "0 to 32"},
        {"10.0.0.0/255.0.0.0", "0 to 32"},
        {"10.0.0.0/" + std::string(100'000, '0') + "99", "0 to 32"},
        {"2001:db8::/129", "0 to 128"},
        {"10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3"},
        {"10.0.0.1/31", "write 10.0.0.0/31 or 10.0.0.1"},
        {"10.0.0.1/0", "write 0.0.0.0/0 or 10.0.0.1"},
        {"2001:db8::1/32", "write 2001:db8::/32 or 2001:db8::1"},
        {"::ffff:10.0.0.0/104", "write 10.0.0.0/8"},
        {"::ffff:10.1.2.3", "write 10.1.2.3"},
        {"::ffff:0:0/96", "write 0.0.0.0/0"},
    };
    for (const auto& [text, hint] : cases) {
        const auto result = parse_cidr(text);
        ASSERT_FALSE(result) << printable(text);
        expect_contains(result.error().message, hint, printable(text));
    }
    EXPECT_TRUE(parse_cidr("2001:db8::/29"));
    EXPECT_FALSE(parse_cidr("2001:db8::/28"));
}

TEST(Cidrs, RoundTrip)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 100'000; ++i) {
        std::string text;
        if (i % 2 == 0) {
            text = fmt::format("{}.{}.{}.{}/{}", random() % 256, random() % 256, random() % 256, random() % 256,
                               random() % 33);
        } else {
            text = fmt::format("{:x}:{:x}::{:x}/{}", random() % 65536, random() % 65536 * (random() % 2),
                               random() % 65536 * (random() % 2), random() % 129);
        }
        auto parsed = parse_cidr(text);
        if (!parsed) {  // it has host bits: the error suggests the prefix
            const std::string& message = parsed.error().message;
            const std::size_t start = message.find("write ") + 6;
            text = message.substr(start, message.find(' ', start) - start);
            parsed = parse_cidr(text);
        }
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        ASSERT_EQ(parse_cidr(format_cidr(*parsed)).value(), *parsed) << text;
    }
}

// ---- ports ----

TEST(Ports, Parse)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"80", "80"},
        {"1", "1"},
        {"65535", "65535"},
        {"0080", "80"},
        {"22,80,8000-8080,1000:2000", "22,80,1000-2000,8000-8080"},
        {" 22 , 80 - 90 ", "22,80-90"},
        {"80,80,80", "80"},
        {"80-90,85-95", "80-95"},
        {"80-90,82", "80-90"},
        {"80,81", "80-81"},
        {"80,82", "80,82"},
        {"5-5", "5"},
        {"1-65535", "1-65535"},
        {"65535,1-65534", "1-65535"},
    };
    for (const auto& [text, expected] : cases) {
        const auto ports = parse_ports(text);
        ASSERT_TRUE(ports) << text << ": " << ports.error().message;
        EXPECT_EQ(format_ports(*ports), expected) << text;
        EXPECT_EQ(parse_ports(format_ports(*ports)).value(), *ports) << text;
    }
}

TEST(Ports, Refuse)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "1 to 65535"},
        {"0", "0 is no port"},
        {"0-10", "0-10 is no port"},
        {"65536", "65536 is no port"},
        {"80-65536", "1 to 65535"},
        {"http", "http is no port"},
        {"-80", "-80 is no port"},
        {"80-", "80- is no port"},
        {"80--90", "1 to 65535"},
        {"80-90-100", "1 to 65535"},
        {"22,,80", "\"\" is no port"},
        {"22,", "\"\" is no port"},
        {"80;81", "1 to 65535"},
        {"8 0", "\"8 0\" is no port"},
        {"80\0"s, "80\\x00 is no port"},
        {"8080-8000", "8080-8000 is backwards: write 8000-8080"},
        {std::string(100'000, '8'), "888..."},
    };
    for (const auto& [text, hint] : cases) {
        const auto ports = parse_ports(text);
        ASSERT_FALSE(ports) << printable(text);
        expect_contains(ports.error().message, hint, printable(text));
    }
}

}  // namespace
}  // namespace headwind::rule_test::parse_test
