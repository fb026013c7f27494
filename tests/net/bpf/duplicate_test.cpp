// SPDX-License-Identifier: MIT
// Duplicates: as many wire packets as asked are sent twice, in order, and TCP does not mind.
#include "net_test.h"

#include <headwind/testing.h>

#include "foreign_program.h"
#include "verify/statistics.h"

namespace headwind::test::duplicate_test {
namespace {

struct Copies {
    std::uint64_t once = 0, twice = 0, oftener = 0;  // packet numbers, by how often they came
    std::uint64_t out_of_order = 0;                  // packets that came after a higher number
    std::vector<std::uint64_t> runs;                 // lengths of runs of numbers that came twice
    std::uint64_t distinct() const { return once + twice + oftener; }
};

Copies count_copies(const std::vector<Arrival>& arrivals, std::size_t count)
{
    std::vector<unsigned> times(count);
    std::uint32_t highest = 0;
    Copies out;
    for (const auto& arrival : arrivals) {
        ++times.at(arrival.stamp.sequence);
        out.out_of_order += arrival.stamp.sequence < highest ? 1 : 0;
        highest = std::max(highest, arrival.stamp.sequence);
    }
    std::uint64_t run = 0;
    for (const auto n : times) {
        out.once += n == 1 ? 1 : 0;
        out.twice += n == 2 ? 1 : 0;
        out.oftener += n > 2 ? 1 : 0;
        run += n == 2 ? 1 : 0;
        if (n == 2 || run == 0) continue;
        out.runs.push_back(run);
        run = 0;
    }
    return out;
}

// Counts the copies of a flow, which is sent on one CPU so that the path keeps the order.
Copies copies_between(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, const Flow& flow)
{
    UdpSink sink(to_namespace, to);
    const OnCpu one(0);
    const auto sent = send_udp(from, to, flow);
    EXPECT_EQ(sent.packets, flow.count);
    EXPECT_EQ(sent.failed, 0U);
    return count_copies(sink.finish(), flow.count);
}

// Expects that chance explains the number of copies of `of` packets, each copied with `probability`.
void expect_share(std::uint64_t copies, std::uint64_t of, double probability)
{
    EXPECT_GT(statistics::binomial_p_value(copies, of, probability), alpha) << copies << " of " << of;
}

void expect_copies(const Counters& counters, const Copies& copies, std::size_t count, double probability)
{
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.duplicated, copies.twice);
    EXPECT_EQ(copies.distinct(), count);
    EXPECT_EQ(copies.oftener, 0U);
    EXPECT_EQ(copies.out_of_order, 0U);
    expect_share(copies.twice, count, probability);
}

class Duplicate : public SidedTest {
protected:
    void check(const Copies& copies, std::size_t count, double probability) const
    {
        expect_copies(counters("twice"), copies, count, probability);
    }
};

class DuplicateOut : public PairTest {};

TEST_P(Duplicate, UdpOverBothIPs)
{
    const std::size_t count = scaled(10'000, 4'000);
    for (const auto& to : {Pair::b4, Pair::b6}) {
        impair("--name twice --replace --duplicate 5% --proto udp");
        check(copies_between(a(), b(), {to, 5000}, {.count = count}), count, 0.05);
    }
}

TEST_P(Duplicate, EachPacketOfASuperPacketByItself)
{
    const std::size_t count = scaled(40'000, 10'000);
    for (const auto& to : {Pair::b4, Pair::b6}) {
        impair("--name twice --replace --duplicate 20% --proto udp");
        const auto copies = copies_between(a(), b(), {to, 5000}, {.count = count, .size = 1000, .segments = 50});
        check(copies, count, 0.2);
        EXPECT_GT(statistics::geometric_p_value(copies.runs, 0.8), alpha) << copies.runs.size() << " runs";
    }
}

TEST_P(Duplicate, All)
{
    impair("--name twice --duplicate 100% --proto udp");
    check(copies_between(a(), b(), {Pair::b4, 5000}, {.count = 1000}), 1000, 1);
    EXPECT_EQ(copies_between(a(), b(), {Pair::b4, 5000}, {.count = 2000, .size = 1000, .segments = 20}).twice, 2000U);
}

TEST_P(Duplicate, OnLoopbackToo)
{
    const std::size_t count = scaled(10'000, 4'000);
    for (const auto* to : {"127.0.0.1", "::1"}) {
        impair("--name twice --replace --duplicate 5% --proto udp", a());
        check(copies_between(a(), a(), {to, 5000}, {.count = count, .size = 1000}), count, 0.05);
    }
}

// Nobody cuts it there.
TEST_P(Duplicate, OnLoopbackASuperPacketIsOne)
{
    const std::size_t count = scaled(4'000, 1'000), segments = 20;
    impair("--name twice --duplicate 20% --proto udp", a());
    const auto copies =
        copies_between(a(), a(), {"127.0.0.1", 5000}, {.count = count * segments, .size = 1000, .segments = segments});
    const auto counted = counters("twice");
    EXPECT_EQ(counted.packets, count);
    EXPECT_EQ(copies.distinct(), count * segments);
    EXPECT_EQ(copies.twice, counted.duplicated * segments);
    expect_share(counted.duplicated, count, 0.2);
}

// Loss is decided first; the share of duplicates is that of the packets that are left.
TEST_P(Duplicate, TogetherWithLoss)
{
    const std::size_t count = scaled(15'000, 6'000);
    for (const std::size_t segments : {1U, 50U}) {
        impair("--name twice --replace --duplicate 20% --loss 30% --proto udp");
        const auto copies =
            copies_between(a(), b(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = segments});
        const auto count_of = counters("twice");
        EXPECT_EQ(count_of.packets, count);
        EXPECT_EQ(copies.distinct(), count - count_of.loss);
        EXPECT_EQ(copies.twice, count_of.duplicated);
        EXPECT_EQ(copies.oftener, 0U);
        EXPECT_EQ(copies.out_of_order, 0U);
        expect_share(count_of.loss, count, 0.3);
        expect_share(copies.twice, copies.distinct(), 0.2);
    }
}

// Corruption comes before duplication, too: both copies of a corrupted packet are corrupted.
TEST_P(Duplicate, TogetherWithCorruption)
{
    const std::size_t count = scaled(15'000, 6'000);
    impair("--name twice --duplicate 20% --corrupt 30% --proto udp");
    const auto copies = copies_between(a(), b(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = 50});
    const auto count_of = counters("twice");
    EXPECT_EQ(copies.distinct(), count - count_of.corrupted);
    expect_share(count_of.corrupted, count, 0.3);
    expect_share(count_of.duplicated, count, 0.2);
    expect_share(copies.twice, copies.distinct(), 0.2);
    EXPECT_EQ(stack_count(b(), "UdpInCsumErrors"), count_of.corrupted + count_of.duplicated - copies.twice);
}

INSTANTIATE_TEST_SUITE_P(Sides, Duplicate, testing::Values(Direction::out, Direction::in), side_name);

TEST_F(DuplicateOut, WithoutCuttingSuperPacketsAreDuplicatedAsAWhole)
{
    const std::size_t count = scaled(20'000, 5'000), segments = 50;
    change_without(HW_WORKAROUND_SEGMENT, a(), "add --name twice --duplicate 0.5% --proto udp");
    const auto copies =
        copies_between(a(), b(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = segments});
    EXPECT_GT(copies.runs.size(), 0U);
    for (const auto run : copies.runs) EXPECT_EQ(run % segments, 0U);
}

TEST_F(DuplicateOut, OfTcpIsDiscardedByTheReceiver)
{
    const auto before = tcp_segments_out(a());
    for (const std::string rule : {"v4 --remote 0.0.0.0/0", "v6 --remote ::/0"})
        change(a(), "add --duplicate 5% --proto tcp --name " + rule);
    for (const auto& to : {Pair::b4, Pair::b6})
        EXPECT_EQ(transfer_tcp(a(), b(), {to, 5001}, scaled(30'000'000, 2'000'000)).error, "");
    Counters v4, v6;
    EXPECT_TRUE(eventually([&] {  // to the copy of a FIN, e.g., TIME_WAIT may still answer
        v4 = counters_of(a(), "v4");
        v6 = counters_of(a(), "v6");
        return v4.packets + v6.packets == tcp_segments_out(a()) - before;
    })) << v4.packets
        << " and " << v6.packets << " counted, " << tcp_segments_out(a()) - before << " sent";
    for (const auto& counters : {v4, v6}) expect_share(counters.duplicated, counters.packets, 0.05);
}

// Programs of others at the device see each packet and each copy once; the copies meet no rule again.
TEST_F(DuplicateOut, AProgramBehindOursSeesEachCopyOnce)
{
    constexpr std::uint32_t mark = 0xcafe0001;
    change(a(), "add --name twice --duplicate 30% --proto udp");
    const auto counter = ForeignProgram::counter(a(), Pair::device_a, Hook::egress, mark, 0x1234);
    const auto copies = copies_between(a(), b(), {Pair::b4, 5000}, {.count = 3000, .mark = mark});
    expect_copies(counters_of(a(), "twice"), copies, 3000, 0.3);
    EXPECT_EQ(counter.seen().marked, 3000 + copies.twice);
}

TEST_F(DuplicateOut, OfForwardedPacketsToo)
{
    const Far far(a(), b());
    const std::size_t count = scaled(5'000, 3'000);
    for (const auto& to : {Far::address4, Far::address6}) {
        for (const std::size_t segments : {1U, 20U}) {
            change(b(), "add --name twice --replace --duplicate 10% --proto udp");
            const auto copies =
                copies_between(a(), far.far, {to, 5000}, {.count = count, .size = 1000, .segments = segments});
            const auto counters = counters_of(b(), "twice");
            EXPECT_EQ(counters.packets, count);
            EXPECT_EQ(counters.duplicated, copies.twice);
            EXPECT_EQ(copies.distinct(), count);
            EXPECT_EQ(copies.out_of_order, 0U);
            expect_share(copies.twice, count, 0.1);
        }
    }
}

}  // namespace
}  // namespace headwind::test::duplicate_test
