// SPDX-License-Identifier: MIT
// The line drains, goes without a trace and does not throttle TCP; and the workarounds of the traps around it.
#include "net_test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <fstream>

#include <headwind/marks.h>
#include <headwind/testing.h>

#include "foreign_program.h"

namespace headwind::test::line_test {
namespace {

using testing::HasSubstr;

constexpr std::int64_t ms = 1'000'000;

class Line : public PairTest {
protected:
    // netdev_max_backlog of the initial network namespace; empty where it is out of sight.
    static std::string backlog()
    {
        std::ifstream file("/proc/sys/net/core/netdev_max_backlog");
        std::string value;
        file >> value;
        return value;
    }
    static bool backlog_can_be_raised()
    {
        const Fd initial(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC));
        return initial && !backlog().empty();
    }
    // Sets netdev_max_backlog as long as this lives.
    class BacklogOf {
    public:
        explicit BacklogOf(std::size_t packets) { set(std::to_string(packets)); }
        ~BacklogOf() { set(before_); }
        BacklogOf(const BacklogOf&) = delete;
        BacklogOf& operator=(const BacklogOf&) = delete;

    private:
        static void set(const std::string& value) { std::ofstream("/proc/sys/net/core/netdev_max_backlog") << value; }
        const std::string before_ = backlog();
    };
};

RUNS_IN("Line.*", native, linux_6_12);
RUNS_IN("Line.ABacklog*", linux_6_12, linux_6_1);
RUNS_IN("Line.Del*:Line.AReplaced*:Line.AT*:Line.ClearRestores*", native | linux_6_12, linux_6_1);

TEST_F(Line, DelOfTheLastRuleWaitsForWhatIsHeld)
{
    SKIP_WITHOUT_FQ();
    const auto before = footprint(a());
    const std::int64_t delay = (slow_machine() ? 5000 : 1500) * ms;
    change(a(), "add --name slow --proto udp --delay " + std::to_string(delay / ms) + "ms");
    UdpSink sink(b(), {Pair::b4, 5000});
    send_udp(a(), {Pair::b4, 5000}, {.count = 500});
    EXPECT_EQ(sink.count(), 0U);
    const auto start = monotonic_ns();
    change(a(), "del slow");
    EXPECT_GT(monotonic_ns() - start, 200 * ms);
    const auto arrivals = sink.finish();
    ASSERT_EQ(arrivals.size(), 500U);
    for (const auto& arrival : arrivals) ASSERT_GE(arrival.arrived_ns - arrival.stamp.sent_ns, delay);
    expect_footprint(a(), before);
    EXPECT_EQ(arrive(), 100U);
}

TEST_F(Line, DelOfOneOfTwoRulesLosesNothingEither)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name other --partition --remote-port 9");
    change(a(), "add --name slow --proto udp --delay 1s --dev va");
    UdpSink sink(b(), {Pair::b4, 5000});
    send_udp(a(), {Pair::b4, 5000}, {.count = 500});
    change(a(), "del slow");
    EXPECT_EQ(sink.finish(std::chrono::seconds(3), 500).size(), 500U);
}

TEST_F(Line, AReplacedRuleLosesNothingAndKeepsNothingBack)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --proto udp --delay 500ms");
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> sent{0};
    UdpSink sink(b(), {Pair::b4, 5000});
    std::thread sender([&] {
        sent = send_udp(a(), {Pair::b4, 5000}, {.count = 1'000'000, .per_second = 500, .stop = &stop}).packets;
    });
    for (int i = 0; i < 6; ++i)
        change(a(), "add --name slow --replace --proto udp --delay " + std::to_string(100 + 50 * i) + "ms");
    change(a(), "add --name slow --replace --pass --proto udp");
    stop = true;
    sender.join();
    EXPECT_EQ(sink.finish(std::chrono::seconds(2), sent).size(), sent);
}

TEST_F(Line, ClearRestoresEverySysctl)
{
    const auto before = footprint(a()), backlog_before = backlog();
    change(a(), "add --name lossy --loss 10%");
    const auto raised = backlog_can_be_raised() ? "100000" : backlog_before;
    EXPECT_EQ(backlog(), raised);
    change(a(), "add --name wrong --corrupt 1%");
    EXPECT_THAT(footprint(a()), AllOf(HasSubstr("route_localnet 1"), HasSubstr("accept_local 1")));
    if (has_fq()) change(a(), "add --name slow --delay 20ms");
    change(b(), "add --name lossy --loss 10%");
    change(a(), "clear");
    expect_footprint(a(), before);
    EXPECT_EQ(backlog(), raised) << "the other namespace still needs it";
    change(b(), "clear");
    EXPECT_EQ(backlog(), backlog_before);
}

TEST_F(Line, ASysctlThatWasOnStaysOn)
{
    SKIP_WITHOUT_FQ();
    expect_ok(run(&a(), {"sysctl", "-w", "net.ipv4.conf.lo.route_localnet=1"}));
    change(a(), "add --name slow --delay 20ms");
    change(a(), "clear");
    EXPECT_EQ(read_sysctl_of(a(), "net/ipv4/conf/lo/route_localnet"), "1");
    EXPECT_EQ(read_sysctl_of(a(), "net/ipv4/conf/lo/accept_local"), "0");
}

// The line may be gone because someone else took it away, or because a `clear` was killed right there.
TEST_F(Line, OneThatIsGoneIsMadeAgain)
{
    const auto before = footprint(a());
    change(a(), "add --name lossy --loss 1% --proto tcp");
    ip(a(), "link del headwind0");
    EXPECT_EQ(headwind(a(), "list").status, 0);
    EXPECT_EQ(headwind(a(), "stats").status, 0);
    change(a(), "add --name other --partition --remote-port 9");
    EXPECT_EQ(transfer_tcp(a(), b(), {Pair::b4, 5001}, 1'000'000, std::chrono::seconds(20)).error, "");
    EXPECT_GT(counters_of(a(), "lossy").loss, 0U);
    change(a(), "clear");
    expect_footprint(a(), before);
}

TEST_F(Line, HeldTcpDoesNotThrottleItsSender)
{
    SKIP_WITHOUT_FQ();
    const auto transfer = [this] {
        return transfer_tcp(a(), b(), {Pair::b4, 5001}, 1'000'000, std::chrono::seconds(60));
    };
    change(a(), "add --name slow --delay 50ms --proto tcp");
    const auto with = transfer();
    EXPECT_EQ(with.error, "");
    EXPECT_EQ(with.retransmits, 0U);
    change(a(), "clear");
    change_without(HW_WORKAROUND_CLONE, a(), "add --name slow --delay 50ms --proto tcp");
    const auto without = transfer();
    EXPECT_GT(without.seconds, 2 * with.seconds) << with.seconds << " s with owners taken off";
}

// A super-packet that is cut on its way in comes back as many packets at once, here as more than the backlog takes.
TEST_F(Line, WhatComesBackFromTheLineFitsTheBacklog)
{
    if (!backlog_can_be_raised()) GTEST_SKIP() << "process 1's network namespace is out of reach";
    constexpr std::size_t count = 500, segments = 50;
    const BacklogOf small(segments - 10);
    const auto whole = [this](unsigned without) {
        change_without(without, b(), "add --name cut --loss 5% --direction in --proto udp");
        UdpSink sink(b(), {Pair::b4, 5000});
        send_udp(a(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = segments, .per_second = 5000});
        const auto arrived = sink.finish(std::chrono::seconds(2), count).size();
        const auto lost = counters_of(b(), "cut", "in").loss;
        change(b(), "clear");
        return arrived + lost;
    };
    EXPECT_EQ(whole(0), count);
    EXPECT_LT(whole(HW_WORKAROUND_BACKLOG), count);
}

// Others lower it while there is a line: `doctor` says so, and the next change raises it again.
TEST_F(Line, ABacklogThatSomebodyLoweredIsToldAndRaisedAgain)
{
    const auto backlog_there = [](const std::string& value = "") {
        const auto what = value.empty() ? "-n net.core.netdev_max_backlog" : "-qw net.core.netdev_max_backlog=" + value;
        return run(nullptr, words("nsenter --net=/proc/1/ns/net sysctl " + what)).out;
    };
    const auto before = backlog_there();
    ASSERT_LT(std::stoul(before), 100'000U);
    change(a(), "add --name slow --proto udp --delay 1ms");
    EXPECT_EQ(backlog_there(), "100000\n");
    backlog_there("1234");
    EXPECT_THAT(headwind(a(), "doctor").out, HasSubstr("is 1234: somebody lowered it while there is a line"));
    change(a(), "change slow --delay 2ms");
    EXPECT_EQ(backlog_there(), "100000\n");
    change(a(), "clear");
    EXPECT_EQ(backlog_there(), "1234\n");
    backlog_there(before.substr(0, before.find('\n')));
}

// Receive timestamps are wall-clock time, and must not be taken for departure times.
TEST_F(Line, ATimestampingSocketDisturbsNothing)
{
    SKIP_WITHOUT_FQ();
    const Fd socket = udp_socket(a(), {"0.0.0.0", 6999});
    const int on = 1;
    ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)), 0);
    change(a(), "add --name slow --delay 20ms --proto udp");
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 100U);
    EXPECT_EQ(arrive(), 100U);
}

// The stack's own copy of a multicast comes in without a MAC header, and was never on any wire.
TEST_F(Line, CopiesOfOwnMulticastsPass)
{
    const auto copies = [this] {
        UdpSink sink(a(), {"239.7.7.7", 5000});
        EXPECT_TRUE(sink.join("239.7.7.7", Pair::a4));
        EXPECT_EQ(send_udp(a(), {"239.7.7.7", 5000}, {.count = 20}).failed, 0U);
        return sink.finish().size();
    };
    ip(a(), "route add 239.0.0.0/8 dev va");
    EXPECT_EQ(copies(), 20U);
    change(a(), "add --name split --partition --direction in --proto udp");
    EXPECT_EQ(copies(), 20U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 0U);
}

// tc_index alone proves nothing: packets of another host or namespace may carry the same.
TEST_F(Line, WithoutTheNonceAForeignTcIndexPassesAsReturned)
{
    constexpr std::uint32_t mark = 7;
    const auto slot = static_cast<std::uint32_t>(device_index(b(), Pair::device_b));
    const auto smuggled = [&] {
        UdpSink sink(b(), {Pair::b4, 5000});
        const auto setter = ForeignProgram::setter(a(), Pair::device_a, Hook::egress, mark, HW_MARK(HW_IN, slot));
        send_udp(a(), {Pair::b4, 5000}, {.count = 5, .mark = mark});
        return sink.finish().size();
    };
    change(b(), "add --name split --partition --proto udp --direction in");
    EXPECT_EQ(smuggled(), 0U);
    change(b(), "clear");
    change_without(HW_WORKAROUND_NONCE, b(), "add --name split --partition --proto udp --direction in");
    EXPECT_GT(smuggled(), 0U);
}

}  // namespace
}  // namespace headwind::test::line_test
