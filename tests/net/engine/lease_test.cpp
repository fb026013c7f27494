// SPDX-License-Identifier: MIT
// Rules that end with their owner (--lease, --hold, renew); and the owners whose rules `clear` takes.
#include "net_test.h"

#include <signal.h>

#include "ruleset/index.h"

namespace headwind::test::lease_test {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class Lease : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    std::unique_ptr<Process> hold(const std::string& options) const
    {
        auto process = std::make_unique<Process>(&a(), words(headwind_binary() + " add --hold " + options));
        EXPECT_TRUE(eventually([&] { return process->out().find(" sent ") != std::string::npos; })) << process->err();
        return process;
    }
    std::string state(const std::string& name) const { return rule_of(a(), name)["state"]; }
    void expect_nothing_left() const { expect_footprint(a(), before_); }

    // Stops the holder's renewals with `signal`, and expects that traffic is impaired until the lease ends, and free
    // then.
    void expect_free_after(int signal)
    {
        const auto holder = hold("--name h --proto udp --loss 100% --lease 2s");
        UdpSink sink(b(), {Pair::b4, 5000});
        std::atomic<bool> stop{false};
        Sent sent;
        std::thread sender([&] {
            sent = send_udp(a(), {Pair::b4, 5000}, {.count = 1'000'000, .per_second = 200, .stop = &stop});
        });
        std::this_thread::sleep_for(2500ms);
        EXPECT_EQ(sink.count(), 0U) << "renewed beyond the first lease";
        const auto ended = monotonic_ns();
        holder->signal(signal);
        const auto latest = monotonic_ns() + 2'000'000'000;
        EXPECT_TRUE(eventually([&] { return sink.count() > 3; }));
        stop = true;
        sender.join();
        const auto arrivals = sink.finish(100ms);
        ASSERT_FALSE(arrivals.empty());
        EXPECT_GT(arrivals.front().arrived_ns, ended + 500'000'000) << "renewed three times in a lease";
        EXPECT_LE(last_lost_ns(sent, arrivals), latest);
        EXPECT_EQ(state("h"), "lease ended");
        if (signal == SIGSTOP) {  // the holder goes on too late: the next change removes the rule
            change(a(), "add --name other --partition --remote-port 9");
            holder->signal(SIGCONT);
            const auto output = holder->wait();
            EXPECT_EQ(output.status, 3);
            EXPECT_THAT(output.err, HasSubstr("the rule was removed"));
        }
        change(a(), "clear");
        expect_nothing_left();
    }

private:
    std::string before_;
};

TEST_F(Lease, EndsWithAHolderThatIsKilled)
{
    expect_free_after(SIGKILL);
}

TEST_F(Lease, EndsWithAHolderThatIsStopped)
{
    expect_free_after(SIGSTOP);
}

TEST_F(Lease, AHolderThatIsAskedToEndTakesItsRuleAway)
{
    for (const int signal : {SIGINT, SIGTERM}) {
        const auto holder = hold("--name h --partition");
        EXPECT_THAT(headwind(a(), "list").out, HasSubstr("while its lease of 3 s is renewed"));
        EXPECT_EQ(arrive(), 0U);
        holder->signal(signal);
        EXPECT_EQ(holder->wait().status, 0);
        EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
        expect_nothing_left();
    }
}

TEST_F(Lease, IsRenewedByName)
{
    change(a(), "add --name l --partition --lease 1500ms");
    change(a(), "add --name forever --partition --remote-port 9");
    for (int i = 0; i < 5; ++i) {
        std::this_thread::sleep_for(500ms);
        expect_ok(headwind(a(), "renew l"));
    }
    EXPECT_EQ(state("l"), "live");
    EXPECT_EQ(arrive(), 0U);
    std::this_thread::sleep_for(1600ms);
    EXPECT_EQ(state("l"), "lease ended");
    EXPECT_EQ(arrive(), 100U);
    expect_ok(headwind(a(), "renew l"));
    EXPECT_EQ(arrive(), 0U) << "as long as nothing removed it";

    const auto both = headwind(a(), "renew l forever");
    EXPECT_EQ(both.status, 2);
    EXPECT_THAT(both.err, HasSubstr("forever has no lease"));
    EXPECT_EQ(headwind(a(), "renew l nothing").status, 3);
    EXPECT_EQ(headwind(b(), "renew l").status, 3) << "no instance";
}

// The index finds names by a hash of 32 bits, which these two share.
TEST_F(Lease, NamesWithOneHashAreTwo)
{
    change(a(), "add --name n157538 --partition --remote-port 9 --lease 1h");
    change(a(), "add --name n296006 --partition --remote-port 10");
    ASSERT_EQ(name_hash("n157538"), name_hash("n296006"));
    expect_ok(headwind(a(), "renew n157538"));
    EXPECT_EQ(headwind(a(), "renew n296006").status, 2);
    EXPECT_EQ(change(a(), "del n157538").out, "removed n157538\n");
    EXPECT_EQ(names_of(a()), std::vector<std::string>{"n296006"});
    EXPECT_EQ(headwind(a(), "del n157538").status, 3);
}

TEST_F(Lease, ThatIsTooShortToRenewIsRefused)
{
    for (const std::string command : {"add --name x --partition --lease ", "run --partition --lease "}) {
        for (const std::string lease : {"100ms", "0s", "5", "-1s", "soon"}) {
            const auto output = headwind(a(), command + lease + (command.starts_with("run") ? " -- true" : ""));
            EXPECT_EQ(output.status, command.starts_with("run") ? 125 : 2) << lease;
            EXPECT_THAT(output.err, HasSubstr("--lease"));
        }
    }
    expect_nothing_left();
}

TEST_F(Lease, OfRunIsAsAsked)
{
    auto command = words(headwind_binary() + " run --partition --lease 900ms -- bash -c");
    command.push_back("$0 list --json; sleep 1.5; $0 list --json");
    command.push_back(headwind_binary());
    const auto output = run(&a(), command);
    EXPECT_EQ(output.status, 0) << output.err;
    std::size_t live = 0;
    for (auto at = output.out.find("\"state\": \"live\""); at != std::string::npos;
         at = output.out.find("\"state\": \"live\"", at + 1))
        ++live;
    EXPECT_EQ(live, 2U) << "renewed: " << output.out;
    EXPECT_THAT(output.out, HasSubstr("\"lease_ns\": 900000000"));
}

TEST_F(Lease, ClearTakesTheRulesOfItsOwner)
{
    change(a(), "add --name mine --partition --remote-port 9");
    change(a(), "add --name ci --partition --remote-port 10 --owner ci-7");
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("(of ci-7)"));
    const auto mine = headwind(a(), "clear");
    EXPECT_EQ(mine.out, "removed mine\n");
    EXPECT_THAT(mine.err, HasSubstr("ci stays, it is of ci-7"));
    const auto nothing = parse_json(headwind(a(), "clear --json"));
    EXPECT_EQ(nothing["removed"].size(), 0U);
    EXPECT_EQ(nothing["left"], nlohmann::json({"ci"}));
    EXPECT_EQ(nothing["instance_gone"], false);

    change(a(), "add --name mine --partition --remote-port 9");
    EXPECT_EQ(headwind(a(), "clear --owner ci-7").out, "removed ci\n");
    EXPECT_EQ(rule_of(a(), "mine")["state"], "live");
    change(a(), "add --name ci --partition --remote-port 10 --owner ci-7");
    EXPECT_THAT(headwind(a(), "clear --all").out, testing::AllOf(HasSubstr("removed ci"), HasSubstr("removed mine")));
    expect_nothing_left();
}

TEST_F(Lease, OwnersAreTheUserOrWhatTheEnvironmentSays)
{
    const auto as = [this](const std::string& variable, const std::string& arguments) {
        return run(&a(), words(headwind_binary() + " " + arguments), {variable});
    };
    expect_ok(as("SUDO_USER=nobody", "add --name n --partition --remote-port 9"));
    EXPECT_EQ(rule_of(a(), "n")["owner"], "nobody");
    expect_ok(as("HEADWIND_OWNER=job-1", "add --name j --partition --remote-port 10"));
    EXPECT_EQ(rule_of(a(), "j")["owner"], "job-1");
    EXPECT_EQ(as("HEADWIND_OWNER=job-1", "clear").out, "removed j\n");
    EXPECT_EQ(as("SUDO_USER=nobody", "clear").out, "removed n\n");
    EXPECT_EQ(headwind(a(), "add --name x --partition --owner a\x01z").status, 2);
    expect_nothing_left();
}

// The kernel's clock has no time namespaces, so a command typed in one counts by the host's clock.
TEST_F(Lease, DeadlinesOfACommandInATimeNamespace)
{
    const auto ahead = [this](const std::string& arguments) {
        return run(&a(), words("unshare --time --fork --boottime 100000 " + headwind_binary() + " " + arguments));
    };
    const auto added = ahead("add --name r --proto udp --loss 100% --for 1h");
    if (added.err.find("unshare") != std::string::npos) GTEST_SKIP() << "this kernel has no time namespaces";
    expect_ok(added);
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(state("r"), "live");
    expect_ok(ahead("change r --for 500ms"));
    EXPECT_TRUE(eventually([this] { return state("r") == "expired"; }));
    EXPECT_EQ(arrive(), 100U);
    EXPECT_THAT(ahead("list").out, HasSubstr("expired"));
    change(a(), "clear");
    expect_nothing_left();
}

}  // namespace
}  // namespace headwind::test::lease_test
