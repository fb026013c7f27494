// SPDX-License-Identifier: MIT
// --max-share: the share of a hook's packets that a rule may match in a minute, on a fed clock.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"
#include "ruleset/stops.h"

namespace headwind::prog::share_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::udp;

constexpr std::uint64_t minute = 60'000'000'000;

class Share : public testing::Test {
protected:
    // matched() sends packets that the rule matches, and returns how many met it; others() sends other packets.
    unsigned matched(unsigned count, Hook hook = Hook::egress) { return sent(2000, count, hook); }
    void others(unsigned count, Hook hook = Hook::egress) { EXPECT_EQ(sent(3000, count, hook), 0U); }
    void at(std::uint64_t nanoseconds) { datapath.feed().boottime = nanoseconds; }
    std::optional<hw_stop> stop_of(std::uint32_t rule)
    {
        const auto stop = datapath.instance().stops.find(rule);
        EXPECT_TRUE(stop);
        return *stop;
    }

    Datapath datapath;
    const std::uint32_t id = datapath.add("--port 2000 --partition --max-share 20%");

private:
    unsigned sent(std::uint16_t port, unsigned count, Hook hook)
    {
        const auto packet = frame(ipv4({}, udp(port, port, payload(100))));
        unsigned taken = 0;
        for (unsigned i = 0; i < count; ++i) taken += datapath.run(hook, packet).verdict == dropped_at(hook) ? 1U : 0U;
        return taken;
    }
};

TEST_F(Share, WithinAMinuteIsJudgedFromTheThousandthPacketOn)
{
    at(5 * minute);
    others(780);
    EXPECT_EQ(matched(219), 219U) << "999 packets: too few to judge";
    EXPECT_FALSE(stop_of(id));
    EXPECT_EQ(matched(1), 0U) << "220 of 1000";
    const auto stop = stop_of(id);
    ASSERT_TRUE(stop);
    EXPECT_EQ(stop->cause, HW_STOP_SHARE);
    EXPECT_EQ(stop->touched, 220U);
    EXPECT_EQ(stop->packets, 1000U);
    EXPECT_EQ(stop->at, 5 * minute);
    EXPECT_EQ(matched(10), 0U);
    at(50 * minute);
    EXPECT_EQ(matched(10), 0U) << "for good";
    ASSERT_TRUE(start_again(datapath.instance(), id));
    EXPECT_EQ(matched(10), 10U) << "what it matched before is forgotten";
}

TEST_F(Share, OfExactlyThatMuchIsAllowed)
{
    at(5 * minute);
    others(4'000);
    EXPECT_EQ(matched(1'000), 1'000U) << "1000 of 5000: 20%";
    EXPECT_EQ(matched(1), 0U) << "1001 of 5001";
}

TEST_F(Share, OfAMinuteThatIsOverIsJudgedWithFewPackets)
{
    at(5 * minute);
    others(8);
    EXPECT_EQ(matched(2), 2U);
    at(6 * minute);
    others(1);
    EXPECT_EQ(matched(3), 3U) << "2 of 10 were allowed; this minute is not over";
    at(7 * minute);
    EXPECT_EQ(matched(1), 0U) << "3 of 4";
    const auto stop = stop_of(id);
    ASSERT_TRUE(stop);
    EXPECT_EQ(stop->touched, 3U);
    EXPECT_EQ(stop->packets, 4U);
}

TEST_F(Share, IsRememberedWhenOthersPacketsComeFirst)
{
    at(5 * minute);
    EXPECT_EQ(matched(3), 3U);
    for (std::uint64_t n = 6; n < 5 + HW_PAST_MINUTES; ++n) {
        at(n * minute);
        others(1);
    }
    EXPECT_EQ(matched(1), 0U);
}

TEST_F(Share, IsThatOfOneHook)
{
    at(5 * minute);
    others(4'000, Hook::ingress);
    EXPECT_EQ(matched(500, Hook::ingress), 500U);
    EXPECT_EQ(matched(999), 999U) << "other hook, too few packets";
    EXPECT_EQ(matched(1), 0U);
    EXPECT_EQ(matched(1, Hook::ingress), 0U) << "the rule is stopped everywhere";
}

TEST_F(Share, CountsWirePackets)
{
    const auto super = frame(ipv4({}, udp(2000, 2000, payload(1'000))));
    const auto sent = [&](unsigned segments) {
        Arrival arrival;
        arrival.gso_size = 100;
        arrival.gso_segs = segments;
        return datapath.run(Hook::egress, super, arrival).verdict;
    };
    at(5 * minute);
    others(800);
    EXPECT_NE(sent(100), next);
    EXPECT_FALSE(stop_of(id)) << "100 of 900";
    EXPECT_NE(sent(99), next);
    EXPECT_FALSE(stop_of(id)) << "199 of 999";
    EXPECT_EQ(sent(100), next) << "299 of 1099";
}

TEST_F(Share, IsNotThatOfOtherRules)
{
    datapath.add("--port 4000 --partition");
    at(5 * minute);
    const auto packet = frame(ipv4({}, udp(4000, 4000, payload(100))));
    for (int i = 0; i < 2'000; ++i) EXPECT_EQ(datapath.out(packet), stolen);
    EXPECT_EQ(matched(100), 100U) << "100 of 2100";
}

TEST_F(Share, EndsWithItsRule)
{
    at(5 * minute);
    EXPECT_EQ(matched(1'000), 999U);
    EXPECT_FALSE(datapath.instance().shares.keys().empty());
    datapath.remove(id);
    EXPECT_TRUE(datapath.instance().shares.keys().empty());
    EXPECT_FALSE(stop_of(id));
    EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].shares, 0U);
}

}  // namespace
}  // namespace headwind::prog::share_test
