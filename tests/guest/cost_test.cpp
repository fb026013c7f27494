// SPDX-License-Identifier: MIT
// What a rule adds to the cost of a packet, beside netem, in virtual time: on its one CPU an instruction takes a
// nanosecond, and what a thread that runs only when nothing else does cannot count is the packets' work.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "measure.h"

namespace headwind::test::cost_test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned packets = 200, bytes = 22;  // of payload: 64-byte frames
// A packet that was held for 20 ms leaves in the middle between two others: work that comes together costs less, or, if
// it wakes a kernel thread, much more.
constexpr std::int64_t period_ns = 20'000'000 * 2 / 205;
constexpr std::uint16_t port = 7000;

void sleep_for(std::chrono::nanoseconds time)
{
    timespec left{static_cast<time_t>(time / 1s), static_cast<long>(time % 1s / 1ns)};
    nanosleep(&left, nullptr);
}

// The CPU time that is left over.
class Idle {
public:
    Idle()
    {
        sleep_for(20ms);
        const auto before = count_.load();
        const auto start = monotonic_ns();
        sleep_for(100ms);
        rate_ = static_cast<double>(count_ - before) / static_cast<double>(monotonic_ns() - start);
        go_ = false;
    }
    Idle(const Idle&) = delete;
    Idle& operator=(const Idle&) = delete;
    ~Idle()
    {
        stop_ = go_ = true;
        go_.notify_one();
        thread_.join();
    }
    // The ns that this work takes of the CPU.
    template <class Work>
    double busy_ns(const Work& work)
    {
        go_ = true;
        go_.notify_one();
        const auto before = count_.load();
        const auto start = monotonic_ns();
        work();
        const auto elapsed = static_cast<double>(monotonic_ns() - start);
        const auto idle = static_cast<double>(count_ - before) / rate_;
        go_ = false;
        return elapsed - idle;
    }

private:
    void run()
    {
        const sched_param none{};
        pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
        while (!stop_) {
            go_.wait(false);  // virtual time, too, goes by as fast as instructions do, unless all sleep
            while (go_ && !stop_) ++count_;
        }
    }
    std::atomic<std::uint64_t> count_{0};
    std::atomic<bool> stop_{false}, go_{true};
    std::thread thread_{[this] { run(); }};
    double rate_ = 0;  // counts per ns
};

sockaddr_in to(const char* address)
{
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    inet_pton(AF_INET, address, &out.sin_addr);
    return out;
}

// A UDP socket here, and one there that takes all it sends.
class Stream {
public:
    Stream(const Namespace& from, const Namespace& to_namespace, const char* address)
    {
        const auto at = to(address);
        {
            const Inside inside(to_namespace);
            there_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            const int room = 1 << 24;
            EXPECT_EQ(setsockopt(there_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
            EXPECT_EQ(bind(there_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
        }
        const Inside inside(from);
        here_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(connect(here_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    }
    // Instructions for each packet, from its sender until it waits at its receiver.
    double cost(Idle& idle) const
    {
        double least = 0;  // what else the kernel does in this time comes on top
        for (unsigned i = 0; i < 5; ++i) {
            send(50);
            const double busy = idle.busy_ns([this] { send(packets); });
            EXPECT_EQ(take(), packets + 50);
            if (i == 0 || busy < least) least = busy;
        }
        return least / packets;
    }

private:
    void send(unsigned count) const
    {
        const std::vector<char> payload(bytes);
        prctl(PR_SET_TIMERSLACK, 1);
        auto next = monotonic_ns();
        for (unsigned i = 0; i < count; ++i) {
            next += period_ns;
            const timespec at{next / 1'000'000'000, next % 1'000'000'000};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
            EXPECT_EQ(::send(here_.get(), payload.data(), payload.size(), 0), ssize_t{bytes});
        }
        sleep_for(50ms);  // what is held arrives
    }
    unsigned take() const
    {
        char payload[bytes];
        unsigned out = 0;
        while (recv(there_.get(), payload, sizeof(payload), 0) >= 0) ++out;
        return out;
    }
    Fd here_, there_;
};

class GuestCost : public testing::Test {
protected:
    // Measures the bare path. `where`: the namespace of the rules.
    void begin(const Namespace& where, const Stream& stream)
    {
        settle();
        where_ = &where;
        stream_ = &stream;
        bare_ = stream.cost(idle_);
    }
    // What the rules add.
    double added(const std::vector<std::string>& rules)
    {
        for (std::size_t i = 0; i < rules.size(); ++i)
            EXPECT_EQ(headwind(*where_, fmt::format("add --name r{} {}", i, rules[i])).status, 0) << rules[i];
        settle();
        const double out = stream_->cost(idle_) - bare_;
        EXPECT_EQ(headwind(*where_, "clear").status, 0);
        return out;
    }
    double added_by_netem(const std::string& device, const std::string& words)
    {
        tc(*where_, "qdisc add dev " + device + " root netem limit 100000 " + words);
        const double out = stream_->cost(idle_) - bare_;
        tc(*where_, "qdisc del dev " + device + " root");
        return out;
    }
    static void expect(const char* what, double instructions, double most, double netem = 0)
    {
        std::printf("cost: %-40s %7.0f instructions%s\n", what, instructions,
                    netem != 0 ? fmt::format(", netem {:.0f}", netem).c_str() : "");
        EXPECT_LT(instructions, most) << what;
    }

    Pair pair;

private:
    Idle idle_;
    const Namespace* where_ = nullptr;
    const Stream* stream_ = nullptr;
    double bare_ = 0;
};

TEST_F(GuestCost, OfOneRule)
{
    const Stream stream(pair.a, pair.b, Pair::b4);
    begin(pair.a, stream);
    expect("delay 20 ms", added({"--dev va --proto udp --delay 20ms"}), 7'000, added_by_netem("va", "delay 20ms"));
    expect("loss that hits none", added({"--dev va --proto udp --loss 0.0000001%"}), 1'000,
           added_by_netem("va", "loss 0.0001%"));
    const double unmatched = added({"--dev va --proto tcp --delay 20ms"});
    expect("a rule that does not match", unmatched, 400);
    std::vector<std::string> shapes{"--dev va --proto tcp --delay 20ms"};
    for (int length = 9; length < 17; ++length)
        shapes.push_back("--dev va --proto tcp --delay 20ms --remote 10.0.0.0/" + std::to_string(length));
    expect("each further shape", (added(shapes) - unmatched) / 8, 100);
}

TEST_F(GuestCost, OfAForwardedPacket)
{
    const Far far(pair.a, pair.b);
    const Stream stream(pair.a, far.far, Far::address4);
    begin(pair.b, stream);
    expect("delay 20 ms, forwarded", added({"--dev vc --proto udp --delay 20ms"}), 5'900,
           added_by_netem("vc", "delay 20ms"));
}

}  // namespace
}  // namespace headwind::test::cost_test
