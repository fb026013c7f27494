// SPDX-License-Identifier: MIT
// Tests the edges of --flap and --for, in virtual time.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "datapath/instance.h"
#include "measure.h"
#include "ruleset/records.h"

namespace headwind::test::flap_test {
namespace {

TEST(GuestFlap, EdgesAreWhereTheyBelongAndDoNotDrift)
{
    constexpr std::int64_t second = 1'000'000'000, slack = 1'000'000, spacing = 1'000'000;
    constexpr std::size_t per_second = 1'000, seconds = 60;
    const Pair pair;
    settle();
    make_instance(pair.a);
    const auto before = monotonic_ns();
    ASSERT_EQ(headwind(pair.a, "add --name f --dev va --flap up=1s,down=1s --proto udp").status, 0);
    const auto after = monotonic_ns();
    const auto arrivals =
        send_and_receive(pair.a, pair.b, target, {.count = per_second * seconds, .per_second = unsigned{per_second}},
                         std::chrono::seconds(3));
    // Looks at the first packet of each period that is lost, and at the first one that passes again.
    std::int64_t begin = 0, longest_off = 0;
    unsigned edges = 0;
    for (std::size_t i = 1; i < arrivals.size(); ++i) {
        const auto last = arrivals[i - 1].stamp.sent_ns, next = arrivals[i].stamp.sent_ns;
        if (next - last < second / 2) continue;
        const auto down = last + spacing;
        if (edges == 0) begin = down;
        longest_off = std::max({longest_off, std::abs(down - begin - 2 * second * edges),
                                std::abs(next - begin - second - 2 * second * edges)});
        ++edges;
    }
    std::printf("[  FIGURES ] %u times down, each edge at most %.3f ms off\n", edges,
                static_cast<double>(longest_off) / 1e6);
    EXPECT_GE(edges, seconds / 2 - 1);
    EXPECT_LE(longest_off, slack);
    EXPECT_GE(begin, before + second - slack);
    EXPECT_LE(begin, after + second + slack);
    const auto counters = counters_of(pair.a, "f");
    EXPECT_EQ(counters.partition, per_second * seconds - arrivals.size());
}

// The command has ended long before, so the kernel alone ends the rule.
TEST(GuestFor, TheFirstPacketAfterTheDeadlinePasses)
{
    constexpr std::int64_t second = 1'000'000'000, spacing = 100'000;
    const Pair pair;
    settle();
    make_instance(pair.a);
    ASSERT_EQ(headwind(pair.a, "add --name f --dev va --partition --proto udp --for 2s").status, 0);
    std::int64_t deadline = 0;
    {
        const Inside inside(pair.a);
        const auto instance = open_instance();
        ASSERT_TRUE(instance && *instance);
        const auto records = load_records(**instance);
        ASSERT_TRUE(records);
        for (const auto& view : *records)
            if (view.record.rule.name == "f")  // boot time; without a suspend monotonic, too
                deadline = static_cast<std::int64_t>(view.record.deadline);
    }
    EXPECT_GT(deadline, monotonic_ns() + second);
    const auto arrivals =
        send_and_receive(pair.a, pair.b, target, {.count = 30'000, .per_second = 10'000}, std::chrono::seconds(3));
    ASSERT_FALSE(arrivals.empty());
    const auto first = arrivals.front().stamp.sent_ns;
    std::printf("[  FIGURES ] the first packet that passes was sent %.3f ms after the deadline\n",
                static_cast<double>(first - deadline) / 1e6);
    EXPECT_GE(first, deadline - spacing) << "its stamp is taken before it is sent";
    EXPECT_LE(first, deadline + 2 * spacing);
    EXPECT_EQ(counters_of(pair.a, "f").partition, 30'000 - arrivals.size());
    const auto span = arrivals.back().stamp.sent_ns - first;
    const auto gaps = static_cast<std::int64_t>(arrivals.size()) - 1;
    EXPECT_NEAR(static_cast<double>(span) / static_cast<double>(spacing * gaps), 1, 0.001) << "all that follow";
}

}  // namespace
}  // namespace headwind::test::flap_test
