// SPDX-License-Identifier: MIT
// Rules over a suspend of the machine: the kernel's own test of it stops all clocks for some 4 s, and wakes up again.
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "host/clock.h"
#include "lane.h"
#include "measure.h"

namespace headwind::test::suspend_test {
namespace {

// For how long the machine was asleep.
std::int64_t suspend_ns()
{
    const auto asleep = [] { return static_cast<std::int64_t>(boottime_ns()) - monotonic_ns(); };
    const auto before = asleep();
    std::ofstream("/sys/power/pm_test") << "core" << std::flush;
    std::ofstream state("/sys/power/state");
    EXPECT_TRUE(state << "mem" << std::flush) << "suspend";
    return asleep() - before;
}

// Deadlines pass meanwhile; delays are what they were.
RUNS_IN("GuestSuspend.*", nowhere, virtual_6_12);

TEST(GuestSuspend, DeadlinesPassWhileTheMachineSleeps)
{
    if (!std::ifstream("/sys/power/pm_test")) GTEST_SKIP() << "this kernel cannot test its suspend (CONFIG_PM_DEBUG)";
    const Pair pair;
    settle();
    ASSERT_EQ(headwind(pair.a, "add --name slow --dev va --delay 50ms --remote-port 7002").status, 0);
    ASSERT_EQ(headwind(pair.a, "add --name lasting --dev va --partition --remote-port 7001 --for 1h").status, 0);
    ASSERT_EQ(headwind(pair.a, "add --name cut --dev va --partition --remote-port 7000 --for 3s").status, 0);
    EXPECT_EQ(send_and_receive(pair.a, pair.b, target, sparse(10), std::chrono::milliseconds(200)).size(), 0U);
    EXPECT_GE(suspend_ns(), 3'000'000'000);
    EXPECT_EQ(send_and_receive(pair.a, pair.b, target, sparse(10)).size(), 10U);
    EXPECT_EQ(send_and_receive(pair.a, pair.b, {Pair::b4, 7001}, sparse(10)).size(), 0U);
    const auto delayed = delays(send_and_receive(pair.a, pair.b, {Pair::b4, 7002}, sparse(100)));
    ASSERT_EQ(delayed.size(), 100U);
    for (const auto delay : delayed) EXPECT_NEAR(static_cast<double>(delay), 50e6, 1e6);
}

}  // namespace
}  // namespace headwind::test::suspend_test
