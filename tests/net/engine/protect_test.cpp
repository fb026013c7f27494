// SPDX-License-Identifier: MIT
// --protect: no rule of the namespace impairs the protected traffic, whatever its priority, as long as there are rules.
#include "net_test.h"

#include <fstream>

namespace headwind::test::protect_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr std::size_t packets = 20;

class Protect : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    const std::string& before() const { return before_; }

    // The number of packets that arrive at a port of b; received() counts those at a port of a.
    std::size_t sent(std::uint16_t port, const char* to = Pair::b4) const
    {
        return deliver(a(), b(), {to, port}, {.count = packets});
    }
    std::size_t received(std::uint16_t port, const char* to = Pair::a4) const
    {
        return deliver(b(), a(), {to, port}, {.count = packets});
    }
    void expect_passing(std::uint16_t port, bool passing, const std::string& what = "") const
    {
        EXPECT_EQ(sent(port), passing ? packets : 0) << what << " sent to " << port;
        EXPECT_EQ(received(port), passing ? packets : 0) << what << " received at " << port;
    }
    std::vector<std::string> names() const
    {
        std::vector<std::string> out;
        auto all = parse_json(headwind(a(), "list --json"));
        for (const auto& rule : all["rules"]) out.push_back(rule["name"]);
        return out;
    }

private:
    std::string before_;
};

TEST_F(Protect, APortPassesBothWaysUnderTheHighestPriority)
{
    const auto added = change(a(), "add --name cut --partition --priority 1000 --protect 5000");
    EXPECT_THAT(
        added.err,
        HasSubstr(
            "headwind: protect-5000: packets sent and received to or from port 5000 through every device: pass, whatever rules say\n"));
    change(
        a(),
        "add --name most-specific --partition --priority 1000 --proto udp --dev va --remote 10.77.0.2 --remote-port 5000");
    expect_passing(5000, true);
    expect_passing(5001, false);
    EXPECT_EQ(try_connect(a(), {Pair::b4, 5000}, std::chrono::seconds(20)).error, ECONNREFUSED)
        << "both ends, both ways, TCP too";
    EXPECT_EQ(try_connect(a(), {Pair::b4, 5001}).error, ETIMEDOUT);
    EXPECT_EQ(counters_of(a(), "protect-5000").partition, 0U);
    EXPECT_GE(counters_of(a(), "protect-5000").packets, packets);
}

TEST_F(Protect, AddressesOfEitherFamilyPassBothWays)
{
    change(a(), "add --name cut --partition --protect 10.77.0.0/24");
    expect_passing(5000, true);
    EXPECT_EQ(sent(5000, Pair::b6), 0U);
    EXPECT_EQ(received(5000, Pair::a6), 0U);
    change(a(), "change cut --protect fd77::2");
    EXPECT_EQ(sent(5000, Pair::b6), packets);
    EXPECT_EQ(received(5000, Pair::a6), packets);
    change(a(), "del protect-10.77.0.0-24");
    expect_passing(5000, false);
    EXPECT_EQ(sent(5000, Pair::b6), packets);
}

TEST_F(Protect, ACgroupPassesBothWaysAlsoWhenItIsMadeAnew)
{
    std::optional<TestCgroup> kept(std::in_place, "kept");
    const auto path = kept->path();
    change(a(), "add --name cut --partition --protect " + path);
    expect_passing(5000, false, "others");
    {
        const InCgroup inside(*kept);
        expect_passing(5000, true, "the cgroup's");
    }
    kept.reset();
    kept.emplace("kept");
    ASSERT_EQ(kept->path(), path);
    change(a(), "change cut --partition");
    const InCgroup inside(*kept);
    expect_passing(5000, true, "made anew");
}

// A bridge is no device of rules without --dev; protected traffic is left alone there, too.
TEST_F(Protect, HoldsAtDevicesThatAreNamed)
{
    ip(a(),
       "link add name bridged type bridge\nlink set va master bridged\naddr flush dev va\naddr add 10.77.0.1/24 dev bridged\n"
       "link set bridged up");
    wait_until_operational(a(), "bridged");
    ASSERT_TRUE(eventually([&] { return sent(5001) == packets; }));
    change(a(), "add --name cut --dev bridged --partition --for 10m --protect 5000");
    expect_passing(5000, true);
    expect_passing(5001, false);
}

TEST_F(Protect, IsShownAndTakenAwayLikeARule)
{
    change(a(), "add --name cut --partition --protect 5000,5002");
    EXPECT_THAT(names(), UnorderedElementsAre("protect-5000", "protect-5002", "cut"));
    EXPECT_EQ(names().back(), "cut") << "what wins is first";
    const auto rule = rule_of(a(), "protect-5000");
    EXPECT_EQ(rule["guard"], "protect");
    EXPECT_EQ(rule["owner"], "headwind");
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("whatever rules say"));
    EXPECT_EQ(change(a(), "del protect-5000").out, "removed protect-5000\n");
    expect_passing(5000, false);
    expect_passing(5002, true);
}

TEST_F(Protect, GoesWithTheLastRule)
{
    change(a(), "add --name cut --partition --protect 5000 --owner one");
    change(a(), "add --name more --partition --owner two");
    const auto cleared = change(a(), "clear --owner one");
    EXPECT_THAT(cleared.err, Not(HasSubstr("protect-5000 stays")));
    expect_passing(5000, true, "another rule is there");
    expect_passing(5001, false);
    change(a(), "clear --owner headwind");
    expect_passing(5000, true, "it is no rule of a user's");
    EXPECT_EQ(change(a(), "del more").out, "removed more\n");
    expect_footprint(a(), before());
    change(a(), "add --name cut --partition --lease 300ms --protect 5000");
    usleep(400'000);
    change(a(), "clear");
    expect_footprint(a(), before());
}

TEST_F(Protect, NamesAreNotTakenFromIt)
{
    change(a(), "add --name cut --partition --protect 5000");
    for (const std::string words :
         {"add --name protect-5000 --loss 1% --port 7", "add --name protect-5000 --replace --loss 1% --port 7",
          "change protect-5000 --loss 1%"}) {
        const auto refused = headwind(a(), words);
        EXPECT_EQ(refused.status, 2) << words;
        EXPECT_THAT(refused.err, HasSubstr("headwind del protect-5000")) << words;
    }
    change(a(), "add --name protect-7 --loss 1% --port 7");
    const auto refused = headwind(a(), "add --name more --loss 1% --port 8 --protect 7");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("a rule is called protect-7"));
    EXPECT_THAT(names(), UnorderedElementsAre("protect-5000", "cut", "protect-7"));
    expect_passing(5000, true);
}

TEST_F(Protect, WhatIsNotThereIsRefusedAndChangesNothing)
{
    const auto missing = headwind(a(), "add --name cut --partition --protect /no/such/cgroup");
    EXPECT_EQ(missing.status, 3);
    EXPECT_THAT(missing.err, HasSubstr("--protect /no/such/cgroup: no such cgroup"));
    const auto odd = headwind(a(), "add --name cut --partition --protect ssh");
    EXPECT_EQ(odd.status, 2);
    EXPECT_THAT(odd.err, HasSubstr("--protect ssh: write an address"));
    EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
    expect_footprint(a(), before());
}

TEST_F(Protect, WaitsToBeConfirmedWithItsRule)
{
    change(a(), "add --name cut --partition --protect 5000 --confirm 10m");
    expect_passing(5000, true);
    EXPECT_EQ(headwind(a(), "add --name more --partition --protect 5000").status, 6) << "it might not stay";
    change(a(), "confirm");
    change(a(), "change cut --partition --protect 5002 --confirm 10m");
    expect_passing(5002, true);
    change(a(), "confirm --undo");
    expect_passing(5002, false);
    expect_passing(5000, true);
    change(a(), "clear");
    expect_footprint(a(), before());
}

TEST_F(Protect, InFilesToo)
{
    const auto file = testing::TempDir() + "protect.rules";
    std::ofstream(file)
        << "add --name cut --partition --protect 5000\nadd --name x --loss 1% --protect 5000,10.9.0.0/16\n";
    change(a(), "batch " + file);
    expect_passing(5000, true);
    EXPECT_THAT(names(), UnorderedElementsAre("protect-5000", "protect-10.9.0.0-16", "cut", "x"));
    change(a(), "clear");

    const auto apply = [&] { return parse_json(change(a(), "apply --owner set --json " + file)); };
    EXPECT_EQ(apply()["added"].size(), 2U);
    const auto id = rule_of(a(), "protect-5000")["id"];
    EXPECT_THAT(apply()["unchanged"].get<std::vector<std::string>>(), ElementsAre("cut", "x"));
    EXPECT_EQ(rule_of(a(), "protect-5000")["id"], id) << "once is enough";
    change(a(), "del protect-5000");
    expect_passing(5000, false);
    apply();
    expect_passing(5000, true, "the file says so");
    change(a(), "apply --owner set --remove " + file);
    expect_footprint(a(), before());
    std::remove(file.c_str());
}

TEST_F(Protect, OfACommandThatRuns)
{
    UdpSink spared(b(), {Pair::b4, 5000}), cut(b(), {Pair::b4, 5001});
    const std::string script =
        "exec 3>/dev/udp/10.77.0.2/5000 4>/dev/udp/10.77.0.2/5001; for i in {1..5}; do echo >&3; echo >&4; done";
    expect_ok(run(&a(), {headwind_binary(), "run", "--partition", "--protect", "5000", "--", "bash", "-c", script}));
    EXPECT_EQ(spared.finish(std::chrono::milliseconds(100), 5).size(), 5U);
    EXPECT_EQ(cut.finish().size(), 0U);
    expect_footprint(a(), before());
}

}  // namespace
}  // namespace headwind::test::protect_test
