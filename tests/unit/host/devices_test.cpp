// SPDX-License-Identifier: MIT
// Tests which devices a rule takes by default and by name, and why others are refused.
#include "host/devices.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace headwind::devices_test {
namespace {

using netlink::Link;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Link device(int index, const std::string& name, const std::string& kind = "")
{
    Link link;
    link.index = index;
    link.name = name;
    link.kind = kind;
    link.type = ARPHRD_ETHER;
    link.flags = IFF_UP;
    return link;
}

Link on(Link link, int parent)
{
    link.parent = parent;
    return link;
}

Link in(Link link, int master)
{
    link.master = master;
    return link;
}

Link down(Link link)
{
    link.flags = 0;
    return link;
}

Link of_type(Link link, unsigned short type)
{
    link.type = type;
    return link;
}

Link elsewhere(Link link)
{
    link.parent_elsewhere = true;
    return link;
}

Link lo()
{
    return of_type(device(1, "lo"), ARPHRD_LOOPBACK);
}

Link line(int index, const std::string& name, int peer)
{
    Link link = on(device(index, name, "veth"), peer);
    link.alias = line_alias;
    return link;
}

std::vector<std::string> names(const std::vector<Link>& links)
{
    std::vector<std::string> result;
    for (const Link& link : links) result.push_back(link.name);
    return result;
}

std::vector<std::string> defaults(const std::vector<Link>& links)
{
    return names(default_devices(links));
}

TEST(DefaultDevices, TakesHardwareAndLo)
{
    EXPECT_THAT(defaults({lo(), device(2, "eth0"), device(3, "eth1")}), ElementsAre("lo", "eth0", "eth1"));
    EXPECT_THAT(defaults({}), IsEmpty());
}

TEST(DefaultDevices, LeavesOutWhatIsDown)
{
    EXPECT_THAT(defaults({down(lo()), device(2, "eth0"), down(device(3, "eth1"))}), ElementsAre("eth0"));
}

TEST(DefaultDevices, LeavesOutOurLineButNotOtherVeth)
{
    EXPECT_THAT(
        defaults({device(2, "eth0"), line(3, "headwind0", 4), line(4, "headwind1", 3), device(5, "pod", "veth")}),
        ElementsAre("eth0", "pod"));
}

TEST(DefaultDevices, AnAliasAloneMakesNoLine)
{
    Link link = device(2, "eth0");
    link.alias = line_alias;
    EXPECT_THAT(defaults({link}), ElementsAre("eth0"));
}

TEST(DefaultDevices, TakesTheParentNotTheVlanOnIt)
{
    EXPECT_THAT(defaults({device(2, "eth0"), on(device(3, "eth0.5", "vlan"), 2), on(device(4, "mv", "macvlan"), 2),
                          on(device(5, "sec", "macsec"), 2)}),
                ElementsAre("eth0"));
}

TEST(DefaultDevices, TakesAMacvlanWhoseParentIsInAnotherNamespace)
{
    EXPECT_THAT(defaults({lo(), elsewhere(device(2, "eth0", "macvlan"))}), ElementsAre("lo", "eth0"));
}

TEST(DefaultDevices, AVethWhosePeerIsHereStandsOnNothing)
{
    EXPECT_THAT(
        defaults({on(device(2, "a", "veth"), 3), on(device(3, "b", "veth"), 2), on(device(4, "c", "netkit"), 5)}),
        ElementsAre("a", "b", "c"));
}

TEST(DefaultDevices, TakesThePortsNotTheBridge)
{
    EXPECT_THAT(defaults({in(device(2, "eth0"), 3), device(3, "br0", "bridge"), in(device(4, "pod", "veth"), 3)}),
                ElementsAre("eth0", "pod"));
}

TEST(DefaultDevices, TakesTheSlavesNotTheBondNorTheVlanOnIt)
{
    EXPECT_THAT(defaults({in(device(2, "eth0"), 4), in(device(3, "eth1"), 4), device(4, "bond0", "bond"),
                          on(device(5, "bond0.7", "vlan"), 4)}),
                ElementsAre("eth0", "eth1"));
}

TEST(DefaultDevices, LeavesOutEmptyGatherersAndOpenVSwitchPorts)
{
    EXPECT_THAT(defaults({device(2, "docker0", "bridge"), device(3, "team0", "team"),
                          device(4, "br-int", "openvswitch"), device(5, "dummy0", "dummy")}),
                ElementsAre("dummy0"));
}

TEST(DefaultDevices, LeavesOutAMasterOfAnyKind)
{
    EXPECT_THAT(defaults({in(device(2, "eth0"), 3), device(3, "new0", "some-new-kind")}), ElementsAre("eth0"));
}

TEST(DefaultDevices, TakesTheDeviceInAVrfNotTheVrf)
{
    EXPECT_THAT(defaults({in(device(2, "eth0"), 3), device(3, "red", "vrf")}), ElementsAre("eth0"));
}

// On Azure some of eth0's packets come over the VF and some do not; all of them pass eth0.
TEST(DefaultDevices, TakesHardwareThatHidesItsVirtualFunction)
{
    EXPECT_THAT(defaults({device(2, "eth0"), in(device(3, "enP1s1"), 2)}), ElementsAre("eth0"));
}

TEST(DefaultDevices, LeavesOutTunnelsOverTheDevicesHere)
{
    EXPECT_THAT(defaults({device(2, "eth0"), device(3, "flannel.1", "vxlan"), on(device(4, "vx", "vxlan"), 2),
                          device(5, "gre1", "gretap"), device(6, "gnv", "geneve")}),
                ElementsAre("eth0"));
}

TEST(DefaultDevices, TakesATunnelWhoseSocketIsInAnotherNamespace)
{
    EXPECT_THAT(defaults({device(2, "br0", "bridge"), in(elsewhere(device(3, "vxlan0", "vxlan")), 2),
                          in(device(4, "veth0", "veth"), 2)}),
                ElementsAre("vxlan0", "veth0"));
}

TEST(DefaultDevices, LeavesOutIfb)
{
    EXPECT_THAT(defaults({device(2, "eth0"), device(3, "ifb0", "ifb")}), ElementsAre("eth0"));
}

TEST(DefaultDevices, LeavesOutWhatCannotBeImpaired)
{
    EXPECT_THAT(defaults({device(2, "eth0"), of_type(device(3, "wg0", "wireguard"), ARPHRD_NONE)}),
                ElementsAre("eth0"));
}

TEST(WhyUnsupported, NothingAgainstEthernetAndLo)
{
    for (const char* kind : {"", "veth", "vlan", "bridge", "bond", "tun", "vxlan", "dummy", "macvlan", "ifb"}) {
        EXPECT_EQ(why_unsupported(device(2, "dev", kind)), "") << kind;
    }
    EXPECT_EQ(why_unsupported(lo()), "");
}

TEST(WhyUnsupported, DevicesWithoutEthernetHeader)
{
    EXPECT_EQ(why_unsupported(of_type(device(2, "wg0", "wireguard"), ARPHRD_NONE)), "wg0 has no Ethernet header");
    EXPECT_EQ(why_unsupported(of_type(device(2, "tun0", "tun"), ARPHRD_NONE)), "tun0 has no Ethernet header");
    EXPECT_EQ(why_unsupported(of_type(device(2, "tunl0", "ipip"), ARPHRD_TUNNEL)), "tunl0 has no Ethernet header");
    EXPECT_EQ(why_unsupported(of_type(device(2, "sit0", "sit"), ARPHRD_SIT)), "sit0 has no Ethernet header");
    EXPECT_EQ(why_unsupported(of_type(device(2, "gre0", "gre"), ARPHRD_IPGRE)), "gre0 has no Ethernet header");
    EXPECT_EQ(why_unsupported(of_type(device(2, "ib0"), ARPHRD_INFINIBAND)), "ib0 has no Ethernet header");
}

TEST(WhyUnsupported, WhatLosesItsStateOnTheLine)
{
    EXPECT_THAT(why_unsupported(device(2, "red", "vrf")), HasSubstr("red is a vrf"));
    EXPECT_THAT(why_unsupported(of_type(device(2, "vti1", "vti"), ARPHRD_TUNNEL)), HasSubstr("IPsec"));
    EXPECT_THAT(why_unsupported(of_type(device(2, "vti1", "vti6"), ARPHRD_TUNNEL6)), HasSubstr("IPsec"));
    EXPECT_THAT(why_unsupported(of_type(device(2, "ipsec0", "xfrm"), ARPHRD_NONE)), HasSubstr("IPsec"));
    Link tunnel = device(2, "cilium_vxlan", "vxlan");
    tunnel.metadata_tunnel = true;
    EXPECT_THAT(why_unsupported(tunnel), HasSubstr("cilium_vxlan is a tunnel in external (metadata) mode"));
}

const std::vector<Link>& host()
{
    static const std::vector<Link> links{lo(),
                                         device(2, "eth0"),
                                         of_type(device(3, "wg0", "wireguard"), ARPHRD_NONE),
                                         line(4, "headwind0", 5),
                                         line(5, "headwind1", 4),
                                         down(device(6, "br0", "bridge"))};
    return links;
}

TEST(NamedDevices, EachOnce)
{
    const auto found = named_devices(host(), {"eth0", "lo", "eth0"});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_THAT(names(*found), ElementsAre("lo", "eth0"));
}

TEST(NamedDevices, UpperAndDownDevicesMayBeNamed)
{
    const auto found = named_devices(host(), {"br0"});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_THAT(names(*found), ElementsAre("br0"));
}

TEST(NamedDevices, NoNamesNoDevices)
{
    const auto found = named_devices(host(), {});
    ASSERT_TRUE(found);
    EXPECT_THAT(*found, IsEmpty());
}

TEST(NamedDevices, AnUnknownOneIsAnsweredWithWhatThereIs)
{
    const auto found = named_devices(host(), {"eth0", "eth9"});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::not_found);
    EXPECT_EQ(found.error().message, "--dev eth9: no such device in this network namespace; there are: lo, eth0, br0");
}

TEST(NamedDevices, NamesMatchWhole)
{
    EXPECT_FALSE(named_devices(host(), {"eth"}));
    EXPECT_FALSE(named_devices(host(), {"eth00"}));
    EXPECT_FALSE(named_devices(host(), {""}));
}

TEST(NamedDevices, AnUnsupportedOneIsRefusedWithTheReason)
{
    const auto found = named_devices(host(), {"wg0"});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::unsupported);
    EXPECT_THAT(found.error().message,
                AllOf(HasSubstr("--dev wg0: wg0 has no Ethernet header"), HasSubstr("lo, eth0")));
}

TEST(NamedDevices, OurLineIsRefused)
{
    const auto found = named_devices(host(), {"headwind1"});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::usage);
    EXPECT_THAT(found.error().message,
                AllOf(HasSubstr("--dev headwind1"), HasSubstr("own line"), Not(HasSubstr("headwind0"))));
}

TEST(NamedDevices, APatternIsWhatMatchesAndMayBeNothing)
{
    const auto matching = [](const std::vector<std::string>& patterns) {
        const auto found = named_devices(host(), patterns);
        EXPECT_TRUE(found) << found.error().message;
        return names(found.value_or(std::vector<Link>{}));
    };
    EXPECT_THAT(matching({"eth*"}), ElementsAre("eth0"));
    EXPECT_THAT(matching({"*"}), ElementsAre("lo", "eth0", "br0")) << "neither our line nor what cannot be impaired";
    EXPECT_THAT(matching({"e?h[0-3]", "lo"}), ElementsAre("lo", "eth0"));
    EXPECT_THAT(matching({"tap*"}), IsEmpty());
    EXPECT_FALSE(named_devices(host(), {"tap*", "eth9"}));
}

TEST(NamedDevices, WhatIsPresent)
{
    EXPECT_THAT(names(present_devices(host(), {"eth0", "eth9", "wg0", "headwind1"})), ElementsAre("eth0"));
    EXPECT_THAT(names(present_devices({device(2, "a*"), device(3, "ab")}, {"a*"})), ElementsAre("a*", "ab"));
}

TEST(NamedDevices, SaysSoIfThereIsNoneToChoose)
{
    const auto found = named_devices({}, {"eth0"});
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().message, HasSubstr("there are: none"));
}

}  // namespace
}  // namespace headwind::devices_test
