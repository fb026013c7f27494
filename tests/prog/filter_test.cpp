// SPDX-License-Identifier: MIT
// The filter in front of each shape's lookup: it never hides an entry, and saves most lookups that would find none.
#include <bit>
#include <cmath>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <headwind/model.h>

#include "packets.h"
#include "prog_run.h"
#include "rule_text.h"
#include "verify/statistics.h"

namespace headwind::prog::filter_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::payload;
using packets::udp;

struct Pair {
    std::string selector;
    Bytes packet;  // one that it selects
};

std::string v4(unsigned address)
{
    return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

// Random selectors of all kinds, each with a packet that it selects.
class Random {
public:
    std::uint16_t port() { return static_cast<std::uint16_t>(1000 + random_() % 60'000); }
    unsigned address() { return 0x0b000000 + (random_() & 0x3fffffff); }  // 11.0.0.0 .. 74.255.255.255
    std::string address6()
    {
        return fmt::format("2001:db8:{:x}:{:x}:{:x}::{:x}", random_() & 0xffff, random_() & 0xffff,
                           1 + (random_() & 0xfff), 1 + (random_() & 0xfff));
    }
    Pair pair(unsigned kind)
    {
        const auto local = port(), remote = port();
        const auto source = address(), destination = address();
        const auto ports = udp(local, remote, payload(20));
        const auto packet = frame(ipv4({.source = v4(source), .destination = v4(destination)}, ports));
        const auto source6 = address6(), destination6 = address6();
        const auto packet6 = frame(ipv6({.source = source6, .destination = destination6}, ports));
        switch (kind) {
            case 0: return {fmt::format("--remote-port {}", remote), packet};
            case 1: return {fmt::format("--local-port {} --proto udp", local), packet6};
            case 2: return {"--remote " + v4(destination), packet};
            case 3: return {fmt::format("--remote {}/24", v4(destination & 0xffffff00)), packet};
            case 4: return {fmt::format("--local {} --remote {}", v4(source), v4(destination)), packet};
            case 5: return {"--remote " + destination6, packet6};
            case 6:
                return {fmt::format("--remote {}::/64", destination6.substr(0, nth_colon(destination6, 4))), packet6};
            case 7:
                return {fmt::format("--dev lo --local {} --local-port {} --remote-port {}", source6, local, remote),
                        packet6};
            default: return {fmt::format("--port {}", remote), packet};
        }
    }
    static constexpr unsigned kinds = 9;

private:
    static std::size_t nth_colon(const std::string& text, int n)
    {
        std::size_t at = 0;
        for (; n > 0; --n) at = text.find(':', at) + 1;
        return at - 1;
    }
    std::mt19937 random_{17};
};

TEST(Filter, HidesNoRuleOfItsKind)
{
    Random random;
    for (unsigned kind = 0; kind < Random::kinds; ++kind) {
        Datapath datapath;
        std::vector<RuleSpec> rules;
        std::vector<Bytes> packets;
        for (int i = 0; i < 500; ++i) {
            auto [selector, packet] = random.pair(kind);
            rules.push_back(test::text_of_line(selector + " --partition"));
            packets.push_back(std::move(packet));
        }
        const auto status = datapath.add_all(rules);
        ASSERT_TRUE(status) << status.error().message;
        for (std::size_t i = 0; i < packets.size(); ++i)
            ASSERT_EQ(datapath.out(packets[i]), stolen) << "kind " << kind << ", rule " << i;
    }
}

TEST(Filter, HidesNoRuleOfManyAddedOneAfterTheOther)
{
    Random random;
    Datapath datapath;
    std::vector<std::pair<std::uint32_t, Bytes>> rules;
    for (unsigned i = 0; i < 300; ++i) {
        auto [selector, packet] = random.pair(i % Random::kinds);
        rules.emplace_back(datapath.add(selector + " --partition"), std::move(packet));
        if (i % 5 == 4) {
            datapath.remove(rules[i / 5].first);
            rules[i / 5].first = 0;
        }
    }
    for (const auto& [id, packet] : rules)
        if (id != 0) {
            ASSERT_EQ(datapath.out(packet), stolen) << id;
        }
}

TEST(Filter, IsAsked)
{
    Datapath datapath;
    const auto packet = frame(ipv4({}, udp(1, 2)));
    datapath.add("--remote-port 2 --partition");
    datapath.add("--remote-port 3 --partition");
    EXPECT_EQ(datapath.out(packet), stolen);
    auto& shape = datapath.control().tables[datapath.control().version & 1].shapes[0];
    const auto bits = [](const hw_shape& of) {
        int sum = 0;
        for (const auto word : of.filter) sum += std::popcount(word);
        return sum;
    };
    EXPECT_EQ(bits(shape), 2);
    std::fill(std::begin(shape.filter), std::end(shape.filter), 0);
    EXPECT_EQ(datapath.out(frame(ipv4({}, udp(9, 2)))), next) << "no bit, no lookup";
}

// Each of n entries sets one bit of 1024, as if at random. So the bit of any other key is set with a probability of
// 1 - (1 - 1 / 1024)^n.
TEST(Filter, SavesMostLookupsOfPacketsThatDoNotMatch)
{
    constexpr std::uint64_t trials = 100'000;
    for (const unsigned entries : {1U, 10U, 100U}) {
        std::mt19937_64 random(entries);
        for (unsigned field = 0; field < 4; ++field) {
            const auto key = [&] {
                hw_key out{};
                if (field == 0) out.remote_port = static_cast<__u16>(random());
                if (field == 1) out.cgroup = 1 + random() % 1'000'000;  // the kernel numbers cgroups like this
                if (field == 2) out.remote[1] = 0xffff0000 | random() << 32;
                if (field == 3) {
                    out.remote[0] = 0xb80d0120;
                    out.remote[1] = random() % 65536 << 48;  // neighbours: ...::xxxx
                    out.device = 2;
                }
                return out;
            };
            std::uint64_t filter[HW_FILTER_BITS / 64] = {};
            for (unsigned i = 0; i < entries; ++i) {
                const auto one = key();
                const auto bit = hw_filter_bit(&one);
                ASSERT_LT(bit, HW_FILTER_BITS + 0U);
                filter[bit / 64] |= 1ULL << bit % 64;
            }
            std::uint64_t hits = 0;
            for (std::uint64_t i = 0; i < trials; ++i) {
                const auto one = key();
                const auto bit = hw_filter_bit(&one);
                hits += filter[bit / 64] >> bit % 64 & 1;
            }
            const double expected = 1 - std::pow(1 - 1.0 / (HW_FILTER_BITS + 0U), entries);
            const double found = static_cast<double>(hits) / static_cast<double>(trials);
            EXPECT_LT(found, 2 * expected) << entries << " entries, field " << field;
            EXPECT_GT(found, expected / 2) << "or the keys are no fair sample: " << field;
        }
    }
}

}  // namespace
}  // namespace headwind::prog::filter_test
