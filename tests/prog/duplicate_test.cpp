// SPDX-License-Identifier: MIT
// Tests duplicates: copies are sent home at once, or each with a delay of its own.
#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "chance/law.h"
#include "packets.h"
#include "prog_prelude.h"
#include "prog_run.h"
#include "replay.h"

namespace headwind::prog::duplicate_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::udp;

constexpr std::uint64_t now = 1'000'000'000'000, ms = 1'000'000;

packets::Bytes usual_packet()
{
    return frame(ipv4({}, udp(1000, 2000, payload(58))));  // 100 bytes
}

// Records the departure times of all packets that a device sends.
class Stamps {
public:
    explicit Stamps(int ifindex) : queue_(bpf_map_create(BPF_MAP_TYPE_QUEUE, "stamps", 0, 8, 4096, nullptr))
    {
        EXPECT_TRUE(queue_);
        program_ = load_program(stamp_recorder(queue_.get()));
        bpf_tc_hook hook{};
        hook.sz = sizeof(hook);
        hook.ifindex = ifindex;
        hook.attach_point = BPF_TC_EGRESS;
        bpf_tc_opts options{};
        options.sz = sizeof(options);
        options.prog_fd = program_.get();
        EXPECT_EQ(bpf_tc_hook_create(&hook), 0);
        EXPECT_EQ(bpf_tc_attach(&hook, &options), 0);
    }
    std::vector<std::uint64_t> take()
    {
        std::vector<std::uint64_t> out;
        for (std::uint64_t stamp = 0; bpf_map_lookup_and_delete_elem(queue_.get(), nullptr, &stamp) == 0;)
            out.push_back(stamp);
        return out;
    }

private:
    Fd queue_, program_;
};

class Duplicate : public testing::Test {
protected:
    Duplicate()
    {
        line.connect(datapath);
        datapath.feed().monotonic = now;
    }
    hw_impairment impairment(std::uint32_t id) { return datapath.instance().rules.find(id)->value().impairment; }
    static std::uint64_t by_law(const hw_law& law, const hw_impairment& imp, std::int32_t score)
    {
        return hw_by_law(imp.delay, imp.jitter, hw_law_at(&law, std::int64_t{score} << 8));
    }
    Outcome out(const Arrival& arrival = {}) { return datapath.run(Hook::egress, usual_packet(), arrival); }

    Line line;
    Datapath datapath;
    Stamps stamps{line.pace};
};

TEST_F(Duplicate, EachCopyHasItsOwnJitter)
{
    constexpr std::uint64_t count = 500;
    for (const std::string distribution : {"uniform", "normal"}) {
        const auto id = datapath.add("--duplicate 100% --delay 100ms --jitter 20ms --distribution " + distribution);
        datapath.feed() = {.monotonic = now, .boottime = 0, .tai = 0, .dice = 0, .seed = 7};
        const auto imp = impairment(id);
        const auto law = datapath.instance().laws.find(imp.law).value();
        std::vector<std::uint64_t> expected;
        for (std::uint64_t n = 0; n < count; ++n) {
            EXPECT_EQ(out().verdict, stolen);
            for (const unsigned die : {1U, 2U}) {  // die 0 is the gap
                const auto dice = hw_dice(7, 3 * n + die);
                expected.push_back(now + (law ? by_law(*law, imp, hw_score(&normal_scores(), dice))
                                              : hw_uniform(imp.delay, imp.jitter, dice)));
            }
            ASSERT_NE(expected[2 * n], expected[2 * n + 1]);
        }
        EXPECT_EQ(stamps.take(), expected) << distribution;
        const auto counters = datapath.counters(id);
        EXPECT_EQ(counters.packets, count);
        EXPECT_EQ(counters.duplicated, count);
        EXPECT_EQ(counters.delayed, 2 * count);
        datapath.remove(id);
    }
}

// Where delays are correlated a copy's is with its packet's, as the next packet's would be.
TEST_F(Duplicate, ACopysDelayIsCorrelatedWithItsPackets)
{
    constexpr std::uint64_t count = 500;
    const auto id =
        datapath.add("--duplicate 100% --delay 100ms --jitter 20ms --distribution normal --delay-correlation 90%");
    datapath.feed() = {.monotonic = now, .boottime = 0, .tai = 0, .dice = 0, .seed = 7};
    const auto imp = impairment(id);
    const auto law = datapath.instance().laws.find(imp.law)->value();
    const auto sequence = datapath.instance().sequences.find(id)->value();
    hw_progress progress{};
    hw_sequence_begin(&sequence, &progress, id, HW_OUT);
    std::vector<std::uint64_t> expected;
    for (std::uint64_t n = 0; n < count; ++n) {
        EXPECT_EQ(out().verdict, stolen);
        hw_fate fate{};
        hw_sequence_fate(&sequence, &normal_scores(), &progress, &fate);
        expected.push_back(now + by_law(law, imp, fate.copy_score));
        expected.push_back(now + by_law(law, imp, fate.score));
    }
    EXPECT_EQ(stamps.take(), expected);
}

TEST_F(Duplicate, BothCountFromTheEarliestDepartureTime)
{
    datapath.add("--duplicate 100% --delay 10ms");
    Arrival paced;
    paced.departure = true;
    paced.tstamp = now + 3 * ms;
    out(paced);
    out();
    EXPECT_EQ(stamps.take(), (std::vector{now + 13 * ms, now + 13 * ms, now + 10 * ms, now + 10 * ms}));
}

TEST_F(Duplicate, BothTakeTheirTimeOnTheLinkAndInTheQueue)
{
    const auto id = datapath.add("--duplicate 100% --rate 8mbit --queue 350us --delay 1ms");  // 1 us a byte
    out();
    out();
    EXPECT_EQ(stamps.take(), (std::vector{now + ms + 100'000, now + ms + 200'000, now + ms + 300'000}));
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.delayed, 3U);
    EXPECT_EQ(counters.dropped[HW_DROP_QUEUE], 1U) << "the fourth";
    EXPECT_EQ(counters.duplicated, 2U);
}

TEST_F(Duplicate, AsOftenAsAskedFor)
{
    const auto id = datapath.add("--duplicate 10% --delay 1ms");
    datapath.feed().seed = 3;
    Replay replay(impairment(id).events[HW_EVENT_DUPLICATE], 3);
    std::uint64_t copies = 0;
    for (int n = 0; n < 5000; ++n) {
        const bool twice = replay.next();
        out();
        ASSERT_EQ(stamps.take().size(), twice ? 2U : 1U) << n;
        copies += twice;
    }
    EXPECT_GT(copies, 400U);
    EXPECT_EQ(datapath.counters(id).duplicated, copies);
}

TEST_F(Duplicate, WhatCannotBeStampedIsNotDoubled)
{
    const auto id = datapath.add("--proto arp --duplicate 100% --delay 1ms");
    EXPECT_EQ(datapath.out(frame(packets::arp())), next);
    EXPECT_EQ(datapath.counters(id).exempt[HW_EXEMPT_UNSTAMPABLE], 1U);
    EXPECT_EQ(datapath.counters(id).duplicated, 0U);
}

// ---- without a time component ----

class DuplicateAtOnce : public Duplicate {
protected:
    DuplicateAtOnce() { slot = datapath.add_device("device", static_cast<unsigned>(line.pace), HW_DEVICE_DEFAULT); }
    Arrival there() const
    {
        Arrival arrival;
        arrival.ifindex = static_cast<unsigned>(line.pace);
        return arrival;
    }
    std::uint16_t slot = 0;
};

TEST_F(DuplicateAtOnce, TheCopyIsSentAndThePacketGoesOn)
{
    const auto id = datapath.add("--duplicate 100%");
    for (std::uint64_t n = 1; n <= 5; ++n) {
        EXPECT_EQ(out(there()).verdict, next);
        EXPECT_EQ(line.sent_to_pace(), n);
    }
    EXPECT_EQ(datapath.counters(id).packets, 5U);
    EXPECT_EQ(datapath.counters(id).duplicated, 5U);
    EXPECT_EQ(datapath.counters(id).delayed, 0U);
}

TEST_F(DuplicateAtOnce, AsPredicted)
{
    const auto id = datapath.add("--duplicate 25%");
    datapath.feed().seed = 11;
    Replay replay(impairment(id).events[HW_EVENT_DUPLICATE], 11);
    std::uint64_t copies = 0;
    for (int n = 0; n < 2000; ++n) {
        copies += replay.next();
        EXPECT_EQ(out(there()).verdict, next);
        ASSERT_EQ(line.sent_to_pace(), copies) << n;
    }
    EXPECT_GT(copies, 300U);
}

TEST_F(DuplicateAtOnce, BehindTheCutBothGoHome)
{
    const auto id = datapath.add("--duplicate 100%");
    EXPECT_EQ(datapath.run(Hook::segment, usual_packet(), datapath.marked(id, HW_OUT, slot)).verdict, redirected);
    EXPECT_EQ(line.sent_to_pace(), 1U);
    EXPECT_EQ(datapath.counters(id).duplicated, 1U);
}

TEST_F(DuplicateAtOnce, ACopyThatTheDeviceRefusesIsNotCounted)
{
    const auto id = datapath.add("--duplicate 100%");
    EXPECT_EQ(out().verdict, next) << "lo is down here";
    EXPECT_EQ(datapath.counters(id).packets, 1U);
    EXPECT_EQ(datapath.counters(id).duplicated, 0U);
}

TEST_F(DuplicateAtOnce, WhatIsLostHasNoCopy)
{
    const auto id = datapath.add("--duplicate 100% --loss 100%");
    EXPECT_EQ(out(there()).verdict, stolen);
    EXPECT_EQ(line.sent_to_pace(), 0U);
    EXPECT_EQ(datapath.counters(id).duplicated, 0U);
}

}  // namespace
}  // namespace headwind::prog::duplicate_test
