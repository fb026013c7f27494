// The agent: rules follow devices, cgroups and namespaces without another command; it harms nothing by being there,
// ending or being killed.
#include "agent_test.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

#include "cgroup.h"
#include "pod.h"

namespace headwind::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* pins = "/sys/fs/bpf/headwind";

class Agent : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        home_.emplace("home");
    }
    void TearDown() override
    {
        home_.reset();
        PairTest::TearDown();
    }
    const Namespace& home() const { return *home_; }

    // The pair's devices, gone and made anew.
    void remove_pair() const { ip(a(), "link del va"); }
    void make_pair_anew() const
    {
        ip(a(),
           "link add va type veth peer name vb netns b\n"
           "addr add 10.77.0.1/24 dev va\n"
           "link set va up");
        ip(b(), "addr add 10.77.0.2/24 dev vb\nlink set vb up");
        wait_until_operational(a(), "va");
        wait_until_operational(b(), "vb");
    }
    static std::string state_of(const Namespace& where, const std::string& rule)
    {
        return rule_of(where, rule)["state"];
    }

private:
    std::optional<Namespace> home_;
};

// ---- devices ----

TEST_F(Agent, RulesComeBackToADeviceThatIsMadeAnew)
{
    change(a(), "add --name everywhere --partition --remote-port 5000");
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    change(a(), "add --name pattern --partition --remote-port 5002 --dev v?");
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        auto start = wall_ms();
        remove_pair();
        agent.heard("moved", "named", start);
        agent.heard("moved", "pattern", start);
        EXPECT_EQ(state_of(a(), "named"), "no device");
        start = wall_ms();
        make_pair_anew();
        agent.heard("moved", "named", start);
        agent.heard("moved", "pattern", start);
        agent.heard("attached", "", start);
        for (const std::uint16_t port : std::initializer_list<std::uint16_t>{5000, 5001, 5002})
            EXPECT_EQ(arrive({.count = 20}, {Pair::b4, port}), 0U);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5003}), 20U);
    }
    report("device made anew (the test's own waiting for its link is included)", rounds(), agent);
    EXPECT_EQ(counters_of(a(), "named").partition, 20U * rounds()) << "counters outlive the move";
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
    change(a(), "clear");
    EXPECT_FALSE(fs::exists(pins));
}

TEST_F(Agent, ARuleFollowsTheNameOfItsDevice)
{
    const auto before = footprint(a());
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        auto start = wall_ms();
        ip(a(), "link set va name other");
        agent.heard("moved", "named", start);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 20U);
        start = wall_ms();
        ip(a(), "link set other name va");
        agent.heard("moved", "named", start);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 0U);
    }
    report("device renamed and back", rounds(), agent);
    change(a(), "clear");
    expect_footprint(a(), before);
    EXPECT_FALSE(fs::exists(pins));
}

TEST_F(Agent, ADeviceThatComesLaterIsTaken)
{
    const auto added = change(a(), "add --name later --partition --remote-port 5000 --dev w*");
    EXPECT_THAT(added.out, HasSubstr("no such device is there yet"));
    EXPECT_EQ(state_of(a(), "later"), "no device");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    RunningAgent agent(home());
    ip(a(), "link set va name wa");
    agent.heard("moved", "later");
    EXPECT_EQ(state_of(a(), "later"), "live");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    ip(a(), "link set wa name va");
}

// Without an agent the next command that changes something does the same.
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

TEST_F(Agent, ProgramsThatSomebodyTookOffComeBack)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    if (parse_json(headwind(a(), "list --json"))["hooks"] == "tcx")
        GTEST_SKIP() << "tcx links are not for others to take";
    RunningAgent agent(home());
    tc(a(), "qdisc del dev va clsact");
    ip(a(), "link set va alias x");  // nothing tells of a qdisc's end: at the latest after 10 s
    agent.heard("attached");
    EXPECT_EQ(arrive({.count = 20}), 0U);
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
        EXPECT_TRUE(eventually(std::chrono::seconds(5), [] { return !fs::exists(pins); }));
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
    EXPECT_EQ(agent.process().wait(std::chrono::seconds(15)).status, 0);
    EXPECT_THAT(agent.all("ending")[0]["message"], "ending: the network namespace is gone");
}

TEST_F(Agent, ARuleForACgroupFollowsItsPath)
{
    std::optional<TestCgroup> cgroup(std::in_place, "agent");
    change(a(), "add --name mine --partition --remote-port 5000 --cgroup " + cgroup->path().substr(1));
    RunningAgent agent(home());
    for (unsigned round = 0; round < rounds(); ++round) {
        cgroup.reset();
        cgroup.emplace("agent");
        agent.heard("moved", "mine");
        const auto sent = run(&a(), {"bash", "-c",
                                     "echo $$ > " + cgroup->directory() +
                                         "/cgroup.procs; echo x > /dev/udp/10.77.0.2/5000; echo x > "
                                         "/dev/udp/10.77.0.2/5001"});
        expect_ok(sent);
        EXPECT_EQ(counters_of(a(), "mine").partition, round + 1);
    }
}

TEST_F(Agent, ALeaseThatEndsIsSwept)
{
    const auto before = footprint(a());
    RunningAgent agent(home());
    Process leaseholder(&a(), words(headwind_binary() + " run --name held --loss 50% -- sleep 1000"));
    ASSERT_TRUE(eventually(std::chrono::seconds(10), [this] {
        return headwind(a(), "list").out.find("held  live") != std::string::npos;
    })) << leaseholder.err();
    const auto start = wall_ms();
    leaseholder.signal(SIGKILL);
    agent.heard("removed", "held", start);
    agent.heard("instance-gone");
    EXPECT_LT(agent.longest_ms(), 3'500);
    EXPECT_EQ(agent.all("removed")[0]["why"], "its lease ended: who held it is gone");
    expect_footprint(a(), before);
    EXPECT_FALSE(fs::exists(pins));
}

// Ten minutes later: in a time namespace whose clock is ahead.
TEST_F(Agent, WhatExpiredLongAgoIsSwept)
{
    const Arguments later = words("unshare --time --boottime 600 --");
    if (run(nullptr, words("unshare --time --boottime 600 -- true")).status != 0)
        GTEST_SKIP() << "this kernel has no time namespaces";
    change(a(), "add --name short --loss 50% --for 1s");
    change(a(), "add --name stays --loss 50% --for 1h");
    RunningAgent agent(home(), "", later);
    agent.heard("removed", "short");
    EXPECT_EQ(agent.all("removed")[0]["why"], "it expired");
    EXPECT_EQ(parse_json(headwind(a(), "list --json"))["rules"].size(), 1U);
}

// ---- beside others ----

TEST_F(Agent, CommandsAtTheSameTimeDoNotFail)
{
    RunningAgent agent(home());
    Process churn(&a(), {"bash", "-c",
                         "for i in $(seq 40); do ip link add w$i type veth peer name x$i; ip link set w$i up; "
                         "ip link del w$i; done"});
    unsigned commands = 0;
    do {
        change(a(), "add --name x --replace --loss 50%");
        change(a(), "add --name y --replace --loss 50% --dev w*");
        change(a(), "change x --loss 20%");
        change(a(), commands % 2 == 0 ? "del y" : "clear");
        ++commands;
    } while (churn.running());
    EXPECT_GT(commands, 1U);
    EXPECT_EQ(churn.wait().status, 0);
    change(a(), "clear");
    EXPECT_FALSE(fs::exists(pins));
}

TEST_F(Agent, ASecondForTheSameScopeIsRefused)
{
    RunningAgent agent(home());
    const auto second = headwind(home(), "agent");
    EXPECT_EQ(second.status, 6);
    EXPECT_THAT(second.err, HasSubstr("an agent serves this host already, and one is enough: process " +
                                      std::to_string(agent.process().pid()) + " (" + headwind_binary() + " agent"));
    EXPECT_EQ(headwind(a(), "agent").status, 6) << "from another network namespace, too";
    RunningAgent other(home(), "--netns a");
    EXPECT_EQ(headwind(home(), "agent --netns /run/netns/a").status, 6);
    EXPECT_EQ(headwind(home(), "agent --netns nowhere").status, 3);
    EXPECT_EQ(headwind(home(), "agent --netns b --listen nowhere").status, 2);
}

TEST_F(Agent, EndingOrBeingKilledChangesNothing)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    const auto before = footprint(a());
    for (const int signal : {SIGTERM, SIGINT, SIGKILL}) {
        RunningAgent agent(home());
        agent.process().signal(signal);
        EXPECT_EQ(agent.process().wait(std::chrono::seconds(5)).status, signal == SIGKILL ? 128 + SIGKILL : 0);
    }
    EXPECT_EQ(footprint(a()), before);
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// At any instant of its work: the next one, or the next command, goes on from there.
TEST_F(Agent, KilledAtWorkNothingIsLost)
{
    const auto before = footprint(a());
    change(a(), "add --name named --partition --remote-port 5001 --dev va");
    for (unsigned i = 0; i < (slow_machine() ? 2 : 8); ++i) {
        RunningAgent agent(home());
        ip(a(), i % 2 == 0 ? "link set va name other" : "link set other name va");
        usleep(20'000 + 8'000 * i);
        agent.process().signal(SIGKILL);
        agent.process().wait();
        change(a(), "change named --priority 1");
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), i % 2 == 0 ? 20U : 0U) << i;
    }
    change(a(), "clear");
    expect_footprint(a(), before);
    EXPECT_FALSE(fs::exists(pins));
}

TEST_F(Agent, IdleItIsIdle)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    RunningAgent agent(home());
    const auto ticks = [&agent] {
        std::ifstream file("/proc/" + std::to_string(agent.process().pid()) + "/stat");
        std::string field;
        unsigned long sum = 0;
        for (int i = 1; i <= 15 && file >> field; ++i)
            if (i >= 14) sum += std::stoul(field);
        return sum;
    };
    usleep(500'000);
    const auto start = ticks();
    sleep(2);
    EXPECT_LE(ticks() - start, 2U) << "hundredths of a second of CPU time in 2 s";
}

// ---- as a service ----

std::string capabilities_of_the_unit()
{
    const fs::path unit = repository_file("tools/headwind-agent.service.in");
    const std::string key = "CapabilityBoundingSet=";
    std::string out = "-all";
    std::ifstream file(unit);
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key))
            for (const auto& name : words(line.substr(key.size()))) {
                out += ",+";
                for (const char letter : name.substr(4)) out += static_cast<char>(std::tolower(letter));
            }
    return out;
}

// All that it does but the web server, with what the unit leaves it: capabilities, mounts that follow the host's.
TEST_F(Agent, TheCapabilitiesOfTheUnitAreEnough)
{
    const auto capabilities = capabilities_of_the_unit();
    ASSERT_THAT(capabilities, HasSubstr("+net_admin"));
    expect_ok(run(nullptr, words("mount --make-rshared /run/netns")));
    RunningAgent agent(
        home(), "", words("unshare --mount --propagation slave setpriv --no-new-privs --bounding-set " + capabilities));
    expect_ok(run(nullptr, words("ip netns add short")));
    expect_ok(run(nullptr, words("ip -n short link set lo up")));
    expect_ok(headwind(home(), "add --netns short --name cut --loss 50% --direction both"));
    expect_ok(headwind(home(), "add --netns short --name named --loss 50% --dev d*"));
    expect_ok(run(nullptr, words("ip -n short link add d0 type veth peer name d1")));
    agent.heard("moved", "named");
    expect_ok(run(nullptr, words("ip -n short link set d0 up")));
    agent.heard("attached");
    expect_ok(run(nullptr, words("ip -n short link del headwind0")));
    EXPECT_TRUE(eventually(std::chrono::seconds(5), [] {
        return run(nullptr, words("ip -n short link show headwind0")).status == 0;
    })) << "the line is made anew";
    expect_ok(run(nullptr, words("ip netns del short")));
    agent.heard("namespace-gone");
    EXPECT_TRUE(eventually(std::chrono::seconds(5), [] { return !fs::exists(pins); }));
    EXPECT_THAT(agent.all("trouble"), IsEmpty());
}

TEST_F(Agent, WithoutThemItSaysWhatIsMissing)
{
    const auto output = run(&home(), words("setpriv --bounding-set -net_broadcast " + headwind_binary() + " agent"));
    EXPECT_EQ(output.status, 4);
    EXPECT_THAT(output.err, HasSubstr("CAP_NET_BROADCAST"));
}

TEST_F(Agent, TellsSystemdWhenItIsReady)
{
    const std::string path = "/run/netns/.notify";
    const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    {
        const RunningAgent agent(home(), "", {"env", "NOTIFY_SOCKET=" + path});
    }
    std::string all;
    char text[512];
    for (ssize_t length = 0; (length = recv(fd.get(), text, sizeof(text), 0)) > 0;)
        all += std::string(text, static_cast<std::size_t>(length)) + "\n";
    fs::remove(path);
    EXPECT_THAT(all, AllOf(HasSubstr("READY=1"), HasSubstr("WATCHDOG=1"), HasSubstr("STOPPING=1")));
}

TEST_F(Agent, ServesTheMetricsOfAllNamespaces)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    change(b(), "add --name cut --partition --remote-port 5001");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    RunningAgent agent(home(), "--listen 127.0.0.1:9431");
    const auto scraped = run(&home(), words("curl --silent --fail http://127.0.0.1:9431/metrics"));
    expect_ok(scraped);
    const auto series = [](const std::string& netns, const std::string& value) {
        return HasSubstr("headwind_packets_total{netns=\"/run/netns/" + netns + "\",rule=\"cut\",direction=\"out\"} " +
                         value + "\n");
    };
    EXPECT_THAT(scraped.out, AllOf(series("a", "20"), series("b", "0"), HasSubstr("\nheadwind_panic 0\n"),
                                   HasSubstr("headwind_scrape_errors_total 0")));
    change(b(), "clear");
}

TEST_F(Agent, LinesForPeople)
{
    change(a(), "add --name named --loss 50% --dev va");
    Process agent(&home(), words(headwind_binary() + " agent"));
    const auto says = [&agent](const std::string& text) {
        return eventually(std::chrono::seconds(10), [&] { return agent.err().find(text) != std::string::npos; });
    };
    EXPECT_TRUE(says("<6>serving all network namespaces: 1 with rules now\n"));
    ip(a(), "link set va name other");
    EXPECT_TRUE(says("<6>/run/netns/a: rule named: none of its devices is there now\n"));
    ip(a(), "link set other name va");
    EXPECT_TRUE(says("<6>/run/netns/a: rule named: now at va\n"));
    agent.signal(SIGINT);
    EXPECT_EQ(agent.wait().status, 0);
    EXPECT_TRUE(says("<6>ending: the rules stay as they are\n")) << agent.err();
}

}  // namespace
}  // namespace headwind::test
