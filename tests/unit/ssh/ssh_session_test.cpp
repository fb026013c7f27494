// SPDX-License-Identifier: MIT
// Tests how the SSH connection of a command is found in /proc, and the guard rule that spares it.
#include "ssh/ssh_session.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "rule_test.h"

namespace headwind::test::ssh_session_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A made-up /proc in a temporary directory.
class Proc : public testing::Test {
protected:
    void SetUp() override
    {
        char name[] = "/tmp/headwind-proc-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        root_ = name;
        make_netns("host");
        make_netns("blue");
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    void process(pid_t id, pid_t parent, const std::string& name, const std::string& ssh = "",
                 const std::string& netns = "host") const
    {
        const auto directory = root_ + "/" + std::to_string(id);
        std::filesystem::create_directories(directory + "/ns");
        write(directory + "/stat", fmt::format("{} ({}) S {} 1 1 0", id, name, parent));
        std::string environment("HOME=/root");
        environment += '\0';
        if (!ssh.empty()) environment += "SSH_CONNECTION=" + ssh + std::string(1, '\0');
        environment += std::string("X=SSH_CONNECTION=1 1 1 1") + '\0';
        write(directory + "/environ", environment);
        std::filesystem::create_hard_link(root_ + "/" + netns, directory + "/ns/net");
    }
    // The client ports of the connections found for process `id`.
    std::vector<int> found(pid_t id) const
    {
        std::vector<int> ports;
        for (const auto& connection : ssh_connections_of(id, root_)) ports.push_back(connection.client_port);
        return ports;
    }
    ino_t inode(const std::string& netns) const
    {
        struct stat status {};
        return stat((root_ + "/" + netns).c_str(), &status) == 0 ? status.st_ino : 0;
    }
    const std::string& root() const { return root_; }

private:
    static void write(const std::string& path, const std::string& text)
    {
        std::ofstream(path, std::ios::binary) << text;
    }
    void make_netns(const std::string& name) const { write(root_ + "/" + name, ""); }
    std::string root_;
};

constexpr const char* first = "192.0.2.7 51001 192.0.2.1 22";
constexpr const char* second = "192.0.2.7 51002 192.0.2.1 22";

TEST(SshConnection, IsReadAsSshdWritesIt)
{
    const auto connection = parse_ssh_connection(first);
    ASSERT_TRUE(connection);
    EXPECT_EQ(format_cidr(connection->client), "192.0.2.7");
    EXPECT_EQ(format_cidr(connection->server), "192.0.2.1");
    EXPECT_EQ(connection->client_port, 51001);
    EXPECT_EQ(connection->server_port, 22);
    const auto v6 = parse_ssh_connection("fe80::1%eth0 51001 fe80::2%eth0 2222");
    ASSERT_TRUE(v6);
    EXPECT_EQ(format_cidr(v6->client), "fe80::1");
}

TEST(SshConnection, OtherTextIsNone)
{
    for (const char* text : {"", "UNKNOWN 65535 UNKNOWN 65535", "192.0.2.7 51001 192.0.2.1", "192.0.2.7 0 192.0.2.1 22",
                             "192.0.2.7 51001 192.0.2.1 22 5", "192.0.2.0/24 51001 192.0.2.1 22",
                             "192.0.2.7 99999 192.0.2.1 22", "192.0.2.7 51001 fe80::1 22", "192.0.2.7 5x 192.0.2.1 22"})
        EXPECT_FALSE(parse_ssh_connection(text)) << text;
}

TEST_F(Proc, OfTheLoginShellUnderSudoAndSu)
{
    process(100, 1, "sshd");
    process(101, 100, "bash", first);
    process(102, 101, "sudo", first);
    process(103, 102, "su (1) x)");  // a name with parentheses; its environment was cleared
    process(104, 103, "headwind");
    EXPECT_THAT(found(104), ElementsAre(51001));
    EXPECT_THAT(found(100), IsEmpty());
}

TEST_F(Proc, OfTmuxAreThoseOfItsClients)
{
    process(100, 1, "tmux: server", first);  // started in a login that is over
    process(101, 100, "bash", first);
    process(104, 101, "headwind");
    process(200, 1, "sshd");
    process(201, 200, "bash", second);
    process(202, 201, "tmux: client");
    process(301, 1, "bash", "192.0.2.7 51003 192.0.2.1 22");  // someone else's login
    EXPECT_THAT(found(104), testing::UnorderedElementsAre(51001, 51002));
    EXPECT_THAT(found(201), ElementsAre(51002));
}

TEST_F(Proc, BelongsToTheNamespaceOfTheLogin)
{
    process(101, 1, "bash", first);
    process(102, 101, "bash", first, "blue");  // ip netns exec
    process(103, 102, "headwind", first, "blue");
    const auto connections = ssh_connections_of(103, root());
    ASSERT_THAT(connections, SizeIs(1));
    EXPECT_EQ(connections.front().netns, inode("host"));
}

TEST_F(Proc, WithoutALoginThereIsNone)
{
    process(101, 1, "cron");
    process(102, 101, "headwind");
    EXPECT_THAT(found(102), IsEmpty());
    EXPECT_THAT(found(4711), IsEmpty());
}

Rule rule_of(const RuleSpec& text)
{
    const auto rule = make_rule(text);
    EXPECT_TRUE(rule) << rule.error().message;
    return rule ? *rule : Rule{};
}

struct Case {
    const char* what;
    void (*edit)(RuleSpec&);
    bool could_match, names;
};

TEST(Guard, IsForRulesThatCouldBefallTheConnection)
{
    const auto connection = *parse_ssh_connection(first);
    const Case cases[] = {
        {"everything", [](RuleSpec&) {}, true, false},
        {"a device", [](RuleSpec& t) { t.devices = {"eth0"}; }, true, false},
        {"udp", [](RuleSpec& t) { t.protocols = {"udp"}; }, false, false},
        {"tcp", [](RuleSpec& t) { t.protocols = {"tcp,udp"}; }, true, false},
        {"its network", [](RuleSpec& t) { t.remotes = {"192.0.2.0/24"}; }, true, false},
        {"half of its network", [](RuleSpec& t) { t.remotes = {"192.0.2.128/25"}; }, false, false},
        {"another network", [](RuleSpec& t) { t.remotes = {"198.51.100.0/24"}; }, false, false},
        {"v6", [](RuleSpec& t) { t.locals = {"2001:db8::/32"}; }, false, false},
        {"a range with its port", [](RuleSpec& t) { t.ports = {"1-1023"}; }, true, false},
        {"its port", [](RuleSpec& t) { t.local_ports = {"22,80"}; }, true, true},
        {"its port, either end", [](RuleSpec& t) { t.ports = {"22"}; }, true, true},
        {"its port, elsewhere",
         [](RuleSpec& t) {
             t.ports = {"22"};
             t.remotes = {"198.51.100.0/24"};
         },
         false, false},
        {"that port at the other end", [](RuleSpec& t) { t.remote_ports = {"22"}; }, false, false},
        {"another port", [](RuleSpec& t) { t.ports = {"5432"}; }, false, false},
    };
    for (const auto& one : cases) {
        RuleSpec text;
        text.name = "x";
        text.loss = "10%";
        one.edit(text);
        EXPECT_EQ(could_match(rule_of(text), connection), one.could_match) << one.what;
        EXPECT_EQ(names(rule_of(text), connection), one.names) << one.what;
    }
    RuleSpec pass;
    pass.name = "x";
    pass.pass = true;
    EXPECT_FALSE(could_match(rule_of(pass), connection));
}

TEST(Guard, SparesThatConnectionOnly)
{
    const auto rule = guard_rule(*parse_ssh_connection(first));
    EXPECT_EQ(
        describe_rule(rule),
        "TCP packets sent and received with remote port 51001 of 192.0.2.7 and local port 22 of 192.0.2.1 through every lowest device that is up: pass, priority 1000");
    EXPECT_EQ(guard_rule(*parse_ssh_connection("fe80::1 51001 fe80::2 22")).name, "ssh-fe80..1-51001");
    const auto again = rule_from_json(to_json(rule));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, rule);
}

}  // namespace
}  // namespace headwind::test::ssh_session_test
