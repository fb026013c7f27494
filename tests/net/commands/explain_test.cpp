// SPDX-License-Identifier: MIT
// Tests `headwind explain`: what it says of a packet is what becomes of one that is sent, and it changes nothing.
#include "net_test.h"

namespace headwind::test::explain_test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ExplainCommand : public PairTest {
protected:
    json ask(const std::string& words) const { return parse_json(change(a(), "explain --json " + words)); }
    // "verdict: why" of the rule.
    static std::string of(const json& explanation, const std::string& name)
    {
        for (const auto& rule : explanation["rules"])
            if (rule["name"] == name) return std::string(rule["verdict"]) + ": " + std::string(rule["why"]);
        return "none of this name";
    }
    static constexpr const char* packet = "--dev va --proto udp --remote 10.77.0.2 --remote-port 5000";
};

RUNS_IN("ExplainCommand.*", native | linux_6_1);

TEST_F(ExplainCommand, NamesTheRuleThatWinsAndWhyTheOthersDoNot)
{
    change(a(), "add --name wide --dev va --loss 0%");
    change(a(), "add --name port --remote-port 5000 --proto udp --loss 0%");
    change(a(), "add --name elsewhere --remote 10.78.0.0/16 --priority 5 --loss 0%");
    change(a(), "add --name brief --remote-port 5000 --priority 6 --loss 0% --for 1ms");
    change(a(), "add --name near --local 10.77.0.9 --priority 7 --loss 0%");
    change(a(), "add --name twin --remote-port 5000 --proto udp --loss 0%");
    change(a(), "add --name back --direction in --priority 8 --loss 0%");
    const auto said = ask(packet);
    EXPECT_EQ(said["winner"], "port");
    EXPECT_EQ(of(said, "port"), "wins: ");
    EXPECT_EQ(of(said, "wide"), "loses: it is less specific");
    EXPECT_EQ(of(said, "twin"), "loses: it is as specific, and younger");
    EXPECT_EQ(of(said, "elsewhere"), "other: --remote is another");
    EXPECT_EQ(of(said, "brief"), "off: expired");
    EXPECT_EQ(of(said, "near"), "may win: it depends on --local, which is not given");
    EXPECT_EQ(of(said, "back"), "other: --direction is another");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(counters_of(a(), "port").packets, 20U);

    const auto lines = headwind(a(), std::string("explain ") + packet).out;
    EXPECT_THAT(lines,
                AllOf(HasSubstr("wins     port"), HasSubstr("2 other rules are not for it"), Not(HasSubstr("back"))));
    EXPECT_THAT(headwind(a(), std::string("explain --all ") + packet).out, HasSubstr("other    back"));
    EXPECT_EQ(of(ask(std::string(packet) + " --local 10.77.0.9"), "near"), "wins: ");
}

TEST_F(ExplainCommand, ChangesNothing)
{
    change(a(), "add --name wide --dev va --loss 10% --max-share 90% --proto udp --remote-port 5000");
    const auto before = footprint(a());
    const auto rules = rules_of(a());
    EXPECT_EQ(ask(packet)["winner"], "wide");
    EXPECT_EQ(footprint(a()), before);
    EXPECT_EQ(rules_of(a()), rules);
    EXPECT_EQ(counters_of(a(), "wide").packets, 0U) << "none is counted";
}

TEST_F(ExplainCommand, SaysWhereNoRuleIs)
{
    EXPECT_EQ(headwind(a(), std::string("explain ") + packet).out, "no rule: the packet goes unimpaired\n");
    change(a(), "add --name other --dev lo --loss 1%");
    const auto said = ask(packet);
    EXPECT_EQ(said["winner"], nullptr);
    EXPECT_EQ(of(said, "other"), "other: --dev is another");
    const auto gone = headwind(a(), "explain --dev nope0");
    EXPECT_EQ(gone.status, 3);
    EXPECT_THAT(gone.err, HasSubstr("--dev nope0: there is no such device here"));
}

// On lo a packet is met once, when it is sent: first as the sender's, then as the receiver's.
TEST_F(ExplainCommand, KnowsBothSidesOfLo)
{
    change(a(), "add --name server --dev lo --direction in --local-port 80 --loss 0%");
    const auto said =
        ask("--dev lo --proto tcp --remote 127.0.0.1 --local 127.0.0.1 --remote-port 80 --local-port 4000");
    EXPECT_EQ(said["winner"], "server");
    EXPECT_EQ(ask("--dev lo --proto tcp --remote 127.0.0.1 --remote-port 81")["winner"], nullptr);
    // Whatever its rank, a rule of the sender's comes first.
    const std::string received = "--dev lo --proto tcp --local 127.0.0.1 --local-port 80";
    EXPECT_EQ(ask(received + " --direction in")["winner"], "server");
    change(a(), "add --name client --dev lo --remote-port 80 --loss 0% --priority -5");
    const auto both = ask(received + " --direction in");
    EXPECT_EQ(both["winner"], "client");
    EXPECT_THAT(of(both, "server"), HasSubstr("loses: rules of the side that sends"));
    EXPECT_EQ(rule_of(a(), "server")["state"], "hidden");
}

TEST_F(ExplainCommand, KnowsCgroupsAndThoseAboveThem)
{
    const TestCgroup cgroup("asked");
    change(a(), "add --for ever --name theirs --cgroup " + cgroup.path() + " --loss 0%");
    EXPECT_EQ(ask(packet + (" --cgroup " + cgroup.path()))["winner"], "theirs");
    const auto said = ask(packet);
    EXPECT_EQ(said["winner"], nullptr);
    EXPECT_EQ(of(said, "theirs"), "may win: it depends on --cgroup, which is not given");
    EXPECT_EQ(of(ask(std::string(packet) + " --cgroup /"), "theirs"), "other: --cgroup is another");
}

TEST_F(ExplainCommand, TellsWhichFlowsAreInASample)
{
    change(a(), "add --name half --flows 50% --flow-seed 7 --proto udp --loss 100%");
    EXPECT_EQ(of(ask(packet), "half").substr(0, 8), "may win:");
    EXPECT_EQ(ask(packet)["winner"], nullptr);
    EXPECT_EQ(headwind(a(), std::string("explain ") + packet).out.substr(0, 34), "no rule, unless one that may win: ");
    change(a(), "add --name below --proto udp --loss 0% --priority -1");
    EXPECT_EQ(of(ask(packet), "below"), "wins: ") << "whatever the sample says of what is not given";
    int in = 0;
    for (int port = 6000; port < 6040; ++port) {
        const auto said = ask(fmt::format("{} --local 10.77.0.1 --local-port {}", packet, port));
        const bool wins = said["winner"] == "half";
        EXPECT_TRUE(wins || of(said, "half") == "other: --flows: this one is not in its sample") << said;
        in += wins ? 1 : 0;
    }
    EXPECT_GT(in, 5);
    EXPECT_LT(in, 35);
}

TEST_F(ExplainCommand, RefusesWhatIsNoPacket)
{
    const std::pair<const char*, const char*> wrong[] = {{"--dev va --remote 10.0.0.0/8", "a packet has one address"},
                                                         {"--dev va --remote-port 1-5", "a packet has one port"},
                                                         {"--dev va --direction both", "a packet goes one way"},
                                                         {"--dev va,lo", "--dev, --proto and --cgroup take one each"},
                                                         {"--dev va --proto nonsense", "--proto nonsense"},
                                                         {"--proto tcp", "--dev is required"}};
    for (const auto& [words, why] : wrong) {
        const auto refused = headwind(a(), std::string("explain ") + words);
        EXPECT_EQ(refused.status, 2) << words;
        EXPECT_THAT(refused.err, HasSubstr(why));
    }
}

}  // namespace
}  // namespace headwind::test::explain_test
