// SPDX-License-Identifier: MIT
// Tests which of several matching rules a packet gets, and how many there may be.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"
#include "rule_text.h"

namespace headwind::prog::ranking_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::udp;
using packets::usual_packet;

// The tests send packets from 10.0.0.1:1000 to 10.0.0.2:2000.
class Ranking : public testing::Test {
protected:
    // The rule that the packet was counted for; 0: none.
    std::uint32_t winner(const std::vector<std::uint32_t>& ids, const packets::Bytes& packet = usual_packet())
    {
        std::vector<std::uint64_t> before;
        for (const auto id : ids) before.push_back(datapath.counters(id).packets);
        datapath.out(packet);
        std::uint32_t found = 0;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (datapath.counters(ids[i]).packets == before[i]) continue;
            EXPECT_EQ(found, 0U) << "a packet gets one rule at most";
            found = ids[i];
        }
        return found;
    }
    // Adds rules with these selectors, the oldest first, and returns the number of the one that wins, from 0.
    std::size_t winner_of(const std::vector<std::string>& selectors, const packets::Bytes& packet = usual_packet())
    {
        std::vector<std::uint32_t> ids;
        for (const auto& words : selectors) ids.push_back(datapath.add(words + " --partition"));
        const auto won = winner(ids, packet);
        for (const auto id : ids) datapath.remove(id);
        return static_cast<std::size_t>(std::find(ids.begin(), ids.end(), won) - ids.begin());
    }

    Datapath datapath;
};

TEST_F(Ranking, HighestPriorityWins)
{
    EXPECT_EQ(winner_of({"--priority 1", "--priority 2"}), 1U);
    EXPECT_EQ(winner_of({"--priority 2", "--priority 1"}), 0U);
    EXPECT_EQ(winner_of({"--priority -1", ""}), 1U);
    EXPECT_EQ(winner_of({"--remote 10.0.0.2 --remote-port 2000", "--priority 1"}), 1U) << "over specificity";
    EXPECT_EQ(winner_of({"--priority -1000", "--priority 1000", "--priority 0"}), 1U);
}

TEST_F(Ranking, MoreFixedBitsWin)
{
    EXPECT_EQ(winner_of({"", "--proto udp", "--remote-port 2000"}), 2U);
    EXPECT_EQ(winner_of({"--remote 10.0.0.0/24", "--remote 10.0.0.0/16", "--remote 10.0.0.2"}), 2U);
    EXPECT_EQ(winner_of({"--remote 10.0.0.0/15", "--remote-port 2000"}), 1U) << "15 bits, 16 bits";
    EXPECT_EQ(winner_of({"--remote-port 2000", "--remote 10.0.0.0/17"}), 1U) << "16 bits, 17 bits";
    EXPECT_EQ(winner_of({"--local 10.0.0.1 --remote 10.0.0.2", "--remote 10.0.0.2 --remote-port 2000 --proto udp"}),
              0U);
    EXPECT_EQ(winner_of({"", "--dev lo"}), 1U);
}

TEST_F(Ranking, LongestIpv6PrefixWins)
{
    const auto packet = frame(ipv6({}, udp(1000, 2000)));
    EXPECT_EQ(winner_of({"--remote 2001:db8::/32", "--remote 2001:db8::/64", "--remote 2001:d00::/24"}, packet), 1U);
    EXPECT_EQ(winner_of({"--remote 2001:db8::/64", "--remote 2001:db8::2"}, packet), 1U);
    EXPECT_EQ(winner_of({"--remote 2001:db8::/97", "--remote 2001:db8::/64"}, packet), 0U);
}

TEST_F(Ranking, OldestWinsATie)
{
    EXPECT_EQ(winner_of({"--remote-port 2000", "--local-port 1000"}), 0U);
    EXPECT_EQ(winner_of({"--local-port 1000", "--remote-port 2000"}), 0U);
    EXPECT_EQ(winner_of({"--proto udp", "--proto udp", "--proto udp"}), 0U) << "with one and the same selector";
}

// Shapes are visited in the order of their best rule, which need not be the one that matches.
TEST_F(Ranking, TheFirstMatchOfTheWalkIsNotAlwaysTheBest)
{
    datapath.add("--remote-port 80 --priority 9 --partition");
    const auto weak = datapath.add("--remote-port 2000 --priority 1 --partition");
    const auto strong = datapath.add("--proto udp --priority 5 --partition");
    const auto weaker = datapath.add("--priority 0 --partition");
    EXPECT_EQ(winner({weak, strong, weaker}), strong);
    datapath.remove(strong);
    EXPECT_EQ(winner({weak, weaker}), weak);
}

TEST_F(Ranking, PassRulesExclude)
{
    const auto all = datapath.add("--partition");
    const auto exception = datapath.add("--remote-port 2000 --pass");
    EXPECT_EQ(datapath.out(usual_packet()), next);
    EXPECT_EQ(datapath.out(frame(ipv4({}, udp(1000, 2001)))), stolen);
    EXPECT_EQ(datapath.counters(exception).packets, 1U);
    EXPECT_EQ(datapath.counters(all).packets, 1U);
    const auto above = datapath.add("--priority 1 --partition");
    EXPECT_EQ(datapath.out(usual_packet()), stolen) << "an exclusion has a priority like any rule";
    EXPECT_EQ(datapath.counters(above).packets, 1U);
}

TEST_F(Ranking, LongestPrefixAmong32Shapes)
{
    // Prefixes of every length of 170.170.170.170 = 1010..., added in one transaction and in no order.
    constexpr std::uint32_t address = 0xaaaaaaaa;
    const auto text_of = [](std::uint32_t v4) {
        return fmt::format("{}.{}.{}.{}", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255, v4 & 255);
    };
    std::vector<RuleSpec> rules;
    for (unsigned i = 1; i <= HW_MAX_SHAPES; ++i) {
        const unsigned bits = i * 5 % 32 + 1;
        const auto prefix = static_cast<std::uint32_t>(address & ~((1ULL << (32 - bits)) - 1));
        rules.push_back(test::text_of_line(fmt::format("--remote {}/{} --partition", text_of(prefix), bits)));
    }
    ASSERT_TRUE(datapath.add_all(rules));
    EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].count, +HW_MAX_SHAPES);
    for (unsigned bits = 1; bits <= 32; ++bits) {
        // The first `bits` bits of `other` are those of the address, and the next one is not.
        const std::uint32_t other = bits == 32 ? address : address ^ 1U << (31 - bits);
        const auto id = (bits - 1 + 32) * 13 % 32;  // 5 * 13 = 65 = 1 modulo 32
        EXPECT_EQ(datapath.out(frame(ipv4({.destination = text_of(other)}, udp(1, 2)))), stolen);
        EXPECT_EQ(datapath.counters(id == 0 ? 32 : id).packets, 1U) << "prefix length " << bits;
    }
    const auto refused = datapath.try_add("--proto udp --partition");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::usage);
    EXPECT_TRUE(datapath.try_add("--remote 10.0.0.0/8 --partition")) << "a rule of a known shape";
}

TEST_F(Ranking, FourRulesMaySelectTheSamePackets)
{
    std::vector<std::uint32_t> ids;
    for (const int priority : {1, 4, 2, 3})
        ids.push_back(datapath.add(fmt::format("--proto udp --priority {} --partition", priority)));
    const auto refused = datapath.try_add("--proto udp --priority 9 --partition");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::usage);
    EXPECT_EQ(winner(ids), ids[1]) << "the refused one has left nothing";
    for (const std::size_t best : {1U, 3U, 2U, 0U}) {
        EXPECT_EQ(winner(ids), ids[best]);
        datapath.remove(ids[best]);
    }
    EXPECT_EQ(datapath.out(usual_packet()), next);
    EXPECT_TRUE(datapath.try_add("--proto udp --priority 9 --partition")) << "there is room again";
}

TEST_F(Ranking, ARuleThatComesTwiceForAPacketCountsOnce)
{
    const auto id = datapath.add("--port 1000,2000 --partition");  // both ends match
    EXPECT_EQ(winner({id}), id);
    EXPECT_EQ(datapath.counters(id).packets, 1U);
}

TEST_F(Ranking, SameMaskedKeysOfDifferentShapes)
{
    // All bits that these two rules look at are 0 in the packet: only the shape's id tells their entries apart.
    const auto low = datapath.add("--remote 0.0.0.0/1 --partition");
    const auto high = datapath.add("--remote 0.0.0.0/4 --partition");
    EXPECT_EQ(winner({low, high}, frame(ipv4({.destination = "1.2.3.4"}, udp(1, 2)))), high);
    EXPECT_EQ(winner({low, high}, frame(ipv4({.destination = "64.2.3.4"}, udp(1, 2)))), low);
    datapath.remove(high);
    EXPECT_EQ(winner({low}, frame(ipv4({.destination = "1.2.3.4"}, udp(1, 2)))), low);
}

TEST(RankingOfMany, RulesOfOneKindAreOneShape)
{
    Datapath datapath({.max_rules = 20'000});
    std::vector<RuleSpec> rules(20'000);
    for (unsigned i = 0; i < rules.size(); ++i) {
        rules[i].name = "r";
        rules[i].remotes = {fmt::format("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)};
        rules[i].partition = true;
    }
    const auto status = datapath.add_all(rules);
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].count, 1U);
    EXPECT_EQ(datapath.out(frame(ipv4({.destination = "10.0.78.31"}, udp(1, 2)))), stolen) << "the last";
    EXPECT_EQ(datapath.out(frame(ipv4({.destination = "10.0.78.32"}, udp(1, 2)))), next);
    EXPECT_EQ(datapath.counters(20'000).packets, 1U);
}

}  // namespace
}  // namespace headwind::prog::ranking_test
