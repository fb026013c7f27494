// SPDX-License-Identifier: MIT
// Tests corruption: the bit that is flipped, how often, and that it happens behind headwind2 only.
#include <gtest/gtest.h>

#include <headwind/model.h>
#include <headwind/testing.h>

#include "packets.h"
#include "prog_run.h"
#include "replay.h"
#include "verify/statistics.h"

namespace headwind::prog::corrupt_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::tcp;
using packets::udp;

constexpr double alpha = 1e-6;
constexpr unsigned runs = 20'000;

enum class Head { none, tcp, udp };

struct Sample {
    const char* what;
    Bytes packet;
    std::size_t begin, end;  // the bytes that may be hit: all behind the IP headers
    Head head;               // the transport header that begins there
};

Sample sample(const char* what, const Layer& layer, std::size_t begin, Head head, std::size_t padding = 0)
{
    auto packet = frame(layer);
    const auto end = packet.size();
    packet.resize(end + padding);
    return {what, std::move(packet), begin, end, head};
}

std::vector<Sample> samples()
{
    const auto data = payload(40);
    return {
        sample("UDP", ipv4({}, udp(1, 2, data)), 34, Head::udp),
        sample("UDP without data", ipv4({}, udp(1, 2)), 34, Head::udp, 18),
        sample("TCP", ipv4({}, tcp(1, 2, data)), 34, Head::tcp),
        sample("TCP without data, padded", ipv4({}, tcp(1, 2)), 34, Head::tcp, 6),
        sample("TCP with options", ipv4({.option_words = 3}, tcp(1, 2, data, 5)), 46, Head::tcp),
        sample("TCP over IPv6", ipv6({}, tcp(1, 2, data)), 54, Head::tcp),
        sample("UDP over IPv6", ipv6({}, udp(1, 2, data)), 54, Head::udp),
        sample("UDP behind a header", ipv6({}, packets::extension(0, udp(1, 2, data))), 62, Head::udp),
        sample("UDP in a VLAN", packets::vlan(7, ipv4({}, udp(1, 2, data))), 38, Head::udp),
        sample("ICMP", ipv4({}, packets::icmp(8, data)), 34, Head::none),
        sample("ESP", ipv4({}, packets::raw(50, Bytes(40))), 34, Head::none),
        sample("first fragment", ipv4({.more_fragments = true}, udp(1, 2, data)), 34, Head::udp),
        sample("later fragment", ipv4({.fragment_offset = 10}, packets::raw(17, Bytes(40))), 34, Head::none),
        sample("later fragment of TCP", ipv4({.fragment_offset = 10}, packets::raw(6, Bytes(40))), 34, Head::none),
        sample("IPv6 later fragment", ipv6({}, packets::fragment({.offset = 9}, packets::raw(17, Bytes(40)))), 62,
               Head::none),
    };
}

// The expected number of hits of each bit of begin .. end: uniform, except for bits whose share goes to others.
std::vector<double> expected_hits(const Sample& of)
{
    std::vector<double> out((of.end - of.begin) * 8, 1);
    const auto move = [&](std::size_t from, std::size_t to) { out[to] += std::exchange(out[from], 0.0); };
    if (of.head == Head::udp)  // the share of length and checksum goes to the ports
        for (std::size_t bit = 0; bit < 32; ++bit) move(32 + bit, bit);
    if (of.head == Head::tcp)  // the share of the data offset goes to the reserved bits
        for (std::size_t bit = 96; bit < 100; ++bit) move(bit + 4, bit);
    for (auto& share : out) share *= static_cast<double>(runs) / static_cast<double>(out.size());
    return out;
}

// The bits that differ, counted from `begin`, lowest bit of a byte first. Bits outside begin .. end must not differ.
std::vector<std::size_t> flipped(const Sample& of, const Bytes& now)
{
    std::vector<std::size_t> out;
    EXPECT_EQ(now.size(), of.packet.size()) << of.what;
    for (std::size_t i = 0; i < std::min(now.size(), of.packet.size()); ++i) {
        const unsigned difference = now[i] ^ of.packet[i];
        if (difference == 0) continue;
        EXPECT_TRUE(i >= of.begin && i < of.end) << of.what << ", byte " << i;
        for (unsigned bit = 0; bit < 8; ++bit)
            if (difference >> bit & 1) out.push_back((i - of.begin) * 8 + bit);
    }
    return out;
}

TEST(Corrupt, ExactlyOneBitOfWhatTheTransportChecksumCovers)
{
    Datapath datapath;
    const auto id = datapath.add("--corrupt 100%");
    datapath.feed().seed = 21;
    for (const auto& one : samples()) {
        const auto expected = expected_hits(one);
        std::vector<std::uint64_t> hits(expected.size());
        for (unsigned n = 0; n < runs; ++n) {
            const auto outcome = datapath.run(Hook::segment, one.packet, datapath.marked(id));
            ASSERT_EQ(outcome.verdict, redirected) << one.what;
            const auto bits = flipped(one, outcome.packet);
            ASSERT_EQ(bits.size(), 1U) << one.what;
            ASSERT_GT(expected[bits[0]], 0) << one.what << ", bit " << bits[0];
            ++hits[bits[0]];
        }
        EXPECT_GT(statistics::chi_square_test(hits, expected), alpha) << one.what;
    }
    EXPECT_EQ(datapath.counters(id).corrupted, samples().size() * runs);
}

TEST(Corrupt, PacketsWithoutAnythingBehindTheHeadersStayAsTheyAre)
{
    Datapath datapath;
    const auto id = datapath.add("--corrupt 100%");
    auto padded = frame(ipv4({}, packets::raw(200, {})));
    padded.resize(60);
    const auto outcome = datapath.run(Hook::segment, padded, datapath.marked(id));
    EXPECT_EQ(outcome.verdict, redirected);
    EXPECT_EQ(outcome.packet, padded);
    EXPECT_EQ(datapath.counters(id).corrupted, 0U);
    EXPECT_EQ(datapath.counters(id).packets, 1U);
}

// Each event takes two dice: one for the gap, one for the bit.
TEST(Corrupt, WhatIsDueTakesTheDetourAndIsCorruptedBehindIt)
{
    constexpr std::uint64_t seed = 5;
    const auto packet = frame(ipv4({}, udp(1000, 2000, payload(40))));
    Datapath datapath;
    datapath.control().line_segment = 99'998;
    const auto id = datapath.add("--corrupt 10%");
    datapath.feed().seed = seed;
    Replay replay(datapath.instance().rules.find(id)->value().impairment.events[HW_EVENT_CORRUPT], seed, 2);
    std::uint64_t corrupted = 0;
    for (unsigned n = 0; n < runs; ++n) {
        const bool due = replay.next();
        const auto outcome = datapath.run(Hook::egress, packet);
        ASSERT_EQ(outcome.verdict, due ? redirected : next) << n;
        ASSERT_EQ(outcome.packet, packet) << "not before its checksum is real";
        if (!due) continue;
        auto arrival = datapath.marked(id);
        arrival.cb[2] = outcome.after.cb[2];
        const auto behind = datapath.run(Hook::segment, packet, arrival);
        ASSERT_NE(behind.packet, packet);
        ASSERT_EQ(datapath.counters(id).corrupted, ++corrupted);
    }
    EXPECT_GT(statistics::binomial_p_value(corrupted, runs, 0.1), alpha);
    EXPECT_EQ(datapath.counters(id).packets, runs);
}

TEST(Corrupt, WithoutTheWorkaroundItHappensAtTheDevice)
{
    const auto packet = frame(ipv4({}, udp(1000, 2000, payload(40))));
    Datapath sick({.without = HW_WORKAROUND_REAL_CSUM});
    sick.control().line_segment = 99'998;
    sick.add("--corrupt 100%");
    const auto outcome = sick.run(Hook::egress, packet);
    EXPECT_EQ(outcome.verdict, next);
    EXPECT_NE(outcome.packet, packet);
}

TEST(Corrupt, WhatIsLostIsNotCorrupted)
{
    Datapath datapath;
    const auto id = datapath.add("--corrupt 100% --loss 100%");
    EXPECT_EQ(datapath.run(Hook::segment, frame(ipv4({}, udp(1, 2))), datapath.marked(id)).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).corrupted, 0U);
}

}  // namespace
}  // namespace headwind::prog::corrupt_test
