// SPDX-License-Identifier: MIT
// The audit: a line for each command that changed something, in the journal or on stderr.
#include "net_test.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

namespace headwind::test::audit_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr const char* run_systemd = "/run/systemd";

using Entry = std::map<std::string, std::string>;  // an entry of the journal: field -> value

// Parses an entry in the journal's native protocol: NAME=VALUE\n, or NAME\n, 8 bytes of length, VALUE\n.
Entry parse_entry(std::string text)
{
    Entry out;
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        const auto equal = line.find('=');
        std::size_t used = line.size() + 1;
        if (equal != std::string::npos) {
            out[line.substr(0, equal)] = line.substr(equal + 1);
        } else {
            std::uint64_t length = 0;
            std::memcpy(&length, text.data() + used, sizeof(length));
            out[line] = text.substr(used + sizeof(length), length);
            used += sizeof(length) + length + 1;
        }
        text.erase(0, used);
    }
    return out;
}

// Hides /run/systemd from this process and its children, so that there is no journal, or one of the test's own.
class Audit : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        made_ = mkdir(run_systemd, 0755) == 0;
        ASSERT_EQ(mount("tests", run_systemd, "tmpfs", 0, "mode=0755"), 0) << std::strerror(errno);
        mounted_ = true;
    }
    void TearDown() override
    {
        if (mounted_) umount2(run_systemd, MNT_DETACH);
        if (made_) rmdir(run_systemd);
        PairTest::TearDown();
    }

    void open_journal()
    {
        ASSERT_EQ(mkdir("/run/systemd/journal", 0755), 0);
        journal_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, "/run/systemd/journal/socket");
        ASSERT_EQ(bind(journal_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    }
    // The entries that have arrived since the last call. The commands have ended, so nothing is on its way.
    std::vector<Entry> entries() const
    {
        std::vector<Entry> out;
        std::string buffer(1 << 16, '\0');
        for (;;) {
            const auto size = recv(journal_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (size <= 0) return out;
            out.push_back(parse_entry(buffer.substr(0, static_cast<std::size_t>(size))));
        }
    }

    // Makes /dev/log, over the machine's /dev.
    void open_syslog()
    {
        const auto folder = testing::TempDir() + "dev";
        for (const char* part : {"", "/above", "/work"}) mkdir((folder + part).c_str(), 0755);
        const auto options = "lowerdir=/dev,upperdir=" + folder + "/above,workdir=" + folder + "/work";
        ASSERT_EQ(mount("tests", "/dev", "overlay", 0, options.c_str()), 0) << std::strerror(errno);
        syslog_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_un address{AF_UNIX, "/dev/log"};
        ASSERT_EQ(bind(syslog_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    }
    // Closes it, and returns what came.
    std::vector<std::string> close_syslog()
    {
        std::vector<std::string> out;
        std::string buffer(1 << 16, '\0');
        for (ssize_t size = 0; (size = recv(syslog_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;)
            out.push_back(buffer.substr(0, static_cast<std::size_t>(size)));
        syslog_ = Fd();
        EXPECT_EQ(umount2("/dev", MNT_DETACH), 0) << std::strerror(errno);
        std::error_code error;
        std::filesystem::remove_all(testing::TempDir() + "dev", error);
        return out;
    }

    // The lines that a command leaves on stderr.
    std::vector<std::string> lines(const std::string& command, int status = 0,
                                   const std::vector<std::string>& variables = {}) const
    {
        const auto output = run(&a(), words(headwind_binary() + " " + command), variables);
        EXPECT_EQ(output.status, status) << command << "\n" << output.err;
        std::vector<std::string> out;
        std::istringstream text(output.err);
        for (std::string line; std::getline(text, line);)
            if (line.find("audit") != std::string::npos) out.push_back(line);
        return out;
    }
    // The only line that a command leaves on stderr.
    std::string line(const std::string& command, const std::vector<std::string>& variables = {}) const
    {
        const auto all = lines(command, 0, variables);
        EXPECT_THAT(all, SizeIs(1)) << command;
        return all.empty() ? "" : all.front();
    }

private:
    bool made_ = false, mounted_ = false;
    Fd journal_, syslog_;
};

TEST_F(Audit, OneLineForEachChange)
{
    EXPECT_THAT(line("add --name x --loss 1% --remote-port 80"),
                AllOf(testing::MatchesRegex("headwind: audit: [0-9]+-[0-9]+-[0-9]+T[0-9:]+Z user .*"),
                      HasSubstr("(uid 0), headwind add in net:[" + std::to_string(a().inode()) +
                                "]: added x: packets sent to port 80 through ")));
    EXPECT_THAT(line("change x --loss 2%"), AllOf(HasSubstr("headwind change"), HasSubstr(": changed x: ")));
    EXPECT_THAT(line("change x --for 5m"), HasSubstr(": changed x: "));
    EXPECT_THAT(line("add --name x --replace --loss 3% --remote-port 80"), HasSubstr(": replaced x: "));
    EXPECT_THAT(line("add --name y --partition --remote-port 9 --protect 22"),
                AllOf(HasSubstr(": added y: "), HasSubstr("; left alone protect-22: ")));
    EXPECT_THAT(line("del y"), HasSubstr("headwind del in net:[" + std::to_string(a().inode()) + "]: removed y"));
    EXPECT_THAT(line("panic"), HasSubstr("headwind panic: every rule is off"));
    EXPECT_THAT(line("panic --off"), HasSubstr("headwind panic: the rules have their effect again"));
    EXPECT_THAT(line("clear"), AllOf(HasSubstr(": removed x"), HasSubstr("removed protect-22")));
    EXPECT_THAT(line("comcast --device va --packet-loss 1%"), HasSubstr(": added comcast: "));
    EXPECT_THAT(line("comcast --stop"), HasSubstr(": removed comcast"));
}

TEST_F(Audit, GoesToSyslogWhereThereIsNoJournal)
{
    open_syslog();
    EXPECT_THAT(lines("add --name x --loss 1% --remote-port 80"), IsEmpty()) << "nothing on stderr";
    const auto messages = close_syslog();
    ASSERT_THAT(messages, SizeIs(1));
    EXPECT_THAT(messages.front(), testing::MatchesRegex("<29>.* headwind: user .*: added x: .*"));
    EXPECT_THAT(line("del x"), HasSubstr("removed x")) << "on stderr, where nobody listens";
}

TEST_F(Audit, FilesAreOneChange)
{
    const auto file = testing::TempDir() + "audit.rules";
    std::ofstream(file) << "add --name one --loss 1% --port 80\nadd --name two --loss 1% --port 81\n";
    EXPECT_THAT(line("batch " + file), AllOf(HasSubstr("added one: "), HasSubstr("; added two: ")));
    line("clear");
    EXPECT_THAT(line("apply --owner set " + file), HasSubstr("headwind apply"));
    EXPECT_THAT(lines("apply --owner set " + file), IsEmpty()) << "it is so already";
    std::ofstream(file) << "add --name one --loss 1% --port 80\n";
    EXPECT_THAT(line("apply --owner set " + file), AllOf(HasSubstr("removed two"), Not(HasSubstr("one"))));
    EXPECT_THAT(line("apply --owner set --remove " + file), HasSubstr("removed one"));
    std::remove(file.c_str());
}

TEST_F(Audit, WhatIsToBeConfirmedIsToldTwice)
{
    EXPECT_THAT(line("add --name x --loss 1% --remote-port 80 --confirm 10m"),
                AllOf(HasSubstr(": added x: "), HasSubstr("; undone in 10m unless confirmed")));
    EXPECT_THAT(line("confirm"), HasSubstr(": confirmed what waited to be confirmed; in force: x"));
    EXPECT_THAT(lines("confirm", 3), IsEmpty());
    EXPECT_THAT(line("del x --confirm 10m"), AllOf(HasSubstr(": removed x"), HasSubstr("unless confirmed")));
    EXPECT_THAT(line("confirm --undo"), HasSubstr(": undid what waited to be confirmed; in force: x"));
}

TEST_F(Audit, RunBeginsAndEnds)
{
    const auto both = lines("run --name short --partition -- true");
    ASSERT_THAT(both, SizeIs(2));
    EXPECT_THAT(both[0], AllOf(HasSubstr("headwind run"), HasSubstr(": added short: ")));
    EXPECT_THAT(both[1], AllOf(HasSubstr("headwind run"), HasSubstr(": removed short")));
}

TEST_F(Audit, NoLineWhereNothingChanged)
{
    EXPECT_THAT(lines("add --name x --loss 1", 2), IsEmpty());
    EXPECT_THAT(lines("add --name x --loss 1% --dev nodevice", 3), IsEmpty());
    EXPECT_THAT(lines("del --if-exists x"), IsEmpty());
    EXPECT_THAT(lines("del x", 3), IsEmpty());
    EXPECT_THAT(lines("clear"), IsEmpty());
    EXPECT_THAT(lines("run --partition --dev nodevice -- true", 125), IsEmpty());
    line("add --name x --loss 1% --remote-port 80 --lease 1m");
    for (const std::string same : {"change x --loss 1%", "renew x", "list", "stats", "upgrade", "panic --off"})
        EXPECT_THAT(lines(same), IsEmpty()) << same;
    EXPECT_THAT(lines("add --name x --loss 1% --remote-port 80", 2), IsEmpty());
    line("panic");
    EXPECT_THAT(lines("panic"), IsEmpty());
    line("panic --off");
}

TEST_F(Audit, NobodyForgesALine)
{
    const auto forged =
        line("add --name x --loss 1% --remote-port 80", {"SUDO_USER=eve)\nheadwind: audit: user root\x1b[2J"});
    EXPECT_THAT(forged, HasSubstr("by sudo from eve)\\x0aheadwind: audit: user root\\x1b[2J)"));
    open_journal();
    EXPECT_THAT(lines("del x", 0, {"SUDO_USER=eve\nHEADWIND_USER=root"}), IsEmpty());
    const auto told = entries();
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0].at("HEADWIND_USER"), "eve\\x0aHEADWIND_USER=root");
    EXPECT_THAT(told[0].at("MESSAGE"), Not(HasSubstr("\n")));
}

TEST_F(Audit, GoesToTheJournalWithItsFields)
{
    open_journal();
    EXPECT_THAT(lines("add --name x --loss 1% --remote-port 80 --protect 22", 0, {"SUDO_USER=alice"}), IsEmpty());
    auto told = entries();
    ASSERT_THAT(told, SizeIs(1));
    auto& entry = told[0];
    EXPECT_THAT(entry["MESSAGE"],
                AllOf(HasSubstr("(uid 0, by sudo from alice), headwind add"), HasSubstr("added x: ")));
    EXPECT_EQ(entry["HEADWIND_USER"], "alice");
    EXPECT_EQ(entry["HEADWIND_COMMAND"], "add");
    EXPECT_EQ(entry["HEADWIND_RULES"], "x protect-22");
    EXPECT_EQ(entry["HEADWIND_NETNS"], "net:[" + std::to_string(a().inode()) + "]");
    EXPECT_EQ(entry["SYSLOG_IDENTIFIER"], "headwind");
    EXPECT_EQ(entry["PRIORITY"], "5");
    EXPECT_THAT(lines("add --name x --loss 1% --remote-port 80", 2), IsEmpty());
    EXPECT_THAT(entries(), IsEmpty());
}

// The journal's socket exists, and nobody reads it.
TEST_F(Audit, GoesToStderrWhereTheJournalIsDead)
{
    ASSERT_EQ(mkdir("/run/systemd/journal", 0755), 0);
    std::ofstream("/run/systemd/journal/socket").flush();
    line("add --name x --loss 1% --remote-port 80");
}

}  // namespace
}  // namespace headwind::test::audit_test
