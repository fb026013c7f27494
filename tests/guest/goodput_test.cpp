// TCP through a delay, against netem in the same guest, in virtual time.
#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include <headwind/abi.h>

#include "measure.h"

namespace headwind::test {
namespace {

const Endpoint target{Pair::b4, 7000};

double megabits(const Pair& pair, std::uint64_t bytes)
{
    const auto result = transfer_tcp(pair.a, pair.b, target, bytes, std::chrono::seconds(300));
    EXPECT_EQ(result.error, "");
    return static_cast<double>(result.received) * 8 / 1e6 / result.seconds;
}

double through_netem(const Pair& pair, const std::string& delay, std::uint64_t bytes)
{
    tc(pair.a, "qdisc add dev va root netem limit 100000 delay " + delay);
    const double result = megabits(pair, bytes);
    tc(pair.a, "qdisc del dev va root");
    return result;
}

double through_headwind(const Pair& pair, const std::string& delay, std::uint64_t bytes, unsigned without = 0)
{
    EXPECT_EQ(headwind_without(without, pair.a, "add --name g --dev va --delay " + delay).status, 0);
    const double result = megabits(pair, bytes);
    EXPECT_EQ(headwind(pair.a, "clear").status, 0);
    return result;
}

void expect_as_good_as_netem(const std::string& delay, std::uint64_t bytes)
{
    const Pair pair;
    std::vector<double> ratios;
    for (int i = 0; i < 5; ++i) {
        const double netem = through_netem(pair, delay, bytes), ours = through_headwind(pair, delay, bytes);
        ratios.push_back(ours / netem);
        std::printf("%s: netem %.1f Mbit/s, headwind %.1f Mbit/s, ratio %.3f\n", delay.c_str(), netem, ours,
                    ratios.back());
    }
    std::sort(ratios.begin(), ratios.end());
    EXPECT_GE(ratios[2], 0.95);
}

TEST(GuestGoodput, At20ms)
{
    expect_as_good_as_netem("20ms", 100 << 20);
}

TEST(GuestGoodput, At100ms)
{
    expect_as_good_as_netem("100ms", 60 << 20);
}

// Fact 1: a packet that is held and still owned by its socket stops the sender (TCP Small Queues).
TEST(GuestGoodput, NeedsPacketsWithoutOwner)
{
    const Pair pair;
    const double sick = through_headwind(pair, "20ms", 4 << 20, HW_CURE_CLONE);
    const double cured = through_headwind(pair, "20ms", 4 << 20);
    std::printf("20ms, 4 MiB: %.1f Mbit/s without owner, %.1f Mbit/s with\n", cured, sick);
    EXPECT_LT(sick * 3, cured);
}

}  // namespace
}  // namespace headwind::test
