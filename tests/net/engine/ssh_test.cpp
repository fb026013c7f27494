// SPDX-License-Identifier: MIT
// A command spares the SSH connection on which it is typed, with a real sshd, sudo, su and tmux.
#include "net_test.h"

#include "ssh_host.h"

namespace headwind::test::ssh_test {
namespace {

// A user at b logs in at a.
class SshHostTest : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (const auto missing = SshHost::missing(); !missing.empty()) GTEST_SKIP() << missing;
        before_ = footprint(a());
        host_.emplace(a());
        ASSERT_TRUE(eventually([this] { return !host_->running() || answers(); }) && answers())
            << "sshd: " << host_->log();
    }
    void TearDown() override
    {
        host_.reset();
        PairTest::TearDown();
    }
    bool answers() const { return try_connect(b(), {Pair::a4, SshHost::port}).error == 0; }
    Login login(const std::string& user, const std::string& address = Pair::a4) const
    {
        return {*host_, b(), user, address};
    }
    std::string tmux() const { return "tmux -u -S " + host_->folder() + "/home/socket "; }

    // Expects that the session survives a partition typed in it. `before` and `after` go around the headwind command.
    void expect_spared(Login& session, const std::string& before = "", const std::string& after = "")
    {
        const auto typed = [&](const std::string& arguments) {
            return session.execute(before + "headwind " + arguments + after);
        };
        EXPECT_EQ(arrive(), 100U);
        EXPECT_EQ(typed("add --name x --partition --dev va --yes"), 0) << session.screen();
        EXPECT_EQ(session.execute("(exit 42)"), 42) << "typed while all is cut off:\n" << session.screen();
        EXPECT_EQ(arrive(), 0U);
        EXPECT_FALSE(answers()) << "not the port: this connection only";
        EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 2U) << headwind(a(), "list").out;
        EXPECT_EQ(typed("clear"), 0) << session.screen();
        EXPECT_EQ(session.execute("(exit 43)"), 43) << session.screen();
        EXPECT_EQ(arrive(), 100U);
        EXPECT_TRUE(answers());
        expect_footprint(a(), before_);
    }

private:
    std::optional<SshHost> host_;
    std::string before_;
};

TEST_F(SshHostTest, TypedAtTheShell)
{
    auto session = login("root");
    expect_spared(session);
    EXPECT_TRUE(session.leave());
}

TEST_F(SshHostTest, TypedAtTheShellOverV6)
{
    auto session = login("root", Pair::a6);
    expect_spared(session);
}

TEST_F(SshHostTest, UnderSudo)
{
    auto session = login(SshHost::user);
    EXPECT_EQ(session.execute("sudo printenv SSH_CONNECTION"), 1) << "sudo does not hand it on";
    expect_spared(session, "sudo ");
    expect_spared(session, "sudo -i ");
}

TEST_F(SshHostTest, UnderSu)
{
    auto session = login(SshHost::user);
    EXPECT_EQ(session.execute("su - -c 'printenv SSH_CONNECTION'"), 1) << "su does not hand it on";
    expect_spared(session, "su - -c '", "'");
    session.type("su -");
    expect_spared(session);
}

TEST_F(SshHostTest, InATmuxOfTheSession)
{
    auto session = login(SshHost::user);
    session.type(tmux() + "new -s work");
    ASSERT_TRUE(session.shows("[work]")) << session.screen();
    expect_spared(session, "sudo ");
}

// The server of tmux is no descendant of the session that looks at it, and the environment of its shells is that of the
// session that started it.
TEST_F(SshHostTest, InATmuxOfAnEarlierSession)
{
    auto earlier = login(SshHost::user);
    EXPECT_EQ(earlier.execute(tmux() + "new -d -s work"), 0) << earlier.screen();
    ASSERT_TRUE(earlier.leave());
    auto session = login(SshHost::user);
    session.type(tmux() + "attach -t work");
    ASSERT_TRUE(session.shows("[work]")) << session.screen();
    expect_spared(session, "sudo ");
}

}  // namespace
}  // namespace headwind::test::ssh_test
