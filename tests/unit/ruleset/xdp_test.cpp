// SPDX-License-Identifier: MIT
// --xdp: the rules that XDP can decide, the drivers it is used with, and the report of doctor.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "commands/doctor.h"
#include "rule_test.h"
#include "xdp/xdp.h"

namespace headwind::rule_test::xdp_test {
namespace {

using testing::HasSubstr;

TEST(XdpRule, IsForWhatXdpCanDecide)
{
    for (const char* line : {"--direction in --loss 1%", "--partition", "--direction both --loss 1%",
                             "--direction in --partition --proto udp --local-port 53 --remote 10.0.0.0/8 --dev eth0"})
        EXPECT_TRUE(is_for_xdp(valid(line))) << line;
    for (const char* line : {"--loss 1%", "--direction out --partition", "--direction in --delay 1ms",
                             "--direction in --loss 1% --delay 1ms", "--direction in --loss 1% --corrupt 1%",
                             "--direction in --loss 1% --duplicate 1%", "--direction in --rate 1mbit", "--reject rst",
                             "--partition --reject icmp", "--pass", "--partition --cgroup /a", "--partition --xdp off"})
        EXPECT_FALSE(is_for_xdp(valid(line))) << line;
}

TEST(XdpRule, IsRefusedWhereAModeIsForced)
{
    expect_refused({
        {{"--loss", "1%", "--dev", "a", "--xdp", "native"}, "--xdp native", "--direction in"},
        {{"--partition", "--cgroup", "/a", "--dev", "a", "--xdp", "generic"}, "--xdp generic", "leave out --cgroup"},
        {{"--direction", "in", "--delay", "1ms", "--dev", "a", "--xdp", "native"}, "--xdp native", "--xdp auto"},
        {{"--partition", "--xdp", "native"}, "--xdp native", "--dev"},
        {{"--partition", "--xdp", "fast"}, "--xdp fast", "auto, native, generic or off"},
        {{"--partition", "--xdp", ""}, "--xdp \"\"", "auto, native, generic or off"},
    });
}

TEST(XdpRule, RoundTripsAndChanges)
{
    EXPECT_FALSE(to_json(valid("--partition")).contains("xdp")) << "the default";
    for (const char* mode : {"native", "generic", "off"}) {
        const auto rule = valid(std::string("--partition --dev eth0 --xdp ") + mode);
        EXPECT_EQ(to_json(rule)["xdp"], mode);
        EXPECT_EQ(rule_from_json(to_json(rule)).value(), rule);
    }
    const auto native = valid("--direction in --loss 1% --dev eth0 --xdp native");
    EXPECT_EQ(change_rule(native, text_of({"--loss", "2%"}))->xdp, Xdp::native);
    EXPECT_EQ(change_rule(native, text_of({"--xdp", "auto"}))->xdp, Xdp::automatic);
    const auto refused = change_rule(native, text_of({"--delay", "1ms"}));
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("--xdp native"));
}

TEST(XdpDrivers, AutoNeverTakesVeth)
{
    EXPECT_TRUE(is_for_auto("mlx5_core"));
    EXPECT_TRUE(hands_metadata_on("mlx5_core"));
    EXPECT_FALSE(is_for_auto("veth"));
    EXPECT_TRUE(hands_metadata_on("veth"));
    for (const char* driver : {"e1000e", "tun", "bridge", "hv_netvsc", ""}) EXPECT_FALSE(hands_metadata_on(driver));
}

TEST(XdpDoctor, SaysWhichDevicesCouldTakeIt)
{
    EXPECT_THAT(check_xdp({}).detail, HasSubstr("tc decides"));
    const auto able = check_xdp({{"eth0", "ice", 0}, {"veth1", "veth", 0}, {"tap0", "tun", 0}});
    EXPECT_EQ(able.status, CheckStatus::ok);
    EXPECT_THAT(able.detail, HasSubstr("--xdp auto uses eth0 (ice)"));
    EXPECT_THAT(able.detail, HasSubstr("only if told, and slower: veth1 (veth)"));
    const auto taken = check_xdp({{"eth0", "ice", 17}});
    EXPECT_EQ(taken.status, CheckStatus::note);
    EXPECT_THAT(taken.detail, HasSubstr("eth0 has another XDP program (id 17)"));
}

}  // namespace
}  // namespace headwind::rule_test::xdp_test
