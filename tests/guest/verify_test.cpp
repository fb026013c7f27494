// SPDX-License-Identifier: MIT
// The judge of `headwind verify` with netem as the implementation, which has all the impairments, in virtual time.
//
// The effects of netem are judged right, and slightly larger ones wrong.
#include "verify/measure.h"

#include <fcntl.h>
#include <sched.h>

#include <gtest/gtest.h>

#include "measure.h"
#include "verify/judge.h"

namespace headwind::test::verify_test {
namespace {

using verify::Bed;
using verify::Pace;
using verify::Row;
using verify::Samples;

constexpr std::uint64_t ms = 1'000'000;  // ns

Probability percent(double value)
{
    return {static_cast<std::uint64_t>(value / 100 * 4294967296.0)};
}

// The names of the rows that are off, in one line.
std::string off(const Impairment& asked, const Samples& samples)
{
    std::string out;
    for (const Row& row : judge(asked, samples)) {
        std::printf("%-14s asked %14.6g measured %14.6g allowed %14.6g .. %14.6g %s\n", row.what.c_str(), row.asked,
                    row.measured, row.low, row.high, row.note.c_str());
        if (!row.ok || !*row.ok) out += (out.empty() ? "" : ", ") + row.what;
    }
    return out;
}

class GuestVerify : public testing::Test {
protected:
    void SetUp() override
    {
        home_ = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        auto bed = Bed::create(false);
        ASSERT_TRUE(bed) << bed.error().message;
        bed_.emplace(std::move(*bed));
        ASSERT_TRUE(bed_->enter_sender());
        ASSERT_TRUE(verify::wait_for_path(*bed_));
    }
    void TearDown() override { EXPECT_EQ(setns(home_.get(), CLONE_NEWNET), 0); }
    Samples samples_with(const std::string& netem, std::int64_t spacing = 1'900'000)
    {
        Samples out;
        out.bare = stream({});
        const auto command = "tc qdisc add dev verify0 root netem limit 100000 " + netem;
        EXPECT_EQ(run(nullptr, words(command)).status, 0) << command;
        Pace pace;
        pace.packets = 4000;
        pace.spacing = spacing;
        out.timing = stream(pace);
        pace.packets = 5000;
        pace.spacing = 200'000;
        out.counting = stream(pace);
        EXPECT_EQ(run(nullptr, words("tc qdisc del dev verify0 root")).status, 0);
        return out;
    }

private:
    verify::Stream stream(Pace pace) const
    {
        pace.limit = 600'000'000'000;
        auto out = measure_stream(*bed_, pace);
        EXPECT_TRUE(out) << out.error().message;
        return out ? *out : verify::Stream{};
    }
    Fd home_;
    std::optional<Bed> bed_;
};

// Behind the jitter netem has a queue if there is a rate; without one packets overtake each other.
TEST_F(GuestVerify, OrderBehindAQueue)
{
    Impairment asked;
    asked.delay = 20 * ms;
    asked.jitter = 5 * ms;
    asked.rate_last = true;
    EXPECT_EQ(off(asked, samples_with("delay 20ms 5ms rate 1gbit", 30 * ms)), "");
    EXPECT_EQ(off(asked, samples_with("delay 20ms 5ms", 30 * ms)), "out of order");
}

TEST_F(GuestVerify, Jitter)
{
    Impairment asked;
    asked.delay = 20 * ms;
    asked.jitter = 5 * ms;
    EXPECT_EQ(off(asked, samples_with("delay 20ms 5ms")), "");
    EXPECT_EQ(off(asked, samples_with("delay 20ms 6ms")), "jitter, distribution (uniform)");
}

TEST_F(GuestVerify, Loss)
{
    Impairment asked;
    asked.loss = percent(10);
    EXPECT_EQ(off(asked, samples_with("loss 10%")), "");
    EXPECT_EQ(off(asked, samples_with("loss 14%")), "loss");
}

// netem flips bits of the whole frame, and UDP's checksum covers 108 bytes of 142. Flips in the rest are losses: a
// wrong address or IP header.
TEST_F(GuestVerify, Corruption)
{
    Impairment asked;
    asked.corrupt = percent(5.0 * 108 / 142);
    asked.loss = percent(5.0 * 34 / 142);
    EXPECT_EQ(off(asked, samples_with("corrupt 5%")), "");
    EXPECT_NE(off(asked, samples_with("corrupt 8%")), "");
}

TEST_F(GuestVerify, Duplicates)
{
    Impairment asked;
    asked.duplicate = percent(3);
    EXPECT_EQ(off(asked, samples_with("duplicate 3%")), "");
    EXPECT_EQ(off(asked, samples_with("duplicate 6%")), "duplicates");
}

TEST_F(GuestVerify, Reordering)
{
    Impairment asked;
    asked.delay = 20 * ms;
    asked.reorder = percent(25);
    EXPECT_EQ(off(asked, samples_with("delay 20ms reorder 25%")), "");
    asked.reorder_gap = 5;
    EXPECT_EQ(off(asked, samples_with("delay 20ms reorder 25% gap 5")), "");
    EXPECT_NE(off(asked, samples_with("delay 20ms reorder 50% gap 5")), "");
}

}  // namespace
}  // namespace headwind::test::verify_test
