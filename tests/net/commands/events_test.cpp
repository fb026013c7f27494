// SPDX-License-Identifier: MIT
// `headwind events`: what commands did and who, what the agent saw, and what the next command finds without one.
#include "net_test.h"

#include <filesystem>
#include <fstream>

#include "agent_test.h"

namespace headwind::test::events_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Events : public Agent {
protected:
    void SetUp() override
    {
        Agent::SetUp();
        std::error_code error;  // those of tests before; /run/headwind is this process's own
        for (const char* file : {"events.jsonl", "events.old.jsonl"})
            fs::remove(std::string("/run/headwind/") + file, error);
    }
};

// The events of the rule that are kept, oldest first; "": of all.
std::vector<nlohmann::json> kept(const std::string& rule = "", const std::string& options = "")
{
    std::vector<nlohmann::json> out;
    const auto output = run(nullptr, words(headwind_binary() + " events --no-follow --json " + options), {});
    EXPECT_EQ(output.status, 0) << output.err;
    std::istringstream lines(output.out);
    for (std::string line; std::getline(lines, line);)
        if (auto event = nlohmann::json::parse(line); rule.empty() || event.value("rule", "") == rule)
            out.push_back(std::move(event));
    return out;
}

std::vector<std::string> names(const std::vector<nlohmann::json>& events)
{
    std::vector<std::string> out;
    for (const auto& event : events) out.push_back(event["event"]);
    return out;
}

TEST_F(Events, SayWhichCommandAndWhose)
{
    change(a(), "add --name x --loss 1% --remote-port 80");
    change(a(), "change x --loss 2%");
    change(a(), "add --name x --replace --loss 3% --remote-port 80");
    const auto sudo = run(&a(), words(headwind_binary() + " del x"), {"SUDO_USER=alice"});
    EXPECT_EQ(sudo.status, 0) << sudo.err;
    const auto of_x = kept("x");
    ASSERT_THAT(names(of_x), ElementsAre("added", "changed", "replaced", "removed"));
    EXPECT_EQ(of_x[0]["command"], "headwind add");
    EXPECT_EQ(of_x[0]["user"], "root");
    EXPECT_EQ(of_x[0]["netns_inode"], a().inode());
    EXPECT_EQ(of_x[0]["netns"], a().path());
    EXPECT_THAT(of_x[1]["message"].get<std::string>(), HasSubstr("loss 2%"));
    EXPECT_EQ(of_x[3]["user"], "alice");
    change(a(), "panic");
    change(a(), "panic --off");
    const auto all = names(kept());
    EXPECT_THAT(std::vector(all.end() - 2, all.end()), ElementsAre("panic", "panic-over"));
}

TEST_F(Events, AreToldAsTheyHappenOfTheNamespaceThatIsNamed)
{
    change(a(), "add --name before --loss 1% --remote-port 80");
    Process following(&a(), words(headwind_binary() + " events --json --netns " + a().path()), {});
    EXPECT_TRUE(eventually([&] { return following.err().find("no agent runs") != std::string::npos; }));
    change(b(), "add --name other --loss 1% --remote-port 80");
    change(a(), "add --name x --loss 1% --remote-port 81");
    EXPECT_TRUE(eventually([&] { return following.out().find("\"rule\":\"x\"") != std::string::npos; }));
    EXPECT_THAT(following.out(), Not(HasSubstr("\"other\"")));
    EXPECT_THAT(following.out(), Not(HasSubstr("\"before\"")));
    following.signal(SIGTERM);
    following.wait();
}

TEST_F(Events, TheKeptOnesEndWithThePastAndBeginWhereAsked)
{
    change(a(), "add --name x --loss 1% --remote-port 80");
    EXPECT_THAT(kept("x", "--since 1h"), testing::SizeIs(1));
    EXPECT_THAT(kept("x", "--since 1ns"), IsEmpty());
    EXPECT_THAT(kept("x", "--netns " + b().path()), IsEmpty());
    const auto text = run(nullptr, words(headwind_binary() + " events --no-follow"), {}).out;
    EXPECT_THAT(text, HasSubstr("Z " + a().path() + ": rule x: added: packets sent to port 80"));
    EXPECT_THAT(text, HasSubstr("(root, headwind add)"));
    const auto refused = headwind(a(), "events --since yesterday");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("--since"));
}

// `headwind events | head -1` ends.
TEST_F(Events, EndWithTheirReader)
{
    change(a(), "add --name x --loss 1% --remote-port 80");
    Process piped(nullptr, {"bash", "-c", headwind_binary() + " events --since 1h | head -n 1"}, {});
    EXPECT_EQ(piped.wait().status, 0);
    EXPECT_THAT(piped.out(), HasSubstr("rule x"));
}

TEST_F(Events, OfAThousandRulesAndMoreAreCounted)
{
    const auto file = testing::TempDir() + "events.rules";
    std::ofstream lines(file);
    for (int port = 1; port <= 1'003; ++port)
        lines << "add --name r" << port << " --loss 1% --remote-port " << port << "\n";
    lines.close();
    change(a(), "batch " + file);
    fs::remove(file);
    const auto all = kept();
    ASSERT_GE(all.size(), 1'001U);
    EXPECT_EQ(all.back()["message"], "and 3 more rules in the same instant");
    EXPECT_EQ(all.back()["command"], "headwind batch");
}

TEST_F(Events, WithoutAnAgentTheNextCommandTellsWhatItFinds)
{
    ip(a(), "link add gone type veth peer name gone2");
    change(a(), "add --name held --loss 1% --remote-port 80 --lease 1s --owner ci");
    change(a(), "add --name there --dev gone --loss 1%");
    ip(a(), "link del gone");
    EXPECT_TRUE(eventually([&] { return state_of(a(), "held") == "lease ended"; }));
    change(a(), "add --name x --loss 1% --remote-port 81");
    EXPECT_THAT(names(kept("held")), ElementsAre("added", "lease-lost"));
    const auto there = kept("there");
    ASSERT_THAT(names(there), ElementsAre("added", "device-gone"));
    EXPECT_FALSE(there[1].contains("command")) << "no command did it";
    EXPECT_EQ(there[1]["netns_inode"], a().inode());
}

TEST_F(Events, TheAgentTellsWhatHappensByItself)
{
    RunningAgent agent(home());
    change(a(), "add --name cut --dev va --partition --remote-port 5000");
    change(a(), "add --name short --loss 1% --remote-port 80 --for 1s");
    agent.heard("expired", "short");
    take_programs_off(a(), "va");
    agent.heard("foreign-change");
    EXPECT_THAT(agent.all("foreign-change")[0]["why"], HasSubstr("took Headwind's program off va"));
    agent.heard("not-effective", "cut");
    agent.heard("healed", "cut");
    EXPECT_EQ(state_of(a(), "cut"), "live");
    remove_pair();
    agent.heard("device-gone", "cut");
    make_pair_anew();
    agent.heard("device-back", "cut");
    change(a(), "del cut");
    agent.heard("removed", "cut");
    EXPECT_EQ(agent.all("removed", "cut")[0]["command"], "headwind del") << "commands are in its log, too";
    EXPECT_THAT(names(kept("cut")),
                ElementsAre("added", "not-effective", "healed", "device-gone", "device-back", "removed"));
    EXPECT_THAT(names(kept("short")), ElementsAre("added", "expired"));
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

// The line is taken apart by our own command then.
TEST_F(Events, ACommandAtWorkIsNoChangeByOthers)
{
    change(a(), "add --name stays --dev lo --partition --remote-port 9");
    RunningAgent agent(home());
    for (int round = 0; round < 10; ++round) {
        change(a(), "add --name lossy --dev va --loss 50%");
        change(a(), "clear --all");
    }
    change(a(), "add --name last --dev va --loss 50%");
    agent.heard("added", "last");
    EXPECT_THAT(agent.all("foreign-change"), IsEmpty());
    EXPECT_THAT(agent.all("not-effective"), IsEmpty());
}

TEST_F(Events, ThatCannotBeKeptStopNoCommand)
{
    fs::create_directory("/run/headwind/events.jsonl");
    const auto added = headwind(a(), "add --name x --loss 1% --remote-port 80");
    fs::remove("/run/headwind/events.jsonl");
    EXPECT_EQ(added.status, 0);
    EXPECT_THAT(added.err, HasSubstr("not kept for `headwind events`: "));
    EXPECT_EQ(state_of(a(), "x"), "live");
}

}  // namespace
}  // namespace headwind::test::events_test
