// SPDX-License-Identifier: MIT
// Rules whose packets' events depend on each other: the real programs say for each packet what the arithmetic says.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include <headwind/sequence.h>

#include "commands/fate.h"
#include "packets.h"
#include "prog_run.h"
#include "rule_files.h"
#include "ruleset/transaction.h"

namespace headwind::prog::sequence_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::tcp;
using packets::usual_packet;

// The sequence of a rule, from its first packet on.
struct Expected {
    Expected(Datapath& datapath, std::uint32_t id, hw_direction direction = HW_OUT)
        : sequence(datapath.instance().sequences.find(id)->value())
    {
        hw_sequence_begin(&sequence, &progress, id, direction);
        for (const auto& [key, block] : datapath.instance().lists.items().value())
            if (key.rule == id) list[key.block] = block;
    }
    unsigned next()
    {
        const auto before = hw_packets_before(&progress);
        const auto block = list.find(static_cast<__u32>(before / HW_LIST_BLOCK));
        const unsigned listed = block == list.end() ? 0U : hw_is_listed(&block->second, before) << HW_EVENT_LOSS;
        return hw_sequence_step(&sequence, &progress) | listed;
    }
    hw_sequence sequence;
    std::map<__u32, hw_list_block> list;
    hw_progress progress{};
};

hw_progress progress_of(Datapath& datapath, std::uint32_t id, __u32 direction = HW_OUT)
{
    return datapath.instance().states.find({id, direction})->value().progress;
}

class Sequence : public testing::TestWithParam<const char*> {};

TEST_P(Sequence, EachPacketMeetsWhatItSays)
{
    Datapath datapath;
    const auto id = datapath.add(GetParam());
    Expected expected(datapath, id);
    for (unsigned n = 0; n < 3000; ++n) {
        const bool lost = expected.next() & 1U << HW_EVENT_LOSS;
        ASSERT_EQ(datapath.out(usual_packet()), lost ? stolen : next) << n;
    }
    EXPECT_EQ(progress_of(datapath, id).index, 3000U);
    Arrival again;
    again.repeat = 300'000;
    again.unmarked = true;
    std::uint64_t lost = datapath.counters(id).dropped[HW_DROP_LOSS];
    datapath.run(Hook::egress, usual_packet(), again);
    for (unsigned n = 0; n < again.repeat; ++n) lost += expected.next() >> HW_EVENT_LOSS & 1;
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost);
    EXPECT_EQ(datapath.counters(id).packets, 303'000U);
    EXPECT_EQ(datapath.feed().dice, 0U) << "needs no others";
}

INSTANTIATE_TEST_SUITE_P(Models, Sequence,
                         testing::Values("--loss 10% --loss-correlation 50%", "--loss 1% --loss-burst 3",
                                         "--loss-model 'gemodel 5% 20% 70% 1%'",
                                         "--loss-model 'state 2% 30% 20% 40% 1%'", "--loss-nth 7",
                                         "--loss 5% --corrupt 0% --corrupt-correlation 1% --duplicate 0%",
                                         "--netem-compatible --loss 25% --loss-correlation 50%"));

TEST(SequenceOfTwo, EachDirectionHasItsOwn)
{
    Datapath datapath;
    const auto id = datapath.add("--loss 50% --loss-correlation 50% --direction both");
    Expected out(datapath, id), in(datapath, id, HW_IN);
    unsigned alike = 0;
    for (unsigned n = 0; n < 600; ++n) {
        const bool sent = datapath.out(usual_packet()) == next, received = datapath.in(usual_packet()) == next;
        ASSERT_EQ(sent, !(out.next() & 1));
        ASSERT_EQ(received, !(in.next() & 1));
        alike += sent == received ? 1 : 0;
    }
    EXPECT_NEAR(alike, 300, 100) << "they do not depend on each other";
    EXPECT_EQ(progress_of(datapath, id).index, 600U);
    EXPECT_EQ(progress_of(datapath, id, HW_IN).index, 600U | 1ULL << 63);
}

TEST(SequenceOfTwo, AChangedRuleBeginsAnewAndAPlainOneHasNone)
{
    Datapath datapath;
    const auto id = datapath.add("--loss 50% --loss-correlation 50%");
    for (unsigned n = 0; n < 100; ++n) datapath.out(usual_packet());
    const auto changed = datapath.alter(id, "--loss 50% --loss-correlation 60%");
    EXPECT_FALSE(datapath.instance().sequences.find(id)->has_value());
    Expected expected(datapath, changed);
    for (unsigned n = 0; n < 500; ++n) ASSERT_EQ(datapath.out(usual_packet()), expected.next() & 1 ? stolen : next);
    EXPECT_EQ(progress_of(datapath, id).index, 500U);
    const auto plain = datapath.alter(changed, "--loss 100%");
    EXPECT_FALSE(datapath.instance().sequences.find(plain)->has_value());
    for (unsigned n = 0; n < 100; ++n) ASSERT_EQ(datapath.out(usual_packet()), stolen);
    EXPECT_EQ(progress_of(datapath, id).index, 500U);
}

// ---- lists of losses ----

// Adds a rule that loses these packets.
Result<std::uint32_t> try_add(Datapath& datapath, const std::string& packets, const std::string& words = "")
{
    const test::TextFile file(packets);
    return datapath.try_add("--loss-pattern " + file.path() + " " + words);
}

std::uint32_t add(Datapath& datapath, const std::string& packets, const std::string& words = "")
{
    return try_add(datapath, packets, words).value();
}

TEST(List, LosesItsPacketsAndNoOther)
{
    Datapath datapath;
    const auto id = add(datapath, "1, 3-5, 64-65 511-514 1000 2049", "--direction both");
    EXPECT_EQ(datapath.instance().lists.keys().size(), 3U) << "of the blocks that have some only";
    for (const bool out : {true, false}) {
        std::vector<unsigned> lost;
        for (unsigned n = 1; n <= 3000; ++n)
            if ((out ? datapath.out(usual_packet()) : datapath.in(usual_packet())) != next) lost.push_back(n);
        EXPECT_EQ(lost, (std::vector<unsigned>{1, 3, 4, 5, 64, 65, 511, 512, 513, 514, 1000, 2049}))
            << "each direction counts its own";
    }
    EXPECT_EQ(datapath.feed().dice, 0U);
    datapath.remove(id);
    EXPECT_TRUE(datapath.instance().lists.keys().empty());
}

TEST(List, OfARuleThatIsGoneIsRepaired)
{
    Datapath datapath;
    const auto id = add(datapath, "7 9999");
    ASSERT_TRUE(datapath.instance().lists.put({id + 1, 3}, {}));
    datapath.control().dirty = 1;
    ASSERT_TRUE(repair(datapath.instance()));
    EXPECT_EQ(datapath.instance().lists.keys().size(), 2U);
    for (const auto& key : datapath.instance().lists.keys()) EXPECT_EQ(key.rule, id);
}

TEST(List, ThatFindsNoRoomIsRefusedAndLeavesNothing)
{
    Datapath datapath;
    std::string sparse;  // in each block one
    for (unsigned block = 0; block < 1950; ++block) sparse += std::to_string(block * 512 + 1) + " ";
    unsigned fit = 0;
    for (; fit < 10 && try_add(datapath, sparse, fmt::format("--port {}", 1000 + fit)); ++fit) {
    }
    const auto refused = try_add(datapath, sparse, "--port 2000");
    EXPECT_EQ(fit, HW_LIST_BLOCKS / 1950U);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("with the lists of this namespace's other rules"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(datapath.instance().lists.keys().size(), std::size_t{fit} * 1950);
}

// ---- seeds ----

constexpr std::uint64_t now = 1'000'000'000'000;

class Seed : public testing::TestWithParam<const char*> {};

TEST_P(Seed, DoesWhatFateSays)
{
    Line line;
    Datapath datapath;
    line.connect(datapath);
    datapath.feed().monotonic = now;
    const auto id = datapath.add(std::string("--seed 77 ") + GetParam());
    FateSeries series(rule_test::valid(std::string("--seed 77 ") + GetParam()).impairment, HW_OUT);
    unsigned lost = 0;
    for (unsigned n = 0; n < 10'000; ++n) {
        const auto fate = series.next();
        const auto hook = n % 2 != 0 ? Hook::egress : Hook::segment;
        const auto outcome =
            datapath.run(hook, usual_packet(), hook == Hook::segment ? datapath.marked(id) : Arrival{});
        lost += fate.lost ? 1 : 0;
        ASSERT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost) << n;
        if (!fate.lost && fate.delay != 0) {
            ASSERT_EQ(outcome.after.tstamp - now, fate.delay) << n;
        }
    }
    EXPECT_EQ(datapath.counters(id).packets, 10'000U);
}

INSTANTIATE_TEST_SUITE_P(Rules, Seed,
                         testing::Values("--loss 10%", "--delay 50ms --jitter 5ms", "--loss 1% --loss-correlation 50%",
                                         "--delay 50ms --jitter 5ms --distribution pareto --loss 20%",
                                         "--delay 50ms --jitter 5ms --distribution normal --delay-correlation 90%",
                                         "--delay 50ms --jitter 5ms --reorder 25% --reorder-gap 3 --loss 3%",
                                         "--netem-compatible --loss 25% --loss-correlation 25% --duplicate 20%"));

TEST(SeedOfCorruption, FlipsTheSameBits)
{
    Line line;
    std::vector<packets::Bytes> flipped[2];
    for (auto& one : flipped) {
        Datapath datapath;
        line.connect(datapath);
        const auto id = datapath.add("--corrupt 50% --seed 5");
        for (unsigned n = 0; n < 300; ++n)
            one.push_back(datapath.run(Hook::segment, usual_packet(), datapath.marked(id)).packet);
        EXPECT_EQ(datapath.feed().dice, 0U);
    }
    EXPECT_EQ(flipped[0], flipped[1]);
    EXPECT_GT(std::set(flipped[0].begin(), flipped[0].end()).size(), 50U);
}

// The line's two ends stand in for headwind2 and the pacer.
class SequenceOfSupers : public testing::Test {
protected:
    SequenceOfSupers() { datapath.control().line_segment = datapath.control().line_pace = 99'998; }
    int out(unsigned segments)
    {
        Arrival arrival;
        arrival.gso_size = 20;
        arrival.gso_segs = segments;
        return datapath.run(Hook::egress, frame(ipv4({}, tcp(1000, 2000, payload(20 * segments)))), arrival).verdict;
    }
    Outcome segment(std::uint32_t id)
    {
        return datapath.run(Hook::segment, frame(ipv4({}, tcp(1000, 2000, payload(20)))), datapath.marked(id));
    }
    Datapath datapath;
};

TEST_F(SequenceOfSupers, WithoutAnEventTheyStayWholeAndElseEachSegmentHasItsOwn)
{
    const auto id = datapath.add("--loss 2% --loss-burst 3 --duplicate 0.5% --duplicate-correlation 30%");
    Expected expected(datapath, id);
    unsigned whole = 0, cut = 0;
    for (unsigned n = 0; n < 2000; ++n) {
        const unsigned segments = 2 + n % 40;
        Expected ahead = expected;
        unsigned events = 0;
        for (unsigned i = 0; i < segments; ++i) events |= ahead.next();
        const int verdict = out(segments);
        ASSERT_EQ(verdict, events ? redirected : next) << n;
        if (!events) {
            ++whole;
            expected = ahead;
        } else {
            ++cut;
            std::uint64_t lost = datapath.counters(id).dropped[HW_DROP_LOSS];
            for (unsigned i = 0; i < segments; ++i) {
                segment(id);
                lost += expected.next() >> HW_EVENT_LOSS & 1;
                ASSERT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost) << n << " " << i;
            }
        }
        ASSERT_EQ(progress_of(datapath, id).index, expected.progress.index) << n;
    }
    EXPECT_GT(whole, 500U);
    EXPECT_GT(cut, 300U);
    EXPECT_EQ(datapath.counters(id).packets, expected.progress.index);
}

TEST_F(SequenceOfSupers, WithAListedPacketAreCut)
{
    const auto id = add(datapath, "512 700-701");
    Expected expected(datapath, id);
    unsigned cut = 0;
    for (unsigned n = 0; n < 20; ++n) {
        const bool listed = n == 8 || n == 11;  // 60 segments each: 481-540, 661-720
        ASSERT_EQ(out(60), listed ? redirected : next) << n;
        for (unsigned i = 0; listed && i < 60; ++i, ++cut) segment(id);
    }
    EXPECT_EQ(cut, 120U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], 3U);
    EXPECT_EQ(progress_of(datapath, id).index, 1200U);
}

TEST_F(SequenceOfSupers, OfAnySizeAreTriedToTheirEnd)
{
    const auto id = datapath.add("--loss-nth 1000");
    for (unsigned n = 0; n < 9; ++n) ASSERT_EQ(out(100), next);
    EXPECT_EQ(out(100), redirected) << "its last packet is the thousandth";
    EXPECT_EQ(progress_of(datapath, id).index, 900U);
    EXPECT_EQ(out(99), next);
    EXPECT_EQ(progress_of(datapath, id).index, 999U);
}

// A bit is flipped behind headwind2: what the hook at the device drew holds there.
TEST_F(SequenceOfSupers, AWirePacketThatTakesTheDetourDrawsOnce)
{
    const auto id = datapath.add("--corrupt 30% --corrupt-correlation 50% --loss 10%");
    Expected expected(datapath, id);
    std::uint64_t flipped = 0, lost = 0;
    for (unsigned n = 0; n < 1000; ++n) {
        const unsigned events = expected.next();
        const bool detour = events >> HW_EVENT_CORRUPT & 1;
        const int verdict = datapath.out(usual_packet());
        ASSERT_EQ(verdict, detour ? redirected : events & 1 ? stolen : next) << n;
        auto arrival = datapath.marked(id);
        if (detour) datapath.run(Hook::segment, usual_packet(), arrival);
        lost += events & 1;
        flipped += detour && !(events & 1) ? 1 : 0;
        ASSERT_EQ(datapath.counters(id).corrupted, flipped) << n;
        ASSERT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost) << n;
        ASSERT_EQ(progress_of(datapath, id).index, n + 1) << n;
    }
    EXPECT_GT(flipped, 200U);
}

TEST(SequenceOfTwo, ReorderingIsDrawnInItToo)
{
    Datapath datapath;
    datapath.control().line_pace = 1;
    const auto id = datapath.add("--delay 1ms --reorder 30% --reorder-correlation 60%");
    Expected expected(datapath, id);
    std::uint64_t early = 0;
    for (unsigned n = 0; n < 1000; ++n) {
        early += expected.next() >> HW_EVENT_REORDER & 1;
        datapath.out(usual_packet());
        ASSERT_EQ(datapath.counters(id).reordered, early) << n;
    }
    EXPECT_GT(early, 200U);
}

}  // namespace
}  // namespace headwind::prog::sequence_test
