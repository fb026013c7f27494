// SPDX-License-Identifier: MIT
// No command cuts off its own user: SSH connections are spared, and rules without an end need consent.
#include "net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace headwind::test::safety_test {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

constexpr std::uint16_t ssh_port = 2200;

std::uint16_t port_of(const Fd& socket)
{
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    EXPECT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                              : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
}

// A user at b is logged in at a over SSH.
class Ssh : public PairTest, public testing::WithParamInterface<bool> {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        before_ = footprint(a());
        login_.emplace(connect_tcp(b(), a(), server()));
        EXPECT_TRUE(flows(*login_));
    }
    bool v6() const { return GetParam(); }
    Endpoint server() const { return {v6() ? Pair::a6 : Pair::a4, ssh_port}; }
    std::string ssh_connection(const TcpPair& login) const
    {
        return fmt::format("SSH_CONNECTION={} {} {} {}", v6() ? Pair::b6 : Pair::b4, port_of(login.sender),
                           v6() ? Pair::a6 : Pair::a4, ssh_port);
    }
    Output typed(const std::string& arguments, const TcpPair& login) const
    {
        return run(&a(), words(headwind_binary() + " " + arguments), {ssh_connection(login)});
    }
    Output typed(const std::string& arguments) const { return typed(arguments, *login_); }
    static bool flows(const TcpPair& login) { return send_tcp(login, 10'000, 2s).error.empty(); }
    const TcpPair& login() const { return *login_; }
    void end_login() { login_.reset(); }
    const std::string& before() const { return before_; }

private:
    std::optional<TcpPair> login_;
    std::string before_;
};

INSTANTIATE_TEST_SUITE_P(Versions, Ssh, testing::Bool(),
                         [](const auto& version) { return version.param ? "v6" : "v4"; });

TEST_P(Ssh, ConnectionThatACommandIsTypedOnIsSpared)
{
    const auto other = connect_tcp(b(), a(), server());
    const auto added = typed("add --name all --partition");
    expect_ok(added);
    EXPECT_THAT(added.out, HasSubstr("all: all frames but ARP, neighbour discovery and DHCP sent and received"));
    EXPECT_THAT(added.err, HasSubstr("spared: TCP packets sent and received"));
    EXPECT_TRUE(flows(login()));
    EXPECT_FALSE(flows(other)) << "only this one";
    EXPECT_EQ(arrive(), 0U);
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("ssh-"));

    // The guard goes with the last rule, whichever command removes that.
    EXPECT_EQ(typed("del all").out, "removed all\n");
    expect_footprint(a(), before());
    expect_ok(typed("add --name all --partition --lease 300ms"));
    usleep(400'000);
    change(a(), "clear");
    expect_footprint(a(), before());
}

TEST_P(Ssh, ConnectionIsImpairedByARuleThatNamesItsPort)
{
    expect_ok(typed("add --name all --partition --direction out"));
    EXPECT_TRUE(flows(login()));
    const auto refused = typed("add --name ssh --partition --local-port " + std::to_string(ssh_port));
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("the SSH connection this is typed on"));
    EXPECT_TRUE(flows(login()));
    expect_ok(typed("add --name ssh --partition --for 1m --local-port " + std::to_string(ssh_port)));
    EXPECT_FALSE(flows(login()));
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("ssh-")));
    change(a(), "clear");
    expect_footprint(a(), before());
}

// A bridge is no device of rules without --dev; the connection is spared there, too, if a rule names the bridge.
TEST_P(Ssh, ConnectionIsSparedAtDevicesThatRulesName)
{
    ip(a(),
       "link add name bridged type bridge\nlink set va master bridged\naddr flush dev va\naddr add 10.77.0.1/24 dev bridged\n"
       "addr add fd77::1/64 dev bridged nodad\nlink set bridged up");
    wait_until_operational(a(), "bridged");
    ASSERT_TRUE(eventually([this] { return flows(login()); }));
    expect_ok(typed("add --name all --dev bridged --partition --for 10m"));
    EXPECT_EQ(arrive(), 0U);
    EXPECT_TRUE(flows(login()));
}

TEST_P(Ssh, RulesThatCannotBefallItNeedNoGuard)
{
    for (const std::string selector : {"--remote-port 5432", "--proto udp", "--remote 198.51.100.0/24"})
        EXPECT_EQ(without_audit(typed("add --replace --name x --loss 1% " + selector).err), "") << selector;
    EXPECT_THAT(headwind(a(), "list").out, Not(HasSubstr("ssh-")));
    expect_ok(typed("change x --remote any"));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("ssh-"));
}

TEST_P(Ssh, GuardsOfConnectionsThatEndedGo)
{
    expect_ok(typed("add --name all --partition"));
    EXPECT_TRUE(flows(login()));
    change(a(), "change all --for 1m");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 2U) << "typed elsewhere, it still lives";
    end_login();
    change(a(), "change all --partition --for 1m");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 1U);
}

class Agree : public NetTest {
protected:
    void SetUp() override
    {
        NetTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        home_.emplace("agree");
        ip(*home_, "tuntap add dev wire mode tap\nlink set wire up");
    }
    const Namespace& home() const { return *home_; }
    void expect_no_rules() const { EXPECT_EQ(headwind(home(), "list").out, "no rules\n"); }

private:
    std::optional<Namespace> home_;
};

TEST_F(Agree, ARuleForAWholeDeviceNeedsAnEndOrAYes)
{
    for (const std::string rule : {"--loss 1%", "--partition --dev wire", "--loss 1% --proto tcp"}) {
        const auto refused = headwind(home(), "add --name x " + rule);
        EXPECT_EQ(refused.status, 2) << rule;
        EXPECT_THAT(refused.err, HasSubstr("x impairs everything through wire, with no end")) << rule;
        EXPECT_THAT(refused.err, HasSubstr("--yes")) << rule;
    }
    expect_no_rules();
    for (const std::string end : {"--for 1m", "--lease 5s", "--yes", "--remote-port 80", "--dev lo", "--pass"}) {
        const std::string impairment = end == "--pass" ? "" : " --loss 1% ";
        expect_ok(headwind(home(), "add --name x " + impairment + end), end);
        expect_ok(headwind(home(), "del x"));
    }
}

// Whose packets they are may not be who types: other than of a device, `--for ever` is an answer.
TEST_F(Agree, ARuleForACgroupNeedsAnEndOrToBeSaidToHaveNone)
{
    const TestCgroup cgroup("theirs");
    const auto subject = "--cgroup " + cgroup.path();
    for (const std::string narrow : {"", " --remote-port 80"}) {
        const auto refused = headwind(home(), "add --name x --loss 1% " + subject + narrow);
        EXPECT_EQ(refused.status, 2);
        EXPECT_THAT(refused.err, HasSubstr("x is for cgroup " + cgroup.path() +
                                           ", with no end: give it an end (--for 1h), "
                                           "or say that it has none (--for ever)"));
    }
    expect_no_rules();
    for (const std::string end : {"--for 1m", "--for ever", "--lease 5s", "--yes", "--pass"}) {
        const std::string impairment = end == "--pass" ? "" : " --loss 1% ";
        expect_ok(headwind(home(), "add --name x " + impairment + subject + " " + end), end);
        expect_ok(headwind(home(), "del x"));
    }
    expect_ok(headwind(home(), "add --name x --loss 1% --for 1m " + subject));
    EXPECT_EQ(headwind(home(), "change x --for off").status, 2);
    expect_ok(headwind(home(), "change x --for ever"));
    expect_ok(headwind(home(), "change x --loss 2%"), "it was said");
    EXPECT_THAT(headwind(home(), "list --commands").out, HasSubstr("--for ever"));
    expect_ok(headwind(home(), "add --name z --pass " + subject));
    EXPECT_EQ(headwind(home(), "change z --partition").status, 2) << "an exclusion that begins to impair";
    EXPECT_EQ(headwind(home(), "add --name y --loss 1% --for ever").status, 2) << "a whole device takes --yes";
}

TEST_F(Agree, AChangeIsNoWayAround)
{
    expect_ok(headwind(home(), "add --name x --loss 1% --for 1m"));
    EXPECT_EQ(headwind(home(), "change x --for off").status, 2);
    expect_ok(headwind(home(), "change x --loss 2%"));
    EXPECT_EQ(headwind(home(), "change x --for off --yes").status, 0);
    expect_ok(headwind(home(), "change x --loss 3%"), "it was agreed to");
    expect_ok(headwind(home(), "add --name y --loss 1% --remote-port 80"));
    EXPECT_EQ(headwind(home(), "change y --remote-port any").status, 2);
    expect_ok(headwind(home(), "change y --remote-port 81"));
}

TEST_F(Agree, ABatchIsOneToo)
{
    const auto batch = [this](const std::string& options) {
        return run(&home(), {"bash", "-c",
                             "printf '%s\\n' 'add --name a --loss 1% --port 80' 'add --name b --loss 1%' | " +
                                 headwind_binary() + " batch - " + options});
    };
    EXPECT_EQ(batch("").status, 2);
    expect_no_rules();
    expect_ok(batch("--yes"));
}

}  // namespace
}  // namespace headwind::test::safety_test
