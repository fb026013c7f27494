// SPDX-License-Identifier: MIT
// Rules at devices on other devices, and packets that are not one plain frame.
#include "net_test.h"

#include <sys/socket.h>

#include "verify/statistics.h"

namespace headwind::test::device_test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

class Devices : public PairTest {
protected:
    std::vector<std::string> attached(const std::string& name) const { return rule_of(a(), name)["attached_to"]; }
    bool can(const std::string& ip_command) const { return run(&a(), words("ip " + ip_command)).status == 0; }
};

RUNS_IN("Devices.VlanOver*", native, linux_6_12);

TEST_F(Devices, BridgeOverAVethPortMeetsOneHook)
{
    ip(a(),
       "link add br0 type bridge\n"
       "link set br0 address 02:00:00:00:00:01\n"
       "address flush dev va\n"
       "link set va master br0\n"
       "link set br0 up\n"
       "address add 10.77.0.1/24 dev br0\n"
       "address add fd77::1/64 nodad dev br0\n"
       "neighbour replace 10.77.0.2 lladdr 02:00:00:00:00:02 nud permanent dev br0\n"
       "neighbour replace fd77::2 lladdr 02:00:00:00:00:02 nud permanent dev br0");
    wait_until_operational(a(), "br0");
    EXPECT_EQ(arrive(), 100U);
    change(a(), "add --name lossy --loss 50% --proto udp");
    EXPECT_THAT(attached("lossy"), ElementsAre("lo", "va"));
    const auto arrived = arrive({.count = 2000});
    const auto counters = counters_of(a(), "lossy");
    EXPECT_EQ(counters.packets, 2000U);
    EXPECT_EQ(counters.loss, 2000 - arrived);
    const auto super_packets = arrive({.count = 2000, .size = 1000, .segments = 20}, {Pair::b6, 5000});
    EXPECT_EQ(counters_of(a(), "lossy").packets, 4000U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 4000 - arrived - super_packets);
    // Now the rule is at the bridge itself, since --dev names it.
    change(a(), "add --name lossy --replace --partition --dev br0 --proto udp");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(counters_of(a(), "lossy").partition, 100U);
}

TEST_F(Devices, VlanOverAVethMeetsOneHook)
{
    if (!can("link add link va name va.7 type vlan id 7")) GTEST_SKIP() << "this kernel has no VLAN devices";
    ip(a(), "address add 10.78.0.1/24 dev va.7\nlink set va.7 up");
    ip(b(), "link add link vb name vb.7 type vlan id 7\naddress add 10.78.0.2/24 dev vb.7\nlink set vb.7 up");
    wait_until_operational(a(), "va.7");
    wait_until_operational(b(), "vb.7");
    EXPECT_EQ(arrive({}, {"10.78.0.2", 5000}), 100U);
    change(a(), "add --name lossy --loss 50% --proto udp --remote-port 5000");
    EXPECT_THAT(attached("lossy"), ElementsAre("lo", "va"));
    const auto arrived = arrive({.count = 2000}, {"10.78.0.2", 5000});
    EXPECT_EQ(counters_of(a(), "lossy").packets, 2000U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 2000 - arrived);
    const auto super_packets = arrive({.count = 2000, .size = 1000, .segments = 20}, {"10.78.0.2", 5000});
    EXPECT_EQ(counters_of(a(), "lossy").packets, 4000U);
    EXPECT_EQ(counters_of(a(), "lossy").loss, 4000 - arrived - super_packets);
    change(a(), "add --name lossy --replace --partition --dev va.7 --proto udp");
    EXPECT_EQ(arrive({}, {"10.78.0.2", 5000}), 0U);
    EXPECT_EQ(arrive(), 100U);
}

// The VLAN tag may lie in the frame instead of in skb->vlan_tci.
TEST_F(Devices, VlanTagInTheFrameIsParsed)
{
    if (!can("link add link va name va.7 type vlan id 7")) GTEST_SKIP() << "this kernel has no VLAN devices";
    expect_ok(run(&a(), words("ethtool -K va txvlan off")));
    ip(a(), "address add 10.78.0.1/24 dev va.7\nlink set va.7 up");
    ip(b(), "link add link vb name vb.7 type vlan id 7\naddress add 10.78.0.2/24 dev vb.7\nlink set vb.7 up");
    wait_until_operational(a(), "va.7");
    wait_until_operational(b(), "vb.7");
    change(a(), "add --name split --partition --remote-port 5000");
    EXPECT_EQ(arrive({}, {"10.78.0.2", 5000}), 0U);
    EXPECT_EQ(arrive({}, {"10.78.0.2", 5001}), 100U);
}

TEST_F(Devices, ADeviceThatIsGoneIsNoObstacle)
{
    ip(a(), "link add v1 type veth peer name v2\nlink set v1 up\nlink set v2 up");
    const auto before = footprint(a());
    change(a(), "add --name split --partition --remote-port 5000");
    change(a(), "add --name named --partition --remote-port 5001 --dev v1");
    ip(a(), "link del v1");
    EXPECT_EQ(headwind(a(), "list").status, 0);
    EXPECT_EQ(arrive(), 0U);
    change(a(), "add --name other --partition --remote-port 5002");
    change(a(), "del named");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5002}), 0U);
    change(a(), "clear");
    EXPECT_EQ(arrive(), 100U);
}

// A forwarded packet passes two hooks, in at one device and out at the other, and gets one rule and one decision.
TEST_F(Devices, AForwardedPacketIsImpairedOnce)
{
    const Far far(a(), b());
    EXPECT_EQ(deliver(a(), far.far, {Far::address4, 5000}), 100U);
    const std::size_t count = scaled(4000, 2000);
    const auto says_so = testing::HasSubstr("several of these devices is impaired at the first of them only");
    change(a(), "add --name lossy --loss 1% --proto tcp");
    EXPECT_THAT(headwind(a(), "list").out, Not(says_so));
    change(b(), "add --name lossy --loss 50% --direction both --proto udp");
    EXPECT_THAT(headwind(b(), "list").out, says_so);
    const auto single = deliver(a(), far.far, {Far::address4, 5000}, {.count = count});
    EXPECT_GT(statistics::binomial_p_value(single, count, 0.5), 1e-6) << single << " of " << count << " arrived";
    const auto super = deliver(a(), far.far, {Far::address4, 5000}, {.count = count, .size = 1000, .segments = 20});
    EXPECT_GT(statistics::binomial_p_value(super, count, 0.5), 1e-6) << super << " of " << count << " arrived";
    EXPECT_EQ(counters_of(b(), "lossy", "in").packets, 2 * count);
    EXPECT_EQ(counters_of(b(), "lossy", "out").packets, 0U);
    // Now there are two rules, each at a device of its own.
    change(b(), "clear");
    change(b(), "add --name near --loss 50% --dev vb --direction in --proto udp");
    change(b(), "add --name far --partition --dev vc --direction out --proto udp --remote-port 5000");
    EXPECT_THAT(headwind(b(), "list").out, says_so);
    EXPECT_GT(deliver(a(), far.far, {Far::address4, 5000}), 0U);
    EXPECT_EQ(counters_of(b(), "far", "out").packets, 0U);
    change(b(), "del near");
    EXPECT_EQ(deliver(a(), far.far, {Far::address4, 5000}), 0U);
}

// ---- fragments ---------------------------------------------------------------------------------------------------

constexpr std::size_t datagrams = 50, fragmented_size = 3000, fragments = 3;

// Only the first fragment has ports, and the later ones follow it.
TEST_F(Devices, OfFragmentsAllMatchThePortOfTheFirst)
{
    for (const auto& address : {Pair::b4, Pair::b6}) {
        change(a(), "add --name split --replace --partition --remote-port 5000");
        EXPECT_EQ(arrive({.count = datagrams, .size = fragmented_size}, {address, 5000}), 0U);
        EXPECT_EQ(counters_of(a(), "split").partition, fragments * datagrams) << address;
        EXPECT_EQ(arrive({.count = datagrams, .size = fragmented_size}, {address, 5001}), datagrams) << address;
    }
}

TEST_F(Devices, FragmentsMatchByAddressAndProtocol)
{
    for (const auto& address : {Pair::b4, Pair::b6}) {
        change(a(), std::string("add --name split --replace --pass --proto udp --remote ") + address);
        EXPECT_EQ(arrive({.count = datagrams, .size = fragmented_size}, {address, 5000}), datagrams) << address;
        EXPECT_EQ(counters_of(a(), "split").packets, fragments * datagrams) << address;
    }
}

// A frame with headers in front that the parser must step over, as it must over options of IPv4.
TEST_F(Devices, ExtensionHeadersAndOptionsAreSteppedOver)
{
    change(a(), "add --name split --partition --remote-port 5000");
    const auto blocked_with = [this](const std::string& address, int level, int option, const std::string& value) {
        UdpSink sink(b(), {address, 5000});
        const Fd socket = udp_socket(a(), {address == Pair::b4 ? "0.0.0.0" : "::", 6000});
        EXPECT_EQ(setsockopt(socket.get(), level, option, value.data(), static_cast<socklen_t>(value.size())), 0)
            << std::strerror(errno);
        send_udp_to(socket, {address, 5000}, {.count = 10});
        EXPECT_EQ(sink.finish().size(), 0U);
    };
    blocked_with(Pair::b6, IPPROTO_IPV6, IPV6_DSTOPTS, std::string("\0\0\1\4\0\0\0\0", 8));
    blocked_with(Pair::b6, IPPROTO_IPV6, IPV6_HOPOPTS, std::string("\0\1\1\14\0\0\0\0\0\0\0\0\0\0\0\0", 16));
    blocked_with(Pair::b4, IPPROTO_IP, IP_OPTIONS, std::string("\1\1\1\1", 4));
    EXPECT_EQ(counters_of(a(), "split").partition, 30U);
}

}  // namespace
}  // namespace headwind::test::device_test
