// SPDX-License-Identifier: MIT
// Sends packets in one network namespace, receives them in another, and asks senders for the answers they got.
#include "verify/measure.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <random>
#include <thread>

#include "verify/net.h"

namespace headwind::verify {
namespace {

constexpr std::uint16_t stream_port = 7000, tcp_port = 7001, silent_port = 7002;
constexpr std::int64_t second_ns = 1'000'000'000;

volatile std::sig_atomic_t interrupted = 0;
constexpr std::array ending_signals{SIGINT, SIGTERM, SIGHUP};

void note_signal(int signal)
{
    interrupted = signal;
}

Status not_interrupted()
{
    if (interrupted == 0) return {};
    return fail(ErrorKind::failed, "verify: interrupted; everything is removed");
}

std::int64_t now_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * second_ns + now.tv_nsec;
}

void sleep_until(std::int64_t when)
{
    const timespec until{when / second_ns, when % second_ns};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

// ---- packets --------------------------------------------------------------------------------------------------------

// The start of a packet. The bytes that follow are made of it, so that each damaged one is seen.
struct Stamp {
    std::uint32_t run = 0, sequence = 0;
};

// Knuth's MMIX: enough to tell bytes of one packet from those of others.
using Filler = std::linear_congruential_engine<std::uint64_t, 6364136223846793005, 1442695040888963407, 0>;

void write_packet(std::vector<char>& packet, const Stamp& stamp)
{
    std::memcpy(packet.data(), &stamp, sizeof(stamp));
    Filler filler(std::uint64_t{stamp.run} << 32 | stamp.sequence);
    for (std::size_t at = sizeof(stamp); at < packet.size(); at += sizeof(std::uint64_t)) {
        const auto word = filler();
        std::memcpy(packet.data() + at, &word, std::min(sizeof(word), packet.size() - at));
    }
}

// Receives the packets of a run in a thread of its own.
class Receiver {
public:
    Receiver(Fd socket, std::uint32_t run, std::uint64_t payload, std::uint64_t most)
        : socket_(std::move(socket)), run_(run), expected_(payload), most_(most), thread_([this] { receive(); })
    {
    }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    ~Receiver() { stop(); }

    std::size_t count() const { return count_.load(); }
    // Waits until `packets` have come, or until `end` (CLOCK_MONOTONIC, ns).
    Status wait(std::size_t packets, std::int64_t end) const
    {
        while (count() < packets && now_ns() < end) {
            HW_CHECK(not_interrupted());
            sleep_until(std::min(end, now_ns() + 5'000'000));
        }
        return {};
    }
    void stop()
    {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }
    std::vector<Arrival> arrivals;  // this and wrong_bytes: to be read once stopped
    std::uint64_t wrong_bytes = 0;

private:
    void receive()
    {
        std::vector<char> buffer(65'536), right(expected_);
        while (!stop_) {
            pollfd waiting{socket_.get(), POLLIN, 0};
            if (poll(&waiting, 1, 20) != 1) continue;
            for (ssize_t n = 0; (n = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) >= 0;)
                take(buffer, static_cast<std::size_t>(n), right);
        }
    }
    void take(const std::vector<char>& bytes, std::size_t size, std::vector<char>& right)
    {
        const auto arrived = now_ns();
        Stamp stamp;
        std::memcpy(&stamp, bytes.data(), sizeof(stamp));
        write_packet(right, stamp);
        const bool good = size == right.size() && std::memcmp(bytes.data(), right.data(), size) == 0;
        if (good && stamp.run != run_) return;  // a late one, from a run before
        if (good && stamp.sequence < most_)
            arrivals.push_back({stamp.sequence, arrived});
        else
            ++wrong_bytes;
        ++count_;
    }

    Fd socket_;
    std::uint32_t run_;
    std::uint64_t expected_, most_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> count_{0};
    std::thread thread_;  // last: it uses the others
};

// The calling thread stays on one CPU as long as this lives: the packets that it sends stay in order.
class OnOneCpu {
public:
    OnOneCpu()
    {
        sched_getaffinity(0, sizeof(before_), &before_);
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<unsigned>(std::max(0, sched_getcpu())), &one);
        sched_setaffinity(0, sizeof(one), &one);
    }
    OnOneCpu(const OnOneCpu&) = delete;
    OnOneCpu& operator=(const OnOneCpu&) = delete;
    ~OnOneCpu() { sched_setaffinity(0, sizeof(before_), &before_); }

private:
    cpu_set_t before_{};
};

std::uint32_t new_run()
{
    static std::uint32_t runs = 0;
    return ++runs;
}

// False: the kernel reported a drop. A send that reports the socket's error from a packet before (ICMP) is repeated.
Result<bool> send_packet(const Fd& socket, const std::vector<char>& packet)
{
    for (int tries = 0; tries < 3; ++tries) {
        if (send(socket.get(), packet.data(), packet.size(), 0) == static_cast<ssize_t>(packet.size())) return true;
        if (errno == ENOBUFS || errno == EPERM) return false;
        if (errno != EHOSTUNREACH && errno != EACCES && errno != ECONNREFUSED && errno != EINTR) break;
    }
    return fail_errno(errno, "verify: send a packet");
}

}  // namespace

Interruptible::Interruptible()
{
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = note_signal;
    for (const int signal : ending_signals) sigaction(signal, &action, nullptr);
}

Interruptible::~Interruptible()
{
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    for (const int signal : ending_signals) sigaction(signal, &action, nullptr);
    if (interrupted != 0) raise(interrupted);
}

Result<Bed> Bed::create(bool ipv6)
{
    Bed bed;
    bed.ipv6_ = ipv6;
    HW_TRY(bed.sender_, make_namespace());
    HW_TRY(bed.receiver_, make_namespace());
    HW_CHECK(connect_namespaces(bed.sender_.get(), bed.receiver_.get(), device, ipv6));
    return bed;
}

Status Bed::enter_sender() const
{
    return enter_netns(fmt::format("/proc/self/fd/{}", sender_.get()));
}

Status wait_for_path(const Bed& bed)
{
    HW_TRY(auto socket, receiving_socket(bed.receiver(), bed.ipv6(), stream_port));
    HW_TRY(const auto out, sending_socket(bed.ipv6(), stream_port));
    const auto run = new_run();
    Receiver receiver(std::move(socket), run, payload_bytes, UINT32_MAX);
    std::vector<char> packet(payload_bytes);
    constexpr std::uint32_t tries = 100, enough = 10;
    for (std::uint32_t i = 0; i < tries && receiver.count() < enough; ++i) {
        write_packet(packet, {run, i});
        HW_CHECK(send_packet(out, packet));
        HW_CHECK(not_interrupted());
        sleep_until(now_ns() + second_ns / 20);
    }
    if (receiver.count() < enough)
        return fail(ErrorKind::failed, "verify: nothing passes between two fresh namespaces");
    return {};
}

Result<Stream> measure_stream(const Bed& bed, const Pace& pace)
{
    HW_TRY(auto socket, receiving_socket(bed.receiver(), bed.ipv6(), stream_port));
    HW_TRY(const auto out, sending_socket(bed.ipv6(), stream_port));
    HW_TRY(const auto errors_before, checksum_errors(bed.receiver(), bed.ipv6()));
    const auto run = new_run();
    const OnOneCpu pinned;
    Receiver receiver(std::move(socket), run, payload_bytes, pace.packets);
    Stream stream;
    stream.sent.reserve(pace.packets);
    std::vector<char> packet(payload_bytes);
    const auto start = now_ns();
    auto next = start;
    for (std::uint32_t i = 0; i < pace.packets && next - start < pace.limit; ++i) {
        write_packet(packet, {run, i});
        stream.sent.push_back(now_ns());
        HW_TRY(const bool taken, send_packet(out, packet));
        stream.failed += taken ? 0 : 1;
        if ((i + 1) % pace.burst != 0) continue;
        HW_CHECK(not_interrupted());
        next = std::max(next, now_ns() - pace.spacing / 2) + pace.spacing;
        sleep_until(next);
    }
    HW_CHECK(receiver.wait(SIZE_MAX, now_ns() + pace.wait));
    receiver.stop();
    HW_TRY(const auto errors, checksum_errors(bed.receiver(), bed.ipv6()));
    stream.arrivals = std::move(receiver.arrivals);
    stream.checksum_errors = errors - errors_before;
    stream.wrong_bytes = receiver.wrong_bytes;
    return stream;
}

Result<Flood> measure_flood(const Bed& bed, const FloodPace& pace)
{
    HW_TRY(auto socket, receiving_socket(bed.receiver(), bed.ipv6(), stream_port));
    HW_TRY(const auto out, sending_socket(bed.ipv6(), stream_port));
    HW_TRY(const auto errors_before, checksum_errors(bed.receiver(), bed.ipv6()));
    const auto run = new_run();
    const OnOneCpu pinned;
    Receiver receiver(std::move(socket), run, pace.payload, UINT32_MAX);
    Flood flood;
    flood.frame_bytes = bed.frame_bytes(pace.payload);
    std::vector<char> packet(pace.payload);
    flood.begin = now_ns();
    for (auto now = flood.begin; now - flood.begin < pace.duration; now = now_ns()) {
        HW_CHECK(not_interrupted());
        const double due = static_cast<double>(now - flood.begin) / 1e9 * pace.packets_per_second;
        for (; static_cast<double>(flood.sent) <= due; ++flood.sent) {
            write_packet(packet, {run, static_cast<std::uint32_t>(flood.sent)});
            HW_CHECK(send_packet(out, packet));
        }
        const auto next = static_cast<double>(flood.sent) / pace.packets_per_second * 1e9;
        sleep_until(std::max(flood.begin + static_cast<std::int64_t>(next), now_ns() + 500'000));
    }
    flood.end = now_ns();
    HW_CHECK(receiver.wait(SIZE_MAX, flood.end + pace.wait));
    receiver.stop();
    HW_TRY(const auto errors, checksum_errors(bed.receiver(), bed.ipv6()));
    flood.checksum_errors = errors - errors_before;
    for (const auto& arrival : receiver.arrivals) flood.arrived.push_back(arrival.arrived);
    return flood;
}

namespace {

// The answers that the sockets are told within `wait`.
Result<Answers> collect(const std::vector<Fd>& sockets, std::chrono::nanoseconds wait)
{
    const auto end = now_ns() + wait.count();
    while (now_ns() < end) {
        HW_CHECK(not_interrupted());
        sleep_until(std::min(end, now_ns() + 20'000'000));
    }
    Answers answers;
    answers.tries = sockets.size();
    for (const auto& socket : sockets) {
        int error = 0;
        socklen_t size = sizeof(error);
        getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        answers.rst += error == ECONNREFUSED ? 1 : 0;
        answers.icmp += error == EHOSTUNREACH || error == EACCES ? 1 : 0;
    }
    return answers;
}

}  // namespace

Result<Answers> measure_tcp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait)
{
    HW_TRY(const auto listener, listening_socket(bed.receiver(), bed.ipv6(), tcp_port));
    std::vector<Fd> sockets;
    for (unsigned i = 0; i < tries; ++i) {
        HW_TRY(auto socket, connecting_socket(bed.ipv6(), tcp_port));
        sockets.push_back(std::move(socket));
    }
    return collect(sockets, wait);
}

Result<Answers> measure_udp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait)
{
    HW_TRY(const auto receiver, receiving_socket(bed.receiver(), bed.ipv6(), silent_port));
    std::vector<char> packet(payload_bytes);
    std::vector<Fd> sockets;
    for (unsigned i = 0; i < tries; ++i) {
        HW_TRY(auto socket, sending_socket(bed.ipv6(), silent_port));
        HW_CHECK(send_packet(socket, packet));
        sockets.push_back(std::move(socket));
    }
    return collect(sockets, wait);
}

}  // namespace headwind::verify
