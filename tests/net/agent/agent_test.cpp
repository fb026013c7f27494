// SPDX-License-Identifier: MIT
// The agent: rules are reconciled with devices, cgroups, namespaces and time without another command.
#include "agent_test.h"
#include "lock_test.h"

#include <filesystem>
#include <set>

#include "engine/write_session.h"
#include "host/cgroup.h"
#include "ruleset/records.h"

namespace headwind::test::agent_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- devices ----

std::set<std::string> devices_of(const Namespace& where, const std::string& rule)
{
    return rule_of(where, rule)["attached_to"].get<std::set<std::string>>();
}

RUNS_IN("Agent.ProgramsThat*", native | linux_6_1);
RUNS_IN("Agent.AnXdp*", native, linux_6_1);

TEST_F(Agent, RulesComeBackToADeviceThatIsMadeAnew)
{
    change(a(), "add --name everywhere --partition --remote-port 5000");
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    change(a(), "add --name pattern --partition --remote-port 5002 --dev v?");
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        auto start = wall_ms();
        remove_pair();
        agent.heard("device-gone", "named", start);
        agent.heard("device-gone", "pattern", start);
        EXPECT_EQ(state_of(a(), "named"), "no device");
        start = wall_ms();
        make_pair_anew();
        agent.heard("device-back", "named", start);
        agent.heard("device-back", "pattern", start);
        agent.heard("attached", "", start);
        for (const std::uint16_t port : std::initializer_list<std::uint16_t>{5000, 5001, 5002})
            EXPECT_EQ(arrive({.count = 20}, {Pair::b4, port}), 0U);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5003}), 20U);
    }
    report("device made anew (the test's own waiting for its link is included)", rounds(), agent);
    EXPECT_EQ(counters_of(a(), "named").partition, 20U * rounds()) << "counters outlive the move";
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
    change(a(), "clear");
    expect_nothing_pinned();
}

TEST_F(Agent, ARuleFollowsTheNameOfItsDevice)
{
    const auto before = footprint(a());
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        auto start = wall_ms();
        ip(a(), "link set va name other");
        agent.heard("device-gone", "named", start);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 20U);
        start = wall_ms();
        ip(a(), "link set other name va");
        agent.heard("device-back", "named", start);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 0U);
    }
    report("device renamed and back", rounds(), agent);
    change(a(), "clear");
    expect_footprint(a(), before);
    expect_nothing_pinned();
}

TEST_F(Agent, ADeviceThatComesLaterIsTaken)
{
    const auto added = change(a(), "add --name later --partition --remote-port 5000 --dev w*");
    EXPECT_THAT(added.err, HasSubstr("no such device is there yet"));
    EXPECT_EQ(state_of(a(), "later"), "no device");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    RunningAgent agent(home());
    ip(a(), "link set va name wa");
    agent.heard("device-back", "later");
    EXPECT_EQ(state_of(a(), "later"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    ip(a(), "link set wa name va");
}

TEST_F(Agent, APatternTakesADeviceThatComesBesideOthers)
{
    change(a(), "add --name pattern --partition --remote-port 5000 --dev v?");
    change(a(), "add --name mixed --partition --remote-port 5001 --dev va,w?");
    RunningAgent agent(home());
    ip(a(), "link add wa type veth peer name other");
    agent.heard("moved", "mixed");
    EXPECT_EQ(devices_of(a(), "mixed"), (std::set<std::string>{"va", "wa"}));
    ip(a(), "link set wa name vc");
    agent.heard("moved", "pattern");
    EXPECT_EQ(devices_of(a(), "pattern"), (std::set<std::string>{"va", "vc"}));
}

// Without an agent the next command that changes something reconciles the rules.
TEST_F(Agent, WithoutOneTheNextCommandFollows)
{
    change(a(), "add --name everywhere --partition --remote-port 5000");
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    remove_pair();
    make_pair_anew();
    EXPECT_EQ(arrive({.count = 20}), 20U);
    change(a(), "change named --priority 1");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 0U);
    remove_pair();
    change(a(), "change named --priority 2");
    EXPECT_EQ(state_of(a(), "named"), "no device") << "its device need not be there";
    EXPECT_EQ(headwind(a(), "change named --dev va").status, 0);
    EXPECT_THAT(headwind(a(), "change named --dev vz").err, HasSubstr("--dev vz: no such device"));
}

// What cannot be moved for want of room is moved once there is room.
TEST_F(Agent, AMoveThatFailedIsTriedAgain)
{
    ip(a(), "link add dz type veth peer name other\nlink set dz up");
    change(a(), "add --name one --partition --remote-port 5000 --dev dz --max-rules 3");
    change(a(), "add --name two --partition --remote-port 5001 --dev va");
    change(a(), "add --name three --loss 1% --remote-port 5002");
    ip(a(),
       "link set dz down\nlink set va down\nlink set dz name dx\nlink set va name dz\nlink set dx name va\n"
       "link set dz up\nlink set va up");
    EXPECT_EQ(headwind(a(), "change three --loss 2%").status, 1) << "no room for a fourth";
    EXPECT_EQ(arrive({.count = 20}), 20U) << "no room to move either";
    change(a(), "del three");
    change(a(), "del two");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(devices_of(a(), "one"), std::set<std::string>{"dz"});
}

TEST_F(Agent, ProgramsThatSomebodyTookOffComeBack)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    if (parse_json(headwind(a(), "list --json"))["hooks"] == "tcx")
        GTEST_SKIP() << "tcx links are not for others to take";
    RunningAgent agent(home());
    tc(a(), "qdisc del dev va clsact");
    // An event for the agent: there is none for a qdisc's end, which it would see after 10 s at the latest.
    ip(a(), "link set va alias x");
    agent.heard("attached");
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

TEST_F(Agent, AnXdpProgramThatSomebodyTookOffComesBack)
{
    change(b(), "add --name gone --loss 100% --direction in --dev vb --xdp native --local-port 5000");
    RunningAgent agent(home());
    take_links_off(b(), "vb", BPF_LINK_TYPE_XDP);
    // An event for the agent: there is none for a link's end, which it would see after 10 s at the latest.
    ip(b(), "link set vb alias x");
    agent.heard("attached");
    EXPECT_EQ(rule_of(b(), "gone")["ingress_hooks"][0]["hook"], "xdp-native");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(counters_of(b(), "gone", "in").loss, 20U);
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

// ---- namespaces, cgroups, time ----

TEST_F(Agent, NothingIsLeftOfANamespaceThatIsDeleted)
{
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        expect_ok(run(nullptr, words("ip netns add short")));
        expect_ok(run(nullptr, words("ip -n short link set lo up")));
        expect_ok(run(&home(), words(headwind_binary() + " add --netns short --name cut --loss 50%")));
        EXPECT_TRUE(fs::exists(pins));
        const auto start = wall_ms();
        expect_ok(run(nullptr, words("ip netns del short")));
        agent.heard("namespace-gone", "", start);
        expect_nothing_pinned();
    }
    report("namespace deleted", rounds(), agent);
}

TEST_F(Agent, OneForANamespaceEndsWithIt)
{
    expect_ok(run(nullptr, words("ip netns add short")));
    RunningAgent agent(home(), "--netns short");
    change(a(), "add --name other --loss 50%");
    EXPECT_EQ(agent.all("serving")[0]["message"], "serving --netns short: 0 with rules now");
    expect_ok(run(nullptr, words("ip netns del short")));
    EXPECT_EQ(agent.process().wait().status, 0);
    EXPECT_THAT(agent.all("ending")[0]["message"], "ending: the network namespace is gone");
}

TEST_F(Agent, ARuleForACgroupFollowsItsPath)
{
    std::optional<TestCgroup> cgroup(std::in_place, "agent");
    change(a(), "add --for ever --name mine --partition --remote-port 5000 --cgroup " + cgroup->path().substr(1));
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        cgroup.reset();
        cgroup.emplace("agent");
        agent.heard("moved", "mine");
        const auto sent =
            run(&a(), {"bash", "-c",
                       "echo $$ > " + cgroup->directory() +
                           "/cgroup.procs; echo x > /dev/udp/10.77.0.2/5000; echo x > /dev/udp/10.77.0.2/5001"});
        expect_ok(sent);
        EXPECT_EQ(counters_of(a(), "mine").partition, round + 1);
    }
}

TEST_F(Agent, ALeaseThatEndsIsSwept)
{
    const auto before = footprint(a());
    RunningAgent agent(home());
    Process leaseholder(&a(), words(headwind_binary() + " run --name held --loss 50% -- sleep 1000"));
    ASSERT_TRUE(eventually([this] { return headwind(a(), "list").out.find("held  live") != std::string::npos; }))
        << leaseholder.err();
    const auto start = wall_ms();
    leaseholder.signal(SIGKILL);
    agent.heard("lease-lost", "held", start);
    agent.heard("instance-gone");
    EXPECT_EQ(agent.all("lease-lost")[0]["why"], "its lease ended: who held it is gone");
    expect_footprint(a(), before);
    expect_nothing_pinned();
}

// The agent backs off from this namespace, and not from others.
TEST_F(Agent, ACommandAtWorkHoldsUpItsOwnNamespaceOnly)
{
    const auto make = [](const Namespace& where) { ip(where, "link add d0 type veth peer name d1\nlink set d0 up"); };
    RunningAgent agent(home());
    for (const auto* where : {&a(), &b()}) {
        make(*where);
        change(*where, "add --name x --dev d0 --loss 1%");
    }
    HeldLock held(lock_of(a()));
    for (const auto* where : {&a(), &b()}) {
        ip(*where, "link del d0");
        make(*where);
    }
    const auto moved = [&agent](const Namespace& where) {
        const auto is_there = [&where](const auto& event) { return event["netns_inode"] == where.inode(); };
        return std::ranges::any_of(agent.all("moved"), is_there) ||
               std::ranges::any_of(agent.all("device-back"), is_there);  // if it saw the time without
    };
    EXPECT_TRUE(eventually([&] { return moved(b()); }));
    sleep(7);  // longer than the agent waits for a command
    EXPECT_FALSE(moved(a()));
    EXPECT_THAT(agent.all("trouble"), testing::IsEmpty());
    held.give_back();
    EXPECT_TRUE(eventually([&] { return moved(a()); }));
}

// Changes a rule as if it had expired when the machine was started.
void expire_long_ago(const Namespace& where, const std::string& name)
{
    const Inside inside(where);
    const auto instance = open_instance();
    ASSERT_TRUE(instance && *instance);
    const auto records = load_records(**instance);
    ASSERT_TRUE(records);
    for (auto [record, rank] : *records) {
        if (record.rule.name != name) continue;
        auto rule = (*instance)->rules.find(record.id);
        ASSERT_TRUE(rule && *rule);
        (*rule)->deadline = record.deadline = 1;
        ASSERT_TRUE(erase_record(**instance, record.id));
        ASSERT_TRUE(store_record(**instance, record));
        ASSERT_TRUE((*instance)->rules.rewrite(record.id, **rule));
        for (auto& entry : (*instance)->index->entries.all())
            if (entry.id == record.id) entry.deadline = 1;
    }
}

TEST_F(Agent, WhatExpiredLongAgoIsSwept)
{
    if (boottime_ns() < keep_expired + 5'000'000'000)
        GTEST_SKIP() << "this machine was started less than 10 minutes ago";
    change(a(), "add --name short --loss 50% --for 1s");
    change(a(), "add --name stays --loss 50% --for 1h");
    expire_long_ago(a(), "short");
    RunningAgent agent(home());
    ASSERT_TRUE(agent.heard("removed", "short"));
    EXPECT_EQ(agent.all("removed")[0]["why"], "it expired");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 1U);
}

}  // namespace
}  // namespace headwind::test::agent_test
