// SPDX-License-Identifier: MIT
// A network namespace has one change at a time; other namespaces go on, and nobody waits while a line drains.
#include "lock_test.h"
#include "net_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>

namespace headwind::test::lock_test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

using testing::HasSubstr;
using testing::Not;

class Lock : public PairTest {
protected:
    void TearDown() override
    {
        if (!IsSkipped()) {
            for (const auto* where : {&a(), &b()}) change(*where, "clear");
            EXPECT_FALSE(fs::exists(pins));
        }
        PairTest::TearDown();
    }
    static std::unique_ptr<Process> start(const Namespace& where, const std::string& arguments)
    {
        return std::make_unique<Process>(&where, words(headwind_binary() + " " + arguments));
    }
};

RUNS_IN("Lock.*", native, linux_6_12 | sanitized);
RUNS_IN("Lock.WhileALine*", native, linux_6_12);

TEST_F(Lock, WhoHoldsItIsNamedAndOthersGoOn)
{
    const HeldLock held(lock_of(a()));
    const auto start = monotonic_ns();
    const auto refused = headwind(a(), "add --name x --partition");
    EXPECT_EQ(refused.status, 6);
    EXPECT_THAT(refused.err, HasSubstr("process " + std::to_string(getpid()) + " ("));
    EXPECT_GT(monotonic_ns() - start, 4'900'000'000) << "it is waited for";
    EXPECT_EQ(headwind(a(), "list").status, 0) << "looking needs no lock";
    change(b(), "add --name y --dev vb --direction in --partition --proto udp");
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// Tests the lock of the instance and the lock of the host.
TEST_F(Lock, ThatIsSoonReleasedIsWaitedFor)
{
    for (const auto& name : {lock_of(a()), std::string("lock")}) {
        SCOPED_TRACE(name);
        HeldLock held(name);
        const auto add = start(a(), "add --name x --partition --dev va");
        usleep(700'000);
        EXPECT_TRUE(add->running());
        held.give_back();
        expect_ok(add->wait());
        EXPECT_EQ(arrive({.count = 20}), 0U);
        change(a(), "clear");
    }
}

// Many commands run at once on a slow machine: each is soon done, all of them together are not.
TEST_F(Lock, ThatChangesHandsIsWaitedFor)
{
    for (const auto& name : {lock_of(a()), std::string("lock")}) {
        SCOPED_TRACE(name);
        HeldLock made(name);
        std::vector<std::unique_ptr<Process>> holders;
        for (int i = 0; i < 2; ++i)
            holders.push_back(
                std::make_unique<Process>(&a(), Arguments{"flock", fmt::format("{}/{}", pins, name), "sleep", "3.5"}));
        ASSERT_TRUE(eventually([&made] { return made.waiting() == 2; }));
        made.give_back();
        expect_ok(headwind(a(), "add --name x --partition --dev va"));
        change(a(), "clear");
    }
}

// The holder is a command that was stopped while it held the lock.
TEST_F(Lock, AStoppedHolderHoldsUpItsOwnNamespaceOnly)
{
    const auto file = testing::TempDir() + "headwind-lock";
    std::ofstream lines(file);
    for (int i = 0; i < 2'000; ++i)
        lines << "add --name r" << i << " --partition --proto udp --remote-port " << 6000 + i << "\n";
    lines.close();
    const auto batch = start(a(), "batch " + file);
    ASSERT_TRUE(eventually([this] { return fs::exists(fmt::format("{}/{}/control", pins, a().inode())); }));
    batch->signal(SIGSTOP);
    change(b(), "add --name y --dev vb --direction in --partition --proto udp");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(headwind(a(), "add --name x --partition").status, 6);
    batch->signal(SIGCONT);
    expect_ok(batch->wait(120s));
    change(a(), "clear");
    fs::remove(file);
}

// Users may lock any file that they can open.
TEST_F(Lock, OthersCannotHoldUpAnybody)
{
    ASSERT_EQ(chmod("/sys/fs/bpf", 01777), 0);
    change(a(), "add --name x --partition --dev va");
    Process nobody(&a(), {"setpriv", "--reuid", "65534", "--clear-groups", "flock", "/sys/fs/bpf", "sleep", "100"});
    usleep(300'000);
    EXPECT_TRUE(nobody.running()) << nobody.err();
    const auto theirs = run(&a(), {"setpriv", "--reuid", "65534", "--clear-groups", "flock", "-n",
                                   std::string(pins) + "/" + lock_of(a()), "true"});
    EXPECT_THAT(theirs.err, HasSubstr("Permission denied"));
    const auto start = monotonic_ns();
    change(a(), "add --name y --partition --dev va --remote-port 1");
    EXPECT_LT(monotonic_ns() - start, 4'900'000'000);
    EXPECT_EQ(chmod("/sys/fs/bpf", 0700), 0);
}

TEST_F(Lock, WhileALineDrainsRulesCanBeAddedAndStay)
{
    SKIP_WITHOUT_FQ();
    change(a(), "add --name slow --dev va --delay 20s --proto udp");
    // To another port than arrive()'s: on a slow machine they leave the line only at the end of the test.
    send_udp(a(), {Pair::b4, 5999}, {.count = 20});
    const auto del = start(a(), "del slow");
    ASSERT_TRUE(eventually([this] { return parse_json(headwind(a(), "list --json"))["rules"].empty(); }));
    // `del` is stopped once it has given back the lock, so it still waits for the held packets, however long the next
    // commands take.
    ASSERT_TRUE(eventually([&] {
        del->signal(SIGSTOP);
        if (run(&a(), {"flock", "-n", std::string(pins) + "/" + lock_of(a()), "true"}).status == 0) return true;
        del->signal(SIGCONT);
        return false;
    }));
    ASSERT_TRUE(del->running());
    change(a(), "add --name next --dev va --partition --proto udp");
    change(b(), "add --name other --dev vb --partition --proto tcp");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    del->signal(SIGCONT);
    expect_ok(del->wait(120s));
    EXPECT_EQ(rule_of(a(), "next")["state"], "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// Commands run in as many namespaces at once as a node has pods, while one namespace clears many rules and another one
// drains for a minute. A command that had to wait for these would be refused after five seconds.
TEST_F(Lock, FortyNamespacesAtOnce)
{
    const std::size_t many = takes_long() && !slow_machine() ? 100'000 : 3'000;
    std::vector<std::unique_ptr<Namespace>> all;
    for (int i = 0; i < 40; ++i) all.push_back(std::make_unique<Namespace>(fmt::format("n{}", i)));
    const auto file = testing::TempDir() + "headwind-many";
    std::ofstream lines(file);
    for (std::size_t i = 0; i < many; ++i)
        lines << fmt::format("add --name r{} --partition --dev va --proto udp --remote 10.{}.{}.{}\n", i,
                             100 + i / 65536, i / 256 % 256, i % 256);
    lines.close();
    expect_ok(Process(&a(), words(headwind_binary() + " batch " + file)).wait(600s));
    std::unique_ptr<Process> drain;
    if (has_fq()) {
        change(b(), "add --name slow --dev vb --delay 60s --proto udp");
        send_udp(b(), {Pair::a4, 5000}, {.count = 20});
        drain = start(b(), "del slow");
    }
    const auto clear = start(a(), "clear");
    for (const std::string arguments :
         {"add --name x --dev lo --partition --proto udp", "change x --proto tcp", "del x"}) {
        std::vector<std::unique_ptr<Process>> commands;
        for (const auto& one : all) commands.push_back(start(*one, arguments));
        for (std::size_t i = 0; i < all.size(); ++i)
            expect_ok(commands[i]->wait(120s), arguments + " in " + all[i]->name());
    }
    expect_ok(clear->wait(600s));
    if (drain) expect_ok(drain->wait(600s));
    fs::remove(file);
    for (const auto& one : all) EXPECT_FALSE(fs::exists(fmt::format("{}/{}", pins, one->inode())));
}

}  // namespace
}  // namespace headwind::test::lock_test
