// SPDX-License-Identifier: MIT
// Tests the mark on packets that have met their fate: no hook of this instance gives them another one, and nothing that
// others write there takes a packet past a rule.
#include "net_test.h"

#include <headwind/testing.h>

#include "datapath/instance.h"
#include "foreign_program.h"
#include "verify/statistics.h"

namespace headwind::test::mark_test {
namespace {

using testing::ElementsAre;

RUNS_IN("Mark.*", native, linux_6_12 | linux_6_1);

// Of a rule whose packets go on, marked: the least loss there is.
constexpr const char* hardly_any = "--proto udp --loss 0.00000003%";

// Gives the instances of both namespaces one secret.
void share_secret(const Namespace& one, const Namespace& other)
{
    std::uint64_t secret = 0;
    for (const auto* where : {&one, &other}) {
        const Inside inside(*where);
        auto instance = open_instance();
        ASSERT_TRUE(instance && *instance);
        auto& control = const_cast<hw_control&>(*(*instance)->control);  // what no command does
        if (secret == 0) secret = control.secret;
        control.secret = secret;
    }
}

class Mark : public PairTest {
protected:
    // Sends a datagram with each value of tc_index to b, and returns how many arrive.
    std::size_t try_all_values() const
    {
        constexpr int values = 65'536;
        const auto indexer = ForeignProgram::indexer(a(), Pair::device_a, test::Hook::egress);
        UdpSink sink(b(), {Pair::b4, 5000});
        const auto socket = connected_udp(a(), {Pair::b4, 5000});
        const Stamp stamp;
        for (int value = 0; value < values; ++value) {
            if (value % 100 == 0) wait_for_backlogs();
            if (setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &value, sizeof(value)) != 0 ||
                send(socket.get(), &stamp, sizeof(stamp), 0) != sizeof(stamp))
                ADD_FAILURE() << value << ": " << std::strerror(errno);
        }
        return sink.finish().size();
    }
};

TEST_F(Mark, APodThatTriesAllValuesPassesNoPartition)
{
    change(b(), "add --name split --partition --proto udp --direction in");
    EXPECT_EQ(try_all_values(), 0U);
    change(b(), "clear");
    change_without(HW_WORKAROUND_BORDER, b(), "add --name split --partition --proto udp --direction in");
    const auto passed = try_all_values();
    EXPECT_GE(passed, 1U);
    EXPECT_LE(passed, 8U) << "a mark is good for seconds, and two are good at once";
}

TEST_F(Mark, AnotherInstancesIsNoneOfOurs)
{
    const std::string split = "add --name split --partition --proto udp --direction in";
    change(a(), std::string("add --name mine ") + hardly_any);
    change(b(), split);
    share_secret(a(), b());
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(counters_of(a(), "mine").packets, 100U);
    EXPECT_EQ(counters_of(b(), "split", "in").partition, 100U);
    change(b(), "clear");
    change_without(HW_WORKAROUND_BORDER, b(), split);
    share_secret(a(), b());
    EXPECT_EQ(arrive(), 100U);
}

// An end of a veth may be moved after the other one got its program.
TEST_F(Mark, TheOtherEndMayBeMovedLater)
{
    ip(b(), "link add v0 type veth peer name v1");
    change(b(), "add --name split --dev v0 --proto udp --partition --direction in");
    ip(b(), "link set v1 netns a");
    ip(b(), "address add 10.81.0.1/24 dev v0\nlink set v0 up");
    ip(a(), "address add 10.81.0.2/24 dev v1\nlink set v1 up");
    wait_until_operational(b(), "v0");
    change(b(), "add --name other --dev v0 --proto tcp --loss 1%");  // as any command does, and the agent
    change(a(), std::string("add --name mine --dev v1 ") + hardly_any);
    ip(a(), "neighbour replace 10.81.0.1 lladdr 02:00:00:00:00:77 nud permanent dev v1");
    ip(b(), "link set v0 address 02:00:00:00:00:77");
    share_secret(a(), b());
    EXPECT_EQ(deliver(a(), b(), {"10.81.0.1", 5000}), 0U);
    EXPECT_EQ(counters_of(b(), "split", "in").partition, 100U);
}

class Ways : public Mark {
protected:
    void SetUp() override
    {
        Mark::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        far_.emplace(a(), b());
        for (const char* device : {"vb", "vc"})
            change(b(), fmt::format("add --name {0} --dev {0} --proto udp --loss 50% --direction {1}", device,
                                    device == std::string("vb") ? "in" : "out"));
    }
    void TearDown() override
    {
        far_.reset();
        Mark::TearDown();
    }
    std::size_t through() const { return deliver(a(), far_->far, {Far::address4, 5000}, {.count = count}); }
    void expect_share(std::size_t arrived, double share) const
    {
        EXPECT_GT(statistics::binomial_p_value(arrived, count, share), alpha) << arrived << " of " << count;
    }
    static constexpr std::size_t count = 4000;

private:
    std::optional<Far> far_;
};

RUNS_IN("Ways.*", native, linux_6_12 | linux_6_1);
RUNS_IN("Ways.APacket*", native | linux_6_1, linux_6_12);

TEST_F(Ways, APacketMeetsOneRuleOfTwoHooks)
{
    expect_share(through(), 0.5);
    const auto list = parse_json(headwind(b(), "list --json"));
    EXPECT_FALSE(list.contains("marks_may_be_wiped_at")) << list.dump();
}

TEST_F(Ways, ARuleOfThePodsOwnChangesNothing)
{
    change(a(), std::string("add --name mine ") + hardly_any);
    expect_share(through(), 0.5);
}

TEST_F(Ways, WhereOthersWipeMarksListSaysSo)
{
    const auto accepter = ForeignProgram::accepter(b(), "vb", test::Hook::ingress);
    expect_share(through(), 0.25);
    auto list = parse_json(headwind(b(), "list --json"));
    EXPECT_THAT(list["marks_may_be_wiped_at"].get<std::vector<std::string>>(), ElementsAre("vb"));
    EXPECT_THAT(headwind(b(), "list").out, testing::HasSubstr("at vb end with TC_ACT_OK"));
    EXPECT_THAT(headwind(b(), "doctor").out, testing::HasSubstr("wipes the mark"));
}

std::size_t forwarding_ports(const Namespace& where)
{
    const auto ports = nlohmann::json::parse(run(&where, Arguments{"bridge", "-json", "link", "show"}).out);
    return static_cast<std::size_t>(
        std::count_if(ports.begin(), ports.end(), [](const auto& port) { return port["state"] == "forwarding"; }));
}

// Namespaces with rules, all on one bridge, each of which sends to each other one.
TEST_F(Mark, ThroughAPartitionOfManyNamespacesNothingPasses)
{
    const std::size_t count = takes_long() ? 200 : 12;
    const Namespace bridge("bridge");
    ip(bridge, "link add br0 type bridge mcast_snooping 0\nlink set br0 up");
    std::vector<std::unique_ptr<Namespace>> pods;
    const auto address = [](std::size_t pod) { return fmt::format("10.82.{}.{}", pod / 200, pod % 200 + 1); };
    const auto mac = [](std::size_t pod) { return fmt::format("02:82:00:00:00:{:02x}", pod); };
    std::string neighbours;  // permanent: of others the host keeps 1,024, for all namespaces together
    for (std::size_t i = 0; i < count; ++i)
        neighbours += fmt::format("neighbour add {} lladdr {} dev eth0 nud permanent\n", address(i), mac(i));
    for (std::size_t i = 0; i < count; ++i) {
        auto& pod = *pods.emplace_back(std::make_unique<Namespace>(fmt::format("pod{}", i)));
        ip(bridge, fmt::format("link add p{} type veth peer name eth0 netns {}", i, pod.name()));
        ip(bridge, fmt::format("link set p{0} master br0\nlink set p{0} up", i));
        ip(pod,
           fmt::format("address add {}/16 dev eth0\nlink set eth0 address {} up\n", address(i), mac(i)) + neighbours);
        wait_until_operational(pod, "eth0");
    }
    // A port forwards once the kernel has got round to its carrier.
    ASSERT_TRUE(eventually([&] { return forwarding_ports(bridge) == count; })) << forwarding_ports(bridge);
    std::vector<std::unique_ptr<UdpSink>> sinks;
    for (std::size_t i = 0; i < count; ++i)
        sinks.push_back(std::make_unique<UdpSink>(*pods[i], Endpoint{address(i), 5000}));
    const auto send_all = [&] {
        for (std::size_t from = 0; from < count; ++from)
            for (std::size_t to = 0; to < count; ++to)
                if (from != to) send_udp(*pods[from], {address(to), 5000}, {.count = 1});
    };
    send_all();
    const auto received = [&] {
        std::size_t sum = 0;
        for (const auto& sink : sinks) sum += sink->count();
        return sum;
    };
    EXPECT_TRUE(eventually([&] { return received() == count * (count - 1); })) << received();
    for (const auto& pod : pods) change(*pod, "add --name split --partition --proto udp --direction in");
    for (const auto& pod : pods) change(*pod, std::string("add --name mine --direction out ") + hardly_any);
    share_secret(*pods[0], *pods[1]);
    send_all();
    std::uint64_t stopped = 0;
    for (const auto& pod : pods) stopped += counters_of(*pod, "split", "in").partition;
    EXPECT_EQ(stopped, count * (count - 1));
    EXPECT_EQ(received(), count * (count - 1)) << "no more than before";
}

}  // namespace
}  // namespace headwind::test::mark_test
