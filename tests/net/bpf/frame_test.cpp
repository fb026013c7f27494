// SPDX-License-Identifier: MIT
// Tests frames that are not IP, sent and received by packet sockets: what other tools send is what they are.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "net_test.h"
#include "packets.h"

namespace headwind::test::frame_test {
namespace {

using packets::Bytes;
using packets::Layer;
using testing::HasSubstr;

constexpr std::size_t count = 20;
constexpr std::size_t ethernet = 14;

struct Kind {
    const char* name;
    const char* word;  // of --proto
    Layer layer;
    Bytes destination;
    std::uint16_t protocol = layer.number;  // as the kernel has it
};

std::vector<Kind> kinds()
{
    const auto of = [](std::uint16_t type) { return packets::raw(type, Bytes(60)); };
    const Bytes nearest_bridge{1, 0x80, 0xc2, 0, 0, 0x0e}, slow{1, 0x80, 0xc2, 0, 0, 2},
        isis{1, 0x80, 0xc2, 0, 0, 0x14}, ptp{1, 0x1b, 0x19, 0, 0, 0}, bridges{1, 0x80, 0xc2, 0, 0, 0},
        unicast{2, 0, 0, 0, 0, 2};
    return {{"LLDP", "lldp", packets::lldp(), nearest_bridge},
            {"LACP", "lacp", of(ETH_P_SLOW), slow},
            {"MPLS", "mpls", of(ETH_P_MPLS_UC), unicast},
            {"IS-IS", "llc", packets::llc(), isis, ETH_P_802_2},
            {"spanning tree", "llc", packets::llc(), bridges, ETH_P_802_2},
            {"PPPoE", "pppoe", of(ETH_P_PPP_SES), unicast},
            {"PPPoE discovery", "pppoe", of(ETH_P_PPP_DISC), Bytes(6, 0xff)},
            {"PTP", "ptp", of(ETH_P_1588), ptp},
            {"another", "0x9999", of(0x9999), unicast}};
}

// A socket for what comes in of that protocol once tc has let it pass. (One for all protocols would see it before.)
class Tap {
public:
    Tap(const Namespace& where, const char* device, std::uint16_t protocol)
    {
        const Inside inside(where);
        fd_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        sockaddr_ll at{};
        at.sll_family = AF_PACKET;
        at.sll_ifindex = device_index(where, device);
        at.sll_protocol = htons(protocol);
        require(fd_ && bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0, "open a packet socket");
    }
    void send(const Bytes& frame) const
    {
        EXPECT_EQ(::send(fd_.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()))
            << std::strerror(errno);
    }
    // What has come in, waiting for `expected` frames, and what comes within `idle_ms` after those.
    std::vector<Bytes> received(std::size_t expected, int idle_ms) const
    {
        constexpr int patience_ms = 10'000;
        std::vector<Bytes> out;
        pollfd waiting{fd_.get(), POLLIN, 0};
        while (poll(&waiting, 1, out.size() < expected ? patience_ms : idle_ms) == 1) {
            Bytes frame(2000);
            sockaddr_ll from{};
            socklen_t size = sizeof(from);
            const auto length =
                recvfrom(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (length <= 0) break;
            frame.resize(static_cast<std::size_t>(length));
            if (from.sll_pkttype != PACKET_OUTGOING) out.push_back(std::move(frame));
        }
        return out;
    }

private:
    Fd fd_;
};

Bytes frame_of(const Kind& kind)
{
    auto frame = packets::frame(kind.layer);
    std::copy(kind.destination.begin(), kind.destination.end(), frame.begin());
    return frame;
}

// Sends `count` frames of each kind from a to b, of which `expected(kind)` arrive and none comes back. What arrives, by
// kind.
template <class Expected>
std::vector<std::vector<Bytes>> pass(const Namespace& a, const Namespace& b, Expected expected)
{
    constexpr int idle_ms = 200;
    const auto all = kinds();
    std::vector<Tap> from, to;
    for (const auto& kind : all) {
        from.emplace_back(a, Pair::device_a, kind.protocol);
        to.emplace_back(b, Pair::device_b, kind.protocol);
    }
    for (std::size_t k = 0; k < all.size(); ++k)
        for (std::size_t i = 0; i < count; ++i) from[k].send(frame_of(all[k]));
    // Two kinds have the same protocol.
    const auto of_protocol = [&](std::uint16_t protocol) {
        std::size_t sum = 0;
        for (const auto& kind : all) sum += kind.protocol == protocol ? expected(kind) : 0;
        return sum;
    };
    std::vector<std::vector<Bytes>> out(all.size());
    for (std::size_t k = 0; k < all.size(); ++k) {
        const auto frames = to[k].received(of_protocol(all[k].protocol), k == 0 ? idle_ms : 0);
        for (const auto& frame : frames)
            if (std::equal(all[k].destination.begin(), all[k].destination.end(), frame.begin()))
                out[k].push_back(frame);
        EXPECT_EQ(out[k].size(), expected(all[k])) << all[k].name;
        EXPECT_EQ(from[k].received(0, 0).size(), 0U) << all[k].name << ": something came back";
    }
    return out;
}

class Frames : public SidedTest {
protected:
    void expect_all(std::size_t expected) const
    {
        pass(a(), b(), [expected](const Kind&) { return expected; });
    }
};

INSTANTIATE_TEST_SUITE_P(Sides, Frames, testing::Values(Direction::out, Direction::in), side_name);

RUNS_IN("*/Frames*", native, linux_6_12 | linux_6_1);
RUNS_IN("*/Frames.PassDelay*", linux_6_12, linux_6_1);

TEST_P(Frames, AreTakenByEveryRuleWithoutSelectors)
{
    expect_all(count);
    for (const char* impairment : {"--loss 100%", "--partition", "--reject rst"}) {
        impair(std::string("--name all --replace ") + impairment);
        expect_all(0);
    }
    const auto taken = counters("all");
    EXPECT_EQ(taken.packets, taken.reject);
    impair("--name all --replace --partition --remote ::/0");
    impair("--name four --partition --remote 0.0.0.0/0");
    expect_all(count);
}

TEST_P(Frames, AreSelectedByName)
{
    for (const std::string word : {"lldp", "mpls", "llc", "pppoe", "0x88f7"}) {
        impair("--name split --replace --partition --proto " + word);
        SCOPED_TRACE(word);
        pass(a(), b(), [&word](const Kind& kind) {
            return word == kind.word || (word == "0x88f7" && kind.word == std::string("ptp")) ? 0 : count;
        });
    }
}

TEST_P(Frames, AreDoubled)
{
    impair("--name twice --duplicate 100%");
    expect_all(2 * count);
    EXPECT_GE(counters("twice").duplicated, count * kinds().size()) << "the kernel sends some itself";
}

// They go through the line, whose bridge must not keep those that no bridge forwards.
TEST_P(Frames, AreCorruptedBehindTheirEtherType)
{
    impair("--name bits --corrupt 100%");
    const auto all = kinds();
    const auto arrived = pass(a(), b(), [](const Kind&) { return count; });
    for (std::size_t k = 0; k < all.size(); ++k) {
        const auto& kind = all[k];
        const auto sent = frame_of(kind);
        for (const auto& frame : arrived[k]) {
            ASSERT_GE(frame.size(), sent.size()) << kind.name;
            unsigned bits = 0;
            for (std::size_t i = 0; i < sent.size(); ++i) {
                const auto flips = static_cast<unsigned>(__builtin_popcount(sent[i] ^ frame[i]));
                EXPECT_TRUE(flips == 0 || i >= ethernet) << kind.name << ", byte " << i;
                bits += flips;
            }
            EXPECT_EQ(bits, 1U) << kind.name;
        }
    }
    EXPECT_GE(counters("bits").corrupted, count * kinds().size());
}

TEST_P(Frames, PassDelayAndRateAtOnceAndAreCounted)
{
    SKIP_WITHOUT_FQ();
    impair("--name slow --delay 10s --rate 1mbit");
    expect_all(count);
    const auto& where = GetParam() == Direction::out ? a() : b();
    const auto words = std::string(format_direction(GetParam()));
    EXPECT_EQ(rule_of(where, "slow")["counters"][words]["passed_undelayed_packets"], count * kinds().size());
    EXPECT_THAT(headwind(where, "stats slow").out, HasSubstr("passed undelayed: not IP to the kernel"));
}

// ---- XDP ---------------------------------------------------------------------------------------------------------

class FramesAtXdp : public PairTest, public testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Modes, FramesAtXdp, testing::Values("generic", "native"),
                         [](const auto& mode) { return std::string(mode.param); });

TEST_P(FramesAtXdp, AreDecidedThere)
{
    const auto add = [this](const std::string& rule) {
        change(b(), fmt::format("add --name x --replace --yes --dev vb --direction in --xdp {} {}", GetParam(), rule));
        EXPECT_THAT(std::string(rule_of(b(), "x")["ingress_hooks"][0]["hook"]), HasSubstr("xdp"));
    };
    add("--partition");
    pass(a(), b(), [](const Kind&) { return 0U; });
    EXPECT_GE(counters_of(b(), "x", "in").partition, count * kinds().size());
    add("--loss 100% --proto lldp");
    pass(a(), b(), [](const Kind& kind) { return kind.word == std::string("lldp") ? 0 : count; });
}

}  // namespace
}  // namespace headwind::test::frame_test
