// SPDX-License-Identifier: MIT
// Measures the cost of packets, mostly of one that no rule matches.
//
// The cost is compared with that of an empty program in the same minute, so clock speed and neighbours of this machine
// mostly cancel out. The tests run with --long only.
#include <algorithm>
#include <cstdio>

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lane.h"
#include "packets.h"
#include "prog_run.h"
#include "prog_xdp.h"

namespace headwind::prog::cost_test {
namespace {

using packets::frame;
using packets::ipv4;
using packets::payload;
using packets::udp;

constexpr unsigned million = 1'000'000, rounds = 11;

unsigned nanoseconds_of(int program, const packets::Bytes& packet, int verdict = next)
{
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<__u32>(packet.size());
    options.repeat = static_cast<int>(million);
    EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0);
    EXPECT_EQ(static_cast<int>(options.retval), verdict);
    return options.duration;
}

struct Cost {
    double ratio = 0;
    unsigned nanoseconds = 0, empty = 0;  // medians
};

template <class T>
T median(std::vector<T> values)
{
    std::nth_element(values.begin(), values.begin() + rounds / 2, values.end());
    return values[rounds / 2];
}

Cost cost_of(const Datapath& datapath, const packets::Bytes& packet)
{
    const auto empty = load_empty_program();
    std::vector<unsigned> alone, ours;
    std::vector<double> ratios;
    for (unsigned i = 0; i < rounds; ++i) {
        alone.push_back(nanoseconds_of(empty.get(), packet));
        ours.push_back(nanoseconds_of(datapath.program(Hook::egress), packet));
        ratios.push_back(static_cast<double>(ours.back()) / alone.back());
    }
    return {median(ratios), median(ours), median(alone)};
}

packets::Bytes unmatched_packet()
{
    return frame(ipv4({.destination = "192.0.2.1"}, udp(1000, 2001, payload(100))));
}

RUNS_IN("Cost.*", test::nowhere, test::native);

void report(const char* what, const Cost& cost)
{
    std::printf("%s: %u ns, an empty program %u ns, %.2f times\n", what, cost.nanoseconds, cost.empty, cost.ratio);
    testing::Test::RecordProperty(what, fmt::format("{:.2f}", cost.ratio));
}

TEST(Cost, OfAPacketThatNoRuleMatches)
{
    Datapath datapath({.fed = false, .tcx = true});
    datapath.add("--remote-port 2000 --delay 1ms");
    const auto cost = cost_of(datapath, unmatched_packet());
    report("one shape", cost);
    EXPECT_LE(cost.ratio, 3.5);
}

TEST(Cost, OfAPacketWithoutAnyRule)
{
    Datapath datapath({.fed = false, .tcx = true});
    const auto cost = cost_of(datapath, unmatched_packet());
    report("no shape", cost);
    EXPECT_LE(cost.ratio, 2);
}

// The ratio of the XDP program's cost to that of tc's program, for a packet that both drop or that no rule wants.
double cost_of_front(const char* what, const packets::Bytes& packet, int at_xdp, int at_tc)
{
    Datapath datapath({.fed = false});
    const XdpProgram xdp(datapath, false);
    datapath.add("--direction in --partition --local-port 2000");
    std::vector<unsigned> early, late;
    std::vector<double> ratios;
    for (unsigned i = 0; i < rounds; ++i) {
        early.push_back(nanoseconds_of(xdp.program(), packet, at_xdp));
        late.push_back(nanoseconds_of(datapath.program(Hook::ingress), packet, at_tc));
        ratios.push_back(static_cast<double>(early.back()) / late.back());
    }
    std::printf("%s: XDP %u ns, tc %u ns, %.2f times\n", what, median(early), median(late), median(ratios));
    testing::Test::RecordProperty(what, fmt::format("{:.2f}", median(ratios)));
    return median(ratios);
}

TEST(Cost, OfTheFrontIsBelowThatOfTc)
{
    EXPECT_LT(cost_of_front("drop", frame(ipv4({}, udp(1000, 2000, payload(100)))), XDP_DROP, shot), 1);
    EXPECT_LT(cost_of_front("unmatched", unmatched_packet(), XDP_PASS, next), 1);
}

// The same loss is constant and a timeline of 1,001 steps; the packets match it.
TEST(Cost, OfATimeline)
{
    constexpr const char* rare = "0.0000001%";
    Datapath constant({.fed = false}), timeline({.fed = false});
    constant.add(fmt::format("--loss {}", rare));
    timeline.add(fmt::format("--ramp loss={}..{},over=1h", rare, rare));
    const auto alone = cost_of(constant, unmatched_packet()), stepped = cost_of(timeline, unmatched_packet());
    report("constant", alone);
    report("timeline", stepped);
    EXPECT_LE(stepped.nanoseconds, 2.5 * alone.nanoseconds);
}

// Rules of one kind cost one lookup, however many there are. Times are printed and not judged: with so many rules the
// caches decide.
TEST(Cost, OfManyRulesOfOneKind)
{
    for (const unsigned count : {1U, 100'000U}) {
        Datapath datapath({.fed = false, .tcx = true, .max_rules = 100'000});
        std::vector<RuleSpec> rules(count);
        for (unsigned i = 0; i < count; ++i) {
            rules[i].name = "r";
            rules[i].remotes = {fmt::format("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)};
            rules[i].delay = "1ms";
        }
        const auto status = datapath.add_all(rules);
        ASSERT_TRUE(status) << status.error().message;
        EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].count, 1U);
        report(fmt::format("rules_{}", count).c_str(), cost_of(datapath, unmatched_packet()));
    }
}

// Each further kind of selector costs one more lookup.
TEST(Cost, OfManyKinds)
{
    Datapath datapath({.fed = false, .tcx = true});
    for (unsigned bits = 1; bits <= 8; ++bits) {
        ASSERT_TRUE(datapath.try_add(fmt::format("--remote 0.0.0.0/{} --delay 1ms", bits)));
        if (bits == 1 || bits == 2 || bits == 4 || bits == 8)
            report(fmt::format("kinds_{}", bits).c_str(), cost_of(datapath, unmatched_packet()));
    }
}

}  // namespace
}  // namespace headwind::prog::cost_test
