// SPDX-License-Identifier: MIT
// Tests the XDP program with traffic, native and generic.
//
// It has the same statistics and counters as tc, each packet has one fate, and tc decides packets that XDP cannot
// decide.
#include <sys/socket.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include <headwind/testing.h>

#include "foreign_program.h"
#include "foreign_xdp.h"
#include "net_test.h"
#include "nic_test.h"
#include "verify/statistics.h"

namespace headwind::test::xdp_test {
namespace {

using testing::HasSubstr;

class XdpBase : public PairTest {
protected:
    void add(const std::string& mode, const std::string& rule, unsigned without = 0) const
    {
        change_without(without, b(), "add --yes --dev vb --direction in --xdp " + mode + " " + rule);
    }
    std::string hook_of(const std::string& name) const { return rule_of(b(), name)["ingress_hooks"][0]["hook"]; }
    std::uint32_t xdp_program() const
    {
        const Inside inside(b());
        const auto links = netlink::list_links();
        for (const auto& link : links ? *links : std::vector<netlink::Link>())
            if (link.name == Pair::device_b) return link.xdp_program;
        return 0;
    }
    static void expect_distribution(const Counters& counters, double probability)
    {
        EXPECT_GT(statistics::binomial_p_value(counters.loss, counters.packets, probability), alpha)
            << counters.loss << " of " << counters.packets;
    }
};

struct Setting {
    const char* name;
    bool nic;  // true: devices whose driver is virtio_net; false: veth
    const char* mode;
    const char* hook;  // the one that decides
    friend void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }
};

class Xdp : public XdpBase, public testing::WithParamInterface<Setting> {
protected:
    void SetUp() override
    {
        const auto found = GetParam().nic ? Nics::find() : std::vector<std::string>();
        if (GetParam().nic && found.empty()) GTEST_SKIP() << no_nics;
        XdpBase::SetUp();
        if (!IsSkipped() && !HasFatalFailure() && GetParam().nic) nics_ = std::make_unique<Nics>(found, a(), b());
    }
    void TearDown() override
    {
        if (nics_) headwind(b(), "clear");
        nics_.reset();
        XdpBase::TearDown();
    }
    void add(const std::string& rule, unsigned without = 0) const { XdpBase::add(GetParam().mode, rule, without); }
    static std::string hook() { return GetParam().hook; }

    // Sends flows to b until the rule has seen so many wire packets: QEMU's cable loses what comes too fast, the more
    // the busier the machine is. Returns how many arrived.
    std::size_t arrive_until_seen(std::size_t seen, const Flow& flow, const Endpoint& to = {Pair::b4, 5000}) const
    {
        std::size_t arrived = 0;
        for (int flows = 0; flows < (GetParam().nic ? 20 : 1); ++flows) {
            arrived += arrive(flow, to);
            if (counters_of(b(), "lossy", "in").packets >= seen) break;
        }
        return arrived;
    }

private:
    std::unique_ptr<Nics> nics_;
};

class XdpOnVeth : public Xdp {};

// Only the guests have the NICs.
RUNS_IN("Nics/*/nic_auto", linux_6_12, linux_6_1);
RUNS_IN("Nics/*/nic_generic", nowhere, linux_6_12 | linux_6_1);
RUNS_IN("Veth/Xdp.EachPacket*", native, linux_6_12 | linux_6_1);

TEST_P(Xdp, EachPacketMeetsOneFate)
{
    add("--name lossy --loss 30% --proto udp");
    EXPECT_EQ(hook_of("lossy"), hook());
    const std::size_t count = scaled(10'000, 2'000);
    auto arrived = arrive_until_seen(count, {.count = count});
    arrived += arrive_until_seen(2 * count, {.count = count}, {Pair::b6, 5000});
    const auto counters = counters_of(b(), "lossy", "in");
    if (!GetParam().nic) {
        EXPECT_EQ(counters.packets, 2 * count);
        EXPECT_EQ(counters.bytes, count * (14 + 20 + 8 + 100) + count * (14 + 40 + 8 + 100));
    }
    EXPECT_GE(counters.packets, 2 * count);
    EXPECT_EQ(arrived, counters.packets - counters.loss);
    expect_distribution(counters, 0.3);
}

TEST_P(Xdp, WithoutMetadataAPacketMeetsTwo)
{
    add("--name lossy --loss 30% --proto udp", HW_WORKAROUND_XDP_META);
    const auto arrived = arrive_until_seen(3000, {.count = 2000});
    const auto counters = counters_of(b(), "lossy", "in");
    EXPECT_GE(counters.packets, 3000U);
    EXPECT_LT(arrived, counters.packets / 2) << "49% are left of 170%, where one fate leaves 70% of 100%";
}

TEST_P(Xdp, WirePacketsOfSuperPacketsAreDecidedOneByOne)
{
    if (GetParam().nic && !kernel_has_tcx())
        GTEST_SKIP() << "UDP_SEGMENT wants a device that checksums, before Linux 6.11";
    add("--name lossy --loss 5% --proto udp");
    const std::size_t count = scaled(20'000, 2'000);
    const auto arrived = arrive_until_seen(count, {.count = count, .size = 1000, .segments = 20});
    const auto small =  // below the MTU as a whole
        arrive_until_seen(2 * count, {.count = count, .size = 40, .segments = 20});
    const auto counters = counters_of(b(), "lossy", "in");
    if (!GetParam().nic) {
        EXPECT_EQ(counters.packets, 2 * count);
    }
    EXPECT_GE(counters.packets, 2 * count);
    EXPECT_EQ(arrived + small, counters.packets - counters.loss);
    expect_distribution(counters, 0.05);
}

TEST_P(Xdp, TcpToo)
{
    quicken_tcp();
    add("--name lossy --loss 1% --proto tcp");
    const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
    if (GetParam().mode == std::string("native")) {
        // Before its native XDP veth has a ring of 256 packets, and loses what comes while that is full.
        const int room = 64 * 1024;  // bytes; the kernel doubles it
        EXPECT_EQ(setsockopt(connection.sender.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    }
    const auto before = counters_of(b(), "lossy", "in").packets;
    const auto result = send_tcp(connection, scaled(30'000'000, 2'000'000));
    EXPECT_EQ(result.error, "");
    const auto counters = counters_of(b(), "lossy", "in");
    if (GetParam().nic)
        EXPECT_LE(counters.packets - before, result.segments_out) << "QEMU's cable loses some, sometimes";
    else
        EXPECT_EQ(counters.packets - before, result.segments_out);
    EXPECT_GE(result.retransmits, counters.loss * 9 / 10);
    expect_distribution(counters, 0.01);
}

TEST_P(Xdp, OtherRulesAreDecidedAtTc)
{
    const TestCgroup cgroup("spared");
    add("--name gone --loss 100% --proto udp");
    change(b(), "add --name twice --duplicate 100% --direction in --dev vb --proto udp --local-port 5001");
    change(b(), "add --name spare --pass --direction in --dev vb --proto udp --local-port 5002");
    change(b(), "add --name off --loss 100% --direction in --dev vb --proto udp --local-port 5003 --xdp off");
    EXPECT_EQ(hook_of("gone"), hook());
    for (const char* name : {"twice", "spare", "off"}) EXPECT_EQ(hook_of(name), "tc") << name;
    EXPECT_EQ(arrive({}), 0U);
    EXPECT_EQ(deliver(a(), b(), {Pair::b4, 5001}, {}, 200), 200U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5002}), 100U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5003}), 0U);
    EXPECT_EQ(counters_of(b(), "off", "in").loss, 100U);
    EXPECT_EQ(counters_of(b(), "gone", "in").loss, 100U);

    change(b(), "add --name mine --pass --direction in --dev vb --cgroup " + cgroup.path());
    std::unique_ptr<UdpSink> spared;
    {
        const InCgroup inside(cgroup);
        spared = std::make_unique<UdpSink>(b(), Endpoint{Pair::b4, 5004});
    }
    EXPECT_EQ(arrive({}), 0U);
    send_udp(a(), {Pair::b4, 5004}, {});
    EXPECT_EQ(spared->finish().size(), 100U);
    EXPECT_EQ(counters_of(b(), "gone", "in").packets, 200U);
    EXPECT_EQ(counters_of(b(), "mine", "in").packets, 100U);
}

TEST_P(Xdp, PartitionInBothDirections)
{
    change(b(), std::string("add --yes --name split --dev vb --partition --proto udp --xdp ") + GetParam().mode);
    EXPECT_EQ(arrive({}), 0U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 0U);
    EXPECT_EQ(counters_of(b(), "split", "in").partition, 100U);
    EXPECT_EQ(counters_of(b(), "split", "out").partition, 100U);
}

TEST_P(XdpOnVeth, ComesAndGoesWithTheRulesThatWantIt)
{
    const auto before = footprint(b());
    change(b(), "add --name tc --loss 100% --direction in --dev vb --local-port 5000");
    EXPECT_EQ(xdp_program(), 0U) << "never by itself on veth";
    EXPECT_EQ(hook_of("tc"), "tc");
    add("--name one --loss 100% --local-port 5001");
    add("--name two --loss 100% --local-port 5002");
    EXPECT_NE(xdp_program(), 0U);
    EXPECT_EQ(hook_of("tc"), hook()) << "it is there anyway";
    change(b(), "del one");
    EXPECT_NE(xdp_program(), 0U);
    change(b(), "panic");
    EXPECT_EQ(arrive({}, {Pair::b4, 5002}), 100U);
    change(b(), "panic --off");
    EXPECT_EQ(arrive({}, {Pair::b4, 5002}), 0U);
    change(b(), "change two --xdp off");
    EXPECT_EQ(xdp_program(), 0U);
    for (const std::uint16_t port : {std::uint16_t{5000}, std::uint16_t{5002}})
        EXPECT_EQ(arrive({}, {Pair::b4, port}), 0U);
    EXPECT_EQ(counters_of(b(), "two", "in").loss, 200U);
    change(b(), "change two --duplicate 1% --xdp auto");
    change(b(), "clear");
    expect_footprint(b(), before);
}

TEST_P(XdpOnVeth, GoesWithItsDevice)
{
    add("--name lossy --loss 50%");
    ip(b(), "link del vb");
    EXPECT_THAT(headwind(b(), "list").out, HasSubstr("lossy"));
    change(b(), "clear");
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/headwind"));
}

constexpr Setting on_veth[] = {{"native", false, "native", "xdp-native"}, {"generic", false, "generic", "xdp-generic"}};
constexpr Setting on_nics[] = {{"nic_auto", true, "auto", "xdp-native"},
                               {"nic_generic", true, "generic", "xdp-generic"}};

std::string name_of(const testing::TestParamInfo<Setting>& setting)
{
    return setting.param.name;
}
INSTANTIATE_TEST_SUITE_P(Veth, Xdp, testing::ValuesIn(on_veth), name_of);
INSTANTIATE_TEST_SUITE_P(Nics, Xdp, testing::ValuesIn(on_nics), name_of);
INSTANTIATE_TEST_SUITE_P(Veth, XdpOnVeth, testing::ValuesIn(on_veth), name_of);

using XdpAlone = XdpBase;

TEST_F(XdpAlone, WithoutLookingGenericModeTakesSuperPacketsWhole)
{
    add("generic", "--name lossy --loss 5% --proto udp", HW_WORKAROUND_WHOLE);
    arrive({.count = 2000, .size = 1000, .segments = 20});
    EXPECT_EQ(counters_of(b(), "lossy", "in").packets, 100U);
}

// A super-packet that was cut comes back through the backlog and so through generic XDP again, and so do the packets
// after it. How many are decided twice depends on the machine: with the workaround none is (Xdp.TcpToo).
TEST_F(XdpAlone, WithoutHeedingThatGenericModeDecidesTwice)
{
    quicken_tcp();
    add("generic", "--name lossy --loss 1% --proto tcp", HW_WORKAROUND_INJECTED);
    const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
    const auto decided = [this] { return counters_of(b(), "lossy", "in").packets; };
    const auto before = decided();
    std::uint64_t sent = 0;
    for (int transfers = 0; transfers < 50 && decided() - before <= sent; ++transfers)
        sent += send_tcp(connection, scaled(30'000'000, 2'000'000)).segments_out;
    EXPECT_GT(decided() - before, sent);
}

TEST_F(XdpAlone, ChangesModeWithoutLettingAPacketPass)
{
    add("generic", "--name split --partition --proto udp");
    UdpSink sink(b(), {Pair::b4, 5000});
    std::atomic<bool> stop{false};
    Sent sent;
    std::thread sender([&] {
        sent = send_udp(a(), {Pair::b4, 5000}, {.count = 10'000'000, .per_second = 20'000, .stop = &stop});
    });
    for (int i = 0; i < 3; ++i)
        for (const char* mode : {"off", "native", "generic"}) change(b(), std::string("change split --xdp ") + mode);
    stop = true;
    sender.join();
    EXPECT_GT(sent.packets, 1000U);
    EXPECT_EQ(sink.finish().size(), 0U);
    EXPECT_EQ(hook_of("split"), "xdp-generic");
}

TEST_F(XdpAlone, LeavesAnothersXdpProgramWhereItIs)
{
    std::optional<ForeignXdp> another(std::in_place, b(), Pair::device_b, XDP_PASS);
    const auto foreign = xdp_program();
    ASSERT_NE(foreign, 0U);
    for (const char* mode : {"native", "generic"}) {
        const auto refused =
            headwind(b(), std::string("add --name lossy --dev vb --direction in --loss 100% --xdp ") + mode);
        EXPECT_NE(refused.status, 0);
        EXPECT_THAT(refused.err, HasSubstr(std::string("--xdp ") + mode + ": another XDP program"));
    }
    EXPECT_THAT(headwind(b(), "list").out, HasSubstr("no rules"));
    EXPECT_THAT(change(b(), "add --name lossy --dev vb --direction in --proto udp --loss 100%").out,
                HasSubstr("at tc on vb (another XDP program"));
    EXPECT_THAT(headwind(b(), "doctor").out, HasSubstr("another XDP program"));
    EXPECT_EQ(arrive({}), 0U);
    EXPECT_EQ(counters_of(b(), "lossy", "in").loss, 100U);
    change(b(), "clear");
    EXPECT_EQ(xdp_program(), foreign);
    another.reset();
    add("native", "--name lossy --loss 100%");
    EXPECT_EQ(arrive({}), 0U);
}

TEST_F(XdpAlone, RefusesWhatCannotBe)
{
    for (const auto& [arguments, words] :
         {std::pair{"--dev vb --direction in --delay 1ms --xdp native", "--xdp native: XDP decides only"},
          {"--dev lo,vb --direction in --loss 1% --xdp generic", "--xdp generic: on lo"},
          {"--direction in --loss 1% --xdp native", "--xdp native: say on which devices"},
          {"--dev vb --direction in --loss 1% --xdp fast", "--xdp fast: unknown mode"}}) {
        const auto output = headwind(b(), std::string("add --name no ") + arguments);
        EXPECT_NE(output.status, 0) << arguments;
        EXPECT_THAT(output.err, HasSubstr(words));
    }
    add("native", "--name first --loss 100% --local-port 5000");
    const auto output = headwind(b(), "add --name second --dev vb --direction in --loss 1% --xdp generic");
    EXPECT_THAT(output.err, HasSubstr("first wants --xdp native on the same device"));
    EXPECT_EQ(hook_of("first"), "xdp-native");
    EXPECT_EQ(arrive({}), 0U);
}

}  // namespace
}  // namespace headwind::test::xdp_test
