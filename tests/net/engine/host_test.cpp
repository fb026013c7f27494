// SPDX-License-Identifier: MIT
// Events of the host as a whole: its wall clock is stepped, a CPU goes away, memory is short.
#include "net_test.h"

#include <time.h>

#include <fstream>

namespace headwind::test::host_test {
namespace {

using testing::AnyOf;
using namespace std::chrono_literals;

class Host : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    void TearDown() override
    {
        if (IsSkipped() || HasFatalFailure()) return;
        change(a(), "clear");
        expect_footprint(a(), before_);
        EXPECT_EQ(arrive({.count = 20}), 20U);
        PairTest::TearDown();
    }
    std::string state(const std::string& name) const { return rule_of(a(), name)["state"]; }

private:
    std::string before_;
};

// Steps the wall clock, and sets it right again when destroyed.
class SteppedClock {
public:
    void step(std::int64_t seconds)
    {
        timespec now{};
        clock_gettime(CLOCK_REALTIME, &now);
        now.tv_sec += seconds;
        ASSERT_EQ(clock_settime(CLOCK_REALTIME, &now), 0);
        stepped_ += seconds;
    }
    SteppedClock() = default;
    SteppedClock(const SteppedClock&) = delete;
    SteppedClock& operator=(const SteppedClock&) = delete;
    ~SteppedClock() { step(-stepped_); }

private:
    std::int64_t stepped_ = 0;
};

RUNS_IN("Host.*", nowhere, linux_6_12);
RUNS_IN("Host.DeadlinesAndLeases*", nowhere, linux_6_12);

TEST_F(Host, DeadlinesAndLeasesDoNotHeedTheWallClock)
{
    if (!slow_machine()) GTEST_SKIP() << "would step this machine's clock; runs in the guests";
    SteppedClock clock;
    std::int64_t length = 5;  // s
    for (const std::int64_t seconds : {86'400, -3 * 86'400}) {
        for (bool in_time = false; !in_time; length *= in_time ? 1 : 2) {
            const auto start = monotonic_ns();
            change(a(), fmt::format("add --name timed --replace --proto udp --remote-port 5000 --partition --for {}s",
                                    length));
            change(a(),
                   fmt::format("add --name leased --replace --proto udp --remote-port 5001 --partition --lease {}s",
                               length));
            clock.step(seconds);
            const auto timed = state("timed"), leased = state("leased");
            const auto arrived = arrive({.count = 20}) + arrive({.count = 20}, {Pair::b4, 5001});
            in_time = monotonic_ns() < start + length * 1'000'000'000;  // else it was too slow: again
            if (!in_time) continue;
            EXPECT_EQ(timed, "live");
            EXPECT_EQ(leased, "live");
            EXPECT_EQ(arrived, 0U);
        }
        const auto end = monotonic_ns() + length * 1'000'000'000;
        while (monotonic_ns() < end) usleep(10'000);
        EXPECT_EQ(state("timed"), "expired");
        EXPECT_EQ(state("leased"), "lease ended");
        EXPECT_EQ(arrive({.count = 20}) + arrive({.count = 20}, {Pair::b4, 5001}), 40U);
    }
}

bool set_cpu1(bool online)
{
    std::ofstream file("/sys/devices/system/cpu/cpu1/online");
    file << (online ? 1 : 0) << std::flush;
    return file.good();
}

// Counters and delayed packets of a CPU that goes away are not lost.
TEST_F(Host, ACpuGoesAndComesBack)
{
    SKIP_WITHOUT_FQ();
    if (!slow_machine()) GTEST_SKIP() << "would take a CPU of this machine; runs in the guests";
    change(a(), "add --name slow --dev va --proto udp --delay 500ms --duplicate 50%");
    UdpSink sink(b(), {Pair::b4, 5000});
    std::size_t sent = 0;
    {
        const OnCpu doomed(1);
        sent += send_udp(a(), {Pair::b4, 5000}, {.count = 300, .per_second = 1'000}).packets;
    }
    if (!set_cpu1(false)) GTEST_SKIP() << "this machine cannot do without a CPU";
    sent += send_udp(a(), {Pair::b4, 5000}, {.count = 300, .per_second = 1'000, .first = 300}).packets;
    EXPECT_TRUE(set_cpu1(true));
    {
        const OnCpu again(1);
        sent += send_udp(a(), {Pair::b4, 5000}, {.count = 300, .per_second = 1'000, .first = 600}).packets;
    }
    const auto arrivals = sink.finish(2s);
    const auto counters = counters_of(a(), "slow");
    EXPECT_EQ(sent, 900U);
    EXPECT_EQ(counters.packets, sent);
    EXPECT_EQ(arrivals.size(), sent + counters.duplicated);
    EXPECT_GT(counters.duplicated, 300U);
}

// A command that gets no memory fails with a message, and changes nothing.
TEST_F(Host, WithoutMemoryACommandLeavesTheOldRules)
{
    for (const bool first : {false, true}) {  // first: the namespace's first rule, which loads the programs
        if (!first) change(a(), "add --name old --proto udp --remote-port 5000 --partition");
        const auto before = footprint(a());
        unsigned refused = 0, done = 0;
        for (unsigned kilobytes = 100; done == 0 && kilobytes < 200'000; kilobytes += kilobytes / 8) {
            const auto output =
                run(&a(),
                    words(fmt::format("prlimit --data={} {} add --name new --proto udp --remote-port 5001 --partition",
                                      kilobytes << 10, headwind_binary())));
            SCOPED_TRACE(fmt::format("{} kB: {}", kilobytes, output.err));
            if (output.status == 127) continue;  // not even its libraries could be loaded
            ASSERT_THAT(output.status, AnyOf(0, 1));
            EXPECT_EQ(arrive({.count = 10}), first ? 10U : 0U);
            EXPECT_EQ(arrive({.count = 10}, {Pair::b4, 5001}), output.status == 0 ? 0U : 10U);
            ++(output.status == 0 ? done : refused);
            if (output.status == 0) continue;
            EXPECT_NE(output.err, "");
            expect_footprint(a(), before);
        }
        EXPECT_EQ(done, 1U);
        EXPECT_GT(refused, 0U) << "the limit was felt";
        std::printf("[  FIGURES ] %s: refused %u times\n", first ? "the first rule" : "another rule", refused);
        change(a(), "clear");
    }
}

}  // namespace
}  // namespace headwind::test::host_test
