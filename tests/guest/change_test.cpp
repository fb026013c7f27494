// SPDX-License-Identifier: MIT
// Tests `change` under load, in virtual time.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "measure.h"

namespace headwind::test::change_test {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t ms = 1'000'000;

std::uint64_t change_delay(std::uint64_t delay)
{
    Changes changes;
    changes.change = {{"c",
                       [delay](const Rule& before) -> Result<Rule> {
                           Rule rule = before;
                           rule.impairment.delay = delay;
                           return rule;
                       },
                       std::nullopt}};
    const auto views = apply_changes(changes);
    EXPECT_TRUE(views) << views.error().message;
    return views ? views->front().counters.front().counters.packets : 0;
}

TEST(GuestChange, EachPacketMeetsOneSettingOrTheOther)
{
    const Pair pair;
    settle();
    ASSERT_EQ(headwind(pair.a, "add --name c --dev va --delay 1ms --proto udp").status, 0);
    send_and_receive(pair.a, pair.b, target, {.count = 20, .per_second = 500});
    UdpSink sink(pair.b, target, Arrived::by_kernel);
    std::atomic<bool> stop{false};
    Sent sent;
    std::thread sender(
        [&] { sent = send_udp(pair.a, target, {.count = 10'000'000, .per_second = 2'000, .stop = &stop}); });
    {
        const Inside inside(pair.a);
        // There is one CPU: senders and receivers go first, or their clock readings would be late.
        const sched_param none{};
        ASSERT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
        std::uint64_t last = 0;
        for (int i = 0; i < (takes_long() ? 1000 : 200); ++i) {
            const auto packets = change_delay(static_cast<std::uint64_t>((i % 2 == 0 ? 30 : 1) * ms));
            EXPECT_GE(packets, last) << "a counter went back";
            last = packets;
        }
        ASSERT_EQ(sched_setscheduler(0, SCHED_OTHER, &none), 0);
    }
    stop = true;
    sender.join();
    const auto arrivals = sink.finish(1s);
    std::size_t slow = 0, fast = 0;
    std::int64_t early = 0, late = 0;
    for (const auto delay : delays(arrivals)) {
        const auto setting = (delay > 15 * ms ? 30 : 1) * ms;
        early = std::max(early, setting - delay);
        late = std::max(late, delay - setting);
        (delay > 15 * ms ? slow : fast) += 1;
    }
    std::printf("%zu packets: %zu with 1 ms, %zu with 30 ms, %.3f ms late at most\n", arrivals.size(), fast, slow,
                static_cast<double>(late) / ms);
    EXPECT_EQ(arrivals.size(), sent.packets);
    EXPECT_EQ(counters_of(pair.a, "c").packets, sent.packets + 20);
    EXPECT_GT(std::min(slow, fast), 100U);
    EXPECT_LE(early, 0) << "one of both";
    EXPECT_LT(late, 5 * ms) << "the kernel's work for the command keeps the one CPU from its timers for a moment";
}

}  // namespace
}  // namespace headwind::test::change_test
