// SPDX-License-Identifier: MIT
// Tests how comcast's options become rules, and the commands shown for these rules.
#include "rule/comcast.h"
#include "util/text.h"

#include <gtest/gtest.h>

namespace headwind::comcast_test {
namespace {

using Words = std::vector<std::string>;

// The commands that add the rules of `options`, all of which must be valid.
Words commands_of(const ComcastOptions& options)
{
    const auto texts = translate_comcast(options);
    EXPECT_TRUE(texts) << texts.error().message;
    Words commands;
    if (!texts) return commands;
    for (const RuleSpec& text : *texts) {
        const auto rule = make_rule(text);
        EXPECT_TRUE(rule) << rule.error().message;
        commands.push_back(add_command(text));
    }
    return commands;
}

void expect_refused(const ComcastOptions& options, const std::string& start, const std::string& hint)
{
    const auto texts = translate_comcast(options);
    ASSERT_FALSE(texts) << start;
    EXPECT_EQ(texts.error().kind, ErrorKind::usage);
    EXPECT_TRUE(texts.error().message.starts_with(start)) << texts.error().message;
    EXPECT_NE(texts.error().message.find(hint), std::string::npos) << texts.error().message;
    EXPECT_TRUE(is_plain_text(texts.error().message)) << texts.error().message;
}

// Expects that make_rule() refuses the first rule, with an error in comcast's words that starts with `start`.
void expect_no_rule(const ComcastOptions& options, const std::string& start)
{
    const auto texts = translate_comcast(options);
    ASSERT_TRUE(texts) << texts.error().message;
    const auto rule = make_rule(texts->front());
    ASSERT_FALSE(rule) << start;
    EXPECT_TRUE(in_comcast_words(rule.error().message).starts_with(start)) << in_comcast_words(rule.error().message);
}

TEST(Comcast, ItsReadmesExample)
{
    EXPECT_EQ(
        commands_of({.latency = "250",
                     .target_bw = "1000",
                     .default_bw = "1000000",
                     .packet_loss = "10%",
                     .target_addrs = {"8.8.8.8,10.0.0.0/24"},
                     .target_ports = {"80,22,1000:2000"},
                     .target_protos = {"tcp,udp,icmp"}}),
        (Words{
            "headwind add --replace --name comcast --dev eth0 --proto tcp,udp --remote 8.8.8.8,10.0.0.0/24 --remote-port 80,22,1000:2000 --delay 250ms --loss 10% --rate 1000kbit",
            "headwind add --replace --name comcast-default --dev eth0 --rate 1000000kbit --priority -1"}));
}

TEST(Comcast, WithoutTargetsEverythingOnTheDevice)
{
    EXPECT_EQ(commands_of({.device = "eth1", .latency = "250", .target_bw = "1000", .packet_loss = "10%"}),
              (Words{"headwind add --replace --name comcast --dev eth1 --delay 250ms --loss 10% --rate 1000kbit"}));
    EXPECT_EQ(commands_of({.packet_loss = "1.5"}),
              (Words{"headwind add --replace --name comcast --dev eth0 --loss 1.5%"}));
}

TEST(Comcast, BareNumbersAreItsUnits)
{
    const auto texts = translate_comcast({.latency = "250", .target_bw = "40", .packet_loss = "2"});
    ASSERT_TRUE(texts) << texts.error().message;
    const auto rule = make_rule(texts->front());
    ASSERT_TRUE(rule) << rule.error().message;
    EXPECT_EQ(rule->impairment.delay, 250'000'000U);
    EXPECT_EQ(rule->impairment.rate, 40'000U);
    EXPECT_EQ(rule->impairment.loss, parse_probability("2%").value());
    EXPECT_EQ(rule->direction, Direction::out);
    EXPECT_EQ(rule->selector.devices, Words{"eth0"});
}

TEST(Comcast, UnitsOfHeadwindAreTaken)
{
    EXPECT_EQ(commands_of({.latency = "1.5s", .target_bw = "1mbit", .packet_loss = "0.1%"}),
              (Words{"headwind add --replace --name comcast --dev eth0 --delay 1.5s --loss 0.1% --rate 1mbit"}));
}

TEST(Comcast, ZeroAndMinusOneAreNotAskedFor)
{
    EXPECT_EQ(commands_of({.latency = "0", .target_bw = "-1", .default_bw = "-1", .packet_loss = "5%"}),
              (Words{"headwind add --replace --name comcast --dev eth0 --loss 5%"}));
    expect_refused({}, "comcast: nothing to do", "--stop");
    expect_refused({.latency = "-1", .packet_loss = "0"}, "comcast: nothing to do", "--latency 250");
}

TEST(Comcast, ProtocolsOfTheTargets)
{
    const auto protocols = [](ComcastOptions options) {
        options.packet_loss = "5%";
        const auto commands = commands_of(options);
        if (commands.size() != 1) return std::string("?");
        const std::size_t start = commands.front().find("--proto ");
        if (start == std::string::npos) return std::string();
        const std::string rest = commands.front().substr(start + std::string("--proto ").size());
        return rest.substr(0, rest.find(' '));
    };
    EXPECT_EQ(protocols({}), "");
    EXPECT_EQ(protocols({.target_addrs = {"10.0.0.1"}}), "tcp,udp,icmp");
    EXPECT_EQ(protocols({.target_addrs = {"2001:db8::/32"}}), "tcp,udp,icmpv6");
    EXPECT_EQ(protocols({.target_addrs = {"2001:db8::/32,10.0.0.0/8"}}), "tcp,udp,icmp,icmpv6");
    EXPECT_EQ(protocols({.target_addrs = {"2001:db8::/32", "10.0.0.0/8"}}), "tcp,udp,icmp,icmpv6");
    EXPECT_EQ(protocols({.target_ports = {"80"}}), "tcp,udp");
    EXPECT_EQ(protocols({.target_ports = {"80"}, .target_protos = {"icmp", "tcp"}}), "tcp");
    EXPECT_EQ(protocols({.target_protos = {"udp"}}), "udp");
    EXPECT_EQ(protocols({.target_protos = {"icmp"}}), "icmp,icmpv6");
    EXPECT_EQ(protocols({.target_addrs = {"10.0.0.1"}, .target_protos = {"icmp, sctp"}}), "sctp,icmp");
}

TEST(Comcast, DefaultBandwidthIsWhatIsLeft)
{
    EXPECT_EQ(commands_of({.latency = "100", .default_bw = "20000", .target_ports = {"80"}}),
              (Words{"headwind add --replace --name comcast --dev eth0 --proto tcp,udp --remote-port 80 --delay 100ms",
                     "headwind add --replace --name comcast-default --dev eth0 --rate 20000kbit --priority -1"}));
    // Targets without an impairment of their own are spared from the default.
    EXPECT_EQ(
        commands_of({.default_bw = "20000", .target_ports = {"22"}}),
        (Words{
            "headwind add --replace --name comcast --dev eth0 --proto tcp,udp --remote-port 22 --pass --direction out",
            "headwind add --replace --name comcast-default --dev eth0 --rate 20000kbit --priority -1"}));
    expect_refused({.latency = "100", .default_bw = "20000"}, "--default-bw 20000: ", "use --target-bw");
}

TEST(Comcast, Refuses)
{
    expect_refused({.latency = "abc"}, "--latency abc: ", "250ms");
    expect_refused({.latency = "-5"}, "--latency -5: ", "negative");
    expect_refused({.latency = ""}, "--latency \"\": ", "empty");
    expect_refused({.latency = "5parsecs"}, "--latency 5parsecs: ", "unknown unit");
    expect_refused({.target_bw = "1mbps"}, "--target-bw 1mbps: ", "1mbit");
    expect_refused({.target_bw = "0.001"}, "--target-bw 0.001: ", "8bit or more");
    expect_refused({.default_bw = "x\x1b"}, "--default-bw x\\x1b: ", "");
    expect_refused({.packet_loss = "101"}, "--packet-loss 101: ", "above 100%");
    expect_refused({.packet_loss = "10 percent"}, "--packet-loss \"10 percent\": ", "write 10%");

    expect_no_rule({.latency = "1", .target_addrs = {"example.com"}}, "--target-addr example.com: no IP address");
    expect_no_rule({.latency = "1", .target_addrs = {""}}, "--target-addr \"\": empty");
    expect_no_rule({.latency = "1", .target_ports = {""}}, "--target-port \"\": ");
    expect_no_rule({.latency = "1", .target_ports = {"80,"}}, "--target-port 80,: ");
    expect_no_rule({.latency = "1", .target_protos = {""}}, "--target-proto \"\": empty");
    expect_no_rule({.latency = "1", .target_protos = {"tpc"}}, "--target-proto tpc: unknown protocol");
    expect_no_rule({.latency = "1", .target_ports = {"80"}, .target_protos = {"icmp"}},
                   "--target-proto icmp,icmpv6 --target-port 80: no such protocol has ports");
    expect_no_rule({.device = "", .latency = "1"}, "--device \"\": empty");
    expect_no_rule({.latency = "9999999999"}, "--latency 9999999999ms: ");
}

TEST(Comcast, CommandsAreSafeInAShell)
{
    RuleSpec text;
    text.name = "comcast";
    text.devices = {"a;b'c"};
    text.loss = "5 %";
    EXPECT_EQ(add_command(text, "my net"),
              R"(headwind add --replace --netns 'my net' --name comcast --dev 'a;b'\''c' --loss '5 %')");
    EXPECT_EQ(delete_command({"a", "b"}), "headwind del --if-exists a b");
    EXPECT_EQ(delete_command({"a"}, "$x"), "headwind del --if-exists --netns '$x' a");
}

TEST(Comcast, GoTakesOneDashForTwo)
{
    EXPECT_EQ(with_double_dashes({"comcast", "-device=eth1", "-latency", "250", "-stop", "--dry-run", "-h", "-x", "-"}),
              (Words{"comcast", "--device=eth1", "--latency", "250", "--stop", "--dry-run", "-h", "-x", "-"}));
    EXPECT_EQ(with_double_dashes({"comcast", "-target-bw", "-1"}), (Words{"comcast", "--target-bw", "-1"}));
    EXPECT_EQ(with_double_dashes({"run", "--", "comcast", "-stop"}), (Words{"run", "--", "comcast", "-stop"}));
    EXPECT_EQ(with_double_dashes({}), Words{});
}

}  // namespace
}  // namespace headwind::comcast_test
