// SPDX-License-Identifier: MIT
// Devices on other devices work, and impair each packet once; devices without an Ethernet header are refused by name.
#include "net_test.h"

namespace headwind::test::stacked_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

bool can(const Namespace& where, const std::string& ip_command)
{
    return run(&where, words("ip " + ip_command)).status == 0;
}

std::vector<std::string> attached(const Namespace& where, const std::string& name)
{
    return rule_of(where, name)["attached_to"];
}

// ---- devices that are refused ------------------------------------------------------------------------------------

struct Refused {
    const char* kind;
    const char* command;  // for ip(8); it makes x0
    const char* reason;
};

class RefusedDevice : public PairTest, public testing::WithParamInterface<Refused> {};

RUNS_IN("Stacked.*:*RefusedDevice.*", native, linux_6_12);

TEST_P(RefusedDevice, IsNamedWithTheReasonAndLeftOutByDefault)
{
    if (!can(a(), GetParam().command)) GTEST_SKIP() << "this kernel has no " << GetParam().kind << " devices";
    ip(a(), "link set x0 up");
    const auto before = footprint(a());
    const auto refused = headwind(a(), "add --name r --dev va,x0 --loss 1%");
    EXPECT_NE(refused.status, 0);
    EXPECT_THAT(refused.err, HasSubstr(std::string("--dev x0: x0 ") + GetParam().reason));
    EXPECT_THAT(refused.err, HasSubstr("there are: lo, "));
    EXPECT_EQ(footprint(a()), before);
    change(a(), "add --name r --loss 1%");
    EXPECT_THAT(attached(a(), "r"), Not(testing::Contains("x0")));
    EXPECT_THAT(attached(a(), "r"), testing::IsSupersetOf({"lo", "va"}));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, RefusedDevice,
    testing::Values(
        Refused{"tun", "tuntap add dev x0 mode tun", "has no Ethernet header"},
        Refused{"wireguard", "link add x0 type wireguard", "has no Ethernet header"},
        Refused{"ipip", "link add x0 type ipip local 10.77.0.1 remote 10.77.0.2", "has no Ethernet header"},
        Refused{"gre", "link add x0 type gre local 10.77.0.1 remote 10.77.0.2", "has no Ethernet header"},
        Refused{"vrf", "link add x0 type vrf table 10", "is a vrf"},
        Refused{"vti", "link add x0 type vti key 7 local 10.77.0.1 remote 10.77.0.2", "is an IPsec interface"},
        Refused{"xfrm", "link add x0 type xfrm dev va if_id 7", "is an IPsec interface"},
        Refused{"vxlan", "link add x0 type vxlan external dstport 4789", "is a tunnel in external (metadata) mode"},
        Refused{"geneve", "link add x0 type geneve external", "is a tunnel in external (metadata) mode"}),
    [](const auto& one) { return std::string(one.param.kind); });

// ---- devices that work -------------------------------------------------------------------------------------------

class Stacked : public PairTest {
protected:
    // Expects that each packet that `send(flow)` makes pass in `where` meets the rule once, whole or cut, and that
    // nothing else happens to it.
    template <class Send>
    static void expect_met_once(const Namespace& where, const std::string& words, const std::string& direction,
                                Send send)
    {
        SCOPED_TRACE(words + " " + direction);
        change(where, "add --name r --proto udp --loss 50% --direction " + direction + " " + words +
                          (has_fq() ? " --delay 5ms" : ""));
        const auto single = send(Flow{.count = 200, .size = 1000});
        const auto arrived = single + send(Flow{.count = 400, .size = 1000, .segments = 20});
        const auto counters = counters_of(where, "r", direction);
        EXPECT_EQ(counters.packets, 600U);
        EXPECT_EQ(counters.loss, 600 - arrived);
        EXPECT_EQ(counters.delayed, has_fq() ? arrived : 0);
        EXPECT_GT(arrived, 200U);
        change(where, "clear");
    }
};

TEST_F(Stacked, Bond)
{
    if (!can(a(), "link add bond0 type bond mode active-backup miimon 100"))
        GTEST_SKIP() << "this kernel has no bond devices";
    ip(a(),
       "address flush dev va\n"
       "link set va down\n"
       "link set va master bond0\n"
       "link set bond0 up\n"
       "address add 10.77.0.1/24 dev bond0\n"
       "neighbour replace 10.77.0.2 lladdr 02:00:00:00:00:02 nud permanent dev bond0");
    wait_until_operational(a(), "bond0");
    const auto there = [this](const Flow& flow) { return arrive(flow); };
    const auto back = [this](const Flow& flow) { return deliver(b(), a(), {Pair::a4, 5000}, flow); };
    change(a(), "add --name r --loss 1%");
    EXPECT_THAT(attached(a(), "r"), ElementsAre("lo", "va"));
    change(a(), "clear");
    for (const std::string place : {"", "--dev bond0"}) {
        expect_met_once(a(), place, "out", there);
        expect_met_once(a(), place, "in", back);
    }
}

// b forwards between two devices of a VRF.
TEST_F(Stacked, Vrf)
{
    const Far far(a(), b());
    if (!can(b(), "link add vrf0 type vrf table 10")) GTEST_SKIP() << "this kernel has no vrf devices";
    ip(b(),
       "link set vrf0 up\n"
       "link set vb master vrf0\n"
       "link set vc master vrf0");
    for (const char* device : {"vb", "vc"}) wait_until_operational(b(), device);
    ip(b(),
       "neighbour replace 10.77.0.1 lladdr 02:00:00:00:00:01 nud permanent dev vb\n"
       "neighbour replace 10.79.0.2 lladdr 02:00:00:00:00:04 nud permanent dev vc");
    const auto through = [&](const Flow& flow) { return deliver(a(), far.far, {Far::address4, 5000}, flow); };
    ASSERT_EQ(through({}), 100U);
    change(b(), "add --name r --loss 1%");
    EXPECT_THAT(attached(b(), "r"), ElementsAre("lo", "vb", "vc"));
    change(b(), "clear");
    expect_met_once(b(), "", "in", through);
    expect_met_once(b(), "--dev vb", "in", through);
    expect_met_once(b(), "--dev vc", "out", through);
}

// A rule at the tunnel's device sees the inner packets, one at the device below sees those of the tunnel's port. Rules
// without --dev are at the device below.
TEST_F(Stacked, Vxlan)
{
    const auto make = [](const Namespace& where, const std::string& below, const std::string& peer,
                         const std::string& last, const std::string& peers_last) {
        if (!can(where, "link add vx0 address 02:00:00:00:01:0" + last + " type vxlan id 7 dstport 4789 remote " +
                            peer + " dev " + below))
            return false;
        expect_ok(run(&where, words("sysctl -qw net.ipv6.conf.vx0.disable_ipv6=1")));  // it reports groups
        ip(where, "address add 10.78.0." + last + "/24 dev vx0\nlink set vx0 up\nneighbour replace 10.78.0." +
                      peers_last + " lladdr 02:00:00:00:01:0" + peers_last + " nud permanent dev vx0");
        return true;
    };
    if (!make(a(), "va", Pair::b4, "1", "2") || !make(b(), "vb", Pair::a4, "2", "1"))
        GTEST_SKIP() << "this kernel has no vxlan devices";
    const auto through = [this](const Flow& flow) { return deliver(a(), b(), {"10.78.0.2", 5000}, flow); };
    change(a(), "add --name r --loss 1%");
    EXPECT_THAT(attached(a(), "r"), ElementsAre("lo", "va"));
    change(a(), "clear");
    expect_met_once(a(), "--dev vx0 --remote-port 5000", "out", through);
    expect_met_once(b(), "--dev vx0 --local-port 5000", "in", through);
    expect_met_once(a(), "--dev va --remote-port 4789", "out", through);
    expect_met_once(b(), "--dev vb --local-port 4789", "in", through);
    // Packets of the tunnel cross the hooks of both devices.
    change(a(), "add --name inside --dev vx0 --remote-port 5000 --loss 50%");
    change(a(), "add --name outside --dev va --remote-port 4789 --loss 50%");
    const auto arrived = through({.count = 1000});
    EXPECT_EQ(counters_of(a(), "inside").packets, 1000U);
    EXPECT_EQ(counters_of(a(), "inside").loss, 1000 - arrived);
    EXPECT_EQ(counters_of(a(), "outside").packets, 0U) << "impaired at the first only";
}

}  // namespace
}  // namespace headwind::test::stacked_test
