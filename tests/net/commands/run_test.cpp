// SPDX-License-Identifier: MIT
// headwind run: a command in a cgroup of its own is impaired as long as it runs, and nothing is left however it ends.
#include "net_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "host/cgroup.h"

namespace headwind::test::run_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A bash script that sends `count` packets to b, `pause` seconds apart.
std::string send_script(unsigned count, const std::string& pause = "0.01")
{
    return "exec 3>/dev/udp/10.77.0.2/5000; for ((i = 0; i < " + std::to_string(count) +
           "; i++)); do echo $i >&3; sleep " + pause + "; done";
}

class Run : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        before_ = footprint(a());
        home_.emplace();
    }

    static Arguments command(const std::string& options, const Arguments& what)
    {
        auto all = words(headwind_binary() + " run " + options + " --");
        all.insert(all.end(), what.begin(), what.end());
        return all;
    }
    static Arguments script(const std::string& text) { return {"bash", "-c", text}; }

    Output run_under(const std::string& options, const Arguments& what) const
    {
        return test::run(&a(), command(options, what));
    }

    void expect_nothing_left() const
    {
        expect_footprint(a(), before_);
        EXPECT_EQ(headwind(a(), "list").out, "no rules\n");
        EXPECT_THAT(home_->of_run_commands(), IsEmpty());
    }

    bool rule_is_live() const { return headwind(a(), "list").out.find("  live  ") != std::string::npos; }

    // Starts run and waits until the command says "ready".
    std::unique_ptr<Process> start(const std::string& options, const std::string& text) const
    {
        auto process = std::make_unique<Process>(&a(), command(options, script(text)));
        EXPECT_TRUE(eventually([&] { return process->out().find("ready") != std::string::npos; })) << process->err();
        return process;
    }

    std::optional<HomeCgroup> home_;

private:
    std::string before_;
};

RUNS_IN("Run.*", native, sanitized);
RUNS_IN("Run.ExitCode*", native, linux_6_1 | sanitized);

TEST_F(Run, ExitCodeIsTheCommands)
{
    EXPECT_EQ(run_under("--partition", {"true"}).status, 0);
    EXPECT_EQ(run_under("--partition", script("exit 7")).status, 7);
    EXPECT_EQ(run_under("--partition", script("kill -KILL $$")).status, 128 + SIGKILL);
    EXPECT_EQ(run_under("--partition", script("kill -TERM $$")).status, 128 + SIGTERM);
    expect_nothing_left();
}

TEST_F(Run, OwnFailuresAre125To127)
{
    EXPECT_EQ(run_under("--loss 5", {"true"}).status, 125);
    EXPECT_EQ(run_under("--no-such-flag", {"true"}).status, 125);
    EXPECT_EQ(run_under("--partition --user nobody-of-this-name", {"true"}).status, 125);
    EXPECT_EQ(run_under("--partition --dev nodevice", {"true"}).status, 125);
    EXPECT_EQ(run_under("--partition", {"/etc/passwd"}).status, 126);
    EXPECT_EQ(run_under("--partition", {"/no/such/command"}).status, 127);
    EXPECT_EQ(run_under("--partition", {"nosuchcommandanywhere"}).status, 127);
    expect_nothing_left();
}

TEST_F(Run, OnlyTheCommandIsImpaired)
{
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto process =
        start("--partition", "echo ready; " + send_script(20) + "; exec 3>&-; read -t 1 <> <(:); exit 3");
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 100U) << "others are not";
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("by cgroup "));
    EXPECT_EQ(process->wait().status, 3);
    EXPECT_EQ(sink.finish().size(), 0U);
    expect_nothing_left();
}

// Unlike a cgroup that others share, the command has nothing to say that is not meant.
TEST_F(Run, OnLoopbackToo)
{
    const auto received = [this](const std::string& options) {
        UdpSink sink(a(), {"127.0.0.1", 5000});
        const auto send = script("for i in 1 2 3; do echo a datagram >/dev/udp/127.0.0.1/5000; done");
        EXPECT_EQ(run_under(options, send).status, 0);
        return sink.finish().size();
    };
    EXPECT_EQ(received("--pass"), 3U);
    EXPECT_EQ(received("--partition"), 0U);
    EXPECT_EQ(received("--partition --dev va"), 3U);
}

TEST_F(Run, PassesOutputOn)
{
    const auto output = run_under("--partition", script("echo to stdout; echo to stderr >&2"));
    EXPECT_EQ(output.out, "to stdout\n");
    EXPECT_EQ(without_audit(output.err), "to stderr\n");
}

TEST_F(Run, ChildrenAndDaemonsAreImpairedAsLongAsItRuns)
{
    UdpSink sink(b(), {Pair::b4, 5000});
    // The daemon outlives the command.
    const auto daemon = "(setsid bash -c '" + send_script(10'000, "0.05") + "' &)";
    const auto process =
        start("--partition", daemon + "; (" + send_script(10) + "); sleep 1; echo ready; exec sleep 100");
    EXPECT_EQ(sink.count(), 0U);
    process->signal(SIGTERM);
    EXPECT_EQ(process->wait().status, 128 + SIGTERM);
    EXPECT_TRUE(eventually([&] { return sink.count() > 5; })) << "then it is free";
    expect_nothing_left();
}

TEST_F(Run, SignalsReachTheCommand)
{
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        const auto process =
            start("--partition", "trap 'echo got; exit 9' INT TERM HUP QUIT; echo ready; while :; do sleep 0.02; done");
        process->signal(number);
        const auto output = process->wait();
        EXPECT_FALSE(output.timed_out) << number;
        EXPECT_EQ(output.status, 9) << number;
        EXPECT_THAT(output.out, HasSubstr("got")) << number;
        expect_nothing_left();
    }
}

TEST_F(Run, ASignalThatEndsTheCommandIsItsExitCode)
{
    const auto process = start("--partition", "echo ready; exec sleep 100");
    process->signal(SIGTERM);
    EXPECT_EQ(process->wait().status, 128 + SIGTERM);
    expect_nothing_left();
}

// The lease takes 3 s, and is renewed each second.
TEST_F(Run, SigkillEndsTheImpairmentWithin3Seconds)
{
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto process = start("--partition", "echo ready; " + send_script(2000, "0.02"));
    usleep(3'500'000);
    EXPECT_EQ(sink.count(), 0U) << "renewed beyond the first lease";
    const auto killed = monotonic_ns();
    process->signal(SIGKILL);
    process->wait();
    std::this_thread::sleep_for(std::chrono::nanoseconds(killed + 3'050'000'000 - monotonic_ns()));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("lease ended"));
    EXPECT_TRUE(eventually([&] { return sink.count() > 3; }));
    const auto arrivals = sink.finish(std::chrono::milliseconds(1));
    ASSERT_FALSE(arrivals.empty());
    EXPECT_GT(arrivals.front().arrived_ns, killed + 1'000'000'000) << "impaired until the lease ends";

    // The next change removes the rule.
    change(a(), "add --name other --partition --remote-port 9");
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("run-")));
    // A command of another test may be about to remove the cgroup.
    EXPECT_TRUE(eventually([&] { return home_->of_run_commands().empty(); }));
    change(a(), "clear");
    expect_nothing_left();
}

// `clear` of another PID namespace (a container's, say) sees the processes, but has no number for them.
TEST_F(Run, ASweepInAnotherPidNamespaceMovesNobody)
{
    const auto process = start("--partition", "echo ready; exec sleep 1000");
    process->signal(SIGKILL);
    process->wait();
    const auto mount = cgroup2_mount();
    ASSERT_TRUE(mount);
    const pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0) _exit(3);
        const pid_t inner = fork();
        if (inner == 0) {
            std::ofstream(*mount + "/cgroup.procs") << 0 << std::flush;  // away from the parent of the command's
            const auto before = own_cgroup_path();
            sweep_command_cgroups(Sweep::all);
            const auto after = own_cgroup_path();
            _exit(before && after && *before == *after ? 0 : 2);
        }
        int waited = 0;
        waitpid(inner, &waited, 0);
        _exit(WEXITSTATUS(waited));
    }
    int waited = 0;
    ASSERT_EQ(waitpid(outer, &waited, 0), outer);
    EXPECT_EQ(WEXITSTATUS(waited), 0) << "it moved itself";
    EXPECT_THAT(home_->of_run_commands(), testing::SizeIs(1)) << "the command is still there";
    change(a(), "clear");
    expect_nothing_left();
}

TEST_F(Run, AsAnotherUser)
{
    EXPECT_EQ(run_under("--partition --user nobody", {"id", "-u"}).out, run(nullptr, {"id", "-u", "nobody"}).out);
    EXPECT_EQ(run_under("--partition --user 1", {"id", "-u"}).out, "1\n");
    EXPECT_EQ(run_under("--partition --user nobody", script("echo $HOME")).out,
              run(nullptr, script("getent passwd nobody | cut -d: -f6")).out);
    EXPECT_EQ(run_under("--partition --user nobody", {"id", "-G"}).out, run(nullptr, {"id", "-G", "nobody"}).out);
    // Under sudo the command runs as the user who called sudo.
    EXPECT_EQ(run(&a(), command("--partition", {"id", "-un"}), {"SUDO_USER=nobody"}).out, "nobody\n");
    expect_nothing_left();
}

TEST_F(Run, TwoAtOnceAreImpairedEachByItsOwn)
{
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto split = start("--partition --name split", "echo ready; exec sleep 100");
    const auto spared =
        start("--partition --remote-port 5001 --name spared", send_script(10) + "; echo ready; exec sleep 100");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 2U);
    spared->signal(SIGTERM);
    EXPECT_EQ(spared->wait().status, 128 + SIGTERM);
    EXPECT_EQ(sink.finish().size(), 10U);
    EXPECT_TRUE(rule_is_live());
    split->signal(SIGTERM);
    EXPECT_EQ(split->wait().status, 128 + SIGTERM);
    expect_nothing_left();
}

TEST_F(Run, WhereItsRuleIsTakenAwayTheCommandGoesOn)
{
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto fifo = testing::TempDir() + "go";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const auto process =
        start("--partition", "echo ready; read -r < " + fifo + "; " + send_script(30, "0.05") + "; exit 4");
    change(a(), "clear");
    std::ofstream(fifo) << "go" << std::endl;
    std::filesystem::remove(fifo);
    const auto output = process->wait();
    EXPECT_EQ(output.status, 4);
    EXPECT_THAT(output.err, HasSubstr("goes on unimpaired"));
    EXPECT_EQ(sink.finish().size(), 30U);
    expect_nothing_left();
}

}  // namespace
}  // namespace headwind::test::run_test
