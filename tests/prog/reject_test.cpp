// SPDX-License-Identifier: MIT
// --reject: the packet becomes the answer to itself; code of the test's own verifies headers and checksums.
#include <gtest/gtest.h>

#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::reject_test {
namespace {

using packets::Bytes;
using packets::frame;
using packets::ipv4;
using packets::ipv6;
using packets::Layer;
using packets::payload;
using packets::udp;

constexpr std::size_t ethernet = 14;
constexpr std::uint8_t fin = 1, syn = 2, rst = 4, ack = 16;
constexpr std::uint32_t sequence = 0xfffffff0, acknowledged = 0x12345678;

std::uint32_t number(const Bytes& from, std::size_t at, std::size_t bytes)
{
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < bytes; ++i) out = out << 8 | from.at(at + i);
    return out;
}

Bytes part(const Bytes& of, std::size_t from, std::size_t length)
{
    const auto begin = of.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

// The ones' complement sum of `bytes`, from `start` on: 0xffff if the checksum in them is right.
std::uint32_t sum(const Bytes& bytes, std::uint32_t start = 0)
{
    for (std::size_t i = 0; i < bytes.size(); ++i)
        start += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    while (start >> 16) start = (start & 0xffff) + (start >> 16);
    return start;
}

// The parts of an IP packet without options.
struct Answer {
    unsigned version = 0, protocol = 0;
    Bytes source, destination, body;
};

// Verifies the parts that are the same in every answer.
Answer take_apart(const Bytes& request, const Bytes& answer)
{
    Answer out;
    EXPECT_EQ(part(answer, 0, 6), part(request, 6, 6)) << "to where it came from";
    EXPECT_EQ(part(answer, 6, 6), part(request, 0, 6));
    EXPECT_EQ(part(answer, 12, 2), part(request, 12, 2));
    out.version = answer.at(ethernet) >> 4;
    const bool v4 = out.version == 4;
    const std::size_t header = v4 ? 20 : 40, address = v4 ? 4 : 16, source = ethernet + (v4 ? 12 : 8);
    out.protocol = answer.at(ethernet + (v4 ? 9 : 6));
    out.source = part(answer, source, address);
    out.destination = part(answer, source + address, address);
    EXPECT_EQ(out.source, part(request, source + address, address));
    EXPECT_EQ(out.destination, part(request, source, address));
    EXPECT_EQ(answer.at(ethernet + (v4 ? 8 : 7)), 64U) << "TTL";
    if (v4) {
        EXPECT_EQ(answer.at(ethernet), 0x45);
        EXPECT_EQ(number(answer, ethernet + 2, 2), answer.size() - ethernet);
        EXPECT_EQ(number(answer, ethernet + 6, 2), 0U) << "no fragment";
        EXPECT_EQ(sum(part(answer, ethernet, header)), 0xffffU);
    } else {
        EXPECT_EQ(number(answer, ethernet, 4), 0x60000000U);
        EXPECT_EQ(number(answer, ethernet + 4, 2), answer.size() - ethernet - header);
    }
    out.body = part(answer, ethernet + header, answer.size() - ethernet - header);
    return out;
}

std::uint32_t sum_with_pseudo_header(const Answer& answer)
{
    const auto addresses = sum(answer.source, sum(answer.destination));
    return sum(answer.body, addresses + answer.protocol + static_cast<std::uint32_t>(answer.body.size()));
}

Layer segment(std::uint8_t flags, std::size_t data = 0, unsigned option_words = 0)
{
    auto out = packets::tcp(1000, 2000, payload(data), option_words);
    for (unsigned i = 0; i < 4; ++i) {
        out.bytes[4 + i] = static_cast<std::uint8_t>(sequence >> (24 - 8 * i));
        out.bytes[8 + i] = static_cast<std::uint8_t>(flags & ack ? acknowledged >> (24 - 8 * i) : 0);
    }
    out.bytes[13] = flags;
    return out;
}

class RejectTest : public testing::Test {
protected:
    Outcome cut(std::uint32_t id, const Bytes& packet)
    {
        return datapath.run(Hook::segment, packet, datapath.marked(id));
    }
    void expect_reset(std::uint32_t id, const Bytes& packet, std::uint8_t flags, std::uint32_t seq,
                      std::uint32_t ack_seq)
    {
        const auto outcome = cut(id, packet);
        ASSERT_EQ(outcome.verdict, redirected);
        EXPECT_EQ(outcome.after.cb[3] >> 16, Datapath::nonce);
        const auto answer = take_apart(packet, outcome.packet);
        EXPECT_EQ(answer.protocol, 6U);
        ASSERT_EQ(answer.body.size(), 20U);
        EXPECT_EQ(number(answer.body, 0, 2), 2000U);
        EXPECT_EQ(number(answer.body, 2, 2), 1000U);
        EXPECT_EQ(number(answer.body, 4, 4), seq);
        EXPECT_EQ(number(answer.body, 8, 4), ack_seq);
        EXPECT_EQ(answer.body[12], 0x50);
        EXPECT_EQ(answer.body[13], flags);
        EXPECT_EQ(sum_with_pseudo_header(answer), 0xffffU);
    }
    // `headers`: the size of the IP headers, which are quoted with 8 bytes more.
    void expect_icmp(std::uint32_t id, const Bytes& packet, std::size_t headers)
    {
        const auto outcome = cut(id, packet);
        ASSERT_EQ(outcome.verdict, redirected);
        const auto answer = take_apart(packet, outcome.packet);
        const bool v4 = answer.version == 4;
        EXPECT_EQ(answer.protocol, v4 ? 1U : 58U);
        ASSERT_EQ(answer.body.size(), 8 + headers + 8);
        EXPECT_EQ(answer.body[0], v4 ? 3 : 1) << "destination unreachable";
        EXPECT_EQ(answer.body[1], v4 ? 13 : 1) << "administratively prohibited";
        EXPECT_EQ(number(answer.body, 4, 4), 0U);
        EXPECT_EQ(part(answer.body, 8, headers + 8), part(packet, ethernet, headers + 8));
        EXPECT_EQ(v4 ? sum(answer.body) : sum_with_pseudo_header(answer), 0xffffU);
    }
    void expect_nothing(std::uint32_t id, const Bytes& packet, const char* what)
    {
        const auto before = datapath.counters(id).dropped[HW_DROP_REJECT];
        EXPECT_EQ(cut(id, packet).verdict, stolen) << what;
        EXPECT_EQ(datapath.counters(id).dropped[HW_DROP_REJECT] - before, 1U) << what;
    }

    Datapath datapath;
};

// Resets are as RFC 9293, 3.10.7.1, says.
TEST_F(RejectTest, TcpIsReset)
{
    const auto id = datapath.add("--reject rst");
    const auto both = [&](const Layer& tcp, std::uint8_t flags, std::uint32_t seq, std::uint32_t ack_seq) {
        expect_reset(id, frame(ipv4({}, tcp)), flags, seq, ack_seq);
        expect_reset(id, frame(ipv4({.option_words = 10}, tcp)), flags, seq, ack_seq);
        expect_reset(id, frame(ipv6({}, tcp)), flags, seq, ack_seq);
        expect_reset(id, frame(ipv6({}, packets::extension(0, tcp, 2))), flags, seq, ack_seq);
        auto padded = frame(ipv4({}, tcp));
        padded.resize(padded.size() + 7);
        expect_reset(id, padded, flags, seq, ack_seq);
    };
    both(segment(syn), rst | ack, 0, sequence + 1);
    both(segment(syn, 0, 10), rst | ack, 0, sequence + 1);
    both(segment(syn, 100, 3), rst | ack, 0, sequence + 101);
    both(segment(fin, 33), rst | ack, 0, sequence + 34);
    both(segment(ack), rst, acknowledged, 0);
    both(segment(ack, 1000, 3), rst, acknowledged, 0);
    both(segment(ack | fin, 1), rst, acknowledged, 0);
    both(segment(syn | ack), rst, acknowledged, 0);
    const auto counters = datapath.counters(id);
    EXPECT_EQ(counters.dropped[HW_DROP_REJECT], 40U);
    EXPECT_EQ(counters.packets, 40U);
    EXPECT_EQ(counters.dropped[HW_DROP_PARTITION], 0U);
}

TEST_F(RejectTest, TheRestIsProhibited)
{
    const auto id = datapath.add("--reject rst");
    const Layer transports[] = {udp(1000, 2000, payload(100)), udp(1000, 2000), packets::raw(50, Bytes(8)),
                                packets::sctp(1, 2)};
    for (const auto& transport : transports) {
        expect_icmp(id, frame(ipv4({}, transport)), 20);
        expect_icmp(id, frame(ipv4({.option_words = 1}, transport)), 24);
        expect_icmp(id, frame(ipv4({.option_words = 10}, transport)), 60);
        expect_icmp(id, frame(ipv6({}, transport)), 40);
        expect_icmp(id, frame(ipv6({}, packets::extension(0, packets::extension(60, transport), 2))), 40 + 24 + 8);
    }
    for (const int type : {0, 8, 13, 14})
        expect_icmp(id, frame(ipv4({}, packets::icmp(static_cast<std::uint8_t>(type)))), 20);
    expect_icmp(id, frame(ipv6({}, packets::icmpv6(128))), 40);
    auto padded = frame(ipv4({}, udp(1000, 2000)));
    padded.resize(60);
    expect_icmp(id, padded, 20);
}

TEST_F(RejectTest, ByIcmpTcpToo)
{
    const auto id = datapath.add("--reject icmp");
    expect_icmp(id, frame(ipv4({}, segment(syn, 0, 10))), 20);
    expect_icmp(id, frame(ipv6({}, segment(ack, 500))), 40);
    expect_icmp(id, frame(ipv4({}, segment(rst))), 20);
}

TEST_F(RejectTest, AnAnswerThatWouldBeWrongIsNotGiven)
{
    const auto id = datapath.add("--reject rst");
    const auto data = payload(100);
    auto group = frame(ipv4({.destination = "224.0.0.251"}, udp(1, 2, data)));
    expect_nothing(id, group, "IPv4 multicast, sent to an ordinary MAC address (as on lo)");
    group[0] = 1;
    expect_nothing(id, group, "IPv4 multicast");
    auto any = frame(ipv4({}, udp(1, 2, data)));
    std::fill(any.begin(), any.begin() + 6, std::uint8_t{0xff});
    expect_nothing(id, any, "broadcast");
    expect_nothing(id, frame(ipv4({.destination = "255.255.255.255"}, udp(1, 2, data))), "IPv4 broadcast");
    expect_nothing(id, frame(ipv6({.destination = "ff02::fb"}, udp(1, 2, data))), "IPv6 multicast");
    expect_nothing(id, frame(ipv4({.source = "0.0.0.0"}, udp(1, 2, data))), "IPv4 without source");
    expect_nothing(id, frame(ipv6({.source = "::"}, udp(1, 2, data))), "IPv6 without source");
    expect_nothing(id, frame(ipv4({}, segment(rst))), "RST");
    expect_nothing(id, frame(ipv4({}, segment(rst | ack))), "RST");
    expect_nothing(id, frame(ipv6({}, segment(rst))), "RST");
    for (const int type : {3, 4, 5, 11, 12})
        expect_nothing(id, frame(ipv4({}, packets::icmp(static_cast<std::uint8_t>(type), data))), "ICMP error");
    for (const int type : {1, 2, 3, 4})
        expect_nothing(id, frame(ipv6({}, packets::icmpv6(static_cast<std::uint8_t>(type), data))), "ICMPv6 error");
    expect_nothing(id, frame(ipv4({.fragment_offset = 5}, packets::raw(17, Bytes(40)))), "fragment");
    expect_nothing(id, frame(ipv4({.fragment_offset = 5}, packets::raw(6, Bytes(40)))), "fragment");
    expect_nothing(id, frame(ipv6({}, packets::fragment({.offset = 5}, packets::raw(17, Bytes(40))))), "fragment");
    expect_nothing(id, frame(ipv4({}, packets::raw(200, Bytes(7)))), "fewer than 8 bytes to quote");
    expect_nothing(id, frame(packets::vlan(7, ipv4({}, udp(1, 2, data)))), "not built: a tag in the frame");
    auto damaged = frame(ipv4({}, segment(syn)));
    damaged[ethernet + 20 + 12] = 0xf0;
    expect_nothing(id, damaged, "a TCP header longer than its packet");
    auto partition = datapath.counters(id);
    EXPECT_EQ(partition.dropped[HW_DROP_PARTITION] + partition.dropped[HW_DROP_LOSS], 0U);
}

TEST_F(RejectTest, AtTheDeviceOnlyWhatIsToBeAnsweredIsCutFirst)
{
    datapath.control().line_segment = 99'998;
    const auto packet = frame(ipv4({}, segment(syn)));
    const auto all = datapath.add("--reject rst");
    EXPECT_EQ(datapath.out(packet), redirected);
    EXPECT_EQ(datapath.in(packet), redirected);
    EXPECT_EQ(datapath.counters(all).packets, 0U);
    datapath.remove(all);
    const auto some = datapath.add("--loss 20% --reject rst");
    datapath.feed().seed = 2;
    unsigned passed = 0, answered = 0;
    for (int n = 0; n < 1000; ++n) {
        const auto outcome = datapath.run(Hook::egress, packet);
        ASSERT_EQ(outcome.packet, packet);
        if (outcome.verdict == next) {
            ++passed;
            continue;
        }
        ASSERT_EQ(outcome.verdict, redirected);
        auto arrival = datapath.marked(some);
        arrival.cb[2] = outcome.after.cb[2];
        const auto behind = datapath.run(Hook::segment, packet, arrival);
        EXPECT_EQ(behind.verdict, redirected);
        EXPECT_NE(behind.packet, packet);
        ++answered;
    }
    EXPECT_NEAR(answered, 200, 62) << "alpha 1e-6";
    EXPECT_EQ(datapath.counters(some).packets, 1000U);
    EXPECT_EQ(datapath.counters(some).dropped[HW_DROP_REJECT], answered);
    EXPECT_EQ(datapath.counters(some).dropped[HW_DROP_LOSS], 0U);
}

}  // namespace
}  // namespace headwind::prog::reject_test
