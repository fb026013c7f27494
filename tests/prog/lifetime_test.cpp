// SPDX-License-Identifier: MIT
// Tests when a rule is in force: versions, deadline, lease, hours, panic; and what packets meet while it changes.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::lifetime_test {
namespace {

using packets::usual_packet;

class Lifetime : public testing::Test {
protected:
    bool in_force() { return datapath.out(usual_packet()) == stolen; }
    void rewrite(std::uint32_t id, std::uint64_t born, std::uint64_t died)
    {
        auto rule = *datapath.instance().rules.find(id);
        ASSERT_TRUE(rule);
        rule->born = born;
        rule->died = died;
        ASSERT_TRUE(datapath.instance().rules.rewrite(id, *rule));
    }
    void lease_until(std::uint32_t id, std::uint64_t until)
    {
        hw_lease lease{};
        lease.until = until;
        ASSERT_TRUE(datapath.instance().leases.put(id, lease));
    }

    Datapath datapath{{.one_cpu = false}};
};

TEST_F(Lifetime, NothingBeforeTheFirstRule)
{
    EXPECT_FALSE(in_force());
    datapath.remove(datapath.add("--partition"));
    EXPECT_FALSE(in_force());
    EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].count, 0U);
}

TEST_F(Lifetime, VersionsFromBirthUntilDeath)
{
    const auto id = datapath.add("--partition");
    const auto now = datapath.control().version;
    std::uint16_t port = 2000;
    const auto in_force = [&] { return datapath.out(usual_packet(port++)) == stolen; };  // a new flow: no memo
    EXPECT_TRUE(in_force());
    rewrite(id, now + 1, ~0ULL);
    EXPECT_FALSE(in_force()) << "not born yet";
    rewrite(id, 0, now);
    EXPECT_FALSE(in_force()) << "died at this version";
    rewrite(id, 0, now + 1);
    EXPECT_TRUE(in_force()) << "dies at the next";
    rewrite(id, now, ~0ULL);
    EXPECT_TRUE(in_force());
}

TEST_F(Lifetime, FlapsToTheNanosecondAndNeverDrifts)
{
    constexpr std::uint64_t since = 12'345'678'901, up = 30'000'000'007, down = 5'000'000'001, period = up + down;
    datapath.add("--flap up=30000000007ns,down=5000000001ns", {.since = since});
    for (const std::uint64_t n : {0ULL, 1ULL, 2ULL, 1'000ULL, 900'000ULL}) {  // the last one after a year
        const auto start = since + n * period;
        for (const auto& [at, expected] : {std::pair{start, false},
                                           {start + up - 1, false},
                                           {start + up, true},
                                           {start + up + 1, true},
                                           {start + period - 1, true},
                                           {start + period, false}}) {
            datapath.feed().boottime = at;
            EXPECT_EQ(in_force(), expected) << n << ", " << at - start << " ns after its start";
        }
    }
}

// A change that waits to be confirmed leaves two forms of one rank: one until a moment, the other from then on. Every
// packet meets one of them, by the memo as well as without.
TEST_F(Lifetime, OneFormEndsWhereTheOtherBegins)
{
    const auto former = datapath.add("--partition"), fresh = datapath.add("--partition --priority 1");
    const auto at = [this](std::uint64_t time) { datapath.feed().boottime = time; };
    const auto set = [this](std::uint32_t id, std::uint64_t start, std::uint64_t deadline) {
        auto rule = *datapath.instance().rules.find(id);
        ASSERT_TRUE(rule);
        rule->start = start;
        rule->deadline = deadline;
        ASSERT_TRUE(datapath.instance().rules.rewrite(id, *rule));
    };
    set(former, 5'000, 0);
    set(fresh, 0, 5'000);
    for (const auto& [time, id] : {std::pair{1ULL, fresh}, {4'999ULL, fresh}, {5'000ULL, former}, {9'000ULL, former}}) {
        at(time);
        for (int i = 0; i < 2; ++i) {
            const auto before = datapath.counters(id).packets;
            EXPECT_TRUE(in_force());
            EXPECT_EQ(datapath.counters(id).packets, before + 1) << time;
        }
    }
}

TEST_F(Lifetime, WhileUpItHidesNoOtherRule)
{
    const auto flapping = datapath.add("--flap up=1s,down=1s --priority 1", {.since = 0});
    const auto below = datapath.add("--partition");
    for (const std::uint64_t second : {0ULL, 1ULL, 2ULL, 3ULL}) {
        datapath.feed().boottime = second * 1'000'000'000 + 1;
        datapath.out(usual_packet());
    }
    EXPECT_EQ(datapath.counters(flapping).packets, 2U);
    EXPECT_EQ(datapath.counters(below).packets, 2U);
}

// The hours are 09:00 to 17:00, Monday to Friday, in UTC+1 and from `turn` on in UTC+2; the fed clock is TAI.
TEST_F(Lifetime, InItsHoursToTheSecondAndOnTheirDays)
{
    constexpr std::uint64_t hour = 3600, day = 24 * hour, s = 1'000'000'000;
    constexpr std::uint64_t monday = 2'900ULL * 7 * day;  // 00:00 local time, while the shift is 0
    constexpr std::uint64_t turn = monday + 6 * day + 3 * hour;
    datapath.add("--partition --between 09:00-17:00 --days mon-fri", {.clock = {0, 3600, turn}});
    for (std::uint64_t n = 0; n < 14; ++n) {
        const auto midnight = monday + n * day - (n < 7 ? 0 : hour);
        for (const auto& [at, inside] : {std::pair{9 * hour, true}, {17 * hour, false}}) {
            for (const bool before : {true, false}) {
                datapath.feed().tai = (midnight + at) * s - (before ? 1 : 0);
                const bool expected = n % 7 < 5 && inside != before;
                EXPECT_EQ(in_force(), expected) << "day " << n << ", " << at << (before ? ", before" : "");
                EXPECT_EQ(datapath.in(usual_packet()) != next, expected);
            }
        }
    }
}

TEST_F(Lifetime, OffHoursItHidesNoOtherRule)
{
    const auto by_night = datapath.add("--partition --between 22:00-06:00 --priority 1", {.clock = {0, 0, ~0ULL}});
    const auto below = datapath.add("--partition");
    for (const std::uint64_t hour : {21ULL, 22ULL, 23ULL, 24ULL, 29ULL, 30ULL, 45ULL, 46ULL}) {
        datapath.feed().tai = hour * 3600 * 1'000'000'000;
        datapath.out(usual_packet());
    }
    EXPECT_EQ(datapath.counters(by_night).packets, 5U);
    EXPECT_EQ(datapath.counters(below).packets, 3U);
}

TEST_F(Lifetime, DeadlineToTheNanosecond)
{
    constexpr std::uint64_t deadline = 5'000'000'000;
    datapath.add("--partition", {.deadline = deadline});
    datapath.feed().boottime = deadline - 1;
    datapath.feed().monotonic = deadline + 1;  // another clock
    EXPECT_TRUE(in_force());
    datapath.feed().boottime = deadline;
    EXPECT_FALSE(in_force());
    datapath.feed().boottime = ~0ULL;
    EXPECT_FALSE(in_force());
}

TEST_F(Lifetime, NoDeadlineIsForEver)
{
    datapath.add("--partition");
    datapath.feed().boottime = ~0ULL;
    EXPECT_TRUE(in_force());
}

TEST_F(Lifetime, LeaseToTheNanosecondAndItsRenewal)
{
    const auto id = datapath.add("--partition", {.lease = 1});
    lease_until(id, 1000);
    datapath.feed().boottime = 999;
    EXPECT_TRUE(in_force());
    datapath.feed().boottime = 1000;
    EXPECT_FALSE(in_force());
    lease_until(id, 2000);
    EXPECT_TRUE(in_force()) << "renewed";
    ASSERT_TRUE(datapath.instance().leases.erase(id));
    EXPECT_FALSE(in_force()) << "a leased rule without a lease";
}

TEST_F(Lifetime, DeadlineEndsALeasedRuleToo)
{
    const auto id = datapath.add("--partition", {.deadline = 500, .lease = 1});
    lease_until(id, 1000);
    datapath.feed().boottime = 499;
    EXPECT_TRUE(in_force());
    datapath.feed().boottime = 500;
    EXPECT_FALSE(in_force());
}

TEST_F(Lifetime, AnExpiredRuleHidesNothing)
{
    const auto below = datapath.add("--proto udp --partition");
    datapath.add("--proto udp --priority 5 --pass", {.deadline = 1000});  // same selector
    datapath.add("--remote-port 2000 --pass", {.deadline = 2000});        // another shape
    for (const auto& [time, stops] : {std::pair(0U, false), {1000U, false}, {2000U, true}}) {
        datapath.feed().boottime = time;
        EXPECT_EQ(in_force(), stops) << time;
    }
    EXPECT_EQ(datapath.counters(below).packets, 1U);
}

TEST_F(Lifetime, PanicStopsEveryRuleAtOnce)
{
    datapath.add("--partition");
    EXPECT_TRUE(in_force());
    datapath.host().panic = 1;
    EXPECT_FALSE(in_force());
    EXPECT_EQ(datapath.in(usual_packet()), next);
    datapath.host().panic = 0;
    EXPECT_TRUE(in_force());
}

TEST_F(Lifetime, AnEntryWithoutItsRuleIsNone)
{
    const auto id = datapath.add("--partition");
    ASSERT_TRUE(datapath.instance().rules.erase(id));
    EXPECT_FALSE(in_force());
}

// One rule is replaced by another again and again, each time in one transaction: no packet may slip through.
TEST_F(Lifetime, PacketsSeeTheOldSetOrTheNewOne)
{
    auto id = datapath.add("--remote-port 2000 --partition");
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> packets{0}, slipped{0};
    std::thread traffic([&] {
        const auto packet = usual_packet();
        for (; !stop; ++packets)
            if (datapath.out(packet) != stolen) ++slipped;
    });
    const char* const rules[] = {"--proto udp --partition", "--remote-port 2000 --partition", "--partition"};
    for (unsigned i = 0; i < 150; ++i) id = datapath.replace(id, rules[i % 3]);
    stop = true;
    traffic.join();
    EXPECT_GT(packets, 1000U);
    EXPECT_EQ(slipped, 0U);
}

}  // namespace
}  // namespace headwind::prog::lifetime_test
