// SPDX-License-Identifier: MIT
// A share of the flows: a flow is in it wholly or not at all, in both directions and at both ends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"
#include "verify/statistics.h"

namespace headwind::prog::flows_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::tcp;
using packets::udp;
using statistics::binomial_p_value;

constexpr unsigned flows = 100'000;
constexpr double share = 0.05, flows_alpha = 1e-6;

// A packet of the n-th flow. Neighbouring flows differ little, as those of real clients do.
Bytes packet_of(unsigned n, bool answer = false)
{
    const auto local = static_cast<std::uint16_t>(32'768 + n % 20'000);
    const std::uint16_t remote = 443;
    const std::string here = fmt::format("10.0.0.{}", 1 + n / 20'000), there = "10.1.0.1";
    return answer ? frame(ipv4({.source = there, .destination = here}, tcp(remote, local)))
                  : frame(ipv4({.source = here, .destination = there}, tcp(local, remote)));
}

class Flows : public testing::Test {
protected:
    bool dropped(Hook hook, const Bytes& packet) { return datapath.run(hook, packet).verdict != next; }
    Datapath datapath;
};

TEST_F(Flows, TheShareIsAsAskedAndEachIsAllOrNothing)
{
    datapath.add("--partition --flows 5%");
    std::uint64_t taken = 0;
    for (unsigned n = 0; n < flows; ++n) {
        const bool out = dropped(Hook::egress, packet_of(n));
        taken += out;
        ASSERT_EQ(dropped(Hook::ingress, packet_of(n, true)), out) << n << ": its answers";
        if (n % 10 != 0) continue;
        ASSERT_EQ(dropped(Hook::egress, packet_of(n)), out) << n << ": again";
        // At the peer local and remote change places.
        ASSERT_EQ(dropped(Hook::ingress, packet_of(n)), out) << n << ": at the other end";
    }
    EXPECT_GT(binomial_p_value(taken, flows, share), flows_alpha) << taken;
}

TEST_F(Flows, SeedsChooseIndependently)
{
    const auto first = datapath.add("--partition --flows 50% --flow-seed 1");
    std::vector<bool> chosen;
    constexpr unsigned some = 20'000;
    for (unsigned n = 0; n < some; ++n) chosen.push_back(dropped(Hook::egress, packet_of(n)));
    datapath.remove(first);
    datapath.add("--partition --flows 50% --flow-seed 2");
    std::uint64_t same = 0;
    for (unsigned n = 0; n < some; ++n) same += dropped(Hook::egress, packet_of(n)) == chosen[n];
    EXPECT_GT(binomial_p_value(same, some, 0.5), flows_alpha) << same;
}

TEST_F(Flows, EndsAndProtocolsCount)
{
    datapath.add("--partition --flows 50%");
    std::uint64_t swapped = 0, protocol = 0, ipv6_share = 0;
    constexpr unsigned some = 10'000;
    for (unsigned n = 0; n < some; ++n) {
        const auto a = static_cast<std::uint16_t>(1024 + n), b = static_cast<std::uint16_t>(20'000 + n);
        const bool taken = dropped(Hook::egress, frame(ipv4({}, udp(a, b))));
        swapped += taken == dropped(Hook::egress, frame(ipv4({}, udp(b, a))));
        protocol += taken == dropped(Hook::egress, frame(ipv4({}, tcp(a, b))));
        ipv6_share += dropped(Hook::egress, frame(ipv6({}, udp(a, b))));
    }
    EXPECT_GT(binomial_p_value(swapped, some, 0.5), flows_alpha)
        << "ports that change hands are another flow: " << swapped;
    EXPECT_GT(binomial_p_value(protocol, some, 0.5), flows_alpha) << protocol;
    EXPECT_GT(binomial_p_value(ipv6_share, some, 0.5), flows_alpha) << ipv6_share;
}

TEST_F(Flows, AllOfThemAndWhatIsNotChosenMeetsTheNextRule)
{
    const auto all = datapath.add("--partition --flows 100%");
    for (unsigned n = 0; n < 1000; ++n) ASSERT_TRUE(dropped(Hook::egress, packet_of(n)));
    datapath.remove(all);
    const auto some = datapath.add("--pass --flows 50%"), rest = datapath.add("--partition");
    for (unsigned n = 0; n < 1000; ++n) datapath.out(packet_of(n));
    const auto passed = datapath.counters(some).packets;
    EXPECT_GT(binomial_p_value(passed, 1000, 0.5), flows_alpha) << passed;
    EXPECT_EQ(datapath.counters(rest).packets, 1000 - passed) << "the narrower rule wins, though both fix as many bits";
}

}  // namespace
}  // namespace headwind::prog::flows_test
