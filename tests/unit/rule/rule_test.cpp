// SPDX-License-Identifier: MIT
// Tests make_rule(): the rules that it makes, and the errors for the rest.
#include "rule_test.h"

namespace headwind::rule_test::rule_test {
namespace {

using namespace std::string_literals;

TEST(MakeRule, EverythingAtOnce)
{
    const Rule rule = valid(
        "--name slow-db --dev eth0,lo --dev eth0 --cgroup /a/b,c --proto tcp,UDP,6 --local-port 1024-2047 --remote-port 443 --remote-port 80 --local 192.0.2.1 --remote 10.0.0.0/8,10.0.0.0/8 --remote 2001:db8::/32 --delay 50ms --jitter 5ms --distribution normal --loss 10% --corrupt 50% --duplicate 25% --reorder 100% --reorder-gap 5 --rate 1mbit --queue 64kb --reject icmp --direction out --priority -7");
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
             "--delay 3168s --jitter 250s --distribution normal",
             "--delay 3167s --jitter 250s --distribution normal --rate 1mbit --queue 1s",
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
             "--delay 50ms --jitter 5ms --rate 1mbit --corrupt 1% --duplicate 1% --direction both",
             "--loss 1% --direction both",
             "--delay 0 --loss 1% --direction in",
             "--loss 1% --priority 1000",
             "--loss 1% --priority -1000",
             "--loss 1% --dev abcdefghijklmno",
             "--loss 1% --dev eth0.100,br-1234,veth@x",
             "--loss 1% --cgroup /system.slice/dev-disk-by\\x2dlabel.service",
             "--loss 1% --port 1-65535",
             "--loss 1% --local-port 1-64 --remote-port 1-64",
             "--loss 1% --proto tcp,icmp --port 80",
             "--loss 1% --proto dhcp --remote-port 67",
             "--loss 1% --proto 136 --port 80",
             "--loss 1% --local 10.0.0.1,2001:db8::1 --remote 2001:db8::/32",
             "--loss 1% --proto icmp,icmpv6 --remote 2001:db8::/32",
             "--loss 1% --proto arp,tcp --remote 10.0.0.1",
             "--loss 1% --proto arp",
             "--loss 1% --proto lldp,0x9000,tcp --cgroup /a",
             "--loss 1% --proto mpls --flows 5%",
             "--delay 1ms --proto mpls,udp",
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

TEST(MakeRule, ZeroIsAValue)
{
    for (const char* nothing :
         {"--loss 0%", "--corrupt 0%", "--duplicate 0%", "--reorder 0%", "--delay 0", "--delay 0ms", "--jitter 0s",
          "--delay 0 --jitter 0 --loss 0%", "--reorder 0% --reorder-gap 3", "--loss 0% --loss-burst 3",
          "--loss 0% --reject rst", "--loss 0% --seed 7", "--loss-model 'gemodel 0% 10%'", "--netem 'loss 0%'",
          "--jitter 0 --distribution normal --delay-correlation 25%", "--jitter 0 --keep-order", "--jitter 0 --seed 1",
          "--loss-correlation 0%"}) {
        const auto rule = valid(nothing);
        EXPECT_TRUE(asks_for_nothing(rule.impairment)) << nothing;
        EXPECT_EQ(make_rule(text_of(rule)).value(), rule) << nothing;
        EXPECT_FALSE(describe_rule(rule, {}).ends_with(": ")) << nothing;
        EXPECT_EQ(rule_from_json(to_json(rule)).value(), rule) << nothing;
    }
    for (const char* something : {"--loss 0% --delay 1ns", "--pass", "--partition", "--reject rst", "--rate 1mbit"})
        EXPECT_FALSE(asks_for_nothing(valid(something).impairment)) << something;
    EXPECT_EQ(valid("--delay 0"), valid("--delay 0ms --jitter 0"));
    expect_refused({
        {split("--rate 0mbit"), "--rate 0mbit", "below the least rate"},
        {split("--netem-compatible"), "the rule does nothing", ""},
        {split("--rate 1mbit --queue 0kb"), "--queue 0kb", "no queue would drop nearly everything"},
        {split("--loss 1% --flows 0%"), "--flows 0%", ""},
        {split("--jitter 1ms"), "--jitter 1ms", "add --delay 50ms"},
        {split("--reorder 1%"), "--reorder 1%", "add --delay 50ms"},
        {split("--delay 0 --reorder 1%"), "--reorder 1%", "add --delay 50ms"},
    });
}

TEST(MakeRule, RefusesImpairments)
{
    expect_refused({
        {{}, "the rule does nothing", "add --delay 50ms, --loss 1%, --rate 10mbit, --partition or --pass"},
        {split("--priority 3 --port 80"), "the rule does nothing", "add --delay"},
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
         "mbps is bytes per second in tc and bits elsewhere: write 10mbit (bits) or 80mbit (if you meant bytes)"},
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
        {split("--delay 3170s --jitter 250s --distribution normal"),
         "--delay 3170s --jitter 250s --distribution normal", "the longest jitter (18m45.007390976s) exceeds 4294s"},
        {split("--delay 4293s --jitter 1s --rate 1mbit --queue 1ms"),
         "--delay 4293s --jitter 1s --rate 1mbit --queue 1ms", "plus the delay exceeds 4294s: use a shorter queue"},
        {split("--delay 50ms --distribution normal"), "--distribution normal",
         "it is the distribution of the jitter: add --jitter 10ms"},
        {{"--delay", "50ms", "--jitter", "5ms", "--distribution", ""}, "--distribution \"\"", "write uniform, normal"},
        {split("--loss 1% --reorder 25%"), "--reorder 25%", "go without delay"},
        {split("--delay 0 --reorder 25%"), "--reorder 25%", "add --delay 50ms"},
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

// The grammar of netem's words is tested in netem_test.cpp.
TEST(MakeRule, NetemsWordsStandForFlags)
{
    RuleSpec words = text_of({"--netem", "delay 50ms loss 1%", "--port", "80", "--priority", "3"});
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
        {{"--netem", ""}, "--netem \"\"", ""},
    });
}

TEST(MakeRule, RefusesDirectionsAndPriorities)
{
    expect_refused({
        {split("--loss 1% --direction egress"), "--direction egress", "write out, in or both"},
        {split("--loss 1% --direction OUT"), "--direction OUT", "write out, in or both"},
        {{"--loss", "1%", "--direction", ""}, "--direction \"\"", "write out, in or both"},
        {split("--flap up=30s"), "--flap up=30s", "like up=30s,down=5s"},
        {split("--flap 30s,5s"), "--flap 30s,5s", "like up=30s,down=5s"},
        {split("--flap up=1s,up=1s"), "--flap up=1s,up=1s", "both phases"},
        {split("--flap up=1s,down=0s"), "--flap up=1s,down=0s", "longer than nothing"},
        {split("--flap up=1s,down=5"), "--flap up=1s,down=5", "needs a unit"},
        {split("--flap up=1s,down=1s,up=1s"), "--flap up=1s,down=1s,up=1s", "1s"},
        {split("--flap up=721h,down=1s"), "--flap up=721h,down=1s", "720h"},
        {split("--loss 1% --flows 0%"), "--flows 0%", "write a share above 0%"},
        {split("--loss 1% --flows 5"), "--flows 5", "5%"},
        {split("--loss 1% --flows 101%"), "--flows 101%", "100%"},
        {split("--loss 1% --dev eth0,wlan0 --loopback"), "--loopback", "say --dev eth0,wlan0,lo"},
        {split("--loss 1% --flow-seed 1"), "--flow-seed 1", "only with --flows"},
        {split("--loss 1% --flows 5% --flow-seed 4294967296"), "--flow-seed 4294967296", "from 0 to 4294967295"},
        {split("--loss 1% --flows 5% --flow-seed -1"), "--flow-seed -1", "whole number"},
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
        {split("--loss 1% --proto tcp,foo"), "--proto foo", "one of icmp"},
        {split("--loss 1% --port 22,http"), "--port 22,http", "http is no port: write numbers from 1 to 65535"},
        {{"--loss", "1%", "--port", ""}, "--port \"\"", "1 to 65535"},
        {split("--loss 1% --local-port 0"), "--local-port 0", "1 to 65535"},
        {split("--loss 1% --remote-port 9-8"), "--remote-port 9-8", "write 8-9"},
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
        {split("--loss 1% --proto lldp --remote 10.0.0.1"), "--proto lldp --remote 10.0.0.1",
         "lldp is not IP, and has no addresses: make a rule of its own for it"},
        {split("--loss 1% --proto tcp,0x9000 --port 80"), "--proto tcp,0x9000 --port 80",
         "0x9000 is not IP, and has no ports"},
        {split("--loss 1% --proto llc --local ::/0 --local-port 1"), "--proto llc --local ::/0 --local-port 1",
         "llc is not IP, and has no addresses and ports"},
        {split("--delay 1ms --proto lldp,mpls"), "--proto lldp,mpls", "the kernel can hold only IP"},
        {split("--rate 1mbit --loss 1% --proto llc"), "--proto llc", "leave delay and rate out"},
        {split("--ramp rate=1mbit..2mbit,over=1s --proto llc"), "--proto llc", "leave delay and rate out"},
        {split("--loss 1% --proto 0x0800"), "--proto 0x0800", "write --remote 0.0.0.0/0 instead"},
        {split("--loss 1% --remote db.example"), "--remote db.example", "names are not looked up"},
        {split("--loss 1% --remote 10.1.2.3/8"), "--remote 10.1.2.3/8", "write 10.0.0.0/8 or 10.1.2.3"},
        {split("--loss 1% --local ::1,10.0.0.1/33"), "--local 10.0.0.1/33", "0 to 32"},
        {{"--loss", "1%", "--local", ""}, "--local \"\"", "empty entry"},
    });
}

TEST(Losses, ThatCannotBeAreRefused)
{
    expect_refused({
        {{"--loss-correlation", "25%"}, "--loss-correlation 25%", "add --loss 1%"},
        {{"--loss", "1%", "--loss-correlation", "100%"}, "--loss-correlation 100%", "use less than 100%"},
        {{"--corrupt", "1%", "--corrupt-correlation", "100%"}, "--corrupt-correlation 100%", "use less than 100%"},
        {{"--duplicate-correlation", "5%"}, "--duplicate-correlation 5%", "add --duplicate 1%"},
        {{"--delay", "1ms", "--reorder-correlation", "5%"}, "--reorder-correlation 5%", "add --reorder 25%"},
        {{"--loss", "1%", "--loss-burst", "0.9"}, "--loss-burst 0.9", "from 1 to 1000000"},
        {{"--loss", "1%", "--loss-burst", "nan"}, "--loss-burst nan", "a number of packets"},
        {{"--loss", "1%", "--loss-burst", "3x"}, "--loss-burst 3x", "a number of packets"},
        {{"--loss", "75%", "--loss-burst", "2.9"}, "--loss-burst 2.9", "use at least 3"},
        {{"--loss", "100%", "--loss-burst", "3"}, "--loss-burst 3", "without an end"},
        {{"--loss", "1%", "--loss-burst", "3", "--loss-correlation", "5%"}, "--loss-burst 3", "use one of them"},
        {{"--loss", "1%", "--loss-model", "gemodel 1%"}, "--loss-model \"gemodel 1%\"", "so does --loss: use one"},
        {{"--loss-nth", "7", "--loss-model", "gemodel 1%"}, "--loss-nth 7", "so does --loss-model"},
        {{"--loss", "1%", "--loss-nth", "7"}, "--loss-nth 7", "so does --loss: use one of them"},
        {{"--loss-nth", "1"}, "--loss-nth 1", "from 2 to"},
        {{"--loss-nth", "-7"}, "--loss-nth -7", "a whole number"},
        {{"--loss-model", "gemodel"}, "--loss-model gemodel", "write gemodel P"},
        {{"--ramp", "loss=0%..5%,over=1s", "--duplicate", "1%", "--duplicate-correlation", "5%"},
         "--ramp",
         "that stay"},
    });
    EXPECT_FALSE(is_for_xdp(valid("--loss 1% --loss-burst 3 --direction in")));
    EXPECT_TRUE(has_sequence(valid("--ramp delay=0ms..9ms,over=1s --loss-nth 3").impairment));
    EXPECT_FALSE(has_sequence(valid("--loss 1% --loss-correlation 0%").impairment));
}

}  // namespace
}  // namespace headwind::rule_test::rule_test
