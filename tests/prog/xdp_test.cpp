// SPDX-License-Identifier: MIT
// The XDP program decides what is certain there, as tc would, with tc's dice and counters, and leaves the rest to tc.
#include <gtest/gtest.h>

#include "prog_xdp.h"
#include "replay.h"
#include "verify/statistics.h"

namespace headwind::prog::xdp_test {
namespace {

using packets::arp;
using packets::extension;
using packets::fragment;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::payload;
using packets::udp;
using packets::usual_packet;
using packets::vlan;

class XdpTest : public testing::Test {
protected:
    bool dropped(const packets::Bytes& packet = usual_packet()) const { return xdp.run(packet).verdict == XDP_DROP; }
    // Expects that the packet passes without a trace, so that tc decides.
    void expect_undecided(const packets::Bytes& packet = usual_packet())
    {
        const auto outcome = xdp.run(packet);
        EXPECT_EQ(outcome.verdict, XDP_PASS);
        EXPECT_FALSE(outcome.over);
        EXPECT_EQ(outcome.packet, packet);
    }
    std::uint64_t matched(std::uint32_t id) const { return datapath.counters(id, HW_IN).packets; }

    Datapath datapath;
    XdpProgram xdp{datapath};
};

TEST_F(XdpTest, TakesAndCountsByCause)
{
    const auto split = datapath.add("--partition --remote-port 1000");
    EXPECT_TRUE(dropped());
    EXPECT_EQ(datapath.counters(split, HW_IN).dropped[HW_DROP_PARTITION], 1U);
    EXPECT_EQ(datapath.counters(split, HW_IN).bytes, usual_packet().size());
    datapath.remove(split);
    const auto lossy = datapath.add("--loss 100% --direction in");
    EXPECT_TRUE(dropped());
    EXPECT_EQ(datapath.counters(lossy, HW_IN).dropped[HW_DROP_LOSS], 1U);
    EXPECT_EQ(datapath.counters(lossy, HW_IN).packets, 1U);
}

TEST_F(XdpTest, HandsOverWhatItLetsPass)
{
    const auto id = datapath.add("--loss 0.0001% --direction in");
    const auto outcome = xdp.run(usual_packet());
    EXPECT_EQ(outcome.verdict, XDP_PASS);
    ASSERT_TRUE(outcome.over);
    EXPECT_EQ(outcome.over->nonce, Datapath::xdp_nonce);
    EXPECT_EQ(outcome.over->rule, id);
    EXPECT_EQ(outcome.packet, usual_packet());
    EXPECT_EQ(matched(id), 1U);
}

// There is one chain of events, whichever hook the next packet comes to.
TEST_F(XdpTest, SharesDiceAndCountersWithTc)
{
    const auto id = datapath.add("--loss 30% --direction in");
    Replay replay(datapath.instance().rules.find(id)->value().impairment.events[HW_EVENT_LOSS], datapath.feed().seed);
    unsigned lost = 0;
    constexpr unsigned count = 5000;
    for (unsigned n = 0; n < count; ++n) {
        const bool taken = n % 3 == 0 ? datapath.in(usual_packet()) == shot : dropped();
        ASSERT_EQ(taken, replay.next()) << "packet " << n;
        lost += taken;
    }
    EXPECT_EQ(matched(id), count);
    EXPECT_EQ(datapath.counters(id, HW_IN).dropped[HW_DROP_LOSS], lost);
    EXPECT_GT(statistics::binomial_p_value(lost, count, 0.3), 1e-6);
}

TEST_F(XdpTest, LeavesTcWhatItCannotDo)
{
    for (const char* rule :
         {"--direction in --loss 100% --corrupt 1%", "--direction in --loss 100% --duplicate 1%",
          "--direction in --delay 1ms", "--direction in --reject rst", "--direction in --loss 100% --reject icmp",
          "--direction in --pass", "--direction in --loss 100% --xdp off", "--direction out --loss 100%"}) {
        const auto id = datapath.add(rule);
        expect_undecided();
        EXPECT_EQ(matched(id), 0U) << rule;
        datapath.remove(id);
    }
}

TEST_F(XdpTest, RespectsExclusionsAndPriorities)
{
    datapath.add("--direction in --loss 100%");
    datapath.add("--direction in --pass --local-port 2000");
    datapath.add("--direction in --duplicate 1% --local-port 2001 --priority 5");
    datapath.add("--direction in --partition --local-port 2001 --priority 4");
    expect_undecided(usual_packet(2000));
    expect_undecided(usual_packet(2001));
    EXPECT_TRUE(dropped(usual_packet(2002)));
}

// XDP does not know the cgroup: it is certain only where a rule of higher rank wins.
TEST_F(XdpTest, LeavesTcWhatARuleOfACgroupMayWin)
{
    const auto id = datapath.add("--direction in --loss 100%");
    datapath.add("--direction in --pass --cgroup /a --local-port 2000", {.cgroups = {{"/a", 7, 1}}});
    expect_undecided();
    EXPECT_EQ(matched(id), 0U);
    datapath.alter(id, "--direction in --loss 100% --priority 1");
    EXPECT_TRUE(dropped());
}

TEST_F(XdpTest, ParsesAsTcDoes)
{
    const auto six = datapath.add("--direction in --loss 100% --local 2001:db8::2 --local-port 53");
    const auto query = udp(4000, 53, payload(20));
    EXPECT_TRUE(dropped(frame(ipv6({}, query))));
    EXPECT_TRUE(dropped(frame(ipv6({}, extension(60, query)))));
    EXPECT_TRUE(dropped(frame(vlan(7, vlan(8, ipv6({}, query))))));
    expect_undecided(frame(ipv6({}, udp(4000, 54, payload(20)))));
    expect_undecided(frame(ipv6({}, fragment({.offset = 100}, query))));
    EXPECT_TRUE(dropped(frame(vlan(7, vlan(8, vlan(9, ipv6({}, query))))))) << "the kernel takes one out before tc";
    expect_undecided(frame(vlan(6, vlan(7, vlan(8, vlan(9, ipv6({}, query)))))));
    expect_undecided(frame(arp()));
    expect_undecided(frame(packets::lldp()));
    EXPECT_EQ(matched(six), 4U);
}

TEST_F(XdpTest, TakesWhatIsNotIp)
{
    const auto id = datapath.add("--direction in --partition");
    for (const auto& layer : {packets::lldp(), packets::llc(), packets::raw(0x8847, packets::Bytes(60)),
                              packets::raw(0x0800, packets::Bytes(60)), vlan(7, packets::lldp())})
        EXPECT_TRUE(dropped(frame(layer))) << layer.number;
    EXPECT_EQ(matched(id), 5U);
    expect_undecided(frame(arp()));
    expect_undecided(frame(packets::neighbour(135)));
    datapath.replace(id, "--direction in --loss 100% --proto lldp");
    EXPECT_TRUE(dropped(frame(packets::lldp())));
    expect_undecided(frame(packets::llc()));
    expect_undecided();
}

// Headers that are not in the linear part of a frame in several buffers are found, too.
TEST_F(XdpTest, SeesAllOfAFrameInSeveralBuffers)
{
    const auto id = datapath.add("--direction in --loss 100%");
    const auto jumbo = frame(ipv4({}, udp(1000, 2000, payload(8000))));
    EXPECT_TRUE(dropped(jumbo));
    EXPECT_EQ(datapath.counters(id, HW_IN).bytes, jumbo.size());
}

// tc counts a tagged frame without the tag that the kernel takes out of it.
TEST_F(XdpTest, CountsBytesAsTcDoes)
{
    const auto id = datapath.add("--direction in --loss 100%");
    const auto inner = ipv4({}, udp(1000, 2000, payload(100)));
    EXPECT_TRUE(dropped(frame(vlan(7, inner))));
    EXPECT_EQ(datapath.counters(id, HW_IN).bytes, frame(inner).size());
    EXPECT_TRUE(dropped(frame(vlan(7, packets::lldp()))));
    EXPECT_EQ(datapath.counters(id, HW_IN).bytes, frame(inner).size() + frame(packets::lldp()).size());
}

TEST_F(XdpTest, DropsNothingByRulesThatAreNotLive)
{
    datapath.feed().boottime = 1000;
    datapath.add("--direction in --loss 100%", {.deadline = 1000});
    expect_undecided();
    datapath.add("--direction in --partition");
    EXPECT_TRUE(dropped());
    datapath.host().panic = 1;
    expect_undecided();
    datapath.host().panic = 0;
    datapath.control().devices[1].ifindex = 2;
    expect_undecided();
    datapath.control().devices[1].ifindex = 1;
    EXPECT_TRUE(dropped());
}

}  // namespace
}  // namespace headwind::prog::xdp_test
