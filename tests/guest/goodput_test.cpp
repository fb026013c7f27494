// SPDX-License-Identifier: MIT
// Compares TCP's goodput with that through netem in the same guest, in virtual time.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include <headwind/abi.h>
#include <headwind/testing.h>

#include "measure.h"

namespace headwind::test::goodput_test {
namespace {

double megabits(const Pair& pair, std::uint64_t bytes)
{
    const auto result = transfer_tcp(pair.a, pair.b, target, bytes, std::chrono::seconds(300));
    EXPECT_EQ(result.error, "");
    return static_cast<double>(result.received) * 8 / 1e6 / result.seconds;
}

double through_netem(const Pair& pair, const std::string& words, std::uint64_t bytes)
{
    tc(pair.a, "qdisc add dev va root netem limit 100000 " + words);
    const double result = megabits(pair, bytes);
    tc(pair.a, "qdisc del dev va root");
    return result;
}

double through_headwind(const Pair& pair, const std::string& words, std::uint64_t bytes, unsigned without = 0)
{
    EXPECT_EQ(headwind_without(without, pair.a, "add --name g --dev va " + words).status, 0);
    const double result = megabits(pair, bytes);
    EXPECT_EQ(headwind(pair.a, "clear").status, 0);
    return result;
}

// The median of ours / theirs in five pairs of runs, one after the other.
template <class Theirs, class Ours>
double median_ratio(const std::string& what, Theirs theirs, Ours ours)
{
    std::vector<double> ratios;
    for (int i = 0; i < 5; ++i) {
        const double peer = theirs(), headwind = ours();
        ratios.push_back(headwind / peer);
        std::printf("%s %.1f Mbit/s, headwind %.1f Mbit/s, ratio %.3f\n", what.c_str(), peer, headwind, ratios.back());
    }
    std::sort(ratios.begin(), ratios.end());
    return ratios[2];
}

double against_netem(const std::string& delay, std::uint64_t bytes)
{
    const Pair pair;
    return median_ratio(
        delay + ": netem", [&] { return through_netem(pair, "delay " + delay, bytes); },
        [&] { return through_headwind(pair, "--delay " + delay, bytes); });
}

RUNS_IN("GuestGoodput.At100ms:GuestGoodput.OfDelayLossAndRate*", nowhere, virtual_6_12);

TEST(GuestGoodput, At20ms)
{
    EXPECT_GE(against_netem("20ms", 24 << 20), 0.95);
}

TEST(GuestGoodput, At100ms)
{
    EXPECT_GE(against_netem("100ms", 48 << 20), 0.95);
}

// With rare loss super-packets without an event stay whole.
TEST(GuestGoodput, OfRareLossIsThatOfTheBareDevice)
{
    const Pair pair;
    const double ratio = median_ratio(
        "loss 0.01%: bare", [&] { return megabits(pair, 30 << 20); },
        [&] { return through_headwind(pair, "--loss 0.01%", 30 << 20); });
    EXPECT_GE(ratio, 0.95);
}

// Here everything is cut into wire packets, and so it is for the reference, whose device has its offloads off. The
// reference has the same loss and delay by netem, or TCP would be measured and not the way of the packets.
TEST(GuestGoodput, OfDelayLossAndRateIsNearThatOfADeviceWithoutOffloads)
{
    const Pair pair;
    const double ratio = median_ratio(
        "1ms, 1%, 10gbit: netem without offloads",
        [&] {
            ip(pair.a, "link set va gso_max_segs 1");
            const double result = through_netem(pair, "delay 1ms loss 1% rate 10gbit", 12 << 20);
            ip(pair.a, "link set va gso_max_segs 65535");
            return result;
        },
        [&] { return through_headwind(pair, "--delay 1ms --loss 1% --rate 10gbit", 12 << 20); });
    EXPECT_GE(ratio, 0.8);
}

// Fact 1 of the design: a packet that is held and still owned by its socket stops the sender (TCP Small Queues).
TEST(GuestGoodput, NeedsPacketsWithoutOwner)
{
    const Pair pair;
    const double sick = through_headwind(pair, "--delay 20ms", 4 << 20, HW_WORKAROUND_CLONE);
    const double with = through_headwind(pair, "--delay 20ms", 4 << 20);
    std::printf("20ms, 4 MiB: %.1f Mbit/s without owner, %.1f Mbit/s with\n", with, sick);
    EXPECT_LT(sick * 3, with);
}

}  // namespace
}  // namespace headwind::test::goodput_test
