// SPDX-License-Identifier: MIT
// Tests that packets of a flow stay in order on several CPUs, as far as the bare device keeps them so.
#include <poll.h>

#include <cstring>
#include <map>

#include <headwind/testing.h>

#include "net_test.h"
#include "packets.h"
#include "tap.h"

namespace headwind::test::order_test {
namespace {

using namespace std::chrono_literals;

unsigned cpus()
{
    return std::max(1U, std::thread::hardware_concurrency());
}

// What one thread sends: `flows` flows in turn, a packet each `interval`.
struct Sender {
    unsigned number = 0;
    unsigned flows = 1;
    std::chrono::microseconds interval{50};
    unsigned stay = 0;  // packets until it moves to the next CPU; 0: it stays
};

// Packets that came after one that was sent later, and the farthest they came behind.
struct Disorder {
    std::size_t late = 0;
    std::size_t places = 0;
};

Disorder disorder_of(const std::vector<Arrival>& arrivals)
{
    Disorder out;
    std::map<std::uint32_t, std::vector<std::uint32_t>> flows;
    for (const auto& arrival : arrivals) {
        auto& seen = flows[arrival.stamp.sender];
        const auto passed_by = static_cast<std::size_t>(std::count_if(
            seen.rbegin(), seen.rend(), [&arrival](std::uint32_t other) { return other > arrival.stamp.sequence; }));
        if (passed_by != 0) ++out.late;
        out.places = std::max(out.places, passed_by);
        seen.push_back(arrival.stamp.sequence);
    }
    return out;
}

// Where packets are sent and where they arrive.
class Road {
public:
    virtual ~Road() = default;
    // A descriptor of the flow's own, and what stands before the stamp of a packet that is written there.
    virtual std::pair<Fd, packets::Bytes> open_flow(std::uint16_t number) = 0;
    // Begins to receive, before anything is sent.
    virtual void receive() = 0;
    // The packets that have arrived since then, `count` at most.
    virtual std::vector<Arrival> arrivals(std::size_t count) = 0;
};

// From a socket to a socket.
class Sockets : public Road {
public:
    Sockets(const Namespace& from, const Namespace& to_namespace, const Endpoint& to)
        : from_(from), to_namespace_(to_namespace), to_(to)
    {
    }
    std::pair<Fd, packets::Bytes> open_flow(std::uint16_t) override
    {
        return {connected_udp(from_, to_), packets::Bytes{}};
    }
    void receive() override { sink_.emplace(to_namespace_, to_); }
    std::vector<Arrival> arrivals(std::size_t count) override { return sink_->finish(600ms, count); }

private:
    const Namespace &from_, &to_namespace_;
    Endpoint to_;
    std::optional<UdpSink> sink_;
};

constexpr const char *host = "10.79.0.1", *machine = "10.79.0.2";  // this side of tap0, and the other

// From a virtual machine at a tap to a socket of the host.
class FromTap : public Road {
public:
    FromTap(const Namespace& where, const Tap& tap) : where_(where), tap_(tap) {}
    std::pair<Fd, packets::Bytes> open_flow(std::uint16_t number) override
    {
        auto bytes = packets::frame(packets::ipv4(
            {.source = machine, .destination = host},
            packets::udp(static_cast<std::uint16_t>(10'000 + number), 5000, packets::payload(sizeof(Stamp)))));
        std::copy(tap_.address.begin(), tap_.address.end(), bytes.begin());
        bytes.resize(bytes.size() - sizeof(Stamp));
        return {Fd(dup(tap_.fd.get())), bytes};
    }
    void receive() override { sink_.emplace(where_, Endpoint{host, 5000}); }
    std::vector<Arrival> arrivals(std::size_t count) override { return sink_->finish(600ms, count); }

private:
    const Namespace& where_;
    const Tap& tap_;
    std::optional<UdpSink> sink_;
};

// From sockets of the host to a virtual machine at a tap.
class ToTap : public Road {
public:
    ToTap(const Namespace& where, const Tap& tap) : where_(where), tap_(tap) {}
    std::pair<Fd, packets::Bytes> open_flow(std::uint16_t) override
    {
        return {connected_udp(where_, {machine, 5000}), packets::Bytes{}};
    }
    void receive() override {}  // packets wait in the tap's queue
    std::vector<Arrival> arrivals(std::size_t count) override
    {
        constexpr std::size_t headers = 14 + 20 + 8;  // Ethernet, IPv4, UDP
        std::vector<Arrival> out;
        std::array<char, 2048> frame{};
        pollfd ready{tap_.fd.get(), POLLIN, 0};
        while (out.size() < count && poll(&ready, 1, 60'000) == 1) {
            const auto size = read(tap_.fd.get(), frame.data(), frame.size());
            if (size != static_cast<ssize_t>(headers + sizeof(Stamp))) continue;  // the kernel's own
            std::memcpy(&out.emplace_back().stamp, frame.data() + headers, sizeof(Stamp));
        }
        return out;
    }

private:
    const Namespace& where_;
    const Tap& tap_;
};

class Order : public PairTest {
protected:
    void SetUp() override
    {
        SKIP_WITHOUT_FQ();
        if (cpus() < 2) GTEST_SKIP() << "one CPU";
        PairTest::SetUp();
    }

    static std::size_t packets_each() { return takes_long() ? 4'000 : 1'000; }

    static void send(Road& road, const Sender& sender)
    {
        std::vector<std::pair<Fd, packets::Bytes>> flows;
        for (unsigned i = 0; i < sender.flows; ++i)
            flows.push_back(road.open_flow(static_cast<std::uint16_t>(sender.number * sender.flows + i)));
        std::optional<OnCpu> cpu(std::in_place, sender.number % cpus());
        auto due = std::chrono::steady_clock::now();
        for (std::uint32_t i = 0; i < packets_each(); ++i) {
            if (sender.stay != 0 && i % sender.stay == sender.stay - 1) cpu.emplace(i / sender.stay % cpus());
            const auto& [fd, before] = flows[i % sender.flows];
            const Stamp stamp{sender.number << 16 | i % sender.flows, i, monotonic_ns()};
            auto bytes = before;
            bytes.resize(before.size() + sizeof(stamp));
            std::memcpy(bytes.data() + before.size(), &stamp, sizeof(stamp));
            ASSERT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
            std::this_thread::sleep_until(due += sender.interval);
        }
    }

    static Disorder exchange(Road& road, const std::vector<Sender>& senders)
    {
        road.receive();
        std::vector<std::thread> threads;
        for (const auto& sender : senders) threads.emplace_back([&] { send(road, sender); });
        for (auto& thread : threads) thread.join();
        const auto arrivals = road.arrivals(senders.size() * packets_each());
        EXPECT_EQ(arrivals.size(), senders.size() * packets_each());
        return disorder_of(arrivals);
    }

    // Expects no more disorder under each rule at `device` than without, and prints both, and netem's where it is
    // known. (Where packets come in at the device, those of a sender that moves may be out of order by then.)
    static void expect_order(const std::string& what, Road& road, const Namespace& where, const std::string& device,
                             const std::string& direction, const std::vector<Sender>& senders)
    {
        std::vector<std::string> rules = {"--delay 20ms", "--delay 20ms --rate 100mbit"};
        if (takes_long()) rules.push_back("--rate 100mbit");
        const auto bare = exchange(road, senders);
        std::string figures = fmt::format("bare {}", bare.late);
        if (direction == "out") {
            tc(where, "qdisc replace dev " + device + " root netem delay 20ms limit 100000");
            figures += fmt::format(", netem --delay 20ms {}", exchange(road, senders).late);
            tc(where, "qdisc del dev " + device + " root");
        }
        for (const auto& rule : rules) {
            change(where, fmt::format("add --name x --dev {} --proto udp --direction {} {}", device, direction, rule));
            const auto impaired = exchange(road, senders);
            change(where, "clear");
            figures += fmt::format(", {} {}", rule, impaired.late);
            EXPECT_LE(impaired.late, bare.late) << what << " " << rule << ": by up to " << impaired.places << " places";
        }
        fmt::print("[  FIGURES ] {}, of {} packets each: out of order {}\n", what, packets_each(), figures);
    }
};

RUNS_IN("Order.*", linux_6_12, linux_6_1);
RUNS_IN("Order.AtATap:Order.AtAPortOfABridge", nowhere, linux_6_12 | linux_6_1);

const std::vector<Sender> two = {{.number = 0}, {.number = 1}};
const std::vector<Sender> slow = {{.number = 0, .interval = 200us}, {.number = 1, .interval = 200us}};
const std::vector<Sender> four = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
const std::vector<Sender> moving = {{.number = 0, .stay = 100}, {.number = 1}};
const std::vector<Sender> many = {{.number = 0, .flows = 100}, {.number = 1, .flows = 100}};

TEST_F(Order, AtAVeth)
{
    Sockets road(a(), b(), {Pair::b4, 5000});
    expect_order("out, two CPUs", road, a(), "va", "out", two);
    expect_order("out, one that moves", road, a(), "va", "out", moving);
    expect_order("out, 200 flows", road, a(), "va", "out", many);
    expect_order("in, two CPUs", road, b(), "vb", "in", two);
    if (!takes_long()) return;
    expect_order("out, four senders", road, a(), "va", "out", four);
    expect_order("out, 200 us", road, a(), "va", "out", slow);
    expect_order("in, four senders", road, b(), "vb", "in", four);
    expect_order("in, 200 us", road, b(), "vb", "in", slow);
    expect_order("in, 200 flows", road, b(), "vb", "in", many);
}

TEST_F(Order, AtATap)
{
    const auto tap = open_tap(a(), false);
    ip(a(), fmt::format("address add {}/24 dev tap0\nlink set tap0 up txqueuelen 10000\n"
                        "neighbour add {} lladdr 02:00:00:00:00:02 dev tap0",
                        host, machine));
    {
        ToTap out(a(), tap);
        expect_order("out of a tap", out, a(), "tap0", "out", two);
    }
    FromTap in(a(), tap);
    expect_order("in at a tap", in, a(), "tap0", "in", two);
}

TEST_F(Order, AtAPortOfABridge)
{
    ip(a(), std::string("link add br0 type bridge\nlink set va master br0\nlink set br0 up\n") + "address del " +
                Pair::a4 + "/24 dev va\naddress add " + Pair::a4 + "/24 dev br0");
    Sockets out(a(), b(), {Pair::b4, 5000}), in(b(), a(), {Pair::a4, 5000});
    expect_order("out of a bridge's port", out, a(), "va", "out", two);
    expect_order("in at a bridge's port", in, a(), "va", "in", two);
}

TEST_F(Order, WithoutOneCpuForAFlowPacketsOvertake)
{
    Sockets road(a(), b(), {Pair::b4, 5000});
    change_without(HW_WORKAROUND_RPS, a(), "add --name x --dev va --delay 20ms");
    std::size_t late = 0;
    for (int tries = 0; tries < 20 && late == 0; ++tries) late = exchange(road, two).late;
    EXPECT_GT(late, 0U);
}

}  // namespace
}  // namespace headwind::test::order_test
