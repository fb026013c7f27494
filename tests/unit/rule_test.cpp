#include "rule.h"

#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "headwind/abi.h"

namespace headwind {
namespace {

using namespace std::string_literals;
using nlohmann::json;

using Arguments = std::vector<std::string>;

// A command line's words as RuleText. The name is "r" unless given.
RuleText text_of(const Arguments& arguments)
{
    RuleText text;
    text.name = "r";
    const std::map<std::string, std::vector<std::string>*> lists{
        {"--dev", &text.devices},  {"--cgroup", &text.cgroups},         {"--proto", &text.protocols},
        {"--port", &text.ports},   {"--local-port", &text.local_ports}, {"--remote-port", &text.remote_ports},
        {"--local", &text.locals}, {"--remote", &text.remotes},
    };
    const std::map<std::string, std::optional<std::string>*> words{
        {"--delay", &text.delay},
        {"--jitter", &text.jitter},
        {"--distribution", &text.distribution},
        {"--loss", &text.loss},
        {"--corrupt", &text.corrupt},
        {"--duplicate", &text.duplicate},
        {"--reorder", &text.reorder},
        {"--reorder-gap", &text.reorder_gap},
        {"--rate", &text.rate},
        {"--queue", &text.queue},
        {"--reject", &text.reject},
        {"--direction", &text.direction},
        {"--priority", &text.priority},
        {"--netem", &text.netem},
    };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& flag = arguments[i];
        if (flag == "--partition")
            text.partition = true;
        else if (flag == "--pass")
            text.pass = true;
        else if (flag == "--name")
            text.name = arguments.at(++i);
        else if (lists.contains(flag))
            lists.at(flag)->push_back(arguments.at(++i));
        else
            *words.at(flag) = arguments.at(++i);
    }
    return text;
}

Arguments split(const std::string& line)
{
    std::istringstream stream(line);
    Arguments arguments;
    for (std::string word; stream >> word;) arguments.push_back(word);
    return arguments;
}

Result<Rule> rule_of(const std::string& line)
{
    return make_rule(text_of(split(line)));
}

// A rule that must be valid.
Rule valid(const std::string& line)
{
    const auto rule = rule_of(line);
    EXPECT_TRUE(rule) << line << "\n" << rule.error().message;
    return rule ? *rule : Rule{};
}

void expect_contains(const std::string& text, const std::string& part, const std::string& of)
{
    EXPECT_NE(text.find(part), std::string::npos) << "of:    " << of << "\ngot:   " << text << "\nlacks: " << part;
}

// The error must start with `start` (flags and values typed) and contain `hint` (what would be right).
struct Refused {
    Arguments arguments;
    std::string start, hint;
};

void expect_refused(const std::vector<Refused>& cases)
{
    for (const Refused& c : cases) {
        const auto rule = make_rule(text_of(c.arguments));
        const std::string of = fmt::format("{}", fmt::join(c.arguments, " "));
        ASSERT_FALSE(rule) << of;
        EXPECT_EQ(rule.error().kind, ErrorKind::usage) << of;
        EXPECT_EQ(rule.error().message.substr(0, c.start.size() + 2), c.start + ": ") << rule.error().message;
        expect_contains(rule.error().message, c.hint, of);
        EXPECT_TRUE(is_plain_text(rule.error().message)) << of;
    }
}

Cidr cidr(const std::string& text)
{
    const auto result = parse_cidr(text);
    EXPECT_TRUE(result) << text;
    return result.value_or(Cidr{});
}

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
        expect_contains(result.error().message, "0 to 255 or one of icmp", printable(text));
    }
}

TEST(Protocols, RoundTrip)
{
    for (Protocol protocol = 0; protocol <= HW_PROTO_DHCP; ++protocol) {
        EXPECT_EQ(parse_protocol(format_protocol(protocol)).value_or(9999), protocol);
    }
    EXPECT_EQ(format_protocol(58), "icmpv6");
    EXPECT_EQ(format_protocol(147), "147");
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
        if (!parsed) {  // host bits: the error offers the prefix
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

// ---- the factory ----

TEST(MakeRule, EverythingAtOnce)
{
    const Rule rule = valid(
        "--name slow-db --dev eth0,lo --dev eth0 --cgroup /a/b,c --proto tcp,UDP,6 "
        "--local-port 1024-2047 --remote-port 443 --remote-port 80 "
        "--local 192.0.2.1 --remote 10.0.0.0/8,10.0.0.0/8 --remote 2001:db8::/32 "
        "--delay 50ms --jitter 5ms --distribution normal --loss 10% --corrupt 50% --duplicate 25% --reorder 100% "
        "--reorder-gap 5 --rate 1mbit --queue 64kb --reject icmp --direction out --priority -7");
    EXPECT_EQ(rule.name, "slow-db");
    EXPECT_EQ(rule.selector.devices, (Arguments{"eth0", "lo"}));
    EXPECT_EQ(rule.selector.cgroups, (Arguments{"/a/b", "c"}));
    EXPECT_EQ(rule.selector.protocols, (std::vector<Protocol>{6, 17}));
    EXPECT_TRUE(rule.selector.ports.empty());
    EXPECT_EQ(rule.selector.local_ports, (std::vector<PortRange>{{1024, 2047}}));
    EXPECT_EQ(rule.selector.remote_ports, (std::vector<PortRange>{{80, 80}, {443, 443}}));
    EXPECT_EQ(rule.selector.locals, (std::vector<Cidr>{cidr("192.0.2.1")}));
    EXPECT_EQ(rule.selector.remotes, (std::vector<Cidr>{cidr("10.0.0.0/8"), cidr("2001:db8::/32")}));
    EXPECT_EQ(rule.impairment.delay, 50'000'000U);
    EXPECT_EQ(rule.impairment.jitter, 5'000'000U);
    EXPECT_EQ(rule.impairment.distribution, Distribution::normal);
    EXPECT_EQ(rule.impairment.loss, Probability{429'496'730});
    EXPECT_EQ(rule.impairment.corrupt, Probability{std::uint64_t{1} << 31});
    EXPECT_EQ(rule.impairment.duplicate, Probability{std::uint64_t{1} << 30});
    EXPECT_EQ(rule.impairment.reorder, Probability{std::uint64_t{1} << 32});
    EXPECT_EQ(rule.impairment.reorder_gap, 5U);
    EXPECT_EQ(rule.impairment.rate, 1'000'000U);
    EXPECT_EQ(rule.impairment.queue, (QueueLimit{64'000, 0}));
    EXPECT_EQ(rule.impairment.reject, Reject::icmp);
    EXPECT_EQ(rule.direction, Direction::out);
    EXPECT_EQ(rule.priority, -7);
}

TEST(MakeRule, Accepts)
{
    for (const std::string line : {
             "--delay 1ns",
             "--delay 4294s",
             "--loss 100%",
             "--loss 0.0000000233%",
             "--delay 50ms --loss 0%",
             "--delay 0 --loss 1%",
             "--rate 8bit",
             "--rate 1mbit --queue 50ms",
             "--rate 1mbit --queue 1b",
             "--rate 1mbit --queue 5m",
             "--rate 8bit --queue 4294b",
             "--delay 4294s --rate 1mbit",
             "--delay 4293s --rate 1mbit --queue 1s",
             "--delay 50ms --jitter 50ms",
             "--delay 50ms --jitter 0",
             "--delay 0 --jitter 0 --distribution normal --loss 1%",
             "--delay 2147s --jitter 2147s",
             "--delay 3294s --jitter 250s --distribution normal",
             "--delay 3293s --jitter 250s --distribution normal --rate 1mbit --queue 1s",
             "--corrupt 0.1%",
             "--duplicate 100%",
             "--delay 50ms --reorder 25%",
             "--delay 50ms --reorder 25% --reorder-gap 2147483648",
             "--delay 50ms --reorder 0% --reorder-gap 1",
             "--delay 0 --reorder 0% --loss 1%",
             "--partition",
             "--partition --reject rst",
             "--reject icmp",
             "--reject rst --direction in",
             "--reject rst --loss 1% --direction both",
             "--reject rst --loss 1% --delay 50ms --corrupt 1%",
             "--delay 50ms --loss 0% --reject rst",
             "--corrupt 0% --duplicate 0% --loss 1% --direction in",
             "--pass --direction in",
             "--loss 1% --direction in",
             "--loss 1% --direction both",
             "--delay 0 --loss 1% --direction in",
             "--loss 1% --priority 1000",
             "--loss 1% --priority -1000",
             "--loss 1% --dev abcdefghijklmno",
             "--loss 1% --dev eth0.100,br-1234,veth@x",
             "--loss 1% --cgroup /system.slice/dev-disk-by\\x2dlabel.service",
             "--loss 1% --port 1-4096",
             "--loss 1% --local-port 1-64 --remote-port 1-64",
             "--loss 1% --proto tcp,icmp --port 80",
             "--loss 1% --proto dhcp --remote-port 67",
             "--loss 1% --proto 136 --port 80",
             "--loss 1% --local 10.0.0.1,2001:db8::1 --remote 2001:db8::/32",
             "--loss 1% --proto icmp,icmpv6 --remote 2001:db8::/32",
             "--loss 1% --proto arp,tcp --remote 10.0.0.1",
             "--loss 1% --proto arp",
             "--loss 1% --proto nd --remote fe80::/10",
         }) {
        EXPECT_TRUE(rule_of(line)) << line << "\n" << rule_of(line).error().message;
    }
}

TEST(MakeRule, DefaultDirection)
{
    EXPECT_EQ(valid("--delay 50ms").direction, Direction::out);
    EXPECT_EQ(valid("--loss 1%").direction, Direction::out);
    EXPECT_EQ(valid("--partition").direction, Direction::both);
    EXPECT_EQ(valid("--pass").direction, Direction::both);
    EXPECT_EQ(valid("--partition --direction out").direction, Direction::out);
    EXPECT_EQ(valid("--partition --reject rst").direction, Direction::both);
    EXPECT_EQ(valid("--reject rst").direction, Direction::both);
    EXPECT_EQ(valid("--reject rst --direction in").direction, Direction::in);
    EXPECT_EQ(valid("--reject rst --loss 1%").direction, Direction::out);
    EXPECT_EQ(valid("--corrupt 1%").direction, Direction::out);
    EXPECT_EQ(valid("--partition").priority, default_priority);
    EXPECT_FALSE(valid("--rate 1mbit").impairment.queue);
}

TEST(MakeRule, RefusesNames)
{
    const std::string longest(max_name_length, 'x');
    EXPECT_TRUE(rule_of("--loss 1% --name " + longest));
    EXPECT_TRUE(rule_of("--loss 1% --name 9.A_b-c"));
    expect_refused({
        {{"--name", "", "--loss", "1%"}, "--name", "missing: give the rule a name, like --name slow-db"},
        {{"--name", "a b", "--loss", "1%"}, "--name \"a b\"", "letters, digits, '-', '_' and '.'"},
        {{"--name", "-a", "--loss", "1%"}, "--name -a", "not starting with '-' or '.'"},
        {{"--name", ".a", "--loss", "1%"}, "--name .a", "not starting with"},
        {{"--name", "a/b", "--loss", "1%"}, "--name a/b", "letters"},
        {{"--name", "\xc3\xa4", "--loss", "1%"}, "--name \xc3\xa4", "letters"},
        {{"--name", "a\0"s, "--loss", "1%"}, "--name a\\x00", "letters"},
        {{"--name", "a\n", "--loss", "1%"}, "--name a\\x0a", "letters"},
        {{"--name", longest + "x", "--loss", "1%"},
         "--name " + longest.substr(0, 60) + "...",
         "64 characters: use at most 63"},
    });
}

TEST(MakeRule, RefusesImpairments)
{
    expect_refused({
        {{}, "the rule does nothing", "add --delay 50ms, --loss 1%, --rate 10mbit, --partition or --pass"},
        {split("--priority 3 --port 80"), "the rule does nothing", "add --delay"},
        {split("--delay 0"), "--delay 0", "does nothing: use more than 0, or --pass"},
        {split("--delay 0ms --loss 0%"), "--delay 0ms --loss 0%", "does nothing"},
        {split("--delay 250"), "--delay 250", "needs a unit: write 250ms (ns us ms s m h)"},
        {{"--delay", ""}, "--delay \"\"", "empty: write 250ms"},
        {split("--delay -1ms"), "--delay -1ms", "negative: write 250ms"},
        {{"--delay", "5\0ms"s}, "--delay 5\\x00ms", "unknown unit \\x00ms"},
        {split("--delay 4295s"), "--delay 4295s", "use at most 4294s"},
        {split("--delay 4294.000000001s"), "--delay 4294.000000001s", "use at most 4294s"},
        {split("--delay 2h"), "--delay 2h", "use at most 4294s"},
        {split("--loss 0.1"), "--loss 0.1", "needs '%': write 0.1% or 10%"},
        {split("--loss 120%"), "--loss 120%", "above 100%"},
        {split("--loss nan%"), "--loss nan%", "write 10%"},
        {split("--rate 10mbps"), "--rate 10mbps",
         "mbps is bytes per second in tc and bits elsewhere: "
         "write 10mbit (bits) or 80mbit (if you meant bytes)"},
        {split("--rate 7bit"), "--rate 7bit", "write 8bit or more"},
        {split("--rate 0"), "--rate 0", "needs a unit"},
        {split("--loss 1% --queue 50ms"), "--queue 50ms", "add --rate 10mbit"},
        {split("--rate 1mbit --queue 50"), "--queue 50",
         "needs a unit: write a size (64kb, 64KiB) or a time at that rate (50ms)"},
        {{"--rate", "1mbit", "--queue", " "}, "--queue \" \"", "empty: write a size"},
        {split("--rate 1mbit --queue 0"), "--queue 0", "write a size"},
        {split("--rate 1mbit --queue 0ms"), "--queue 0ms", "would drop nearly everything"},
        {split("--rate 1mbit --queue 0b"), "--queue 0b", "would drop nearly everything"},
        {split("--rate 1mbit --queue 64kbit"), "--queue 64kbit", "unknown unit kbit: use b kb"},
        {split("--rate 1mbit --queue 64k"), "--queue 64k", "unknown unit k"},
        {split("--rate 8bit --queue 4295b"), "--rate 8bit --queue 4295b", "exceeds 4294s"},
        {split("--rate 1mbit --queue 4295s"), "--rate 1mbit --queue 4295s", "exceeds 4294s"},
        {split("--delay 4294s --rate 1mbit --queue 1ms"), "--delay 4294s --rate 1mbit --queue 1ms", "exceeds 4294s"},
        {split("--rate 8bit --queue 18446744073gb"), "--rate 8bit --queue 18446744073gb", "exceeds 4294s"},
        {split("--partition --pass"), "--partition --pass", "use one of them"},
        {split("--partition --delay 50ms --loss 1%"), "--partition --delay 50ms --loss 1%", "use it alone"},
        {split("--pass --rate 1mbit --queue 5ms"), "--pass --rate 1mbit --queue 5ms", "use it alone"},
    });
}

TEST(MakeRule, RefusesJitterAndReorder)
{
    expect_refused({
        {split("--loss 1% --jitter 5ms"), "--jitter 5ms", "it varies the delay: add --delay 50ms"},
        {split("--delay 50ms --jitter 5"), "--jitter 5", "needs a unit: write 5ms"},
        {split("--delay 50ms --jitter 51ms"), "--jitter 51ms", "longer than --delay 50ms"},
        {split("--delay 50ms --jitter 51ms"), "--jitter 51ms", "use at most 50ms"},
        {split("--delay 0 --jitter 1ns --loss 1%"), "--jitter 1ns", "longer than --delay 0"},
        {split("--delay 50ms --jitter 5h"), "--jitter 5h", "longer than --delay 50ms"},
        {split("--delay 4294s --jitter 1ms"), "--delay 4294s --jitter 1ms", "the longest jitter (1ms) exceeds 4294s"},
        {split("--delay 3294s --jitter 250.001s --distribution normal"),
         "--delay 3294s --jitter 250.001s --distribution normal", "the longest jitter (16m40.004s) exceeds 4294s"},
        {split("--delay 4293s --jitter 1s --rate 1mbit --queue 1ms"),
         "--delay 4293s --jitter 1s --rate 1mbit --queue 1ms", "plus the delay exceeds 4294s: use a shorter queue"},
        {split("--delay 50ms --distribution normal"), "--distribution normal",
         "it is the law of the jitter: add --jitter 10ms"},
        {split("--delay 50ms --jitter 5ms --distribution pareto"), "--distribution pareto",
         "unknown distribution: write uniform or normal"},
        {{"--delay", "50ms", "--jitter", "5ms", "--distribution", ""},
         "--distribution \"\"",
         "write uniform or normal"},
        {split("--loss 1% --reorder 25%"), "--reorder 25%", "go without delay"},
        {split("--delay 0 --reorder 25%"), "--reorder 25%", "add --delay 50ms"},
        {split("--loss 1% --reorder 0%"), "--reorder 0%", "add --delay 50ms"},
        {split("--delay 50ms --reorder 0.25"), "--reorder 0.25", "needs '%'"},
        {split("--delay 50ms --reorder-gap 5"), "--reorder-gap 5", "add --reorder 25%"},
        {split("--delay 50ms --reorder 25% --reorder-gap 0"), "--reorder-gap 0", "from 1 to 2147483648"},
        {split("--delay 50ms --reorder 25% --reorder-gap 2147483649"), "--reorder-gap 2147483649", "from 1 to"},
        {split("--delay 50ms --reorder 25% --reorder-gap 18446744073709551617"), "--reorder-gap 18446744073709551617",
         "whole number of packets"},
        {split("--delay 50ms --reorder 25% --reorder-gap -1"), "--reorder-gap -1", "whole number"},
        {split("--delay 50ms --reorder 25% --reorder-gap 1.5"), "--reorder-gap 1.5", "whole number"},
        {{"--delay", "50ms", "--reorder", "25%", "--reorder-gap", ""}, "--reorder-gap \"\"", "whole number"},
    });
}

TEST(MakeRule, RefusesCorruptDuplicateAndReject)
{
    expect_refused({
        {split("--corrupt 0.1"), "--corrupt 0.1", "needs '%'"},
        {split("--duplicate 101%"), "--duplicate 101%", "above 100%"},
        {split("--corrupt 0% --duplicate 0%"), "--corrupt 0% --duplicate 0%", "does nothing: use more than 0"},
        {split("--loss 0% --reject rst"), "--loss 0% --reject rst", "does nothing"},
        {split("--reject reset"), "--reject reset", "write rst (TCP is reset, the rest gets ICMP) or icmp"},
        {split("--reject no"), "--reject no", "write rst"},
        {{"--reject", ""}, "--reject \"\"", "write rst"},
        {split("--delay 50ms --reject rst"), "--delay 50ms --reject rst",
         "--reject without --loss drops every packet: use it alone, or add --loss 1%"},
        {split("--corrupt 1% --reject icmp"), "--corrupt 1% --reject icmp", "use it alone, or add --loss 1%"},
        {split("--partition --loss 1% --reject rst"), "--partition --loss 1% --reject rst",
         "use it alone, or with --reject only"},
        {split("--partition --jitter 1ms --duplicate 1%"), "--partition --jitter 1ms --duplicate 1%", "use it alone"},
        {split("--pass --reject rst"), "--pass --reject rst", "--pass leaves packets unimpaired: use it alone"},
        {split("--pass --corrupt 1%"), "--pass --corrupt 1%", "use it alone"},
    });
}

// The grammar of the words is netem_test.cpp's.
TEST(MakeRule, NetemsWordsStandForFlags)
{
    RuleText words = text_of({"--netem", "delay 50ms loss 1%", "--port", "80", "--priority", "3"});
    const auto rule = make_rule(words);
    ASSERT_TRUE(rule) << rule.error().message;
    EXPECT_EQ(*rule, valid("--delay 50ms --loss 1% --port 80 --priority 3"));
    EXPECT_EQ(rule_from_json(to_json(*rule)).value(), *rule);
}

TEST(MakeRule, RefusesNetem)
{
    const std::string both = "netem's words stand for such flags: use the words or the flags";
    for (const std::string& line : {"--delay 1ms"s, "--jitter 1ms"s, "--distribution normal"s, "--loss 1%"s,
                                    "--corrupt 1%"s, "--duplicate 1%"s, "--reorder 1%"s, "--reorder-gap 2"s,
                                    "--rate 1mbit"s, "--queue 1ms"s, "--reject rst"s, "--partition"s, "--pass"s}) {
        Arguments arguments = split(line);
        arguments.insert(arguments.end(), {"--netem", "loss 1%"});
        expect_refused({{arguments, "--netem \"loss 1%\" " + line, both}});
    }
    expect_refused({
        {{"--netem", "delay 4295s"}, "--netem \"delay 4295s\"", "--delay 4295s: fq, which holds the packets"},
        {{"--netem", "loss 0%"}, "--netem \"loss 0%\"", "--loss 0%: does nothing"},
        {{"--netem", ""}, "--netem \"\"", ""},
        {{"--netem", "delay 50ms", "--direction", "in"}, "--direction in", "for --delay 50ms use --direction out"},
    });
}

TEST(MakeRule, RefusesDirectionsAndPriorities)
{
    expect_refused({
        {split("--loss 1% --direction egress"), "--direction egress", "write out, in or both"},
        {split("--loss 1% --direction OUT"), "--direction OUT", "write out, in or both"},
        {{"--loss", "1%", "--direction", ""}, "--direction \"\"", "write out, in or both"},
        {split("--delay 50ms --direction in"), "--direction in",
         "only loss, partition and reject work at ingress yet; for --delay 50ms use --direction out"},
        {split("--delay 50ms --rate 1mbit --loss 1% --direction both"), "--direction both",
         "for --delay 50ms --rate 1mbit use --direction out"},
        {split("--duplicate 1% --corrupt 2% --loss 1% --direction both"), "--direction both",
         "for --corrupt 2% --duplicate 1% use --direction out"},
        {split("--loss 1% --priority 1001"), "--priority 1001", "from -1000 to 1000"},
        {split("--loss 1% --priority -1001"), "--priority -1001", "from -1000 to 1000"},
        {split("--loss 1% --priority high"), "--priority high", "whole number"},
        {split("--loss 1% --priority 1.5"), "--priority 1.5", "whole number"},
        {split("--loss 1% --priority -"), "--priority -", "whole number"},
        {{"--loss", "1%", "--priority", ""}, "--priority \"\"", "whole number"},
        {{"--loss", "1%", "--priority", std::string(100'000, '9')},
         "--priority " + std::string(60, '9') + "...",
         "1000"},
    });
}

TEST(MakeRule, RefusesSelectors)
{
    const std::string path(5000, 'x');
    expect_refused({
        {{"--loss", "1%", "--dev", ""}, "--dev \"\"", "empty entry"},
        {split("--loss 1% --dev eth0,"), "--dev eth0,", "empty entry"},
        {split("--loss 1% --dev eth0,,lo"), "--dev eth0,,lo", "empty entry"},
        {split("--loss 1% --dev lo,abcdefghijklmnop"), "--dev abcdefghijklmnop",
         "longer than a device name can be (15"},
        {split("--loss 1% --dev eth0:1"), "--dev eth0:1", "as 'ip link' shows it, like eth0"},
        {split("--loss 1% --dev a/b"), "--dev a/b", "like eth0"},
        {split("--loss 1% --dev .."), "--dev ..", "like eth0"},
        {{"--loss", "1%", "--dev", "a b"}, "--dev \"a b\"", "like eth0"},
        {{"--loss", "1%", "--dev", "e\0"s}, "--dev e\\x00", "like eth0"},
        {{"--loss", "1%", "--dev", "\xff"}, "--dev \\xff", "like eth0"},
        {{"--loss", "1%", "--cgroup", ""}, "--cgroup \"\"", "empty entry"},
        {{"--loss", "1%", "--cgroup", "/a\n"}, "--cgroup /a\\x0a", "like /system.slice/postgresql.service"},
        {{"--loss", "1%", "--cgroup", "/\xff"}, "--cgroup /\\xff", "UTF-8"},
        {{"--loss", "1%", "--cgroup", path}, "--cgroup " + path.substr(0, 60) + "...", "longer than a path"},
        {split("--loss 1% --proto tcp,foo"), "--proto foo", "0 to 255 or one of icmp"},
        {split("--loss 1% --port 22,http"), "--port 22,http", "http is no port: write numbers from 1 to 65535"},
        {{"--loss", "1%", "--port", ""}, "--port \"\"", "1 to 65535"},
        {split("--loss 1% --local-port 0"), "--local-port 0", "1 to 65535"},
        {split("--loss 1% --remote-port 9-8"), "--remote-port 9-8", "write 8-9"},
        {split("--loss 1% --port 1-4097"), "--port 1-4097", "4097 ports, one rule takes at most 4096"},
        {split("--loss 1% --port 1-4096 --port 5000"), "--port 1-4096,5000", "4097 ports"},
        {split("--loss 1% --remote-port 1-65535"), "--remote-port 1-65535", "leave the flag out for every port"},
        {split("--loss 1% --local-port 1-64 --remote-port 1-65"), "--local-port 1-64 --remote-port 1-65",
         "4160 combinations of ports"},
        {split("--loss 1% --port 80 --local-port 22"), "--port 80 --local-port 22", "--port means either end"},
        {split("--loss 1% --port 80 --remote-port 22"), "--port 80 --remote-port 22", "--port means either end"},
        {split("--loss 1% --proto icmp,arp --port 80"), "--proto icmp,arp --port 80", "use --proto tcp, udp or sctp"},
        {split("--loss 1% --proto gre --local-port 80"), "--proto gre --local-port 80", "use --proto tcp"},
        {split("--loss 1% --local 10.0.0.1 --remote 2001:db8::/32"), "--local 10.0.0.1 --remote 2001:db8::/32",
         "no packet can match: use only IPv4"},
        {split("--loss 1% --proto icmp --remote ::1"), "--proto icmp --remote ::1", "only IPv6"},
        {split("--loss 1% --proto nd,icmpv6 --local 10.0.0.1"), "--proto nd,icmpv6 --local 10.0.0.1", "only IPv4"},
        {split("--loss 1% --proto arp --remote 10.0.0.1"), "--proto arp --remote 10.0.0.1",
         "ARP is not selected by address"},
        {split("--loss 1% --remote db.example"), "--remote db.example", "names are not looked up"},
        {split("--loss 1% --remote 10.1.2.3/8"), "--remote 10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3"},
        {split("--loss 1% --local ::1,10.0.0.1/33"), "--local 10.0.0.1/33", "0 to 32"},
        {{"--loss", "1%", "--local", ""}, "--local \"\"", "empty entry"},
    });
}

// ---- sentences ----

TEST(Sentence, SaysEverything)
{
    const SentenceContext two{{"eth0", "lo"}, ""};
    const SentenceContext one{{"eth0"}, ""};
    struct Case {
        std::string line, expected;
        SentenceContext context;
    };
    const std::vector<Case> cases{
        {"--cgroup /system.slice/x.service --remote-port 5432 --delay 50ms --loss 1%",
         "packets sent by cgroup /system.slice/x.service to port 5432 through eth0, lo: delay 50 ms, loss 1%, "
         "until 14:05",
         {{"eth0", "lo"}, "14:05"}},
        {"--remote 10.0.0.0/8 --partition --direction out", "packets sent to 10.0.0.0/8 through eth0: partition", one},
        {"--proto tcp --remote-port 80 --loss 1% --direction in",
         "TCP packets received from port 80 through eth0: loss 1%", one},
        {"--delay 1m30s", "all packets sent through eth0, lo: delay 1 m 30 s", two},
        {"--delay 1.5ms", "all packets sent through every lowest device that is up: delay 1.5 ms", {}},
        {"--delay 1.5ms --dev wlan0,lo", "all packets sent through wlan0, lo: delay 1.5 ms", {}},
        {"--delay 1ms --dev wlan0", "all packets sent through eth0: delay 1 ms", one},
        {"--partition", "all packets sent and received through eth0: partition", one},
        {"--partition --direction in", "all packets received through eth0: partition", one},
        {"--pass --local-port 22", "packets sent and received with local port 22 through eth0: pass", one},
        {"--pass --local-port 22 --remote 10.0.0.0/8 --remote-port 80",
         "packets sent and received with remote port 80 of 10.0.0.0/8 and local port 22 through eth0: pass", one},
        {"--partition --remote 10.0.0.0/8",
         "packets sent and received with remote address 10.0.0.0/8 through eth0: "
         "partition",
         one},
        {"--partition --port 80", "packets sent and received to or from port 80 through eth0: partition", one},
        {"--delay 1ms --port 80", "packets sent to or from port 80 through eth0: delay 1 ms", one},
        {"--delay 1ms --port 80,90 --remote ::1",
         "packets sent to ::1, with ports 80 or 90 at either end, through eth0: delay 1 ms", one},
        {"--delay 1ms --local-port 22", "packets sent from local port 22 through eth0: delay 1 ms", one},
        {"--loss 1% --local-port 22 --direction in", "packets received at local port 22 through eth0: loss 1%", one},
        {"--delay 1ms --local 192.0.2.1", "packets sent from local address 192.0.2.1 through eth0: delay 1 ms", one},
        {"--delay 1ms --local 192.0.2.1,192.0.2.2 --local-port 1-2",
         "packets sent from local ports 1-2 of 192.0.2.1 or 192.0.2.2 through eth0: delay 1 ms", one},
        {"--delay 1ms --local 192.0.2.1,192.0.2.2",
         "packets sent from local addresses 192.0.2.1 or 192.0.2.2 through eth0: delay 1 ms", one},
        {"--delay 1ms --remote-port 22,80,8000-8080",
         "packets sent to ports 22, 80 or 8000-8080 through eth0: delay 1 ms", one},
        {"--delay 1ms --cgroup a,b,c", "packets sent by cgroups a, b or c through eth0: delay 1 ms", one},
        {"--delay 1ms --proto udp,icmpv6,147", "UDP, ICMPv6 or IP protocol 147 packets sent through eth0: delay 1 ms",
         one},
        {"--delay 1ms --proto arp,nd,dhcp", "ARP, neighbour discovery or DHCP packets sent through eth0: delay 1 ms",
         one},
        {"--delay 1ms --priority 10",
         "all packets sent through eth0: delay 1 ms, priority 10, until 14:05",
         {{"eth0"}, "14:05"}},
    };
    for (const Case& c : cases) EXPECT_EQ(sentence(valid(c.line), c.context), c.expected) << c.line;
}

TEST(Sentence, Describes)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"--partition", "partition"},
        {"--pass", "pass"},
        {"--rate 1mbit", "rate 1 mbit"},
        {"--rate 1mbit --queue 100ms", "rate 1 mbit (queue 100 ms)"},
        {"--rate 9.6kbit --queue 64KiB", "rate 9.6 kbit (queue 64 KiB)"},
        {"--delay 50ms --loss 0.1% --rate 1gbit --queue 1.5kb", "delay 50 ms, loss 0.1%, rate 1 gbit (queue 1.5 kb)"},
        {"--delay 50ms --loss 0%", "delay 50 ms, loss 0%"},
        {"--loss 100%", "loss 100%"},
        {"--delay 100ms --jitter 20ms", "delay 100 ms ± 20 ms"},
        {"--delay 100ms --jitter 0 --distribution normal", "delay 100 ms"},
        {"--delay 100ms --jitter 20ms --distribution normal --loss 1% --duplicate 1% --corrupt 0.1% --reorder 25% "
         "--reorder-gap 5 --rate 1mbit --reject rst",
         "delay 100 ms ± 20 ms (normal), loss 1%, duplicate 1%, corrupt 0.1%, reorder 25% (gap 5), rate 1 mbit, "
         "reject with RST"},
        {"--delay 100ms --reorder 25%", "delay 100 ms, reorder 25%"},
        {"--corrupt 0.1%", "corrupt 0.1%"},
        {"--loss 1% --reject icmp", "loss 1%, reject with ICMP"},
        {"--partition --reject icmp", "partition, reject with ICMP"},
        {"--reject rst", "partition, reject with RST"},
    };
    for (const auto& [line, expected] : cases) EXPECT_EQ(describe(valid(line).impairment), expected);
}

// ---- JSON ----

const std::string full_line =
    "--name slow-db --dev eth0,lo --cgroup /a/b --proto tcp,arp --local-port 1024-2047 "
    "--remote-port 443,80 --local 192.0.2.1 --remote 10.0.0.0/8,2001:db8::/32 "
    "--delay 50ms --jitter 5ms --distribution normal --loss 0.1% --corrupt 0.01% --duplicate 25% --reorder 50% "
    "--reorder-gap 5 --rate 1mbit --queue 64kb --reject rst --priority 5";

TEST(Json, HasUnitsInKeys)
{
    const json expected = json::parse(R"({
        "name": "slow-db", "direction": "out", "priority": 5,
        "selector": {
            "devices": ["eth0", "lo"], "cgroups": ["/a/b"], "protocols": ["tcp", "arp"],
            "local_ports": ["1024-2047"], "remote_ports": ["80", "443"],
            "locals": ["192.0.2.1"], "remotes": ["10.0.0.0/8", "2001:db8::/32"]
        },
        "impairment": {
            "delay_ns": 50000000, "jitter_ns": 5000000, "distribution": "normal",
            "loss_percent": 0.1, "loss_threshold": 4294967,
            "corrupt_percent": 0.01, "corrupt_threshold": 429497,
            "duplicate_percent": 25, "duplicate_threshold": 1073741824,
            "reorder_percent": 50, "reorder_threshold": 2147483648, "reorder_gap": 5,
            "rate_bit_per_s": 1000000, "queue_bytes": 64000, "reject": "rst"
        }
    })");
    const json actual = to_json(valid(full_line));
    EXPECT_EQ(actual, expected) << actual.dump(2);
    expect_contains(actual.dump(), R"("loss_percent":0.1,)", "dump");
    EXPECT_EQ(rule_from_json(expected).value(), valid(full_line));
}

TEST(Json, RoundTripsKinds)
{
    for (const std::string line :
         {"--partition", "--pass --direction in", "--partition --port 22,80-90", "--loss 0.01%",
          "--rate 8bit --queue 1ns", "--delay 1ns --loss 0%", "--loss 100% --direction both", "--reject icmp",
          "--partition --reject rst --direction in", "--corrupt 0% --duplicate 1%", "--delay 2ns --jitter 1ns",
          "--delay 1ms --jitter 0 --distribution normal", "--delay 0 --reorder 0% --reorder-gap 9 --loss 1%",
          "--delay 1ms --reorder 3% --reorder-gap 1", "--loss 1% --cgroup /\xc3\xa4/\"quoted\"\\x2d",
          "--loss 1% --proto nd,dhcp,0,255", "--loss 1% --remote ::/0 --priority -1000"}) {
        const Rule rule = valid(line);
        const auto back = rule_from_json(json::parse(to_json(rule).dump()));
        ASSERT_TRUE(back) << line << ": " << back.error().message;
        EXPECT_EQ(*back, rule) << line;
    }
}

TEST(Json, DefaultsAreThoseOfTheFlags)
{
    const auto rule = rule_from_json(json::parse(R"({"name": "r", "impairment": {"partition": true}})"));
    ASSERT_TRUE(rule) << rule.error().message;
    EXPECT_EQ(*rule, valid("--partition"));
}

struct Change {
    std::string pointer;  // what is set, as a JSON pointer
    std::string value;
    std::string hint;  // in the error
};

TEST(Json, Refuses)
{
    const std::vector<Change> changes{
        {"", "[]", "rule JSON: must be an object"},
        {"", "null", "must be an object"},
        {"", "5", "must be an object"},
        {"/nam", "1", "unknown key nam: use name, direction"},
        {"/\n", "1", "unknown key \\x0a"},
        {"/name", "1", "name: must be a string"},
        {"/name", "\"\"", "--name: missing"},
        {"/name", "\"a b\"", "--name \"a b\""},
        {"/direction", "null", "direction: must be a string: out, in or both"},
        {"/direction", "\"up\"", "--direction up"},
        {"/priority", "\"5\"", "priority: must be a whole number"},
        {"/priority", "1.5", "priority: must be a whole number"},
        {"/priority", "18446744073709551615", "--priority 18446744073709551615"},
        {"/selector", "[]", "selector: must be an object"},
        {"/selector/device", "[]", "unknown key selector.device: use devices"},
        {"/selector/devices", "\"eth0\"", "selector.devices: must be an array of strings"},
        {"/selector/devices", "[1]", "selector.devices: must be an array of strings"},
        {"/selector/devices", "[\"a,b\"]", "selector.devices: must be one entry a string"},
        {"/selector/devices", "[\"\"]", "--dev \"\""},
        {"/selector/local_ports", "[80]", "selector.local_ports: must be an array of strings"},
        {"/selector/local_ports", "[\"0\"]", "--local-port 0"},
        {"/selector/remotes", "{}", "selector.remotes: must be an array of strings"},
        {"/impairment", "true", "impairment: must be an object"},
        {"/impairment/jitter", "5", "unknown key impairment.jitter: use delay_ns, jitter_ns"},
        {"/impairment/jitter_ns", "50000001", "--jitter 50000001ns: longer than --delay"},
        {"/impairment/jitter_ns", "-1", "impairment.jitter_ns: must be a whole number, 0 or more"},
        {"/impairment/distribution", "1", "impairment.distribution: must be a string: uniform or normal"},
        {"/impairment/distribution", "\"pareto\"", "--distribution pareto: unknown distribution"},
        {"/impairment/corrupt_percent", "2",
         "impairment.corrupt_percent: must be the number 0.01 for corrupt_threshold"},
        {"/impairment/duplicate_threshold", "4294967297", "impairment.duplicate_threshold: must be a whole number"},
        {"/impairment/reorder_threshold", "null", "impairment.reorder_threshold: must be a whole number"},
        {"/impairment/reorder_gap", "0", "--reorder-gap 0"},
        {"/impairment/reorder_gap", "\"5\"", "impairment.reorder_gap: must be a whole number"},
        {"/impairment/reject", "true", "impairment.reject: must be a string: rst or icmp"},
        {"/impairment/reject", "\"no\"", "--reject no: unknown answer"},
        {"/impairment/netem", "\"loss 1%\"", "unknown key impairment.netem"},
        {"/impairment/delay_ns", "\"5ms\"", "impairment.delay_ns: must be a whole number, 0 or more"},
        {"/impairment/delay_ns", "1.5", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "-1", "impairment.delay_ns: must be a whole number, 0 or more"},
        {"/impairment/delay_ns", "1e300", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "true", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "null", "impairment.delay_ns: must be a whole number"},
        {"/impairment/delay_ns", "4294000000001", "use at most 4294s"},
        {"/impairment/rate_bit_per_s", "7", "--rate 7bit"},
        {"/impairment/loss_threshold", "4294967297", "impairment.loss_threshold: must be a whole number from 0 to"},
        {"/impairment/loss_threshold", "1.5", "impairment.loss_threshold: must be a whole number"},
        {"/impairment/loss_threshold", "5", "impairment.loss_percent: must be the number"},
        {"/impairment/loss_percent", "\"0.1\"", "impairment.loss_percent: must be the number 0.1"},
        {"/impairment/loss_percent", "10",
         "impairment.loss_percent: must be the number 0.1 for loss_threshold 4294967"},
        {"/impairment/queue_bytes", "0", "--queue 0b"},
        {"/impairment/queue_ns", "5", "queue_bytes and impairment.queue_ns: use one of them"},
        {"/impairment/partition", "1", "impairment.partition: must be true or false"},
        {"/impairment/pass", "\"yes\"", "impairment.pass: must be true or false"},
        {"/impairment/pass", "true", "--pass"},
    };
    for (const Change& change : changes) {
        json object = to_json(valid(full_line));
        object[json::json_pointer(change.pointer)] = json::parse(change.value);
        const auto rule = rule_from_json(object);
        ASSERT_FALSE(rule) << change.pointer << " = " << change.value;
        EXPECT_EQ(rule.error().kind, ErrorKind::usage);
        EXPECT_TRUE(rule.error().message.starts_with("rule JSON: ")) << rule.error().message;
        EXPECT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
        expect_contains(rule.error().message, change.hint, change.pointer);
    }
    json alone = to_json(valid("--loss 1%"));
    alone["impairment"].erase("loss_threshold");
    expect_contains(rule_from_json(alone).error().message, "impairment.loss_threshold", "loss_percent alone");
}

// Strings that are no UTF-8 or hold control characters never get into a rule, so that dump() cannot throw.
TEST(Json, RefusesBytesInsideStrings)
{
    for (const std::string& bytes : {"\xff"s, "a\0b"s, "\x1b[2J"s, "\xed\xa0\x80"s}) {
        json object = to_json(valid("--loss 1%"));
        object["selector"]["cgroups"] = {bytes};
        ASSERT_FALSE(rule_from_json(object));
        object = to_json(valid("--loss 1%"));
        object[bytes] = 1;
        ASSERT_FALSE(rule_from_json(object));
        object = to_json(valid("--loss 1%"));
        object["direction"] = bytes;
        ASSERT_FALSE(rule_from_json(object));
    }
}

// ---- properties ----

class RandomRules {
public:
    explicit RandomRules(std::uint64_t seed) : random_(seed) {}

    RuleText text()
    {
        RuleText text;
        text.name = fmt::format("r{}", below(1000));
        fill(text.devices, {"eth0", "lo,wlan0", "br-1"});
        fill(text.cgroups, {"/a", "b/c", "/\xc3\xa4 b", "/d.slice/e\\x2d.scope,/f"});
        fill(text.protocols, {"tcp", "udp,icmp", "nd", "arp", "17", "147,dhcp"});
        if (below(2) == 0)
            fill(text.ports, {"80", "22,8000-8100", "1:2"});
        else {
            fill(text.local_ports, {"80", "22,8000-8030", "65535"});
            fill(text.remote_ports, {"443", "1-20,15-30"});
        }
        fill(text.locals, {"10.0.0.0/8", "::1", "192.0.2.1,2001:db8::/32"});
        fill(text.remotes, {"0.0.0.0/0", "::/0", "fe80::/10,198.51.100.7"});
        text.partition = below(8) == 0;
        text.pass = below(8) == 0;
        if (below(2) == 0) text.delay = format_duration(below(max_delay));
        if (text.delay && below(2) == 0) fill_delay(text);
        for (auto* chance : {&text.loss, &text.corrupt, &text.duplicate}) {
            if (below(2) == 0) *chance = probability();
        }
        if (below(4) == 0) text.reject = below(2) == 0 ? "rst" : "icmp";
        if (below(2) == 0) text.rate = format_rate(8 + below(100'000'000'000));
        if (text.rate && below(2) == 0)
            text.queue = below(2) == 0 ? format_size(below(1'000'000)) : format_duration(below(1'000'000'000));
        if (below(2) == 0) text.direction = std::vector<std::string>{"out", "in", "both"}[below(3)];
        if (below(2) == 0) text.priority = fmt::format("{}", static_cast<int>(below(2001)) - 1000);
        return text;
    }

    // One byte of one field changed, added or taken away.
    void mangle(RuleText& text)
    {
        std::vector<std::string*> fields{&text.name};
        for (auto* list : {&text.devices, &text.cgroups, &text.protocols, &text.ports, &text.local_ports,
                           &text.remote_ports, &text.locals, &text.remotes}) {
            for (std::string& value : *list) fields.push_back(&value);
        }
        for (auto* field :
             {&text.delay, &text.jitter, &text.distribution, &text.loss, &text.corrupt, &text.duplicate, &text.reorder,
              &text.reorder_gap, &text.rate, &text.queue, &text.reject, &text.direction, &text.priority}) {
            if (*field) fields.push_back(&**field);
        }
        std::string& field = *fields[below(fields.size())];
        const char byte = below(2) == 0 ? static_cast<char>(below(256)) : ",.:-/%0 9"[below(9)];
        const std::size_t at = below(field.size() + 1);
        if (at < field.size() && below(3) == 0)
            field.erase(at, 1);
        else if (at < field.size() && below(2) == 0)
            field[at] = byte;
        else
            field.insert(at, 1, byte);
    }

    std::uint64_t below(std::uint64_t end) { return random_() % end; }

private:
    std::string probability() { return format_probability({below((std::uint64_t{1} << 32) + 1)}); }

    void fill_delay(RuleText& text)
    {
        text.jitter = format_duration(below(max_delay / (1 + below(1000))));
        if (below(2) == 0) text.distribution = below(2) == 0 ? "uniform" : "normal";
        if (below(2) == 0) text.reorder = probability();
        if (text.reorder && below(2) == 0) text.reorder_gap = fmt::format("{}", 1 + below(std::uint64_t{1} << 31));
    }

    void fill(std::vector<std::string>& list, const std::vector<std::string>& choices)
    {
        for (std::uint64_t count = below(3); count > 0; --count) list.push_back(choices[below(choices.size())]);
    }

    std::mt19937_64 random_;
};

TEST(Properties, ValidRulesRoundTripThroughJson)
{
    RandomRules rules(7);
    int valid_rules = 0;
    for (int i = 0; i < 30'000; ++i) {
        const auto rule = make_rule(rules.text());
        if (!rule) continue;
        ++valid_rules;
        const std::string stored = to_json(*rule).dump();
        const auto back = rule_from_json(json::parse(stored));
        ASSERT_TRUE(back) << stored << "\n" << back.error().message;
        ASSERT_EQ(*back, *rule) << stored;
        ASSERT_TRUE(is_plain_text(sentence(*rule))) << stored;
    }
    EXPECT_GT(valid_rules, 3'000);
}

TEST(Properties, ArbitraryBytesNeverEscape)
{
    RandomRules rules(8);
    for (int i = 0; i < 30'000; ++i) {
        RuleText text = rules.text();
        for (std::uint64_t edits = rules.below(4); edits > 0; --edits) rules.mangle(text);
        const auto rule = make_rule(text);
        if (!rule) {
            ASSERT_EQ(rule.error().kind, ErrorKind::usage);
            ASSERT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
            continue;
        }
        const auto back = rule_from_json(json::parse(to_json(*rule).dump()));
        ASSERT_TRUE(back) << back.error().message;
        ASSERT_EQ(*back, *rule);
        ASSERT_TRUE(is_plain_text(sentence(*rule)));
    }
}

// Stored rules that were damaged are refused or valid, never anything else.
TEST(Properties, DamagedJsonIsRefusedOrValid)
{
    RandomRules random(9);
    const std::string stored = to_json(valid(full_line)).dump();
    for (int i = 0; i < 30'000; ++i) {
        std::string text = stored;
        for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
            text[random.below(text.size())] = "\"[]{}:,0-1atrue.\xff"[random.below(17)];
        }
        const json object = json::parse(text, nullptr, false);
        if (object.is_discarded()) continue;
        const auto rule = rule_from_json(object);
        if (!rule) {
            ASSERT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
        } else {
            ASSERT_EQ(rule_from_json(to_json(*rule)).value(), *rule);
        }
    }
}

}  // namespace
}  // namespace headwind
