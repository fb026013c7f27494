// SPDX-License-Identifier: MIT
// The agent as a process: beside commands and other agents, when it is ended, killed or idle, and as a service.
#include "agent_test.h"
#include "foreign_program.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

#include "pod.h"

namespace headwind::test::agent_service_test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- beside others ----

TEST_F(Agent, CommandsAtTheSameTimeDoNotFail)
{
    RunningAgent agent(home());
    Process churn(
        &a(),
        {"bash", "-c",
         "for i in $(seq 40); do ip link add w$i type veth peer name x$i; ip link set w$i up; ip link del w$i; done"});
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
    expect_nothing_pinned();
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
        EXPECT_EQ(agent.process().wait().status, signal == SIGKILL ? 128 + SIGKILL : 0);
    }
    EXPECT_EQ(footprint(a()), before);
    EXPECT_EQ(arrive({.count = 20}), 0U);
}

// Killed at any instant of its work, the agent loses nothing: the next agent or command goes on from there.
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
    expect_nothing_pinned();
}

// How often the agent woke up in two seconds.
std::int64_t wakeups(RunningAgent& agent)
{
    const auto count = [&agent] {
        std::ifstream file("/proc/" + std::to_string(agent.process().pid()) + "/status");
        const std::string key = "voluntary_ctxt_switches:";
        for (std::string line; std::getline(file, line);)
            if (line.starts_with(key)) return std::stol(line.substr(key.size()));
        return -1L;
    };
    usleep(500'000);
    const auto start = count();
    sleep(2);
    return count() - start;
}

TEST_F(Agent, IdleItIsIdle)
{
    change(a(), "add --name cut --partition --remote-port 5000");
    RunningAgent agent(home());
    EXPECT_LE(wakeups(agent), 6) << "one look each 10 s, and each waits for a thread";
}

// Each look asks whether a command is at work, which must not be taken for the end of one.
TEST_F(Agent, WhileDamageLastsItIsIdleToo)
{
    change(a(), "add --name lossy --dev va --loss 50%");
    const auto guest = ForeignProgram::counter(a(), "headwind1", Hook::egress, 1, 0, Place::behind);
    RunningAgent agent(home());
    agent.heard("foreign-change");
    EXPECT_LE(wakeups(agent), 6);
    EXPECT_THAT(agent.all("foreign-change"), testing::SizeIs(1));
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

// All that the agent does except the web server, with the capabilities that the unit leaves it and with mounts that
// follow the host's.
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
    agent.heard("device-back", "named");
    expect_ok(run(nullptr, words("ip -n short link set d0 up")));
    agent.heard("attached");
    expect_ok(run(nullptr, words("ip -n short link del headwind0")));
    EXPECT_TRUE(eventually([] { return run(nullptr, words("ip -n short link show headwind0")).status == 0; }))
        << "the line is made anew";
    expect_ok(run(nullptr, words("ip netns del short")));
    agent.heard("namespace-gone");
    expect_nothing_pinned();
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
        return eventually([&] { return agent.err().find(text) != std::string::npos; });
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
}  // namespace headwind::test::agent_service_test
