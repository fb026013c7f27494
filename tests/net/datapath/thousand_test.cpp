// SPDX-License-Identifier: MIT
// Tests that a thousand rules change in one instant, also when the command is killed.
//
// They change in one transaction, under 50,000 packets a second, and the command is killed at random points: each
// packet meets the old set or the new one, also after the kill.
#include "net_test.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/ethernet.h>
#include <sys/socket.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace headwind::test::thousand_test {
namespace {

constexpr unsigned rules = 1'000, first_port = 10'000;

// Lines for all rules. Rule n cuts off the n-th even or the n-th odd port, so a packet to any of the 2,000 ports tells
// which set it met.
std::string lines(const std::string& verb, bool odd)
{
    std::string out;
    for (unsigned n = 0; n < rules; ++n) {
        const auto port = first_port + 2 * n + (odd ? 1U : 0U);
        out += fmt::format(fmt::runtime(verb), fmt::arg("n", n)) + fmt::format(" --remote-port {}\n", port);
    }
    return out;
}

// Collects the numbers of all packets to these ports that come in through a device, until end().
class PortTap {
public:
    PortTap(const Namespace& where, const std::string& device)
    {
        const Inside inside(where);
        socket_ = Fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP)));
        const int room = 512 << 20;
        const timeval limit{0, 100'000};
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_IP);
        address.sll_ifindex = device_index(where, device);
        EXPECT_TRUE(socket_ && setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) == 0 &&
                    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
                    bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
        thread_ = std::thread([this] { receive(); });
    }
    PortTap(const PortTap&) = delete;
    PortTap& operator=(const PortTap&) = delete;
    ~PortTap() { end(); }

    std::vector<std::uint32_t> end()
    {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
        return numbers_;
    }
    unsigned lost() const
    {
        tpacket_stats statistics{};
        socklen_t size = sizeof(statistics);
        EXPECT_EQ(getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size), 0);
        return statistics.tp_drops;
    }

private:
    void receive()
    {
        struct {
            iphdr ip;
            udphdr udp;
            std::uint32_t number;
        } packet{};
        for (;;) {
            const auto length = recv(socket_.get(), &packet, sizeof(packet), 0);
            if (length < 0 && stop_) return;
            const auto port = ntohs(packet.udp.dest);
            if (length == static_cast<ssize_t>(sizeof(packet)) && packet.ip.protocol == IPPROTO_UDP &&
                port >= first_port && port < first_port + 2 * rules)
                numbers_.push_back(packet.number);
        }
    }
    Fd socket_;
    std::atomic<bool> stop_{false};
    std::vector<std::uint32_t> numbers_;
    std::thread thread_;
};

class Thousand : public PairTest {
protected:
    static std::string file() { return testing::TempDir() + "headwind-thousand-" + std::to_string(getpid()); }

    // Sends to the 2,000 ports in turn, over and over, until `stop`; each packet carries its number.
    void send_numbered(const std::atomic<bool>& stop, std::atomic<std::uint32_t>& sent) const
    {
        const OnCpu cpu(1);
        const auto socket = udp_socket(a(), {Pair::a4, 0});
        sockaddr_in to{};
        to.sin_family = AF_INET;
        inet_pton(AF_INET, Pair::b4, &to.sin_addr);
        constexpr std::int64_t ms = 1'000'000;
        const unsigned burst = slow_machine() ? 5 : 50;
        for (auto next = monotonic_ns(); !stop; next += ms) {
            for (unsigned i = 0; i < burst; ++i) {
                const std::uint32_t number = sent;
                to.sin_port = htons(static_cast<std::uint16_t>(first_port + number % (2 * rules)));
                ASSERT_EQ(
                    sendto(socket.get(), &number, sizeof(number), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)),
                    static_cast<ssize_t>(sizeof(number)));
                ++sent;
            }
            const auto left = next + ms - monotonic_ns();
            if (left > 0) usleep(static_cast<useconds_t>(left / 1000));
            if (left < -100 * ms) next = monotonic_ns();  // a late sender does not catch up in a burst
        }
    }
};

// The numbers of the packets between which a batch was at work.
struct Span {
    std::uint32_t from = 0, to = 0;
};

TEST_F(Thousand, ChangesInOneInstantEvenWhenKilled)
{
    const auto clean = footprint(a());
    for (const bool odd : {false, true}) std::ofstream(file() + (odd ? "-odd" : "-even")) << lines("change m{n}", odd);
    std::ofstream(file()) << lines("add --name m{n} --partition --direction out --proto udp", false);
    change(a(), "batch " + file());

    const std::size_t kills = scaled(50, 6);
    std::vector<Span> spans;
    std::size_t hits = 0;
    PortTap tap(b(), Pair::device_b);
    std::atomic<bool> stop{false};
    std::atomic<std::uint32_t> sent{0};
    std::thread sender([&] { send_numbered(stop, sent); });
    usleep(20'000);
    const auto timed = [&](bool odd, std::chrono::microseconds until) {
        // A change belongs to one batch only: packets are sent between any two, also by a sender that had to wait.
        while (!spans.empty() && sent < spans.back().to + 3) usleep(100);
        const auto from = sent.load();
        const auto start = monotonic_ns();
        bool killed = false;
        Process process(&a(), words(headwind_binary() + " batch " + file() + (odd ? "-odd" : "-even")));
        if (until.count() != 0) {
            std::this_thread::sleep_for(until);
            killed = process.running();
            hits += killed ? 1 : 0;
            process.signal(SIGKILL);
        }
        const auto output = process.wait();
        if (!killed) expect_ok(output);
        spans.push_back({from, sent});
        return std::chrono::microseconds((monotonic_ns() - start) / 1000);
    };
    auto usual = timed(true, {});
    std::mt19937 dice(20261127);
    for (std::size_t i = 0; i < 20 * kills && hits < kills; ++i) {
        // Every other kill is around the commit, which comes late.
        const auto whole = static_cast<std::uint64_t>(usual.count());
        const auto from = i % 2 == 0 ? 0 : whole * 85 / 100, room = i % 2 == 0 ? whole : whole * 40 / 100;
        const auto before = hits;
        const auto took = timed(i % 4 < 2, std::chrono::microseconds(1 + from + dice() % room));
        if (hits == before) usual = took;  // the machine is less busy now
    }
    timed(true, {});
    timed(false, {});
    usleep(20'000);
    stop = true;
    sender.join();
    const auto numbers = tap.end();
    EXPECT_EQ(tap.lost(), 0U) << "the test's own";
    EXPECT_EQ(hits, kills);

    // If packets to even ports pass, the odd ones are cut off.
    std::vector<bool> passed(sent);
    for (const auto number : numbers) passed.at(number) = true;
    std::vector<std::uint32_t> changes;
    for (std::uint32_t i = 1; i < passed.size(); ++i)
        if ((passed[i - 1] == ((i - 1) % 2 == 0)) != (passed[i] == (i % 2 == 0))) changes.push_back(i);
    std::size_t explained = 0, moved = 0;
    for (const auto& span : spans) {
        const auto inside = std::count_if(changes.begin(), changes.end(),
                                          [&span](auto i) { return i >= span.from && i <= span.to + 1; });
        EXPECT_LE(inside, 1) << "a mixture between packets " << span.from << " and " << span.to;
        explained += static_cast<std::size_t>(inside);
        moved += inside != 0 ? 1 : 0;
    }
    EXPECT_EQ(explained, changes.size()) << "the rest came when no batch was at work";
    EXPECT_GE(moved, 2U) << "the first batch and the last one";
    std::printf(
        "[  FIGURES ] a batch of %u changes takes %.0f ms; %zu of %zu batches committed, %zu were killed; %u packets\n",
        rules, static_cast<double>(usual.count()) / 1e3, moved, spans.size(), hits, sent.load());
    for (const char* end : {"", "-odd", "-even"}) std::filesystem::remove(file() + end);
    change(a(), "clear");
    expect_footprint(a(), clean);
}

}  // namespace
}  // namespace headwind::test::thousand_test
