// SPDX-License-Identifier: MIT
// nftables, connection tracking and NAT around our hooks meet each packet once, as it is on the wire.
#include "net_test.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "verify/statistics.h"

namespace headwind::test::netfilter_test {
namespace {

constexpr const char* far_side4 = "10.79.0.1";  // address of b towards far

// Three namespaces, a - b - far: b forwards and has netfilter's rules.
class Netfilter : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        far_.emplace(a(), b());
    }
    void TearDown() override
    {
        far_.reset();
        PairTest::TearDown();
    }
    const Namespace& far() const { return far_->far; }

    void nft(const std::string& rules) const { expect_ok(run(&b(), {"nft", rules}), rules); }
    // The packets that each of nftables' counters has counted since the last call, by the counter's name.
    std::map<std::string, std::uint64_t> counted() const
    {
        std::map<std::string, std::uint64_t> out;
        const auto all = parse_json(run(&b(), words("nft -j reset counters")));
        for (const auto& one : all.value("nftables", nlohmann::json::array()))
            if (one.contains("counter")) out[one["counter"]["name"]] = one["counter"]["packets"];
        return out;
    }

private:
    std::optional<Far> far_;
};

TEST_F(Netfilter, EachHookCountsAPacketOnce)
{
    nft("table inet t {\n"
        "counter prerouting { }\ncounter forward { }\ncounter postrouting { }\n"
        "chain p { type filter hook prerouting priority 0; udp dport 5000 counter name prerouting; }\n"
        "chain f { type filter hook forward priority 0; udp dport 5000 counter name forward; }\n"
        "chain q { type filter hook postrouting priority 0; udp dport 5000 counter name postrouting; }\n}\n"
        "table netdev n {\n"
        "counter ingress { }\ncounter egress { }\n"
        "chain i { type filter hook ingress device vb priority 0; udp dport 5000 counter name ingress; }\n"
        "chain e { type filter hook egress device vc priority 0; udp dport 5000 counter name egress; }\n}");
    using Counted = std::map<std::string, std::uint64_t>;
    const auto all = [](std::uint64_t n) {
        return Counted{{"ingress", n}, {"prerouting", n}, {"forward", n}, {"postrouting", n}, {"egress", n}};
    };
    const auto pass = [this](std::size_t segments) {
        return deliver(a(), far(), {Far::address4, 5000}, {.count = 1000, .size = 1000, .segments = segments});
    };
    EXPECT_EQ(pass(1), 1000U);
    EXPECT_EQ(counted(), all(1000));
    // At least one of fifty packets in a row is lost, so all super-packets are cut.
    std::vector<std::pair<std::string, std::size_t>> cases{
        {"--duplicate 100%", 1}, {"--loss 50%", 1}, {"--loss 50%", 50}};
    if (has_fq()) cases.insert(cases.end(), {{"--delay 5ms", 1}, {"--delay 5ms --loss 50%", 50}});
    for (const auto& [words, segments] : cases) {
        change(b(), "add --name r --proto udp --dev vb --direction in " + words);
        auto arrived = pass(segments);
        EXPECT_EQ(counted(), all(arrived)) << "in " << words;
        change(b(), "add --name r --replace --proto udp --dev vc --direction out " + words);
        arrived = pass(segments);
        EXPECT_EQ(counted(), all(1000 / segments)) << "netfilter's egress hook comes first; out " << words;
        EXPECT_EQ(counters_of(b(), "r").packets, 1000U);
        EXPECT_EQ(arrived, 1000 + counters_of(b(), "r").duplicated - counters_of(b(), "r").loss);
        change(b(), "clear");
    }
}

TEST_F(Netfilter, AMasqueradedConnectionStaysOne)
{
    nft("table ip t {\ncounter new { }\ncounter invalid { }\n"
        "chain f { type filter hook forward priority 0; ct state new counter name new; ct state invalid counter name invalid; }\n"
        "chain n { type nat hook postrouting priority 100; oifname vc masquerade; }\n}");
    const auto connection = connect_tcp(a(), far(), {Far::address4, 5001});
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    ASSERT_EQ(getpeername(connection.receiver.get(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
    EXPECT_EQ(peer.sin_addr.s_addr, inet_addr(far_side4));
    counted();
    std::vector<std::string> impairments{"--loss 1%", "--duplicate 5%"};
    if (has_fq()) impairments.emplace_back("--delay 5ms --jitter 1ms --loss 1%");
    const std::uint64_t bytes = scaled(2'000'000, 300'000);
    for (const auto& impairment : impairments) {
        change(b(), "add --name r --proto tcp --direction both " + impairment);
        EXPECT_EQ(send_tcp(connection, bytes).error, "") << impairment;
        EXPECT_GT(counters_of(b(), "r", "in").packets, 100U);
        EXPECT_EQ(counters_of(b(), "r", "out").packets, 0U) << "what is forwarded is impaired as it comes in";
        change(b(), "clear");
        // Rules see packets behind the NAT, as on the wire: those to far come from b.
        change(b(), std::string("add --name r --proto tcp --dev vc --direction both --local ") + far_side4 + " " +
                        impairment);
        EXPECT_EQ(send_tcp(connection, bytes).error, "") << impairment;
        EXPECT_GT(counters_of(b(), "r", "out").packets, 100U);
        EXPECT_GT(counters_of(b(), "r", "in").packets, 10U);
        change(b(), "clear");
    }
    EXPECT_EQ(counted(), (std::map<std::string, std::uint64_t>{{"new", 0}, {"invalid", 0}}));
}

TEST_F(Netfilter, AServiceBehindDnatHasItsPortsOfTheWire)
{
    nft("table ip t {\nchain n { type nat hook prerouting priority -100; udp dport 8000 dnat to 10.79.0.2:9000; }\n}");
    const auto arrived = [this] {
        UdpSink sink(far(), {Far::address4, 9000});
        send_udp(a(), {Pair::b4, 8000}, {.count = 100});
        return sink.finish().size();
    };
    EXPECT_EQ(arrived(), 100U);
    struct Case {
        std::string words, direction;
        std::uint64_t matched;
    };
    for (const auto& [words, direction, matched] : {Case{"--dev vb --direction in --local-port 8000", "in", 100},
                                                    Case{"--dev vb --direction in --local-port 9000", "in", 0},
                                                    Case{"--dev vc --direction out --remote-port 9000", "out", 100},
                                                    Case{"--dev vc --direction out --remote-port 8000", "out", 0}}) {
        change(b(), "add --name r --replace --partition " + words);
        EXPECT_EQ(arrived(), 100 - matched) << words;
        EXPECT_EQ(counters_of(b(), "r", direction).partition, matched) << words;
        change(b(), "add --name r --replace --duplicate 100% " + words);
        EXPECT_EQ(arrived(), 100 + matched) << words;
    }
}

}  // namespace
}  // namespace headwind::test::netfilter_test
