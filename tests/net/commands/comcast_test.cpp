// SPDX-License-Identifier: MIT
// Tests comcast's command line as its users type it.
#include "net_test.h"
#include "verify/statistics.h"

namespace headwind::test::comcast_test {
namespace {

using testing::HasSubstr;

class Comcast : public PairTest {
protected:
    std::size_t rules() const { return parse_json(headwind(a(), "list --json"))["rules"].size(); }
};

RUNS_IN("Comcast.*", native, sanitized);
RUNS_IN("Comcast.DefaultBandwidthIsForTheRest", nowhere, linux_6_12);

TEST_F(Comcast, ADryRunChangesNothing)
{
    const auto before = footprint(a());
    const auto output = change(
        a(),
        "comcast --device va --latency 250 --target-bw 1000 --default-bw 1000000 --packet-loss 10% --target-addr 10.77.0.2 --target-port 80,1000:2000 --dry-run");
    EXPECT_EQ(
        output.out,
        "headwind add --replace --name comcast --dev va --proto tcp,udp --remote 10.77.0.2 --remote-port 80,1000:2000 --delay 250ms --loss 10% --rate 1000kbit\n"
        "headwind add --replace --name comcast-default --dev va --rate 1000000kbit --priority -1\n");
    EXPECT_EQ(change(a(), "comcast --stop --dry-run").out, "headwind del --if-exists comcast comcast-default\n");
    EXPECT_EQ(parse_json(change(a(), "comcast --packet-loss 5% --dry-run --json"))["commands"].size(), 1U);
    expect_footprint(a(), before);
    EXPECT_EQ(rules(), 0U);
    EXPECT_EQ(arrive(), 100U);
}

TEST_F(Comcast, LosesPacketsUntilStopped)
{
    const auto before = footprint(a());
    const auto output = change(a(), "comcast --device va --packet-loss 20% --target-proto udp");
    EXPECT_THAT(output.out, HasSubstr("comcast: "));
    EXPECT_THAT(output.out, HasSubstr("loss 20%"));
    EXPECT_THAT(output.out, HasSubstr("\n  headwind add --replace --name comcast --dev va --proto udp --loss 20%\n"));

    const std::size_t count = scaled(20'000, 4'000);
    const std::size_t lost = count - arrive({.count = count});
    EXPECT_GT(statistics::binomial_p_value(lost, count, 0.2), 1e-6) << lost << " of " << count;
    const auto counters = counters_of(a(), "comcast");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.loss, lost);

    EXPECT_EQ(change(a(), "comcast --stop").out, "removed comcast\n");
    EXPECT_EQ(arrive({.count = 1'000}), 1'000U);
    expect_footprint(a(), before);
    EXPECT_EQ(change(a(), "comcast --stop").out, "no rules of comcast's to remove\n");
}

// The flags have Go's single dashes. A second run replaces the first; comcast would refuse it.
TEST_F(Comcast, ASecondRunTakesThePlaceOfTheFirst)
{
    change(a(), "comcast -device va -packet-loss=100 -target-port 5000");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 100U);
    change(a(), "comcast -device=va -packet-loss 100% -target-port 5001 -target-proto tcp,udp,icmp");
    EXPECT_EQ(arrive(), 100U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 0U);
    EXPECT_EQ(rules(), 1U);
}

TEST_F(Comcast, WhatItTookIsAddedByTheCommandItPrints)
{
    const auto output = change(a(), "comcast --device va --packet-loss 100% --target-addr 10.77.0.2,fd77::2");
    const std::string mark = "\n  headwind ";
    const auto start = output.out.find(mark);
    ASSERT_NE(start, std::string::npos) << output.out;
    const std::string command = output.out.substr(start + mark.size());
    const auto rule = rule_of(a(), "comcast");
    change(a(), "clear");
    change(a(), command);
    EXPECT_EQ(rule_of(a(), "comcast")["sentence"], rule["sentence"]);
    EXPECT_EQ(arrive({}, {Pair::b6, 5000}), 0U);
}

TEST_F(Comcast, DefaultBandwidthIsForTheRest)
{
    SKIP_WITHOUT_FQ();
    change(a(), "comcast --device va --default-bw 10000 --packet-loss 50% --target-port 5000");
    EXPECT_EQ(rules(), 2U);
    arrive();
    EXPECT_EQ(counters_of(a(), "comcast").packets, 100U);
    EXPECT_LT(counters_of(a(), "comcast-default").packets, 50U) << "what the kernel sends by itself";
    arrive({}, {Pair::b4, 5001});
    EXPECT_EQ(counters_of(a(), "comcast").packets, 100U);
    EXPECT_GE(counters_of(a(), "comcast-default").packets, 100U);
    // The next run asks for no default.
    change(a(), "comcast --device va --packet-loss 50%");
    EXPECT_EQ(rules(), 1U);
}

TEST_F(Comcast, WhereTheDefaultIsRefusedTheTargetsAreLeftAlone)
{
    if (has_fq()) GTEST_SKIP() << "this kernel has sch_fq: nothing is refused";
    const auto before = footprint(a());
    const auto output = headwind(a(), "comcast --device va --default-bw 8 --packet-loss 100% --target-port 5000");
    EXPECT_EQ(output.status, 5);
    EXPECT_THAT(output.err, HasSubstr("no sch_fq"));
    expect_footprint(a(), before);
    EXPECT_EQ(arrive(), 100U);
}

TEST_F(Comcast, BadInputIsCode2AndInItsOwnWords)
{
    const auto refused = [this](const std::string& arguments, const std::string& text) {
        const auto output = headwind(a(), "comcast " + arguments);
        EXPECT_EQ(output.status, 2) << arguments;
        EXPECT_THAT(output.err, HasSubstr(text)) << arguments;
        EXPECT_EQ(output.out, "") << arguments;
    };
    refused("", "comcast: nothing to do");
    refused("--packet-loss 101", "--packet-loss 101");
    refused("--packet-loss 5 --target-addr example.com", "--target-addr example.com");
    refused("--packet-loss 5 --default-bw 100", "--default-bw 100");
    refused("--mode start", "--mode");
    EXPECT_EQ(headwind(a(), "comcast --device nodevice --packet-loss 5").status, 3);
    EXPECT_EQ(rules(), 0U);
    EXPECT_THAT(headwind(a(), "comcast --help").out, HasSubstr("add --name comcast --delay 250ms"));
}

}  // namespace
}  // namespace headwind::test::comcast_test
