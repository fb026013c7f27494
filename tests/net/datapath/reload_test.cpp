// SPDX-License-Identifier: MIT
// Tests that rules stay as they are while others load and unload what is theirs: nftables, connection tracking,
// bridges, VRFs.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "fault_test.h"

namespace headwind::test::reload_test {
namespace {

using fault_test::Fault;

class Reload : public Fault {
protected:
    // Super-packets are cut at the line, and doubled: all parts of the datapath are in use.
    void expect_as_asked(const std::string& after) const
    {
        EXPECT_EQ(arrive({.count = 20, .size = 1000, .segments = 2}), 40U) << after;
        EXPECT_EQ(state_of(a(), "twice"), "live") << after;
    }
    // False: this kernel cannot do it.
    bool shell(const std::string& script) const { return run(&a(), {"sh", "-ec", script}).status == 0; }
};

RUNS_IN("Reload.*", native, linux_6_1 | linux_6_12);
RUNS_IN("Reload.BridgesAndVrfs*", native, linux_6_12 | linux_6_1);

TEST_F(Reload, NftablesAndConnectionTracking)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    expect_as_asked("at first");
    ASSERT_TRUE(shell("nft add table inet filter"));
    const std::string rules =
        "flush ruleset\n"
        "table inet filter {\n"
        "  chain out { type filter hook output priority 0; ct state new,established accept; accept; }\n"
        "  chain in { type filter hook input priority 0; ct state new,established accept; accept; }\n"
        "}\n"
        "table inet mangled {\n"
        "  chain out { type route hook output priority mangle; meta priority set 1:1; meta mark set 7; }\n"
        "}\n"
        "table netdev early {\n"
        "  chain in { type filter hook ingress device va priority 0; accept; }\n"
        "}\n";
    const std::string flowtable =
        "table inet fast {\n"
        "  flowtable f { hook ingress priority 0; devices = { va, lo }; }\n"
        "  chain forward { type filter hook forward priority 0; meta l4proto udp flow add @f; }\n"
        "}\n";
    unsigned done = 0;
    for (int i = 0; i < 2; ++i)
        for (const auto& what : {rules, flowtable, rules + flowtable, std::string("flush ruleset\n")}) {
            if (shell("nft -f - <<'END'\n" + what + "END\n")) ++done;
            expect_as_asked(what);
        }
    EXPECT_GE(done, 2U);
}

TEST_F(Reload, TrackedConnectionsFlushed)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    if (!shell("nft 'table inet tracked { chain out { type filter hook output priority 0; ct state new accept; }; }'"))
        GTEST_SKIP() << "this kernel has no connection tracking";
    const Inside inside(a());
    const Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    struct {
        nlmsghdr header{};
        nfgenmsg family{};
    } flush;
    flush.header.nlmsg_len = sizeof(flush);
    flush.header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
    flush.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    for (int i = 0; i < 3; ++i) {
        expect_as_asked("tracked");
        ASSERT_EQ(send(netlink.get(), &flush, sizeof(flush), 0), static_cast<ssize_t>(sizeof(flush)));
        struct {
            nlmsghdr header;
            nlmsgerr error;
        } answer{};
        ASSERT_GE(recv(netlink.get(), &answer, sizeof(answer), MSG_TRUNC), static_cast<ssize_t>(sizeof(answer)));
        if (answer.error.error == -EINVAL)
            GTEST_SKIP() << "this kernel does not tell of connections (nf_conntrack_netlink)";
        ASSERT_EQ(answer.error.error, 0) << std::strerror(-answer.error.error);
        expect_as_asked("flushed");
    }
}

TEST_F(Reload, BridgesAndVrfsThatTheDeviceIsPutInto)
{
    change(a(), "add --name twice --dev va --duplicate 100% --proto udp");
    expect_as_asked("at first");
    unsigned done = 0;
    for (const std::string kind : {"bridge", "vrf table 10"}) {
        if (!shell("ip link add over type " + kind + " && ip link set over up")) continue;
        for (int i = 0; i < 2; ++i) {
            ip(a(), "link set va master over");
            EXPECT_EQ(state_of(a(), "twice"), "live") << kind;
            ip(a(), "link set va nomaster");
            wait_until_operational(a(), "va");
            expect_as_asked(kind);
        }
        ip(a(), "link set va master over\nlink del over");
        expect_as_asked(kind + " deleted");
        ++done;
    }
    EXPECT_GE(done, 1U);
}

}  // namespace
}  // namespace headwind::test::reload_test
