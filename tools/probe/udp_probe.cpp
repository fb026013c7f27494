// SPDX-License-Identifier: MIT
// Measures delay, loss, duplication and reordering of UDP packets between two sockets of one host.
//
// The sockets may be in different network namespaces. Each packet carries its sender's CLOCK_MONOTONIC, so one-way
// delay is measured as well as the round trip. Prints one line of JSON. Plain C++20 without libraries: it also runs in
// the test bed's guest.
//
//   udp_probe receive ADDRESS PORT --count N &     one-way: start this first, wait for its --ready file
//   udp_probe send    ADDRESS PORT --count N
//
//   udp_probe echo    ADDRESS PORT &               round trip
//   udp_probe ping    ADDRESS PORT --count N

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "options.h"
#include "statistics.h"

namespace {

constexpr uint64_t magic = 0x68656164'77696e64;
constexpr int64_t ns_per_ms = 1'000'000;

struct Packet {  // the start of each payload, in host order: both ends are on one host
    uint64_t magic;
    int64_t sequence;  // negative: the packet is for warming up
    int64_t sent_ns;
    uint64_t padding;
};
static_assert(sizeof(Packet) == smallest_payload);

int64_t now_ns()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// ---- sockets --------------------------------------------------------------------------------------------------------

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

bool is_ipv6(const std::string& address)
{
    return address.find(':') != std::string::npos;
}

Address to_address(const std::string& text, uint16_t port)
{
    Address result;
    sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
        std::memcpy(&result.storage, &v4, result.length = sizeof v4);
    } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
        std::memcpy(&result.storage, &v6, result.length = sizeof v6);
    } else {
        bad_usage("no IPv4 or IPv6 address: " + text);
    }
    return result;
}

int open_socket(const Address& address)
{
    const int handle = socket(address.get()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (handle < 0) fail("socket");
    constexpr int buffer = 64 << 20;
    setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(handle, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    return handle;
}

int open_bound(const Options& options)
{
    const Address address = to_address(options.address, options.port);
    const int handle = open_socket(address);
    if (bind(handle, address.get(), address.length) != 0) fail("bind " + options.address);
    if (!options.ready.empty()) {
        FILE* file = std::fopen(options.ready.c_str(), "w");
        if (file == nullptr) fail(options.ready);
        std::fclose(file);
    }
    return handle;
}

int open_connected(const Options& options)
{
    const Address address = to_address(options.address, options.port);
    const int handle = open_socket(address);
    if (options.source_port != 0) {
        const bool v6 = address.get()->sa_family == AF_INET6;
        const Address source = to_address(v6 ? "::" : "0.0.0.0", options.source_port);
        if (bind(handle, source.get(), source.length) != 0) fail("bind the source port");
    }
    if (connect(handle, address.get(), address.length) != 0) fail("connect " + options.address);
    return handle;
}

// Waits until the socket can be read (true) or the clock shows `until_ns`.
bool wait_readable(int handle, int64_t until_ns)
{
    const int64_t left = std::max<int64_t>(until_ns - now_ns(), 0);
    const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
    pollfd entry{handle, POLLIN, 0};
    return ppoll(&entry, 1, &limit, nullptr) > 0;
}

// ---- measuring ------------------------------------------------------------------------------------------------------

class Receiver {
public:
    explicit Receiver(const Options& options)
        : buffer_(65'536), last_ns_(now_ns()), count_(options.count), header_bytes_(is_ipv6(options.address) ? 62 : 42)
    {
        samples_.reserve(static_cast<size_t>(options.count) * 2);
        seen_.resize(static_cast<size_t>(options.count));
    }

    // Takes all packets that are there.
    void drain(int handle)
    {
        while (true) {
            const ssize_t length = recv(handle, buffer_.data(), buffer_.size(), 0);
            const int64_t now = now_ns();
            if (length < 0 && errno == ECONNREFUSED) continue;  // the peer was not there yet
            if (length < 0) return;
            Packet packet{};
            if (length < static_cast<ssize_t>(sizeof packet)) continue;
            std::memcpy(&packet, buffer_.data(), sizeof packet);
            if (packet.magic == magic) take({packet.sequence, packet.sent_ns, now, length + header_bytes_});
        }
    }

    [[nodiscard]] bool complete() const { return received_ == count_; }
    [[nodiscard]] int64_t last_ns() const { return last_ns_; }
    [[nodiscard]] const std::vector<Sample>& samples() const { return samples_; }

private:
    void take(const Sample& sample)
    {
        last_ns_ = sample.received_ns;
        if (sample.sequence < 0 || sample.sequence >= count_) return;
        samples_.push_back(sample);
        if (!seen_[static_cast<size_t>(sample.sequence)]) ++received_;
        seen_[static_cast<size_t>(sample.sequence)] = true;
    }

    std::vector<char> buffer_;
    std::vector<Sample> samples_;
    std::vector<bool> seen_;
    int64_t last_ns_;
    int64_t count_;
    int64_t header_bytes_;  // Ethernet, IP, UDP
    int64_t received_ = 0;
};

class Sender {
public:
    Sender(const Options& options, int handle)
        : payload_(static_cast<size_t>(options.size)),
          handle_(handle),
          next_(-options.warm_up),
          count_(options.count),
          interval_ns_(options.interval_us * 1000),
          due_ns_(now_ns())
    {
    }

    [[nodiscard]] bool done() const { return next_ == count_; }
    [[nodiscard]] int64_t due_ns() const { return due_ns_; }

    void send_next()
    {
        due_ns_ += interval_ns_;
        const Packet packet{magic, next_++, now_ns(), 0};
        std::memcpy(payload_.data(), &packet, sizeof packet);
        while (send(handle_, payload_.data(), payload_.size(), 0) < 0) {
            if (errno != EAGAIN && errno != ECONNREFUSED) {  // these two errors pass: it tries again
                if (packet.sequence >= 0) ++errors_;
                return;
            }
            pollfd entry{handle_, POLLOUT, 0};
            poll(&entry, 1, 100);
        }
    }

    [[nodiscard]] int64_t errors() const { return errors_; }

private:
    std::vector<char> payload_;
    int handle_;
    int64_t next_;
    int64_t count_;
    int64_t interval_ns_;
    int64_t due_ns_;
    int64_t errors_ = 0;
};

// ---- results --------------------------------------------------------------------------------------------------------

void write_samples(const std::string& path, const std::vector<Sample>& samples)
{
    FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) fail(path);
    for (const Sample& sample : samples)
        std::fprintf(file, "%lld %lld %lld\n", static_cast<long long>(sample.sequence),
                     static_cast<long long>(sample.sent_ns), static_cast<long long>(sample.received_ns));
    if (std::fclose(file) != 0) fail(path);
}

void print_start(const Options& options)
{
    std::printf("{\"role\": \"%s\"", std::string(options.role).c_str());
    print_number("count", options.count);
}

// Continues the JSON line and ends it. Returns the exit status.
int report(const Options& options, const Receiver& receiver)
{
    if (!options.samples.empty()) write_samples(options.samples, receiver.samples());
    print_figures(receiver.samples(), options.count);
    std::puts("}");
    return receiver.samples().empty() ? 1 : 0;
}

// ---- roles ----------------------------------------------------------------------------------------------------------

int receive(const Options& options)
{
    const int handle = open_bound(options);
    Receiver receiver(options);
    while (!receiver.complete() && wait_readable(handle, receiver.last_ns() + options.timeout_ms * ns_per_ms))
        receiver.drain(handle);
    // The last packet may have a copy on its way.
    if (receiver.complete() && wait_readable(handle, now_ns() + 20 * ns_per_ms)) receiver.drain(handle);
    print_start(options);
    return report(options, receiver);
}

void sleep_until(int64_t until_ns)
{
    const timespec until{until_ns / 1'000'000'000, until_ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    }
}

int send_all(const Options& options)
{
    Sender sender(options, open_connected(options));
    while (!sender.done()) {
        sleep_until(sender.due_ns());
        sender.send_next();
    }
    sleep_until(now_ns() + ns_per_ms);  // on one CPU, ending would delay the receiver of the last packet
    print_start(options);
    print_number("send_errors", sender.errors());
    std::puts("}");
    return 0;
}

int ping(const Options& options)
{
    const int handle = open_connected(options);
    Sender sender(options, handle);
    Receiver receiver(options);
    while (!sender.done()) {
        if (wait_readable(handle, sender.due_ns())) receiver.drain(handle);
        if (now_ns() >= sender.due_ns()) sender.send_next();
    }
    const int64_t sent_ns = now_ns();
    while (!receiver.complete() &&
           wait_readable(handle, std::max(sent_ns, receiver.last_ns()) + options.timeout_ms * ns_per_ms))
        receiver.drain(handle);
    print_start(options);
    print_number("send_errors", sender.errors());
    return report(options, receiver);
}

int echo(const Options& options)
{
    const int handle = open_bound(options);
    std::vector<char> buffer(65'536);
    while (wait_readable(handle, now_ns() + options.timeout_ms * ns_per_ms)) {
        Address from{.storage = {}, .length = sizeof(sockaddr_storage)};
        auto* peer = reinterpret_cast<sockaddr*>(&from.storage);
        const ssize_t length = recvfrom(handle, buffer.data(), buffer.size(), 0, peer, &from.length);
        if (length >= 0) sendto(handle, buffer.data(), static_cast<size_t>(length), 0, peer, from.length);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    const Options options = parse({argv, static_cast<size_t>(argc)});
    mlockall(MCL_CURRENT | MCL_FUTURE);  // no page fault while measuring; without the right to it, go on
    if (options.role == "receive") return receive(options);
    if (options.role == "send") return send_all(options);
    if (options.role == "ping") return ping(options);
    if (options.role == "echo") return echo(options);
    bad_usage("no role " + std::string(options.role));
}
