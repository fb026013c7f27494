// SPDX-License-Identifier: MIT
// Tests frames that are not IP: which rules take them, and what is done to them.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::frame_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::raw;
using packets::udp;
using packets::usual_packet;

constexpr std::size_t ethernet = 14;

struct Named {
    const char* words;  // of --proto
    std::vector<Layer> frames;
};

std::vector<Named> kinds()
{
    const auto of = [](std::uint16_t type) { return raw(type, Bytes(60)); };
    return {{"lldp", {packets::lldp()}},
            {"lacp", {of(0x8809)}},
            {"mpls", {of(0x8847), of(0x8848)}},
            {"pppoe", {of(0x8863), of(0x8864)}},
            {"ptp", {of(0x88f7)}},
            {"eapol", {of(0x888e)}},
            {"llc", {packets::llc(), of(0x0000), of(0x05dc), of(0x05ff)}},
            {"0x0600", {of(0x0600)}},
            {"0x9000", {of(0x9000)}},
            {"0xffff", {of(0xffff)}}};
}

class Frame : public testing::Test {
protected:
    // Whether the only rule takes the frame, at both hooks.
    bool takes(const Layer& layer)
    {
        const bool out = datapath.out(frame(layer)) == stolen, in = datapath.in(frame(layer)) == shot;
        EXPECT_EQ(out, in) << layer.number;
        return out;
    }
    Outcome cut(std::uint32_t id, const Bytes& packet)
    {
        return datapath.run(Hook::segment, packet, datapath.marked(id));
    }

    Datapath datapath;
};

TEST_F(Frame, IsTakenWithoutAddressPortAndProtocol)
{
    const auto taken = [this](const std::string& selectors) {
        const auto id = datapath.add(selectors + " --partition");
        std::size_t all = 0, count = 0;
        for (const auto& [words, frames] : kinds())
            for (const auto& layer : frames) {
                all += 2;
                count += (takes(layer) ? 1U : 0U) + (takes(packets::vlan(7, layer)) ? 1U : 0U);
            }
        datapath.remove(id);
        EXPECT_TRUE(count == 0 || count == all) << count << " by " << selectors;
        return count != 0;
    };
    EXPECT_TRUE(taken(""));
    EXPECT_TRUE(taken("--dev lo"));
    for (const char* other :
         {"--remote ::/0", "--local ::/0", "--remote 0.0.0.0/0", "--proto 0", "--proto udp", "--proto arp,nd,dhcp",
          "--port 35020", "--port 1-65535", "--local-port 1024-65535", "--remote-port 1-4096", "--local-port 52360"})
        EXPECT_FALSE(taken(other)) << other;
}

TEST_F(Frame, IsSelectedByItsEtherType)
{
    for (const auto& [words, own] : kinds()) {
        const auto id = datapath.add(std::string("--partition --proto ") + words);
        for (const auto& [others, frames] : kinds())
            for (const auto& layer : frames) {
                EXPECT_EQ(takes(layer), words == others) << others << " by " << words;
                EXPECT_EQ(takes(packets::vlan(7, layer)), words == others) << others;
            }
        for (const auto& layer : {ipv4({}, udp(1, 2)), ipv6({}, udp(1, 2)), packets::arp(), packets::neighbour(135),
                                  packets::dhcp_discover()})
            EXPECT_FALSE(takes(layer)) << words;
        datapath.remove(id);
    }
}

// A selected EtherType beats everything, as a selected protocol of IP does.
TEST_F(Frame, RanksAsOtherPacketsDo)
{
    const auto all = datapath.add("--partition");
    const auto one = datapath.add("--proto lldp --pass");
    EXPECT_EQ(datapath.out(frame(packets::lldp())), next);
    EXPECT_EQ(datapath.out(frame(packets::llc())), stolen);
    EXPECT_EQ(datapath.counters(all).packets, 1U);
    EXPECT_EQ(datapath.counters(one).packets, 1U);
    datapath.add("--partition --priority 1");
    EXPECT_EQ(datapath.out(frame(packets::lldp())), stolen);
}

TEST_F(Frame, TakesNoShapeOfItsOwnWithoutSelectors)
{
    datapath.add("--partition");
    EXPECT_EQ(datapath.control().tables[datapath.control().version & 1].count, 1U);
}

TEST_F(Frame, IsOneFlowByItsEtherType)
{
    datapath.add("--flows 50% --partition");
    unsigned taken = 0;
    for (unsigned type = 0x0600; type < 0x0600 + 400; ++type)
        taken += takes(raw(static_cast<std::uint16_t>(type), Bytes(60))) ? 1U : 0U;
    EXPECT_GT(taken, 140U);
    EXPECT_LT(taken, 260U);
}

TEST_F(Frame, IsLostAndDoubled)
{
    const auto id = datapath.add("--loss 50%");
    unsigned lost = 0;
    for (unsigned n = 0; n < 1000; ++n) lost += datapath.out(frame(packets::lldp())) == stolen;
    EXPECT_GT(lost, 400U);
    EXPECT_LT(lost, 600U);
    EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_LOSS], lost);
    EXPECT_EQ(datapath.counters(id).bytes, 1000 * frame(packets::lldp()).size());
}

TEST_F(Frame, IsNotHeldButCounted)
{
    const auto id = datapath.add("--delay 10ms --rate 1gbit");
    datapath.control().line_pace = 1;
    for (const auto& [words, frames] : kinds())
        for (const auto& layer : frames) EXPECT_EQ(datapath.out(frame(layer)), next) << words;
    EXPECT_EQ(datapath.counters(id).exempt[HW_EXEMPT_UNSTAMPABLE], datapath.counters(id).packets);
    EXPECT_EQ(datapath.counters(id).delayed, 0U);
}

TEST_F(Frame, IsNotAnswered)
{
    const auto id = datapath.add("--reject rst --direction both");
    for (const auto& layer : {packets::lldp(), packets::llc(), raw(0x8847, ipv4({}, packets::tcp(1, 2)).bytes),
                              raw(0x0800, Bytes(60)), raw(0x86dd, Bytes(60))}) {
        const auto outcome = cut(id, frame(layer));
        EXPECT_EQ(outcome.verdict, stolen) << layer.number;
        EXPECT_EQ(outcome.packet, frame(layer)) << layer.number;
    }
    auto chain = packets::tcp(1, 2);
    for (unsigned i = 0; i < 9; ++i) chain = packets::extension(60, chain);
    EXPECT_EQ(cut(id, frame(ipv6({}, chain))).verdict, stolen) << "what it is is not known";
}

// There is no checksum: any bit behind the EtherType is as good as another.
TEST_F(Frame, IsCorruptedBehindItsEtherType)
{
    const auto id = datapath.add("--corrupt 100%");
    for (const auto& layer : {packets::lldp(), packets::llc(), packets::vlan(7, packets::lldp()),
                              raw(0x0800, Bytes(60)), raw(0x86dd, Bytes(60))}) {
        const auto before = frame(layer);
        const std::size_t head = layer.number == 0x8100 ? ethernet + 4 : ethernet;
        std::vector<unsigned> hits(before.size());
        for (unsigned n = 0; n < 2000; ++n) {
            const auto after = cut(id, before).packet;
            ASSERT_EQ(after.size(), before.size());
            unsigned bits = 0;
            for (std::size_t i = 0; i < before.size(); ++i) {
                const auto flips = static_cast<unsigned>(__builtin_popcount(before[i] ^ after[i]));
                hits[i] += flips;
                bits += flips;
            }
            ASSERT_EQ(bits, 1U) << layer.number;
        }
        for (std::size_t i = 0; i < hits.size(); ++i) EXPECT_EQ(hits[i] != 0, i >= head) << layer.number << ", " << i;
    }
}

// An IP packet that ends before its header says is corrupted where it has bytes.
TEST_F(Frame, OfTruncatedIpIsCorruptedWithinItsBytes)
{
    const auto id = datapath.add("--corrupt 100%");
    auto packet = frame(ipv4({}, udp(1, 2, packets::payload(1000))));
    packet.resize(60);
    for (unsigned n = 0; n < 500; ++n) EXPECT_NE(cut(id, packet).packet, packet);
    EXPECT_EQ(datapath.counters(id).corrupted, 500U);
}

// A super-packet of something that is not IP (MPLS) is counted by what it says of itself.
TEST_F(Frame, OfManyWirePacketsIsCounted)
{
    const auto id = datapath.add("--partition");
    Arrival arrival;
    arrival.gso_size = 100;
    arrival.gso_segs = 7;
    const auto packet = frame(raw(0x8847, Bytes(700)));
    EXPECT_EQ(datapath.run(Hook::egress, packet, arrival).verdict, stolen);
    EXPECT_EQ(datapath.counters(id).packets, 7U);
    EXPECT_EQ(datapath.counters(id).bytes, packet.size() + 6 * ethernet);
}

TEST_F(Frame, CountsForShares)
{
    datapath.feed().boottime = 60'000'000'000;
    const auto id = datapath.add("--partition --remote-port 2000 --max-share 50%");
    for (unsigned n = 0; n < 990; ++n) datapath.out(frame(packets::lldp()));
    for (unsigned n = 0; n < 20; ++n) EXPECT_EQ(datapath.out(usual_packet()), stolen);
    EXPECT_EQ(datapath.counters(id).packets, 20U);
}

}  // namespace
}  // namespace headwind::prog::frame_test
