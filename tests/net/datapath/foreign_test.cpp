// SPDX-License-Identifier: MIT
// Programs of others at the hooks see each packet once, with marks that are not ours unchanged.
#include "net_test.h"

#include "foreign_program.h"

namespace headwind::test::foreign_test {
namespace {

constexpr std::uint32_t mark = 0xcafe0001, tc_index = 0x0234;  // the tc_index is no tag of an instance
constexpr std::size_t segments = 20;

class Foreign : public PairTest {
protected:
    // Sends 3000 marked packets, singly and as super-packets; returns how many arrive.
    std::size_t send_marked(const Endpoint& to = {Pair::b4, 5000}) const
    {
        UdpSink sink(b(), to);
        send_udp(a(), to, {.count = 1000, .mark = mark});
        send_udp(a(), to, {.count = 2000, .size = 1000, .segments = segments, .mark = mark});
        return sink.finish().size();
    }

    // Expects that each wire packet was seen once; super-packets without a loss stay whole.
    static void expect_seen_once(std::uint64_t seen, std::size_t arrived)
    {
        EXPECT_LE(seen, arrived);
        EXPECT_EQ((arrived - seen) % (segments - 1), 0U);
        EXPECT_LE((arrived - seen) / (segments - 1), 20U) << "of 100 super-packets";
    }
};

RUNS_IN("Foreign.Held*", linux_6_12);
RUNS_IN("Foreign.AFilter*", native | linux_6_1);
RUNS_IN("Foreign.AProgramIn*", native, linux_6_1);

TEST_F(Foreign, AProgramBehindOursSeesEachSurvivorOnce)
{
    change(a(), "add --name lossy --loss 30% --proto udp");
    const auto counter = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, tc_index);
    const auto arrived = send_marked();
    const auto counters = counters_of(a(), "lossy");
    EXPECT_EQ(counters.packets, 3000U);
    EXPECT_EQ(arrived, 3000 - counters.loss);
    expect_seen_once(counter.seen().marked, arrived);
}

TEST_F(Foreign, UnmatchedPacketsPassOnceWithTheirMarks)
{
    change(a(), "add --name lossy --loss 100% --remote-port 1 --direction both");
    change(b(), "add --name lossy --loss 100% --remote-port 1 --direction both");
    const auto setter = ForeignProgram::setter(a(), Pair::device_a, Hook::egress, mark, tc_index);
    const auto out = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, tc_index);
    const auto in = ForeignProgram::counter(b(), Pair::device_b, Hook::ingress, mark, tc_index);
    EXPECT_EQ(send_marked(), 3000U);
    constexpr std::uint64_t buffers = 1000 + 2000 / 20;  // super-packets stay whole
    EXPECT_EQ(out.seen().marked, buffers);
    EXPECT_EQ(out.seen().indexed, buffers);
    EXPECT_EQ(in.seen().indexed, buffers);
}

// skb->tc_index survives a veth, and Cilium keeps flags in it.
TEST_F(Foreign, AnotherOnesTcIndexIsMatchedAsUsualAndKept)
{
    const auto setter = ForeignProgram::setter(a(), Pair::device_a, Hook::egress, mark, tc_index);
    change(b(), "add --name lossy --loss 30% --proto udp --direction in");
    const auto counter = ForeignProgram::counter(b(), Pair::device_b, Hook::ingress, mark, tc_index);
    const auto arrived = send_marked();
    const auto counters = counters_of(b(), "lossy", "in");
    EXPECT_EQ(counters.packets, 3000U);
    EXPECT_EQ(arrived, 3000 - counters.loss);
    expect_seen_once(counter.seen().indexed, arrived);
}

TEST_F(Foreign, HeldPacketsAreSeenOnceWithTheirMarksToo)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --delay 20ms --remote-port 5000");
    change(a(), "add --name both --delay 20ms --loss 20% --remote-port 5001");
    const auto counter = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, tc_index);
    const auto delayed = send_marked();
    EXPECT_EQ(delayed, 3000U);
    EXPECT_EQ(counter.seen().marked, 1000U + 2000U / 20) << "a constant delay leaves super-packets whole";
    const auto both = send_marked({Pair::b4, 5001});
    expect_seen_once(counter.seen().marked - (1000U + 2000U / segments), both);
    EXPECT_EQ(both, 3000U - counters_of(a(), "both").loss);
}

// A filter of clsact beside tcx, or with another priority, as Calico and Cilium have them.
TEST_F(Foreign, AFilterOfClsactSeesEachSurvivorOnceAndStays)
{
    const auto counter = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, tc_index, Place::clsact);
    const auto before = footprint(a());
    change(a(), "add --name lossy --loss 30% --proto udp");
    const auto arrived = send_marked();
    EXPECT_EQ(arrived, 3000 - counters_of(a(), "lossy").loss);
    expect_seen_once(counter.seen().marked, arrived);
    change(a(), "clear");
    expect_footprint(a(), before, "theirs is left alone");
}

// A program put in front of ours later comes before the detour: it sees a packet that takes one twice, others once.
TEST_F(Foreign, AProgramInFrontSeesWhatTakesADetourTwice)
{
    change(a(), "add --name copies --duplicate 100% --proto udp --remote-port 5001");
    const auto counter = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, tc_index, Place::in_front);
    constexpr std::uint64_t buffers = 1000 + 2000 / segments;
    EXPECT_EQ(send_marked(), 3000U);
    EXPECT_EQ(counter.seen().marked, buffers);
    EXPECT_EQ(send_marked({Pair::b4, 5001}), 6000U);
    EXPECT_GT(counter.seen().marked, 2 * buffers);
}

}  // namespace
}  // namespace headwind::test::foreign_test
