// Measures delay, loss, duplication and reordering of UDP packets between two sockets of one host (in different
// network namespaces, say). Each packet carries its sender's CLOCK_MONOTONIC, so one-way delay is measured as well as
// the round trip. Prints one line of JSON. Plain C++20 without libraries: it also runs in the test bed's guest.
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
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr const char* usage_text = R"(usage: udp_probe ROLE ADDRESS PORT [OPTION...]

  receive   bind ADDRESS PORT, measure the one-way delay of what 'send' sends; prints JSON
  send      send to ADDRESS PORT; prints JSON
  echo      bind ADDRESS PORT, send back what arrives, until nothing comes for --timeout-ms
  ping      send to ADDRESS PORT, measure the round trip of what 'echo' returns; prints JSON

  --count N           packets to measure (default 100)
  --interval-us N     microseconds from one packet to the next; 0: as fast as possible (default 5000)
  --size N            bytes of UDP payload, 32 to 65000 (default 64)
  --warm-up N         packets sent before, not measured (default 5): caches, neighbour entries
  --timeout-ms N      give up when nothing arrived for so long (default 3000)
  --source-port N     send, ping: port to send from (default: any)
  --samples FILE      receive, ping: write 'seq send_ns recv_ns' for each packet, in order of arrival
  --ready FILE        receive, echo: create FILE as soon as packets can come

JSON: role, count; of send and ping send_errors (measured packets that the kernel refused to send); of receive and ping
received, lost, duplicates, reordered (arrived after a later one), and of the first copy of each packet mean_ns, sd_ns,
min_ns, p50_ns, p99_ns, max_ns. Exit status 1 if nothing was received or a system call failed, 2 bad usage, else 0.
)";

constexpr uint64_t magic = 0x68656164'77696e64;
constexpr int64_t ns_per_ms = 1'000'000;

struct Packet {  // the start of each payload, in host order: both ends are on one host
    uint64_t magic;
    int64_t sequence;  // negative: warming up
    int64_t sent_ns;
    uint64_t padding;
};

struct Options {
    std::string_view role;
    std::string address;
    uint16_t port = 0;
    uint16_t source_port = 0;
    int64_t count = 100;
    int64_t interval_us = 5000;
    int64_t size = 64;
    int64_t warm_up = 5;
    int64_t timeout_ms = 3000;
    std::string samples;
    std::string ready;
};

struct Sample {
    int64_t sequence;
    int64_t sent_ns;
    int64_t received_ns;
};

[[noreturn]] void fail(const std::string& what)
{
    std::fprintf(stderr, "udp_probe: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

[[noreturn]] void bad_usage(const std::string& what)
{
    std::fprintf(stderr, "udp_probe: %s (udp_probe --help tells more)\n", what.c_str());
    std::exit(2);
}

int64_t now_ns()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// ---- options --------------------------------------------------------------------------------------------------------

int64_t number(std::string_view name, std::string_view text, int64_t least, int64_t most)
{
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        bad_usage(std::string(name) + " wants a number from " + std::to_string(least) + " to " + std::to_string(most));
    return value;
}

void set_option(Options& options, std::string_view name, std::string_view value)
{
    constexpr int64_t many = 1'000'000'000'000;
    if (name == "--count")
        options.count = number(name, value, 1, 100'000'000);
    else if (name == "--interval-us")
        options.interval_us = number(name, value, 0, many);
    else if (name == "--size")
        options.size = number(name, value, sizeof(Packet), 65'000);
    else if (name == "--warm-up")
        options.warm_up = number(name, value, 0, many);
    else if (name == "--timeout-ms")
        options.timeout_ms = number(name, value, 1, 2'000'000'000);
    else if (name == "--source-port")
        options.source_port = static_cast<uint16_t>(number(name, value, 1, 65'535));
    else if (name == "--samples")
        options.samples = value;
    else if (name == "--ready")
        options.ready = value;
    else
        bad_usage("no option " + std::string(name));
}

Options parse(std::span<char*> arguments)
{
    const std::vector<std::string_view> words(arguments.begin() + 1, arguments.end());
    if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
        std::fputs(usage_text, stdout);
        std::exit(0);
    }
    if (words.size() < 3 || words.size() % 2 == 0) bad_usage("wants ROLE ADDRESS PORT and options with a value each");
    Options options;
    options.role = words[0];
    options.address = words[1];
    options.port = static_cast<uint16_t>(number("PORT", words[2], 1, 65'535));
    for (size_t i = 3; i < words.size(); i += 2) set_option(options, words[i], words[i + 1]);
    return options;
}

// ---- sockets --------------------------------------------------------------------------------------------------------

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

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
    explicit Receiver(const Options& options) : buffer_(65'536), last_ns_(now_ns()), count_(options.count)
    {
        samples_.reserve(static_cast<size_t>(options.count) * 2);
        seen_.resize(static_cast<size_t>(options.count));
    }

    // Takes everything that is there.
    void drain(int handle)
    {
        while (true) {
            const ssize_t length = recv(handle, buffer_.data(), buffer_.size(), 0);
            const int64_t now = now_ns();
            if (length < 0 && errno == ECONNREFUSED) continue;  // the other end was not there yet
            if (length < 0) return;
            Packet packet{};
            if (length < static_cast<ssize_t>(sizeof packet)) continue;
            std::memcpy(&packet, buffer_.data(), sizeof packet);
            if (packet.magic == magic) take(packet, now);
        }
    }

    [[nodiscard]] bool complete() const { return received_ == count_; }
    [[nodiscard]] int64_t last_ns() const { return last_ns_; }
    [[nodiscard]] int64_t received() const { return received_; }
    [[nodiscard]] const std::vector<Sample>& samples() const { return samples_; }

private:
    void take(const Packet& packet, int64_t now)
    {
        last_ns_ = now;
        if (packet.sequence < 0 || packet.sequence >= count_) return;
        samples_.push_back({packet.sequence, packet.sent_ns, now});
        if (!seen_[static_cast<size_t>(packet.sequence)]) ++received_;
        seen_[static_cast<size_t>(packet.sequence)] = true;
    }

    std::vector<char> buffer_;
    std::vector<Sample> samples_;
    std::vector<bool> seen_;
    int64_t last_ns_;
    int64_t count_;
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
            if (errno != EAGAIN && errno != ECONNREFUSED) {  // those two: try again
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

int64_t percentile(const std::vector<int64_t>& sorted, double part)
{
    const double rank = std::ceil(part * static_cast<double>(sorted.size()));
    return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

struct Order {
    int64_t duplicates = 0;
    int64_t reordered = 0;
    std::vector<int64_t> delays;  // of the first copy of each packet, sorted
};

Order examine(const std::vector<Sample>& samples, int64_t count)
{
    Order order;
    std::vector<bool> seen(static_cast<size_t>(count));
    int64_t highest = -1;
    for (const Sample& sample : samples) {
        const auto index = static_cast<size_t>(sample.sequence);
        if (seen[index]) {
            ++order.duplicates;
            continue;
        }
        seen[index] = true;
        if (sample.sequence < highest) ++order.reordered;
        highest = std::max(highest, sample.sequence);
        order.delays.push_back(sample.received_ns - sample.sent_ns);
    }
    std::ranges::sort(order.delays);
    return order;
}

void write_samples(const std::string& path, const std::vector<Sample>& samples)
{
    FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) fail(path);
    for (const Sample& sample : samples)
        std::fprintf(file, "%lld %lld %lld\n", static_cast<long long>(sample.sequence),
                     static_cast<long long>(sample.sent_ns), static_cast<long long>(sample.received_ns));
    if (std::fclose(file) != 0) fail(path);
}

void print_number(const char* name, int64_t value)
{
    std::printf(", \"%s\": %lld", name, static_cast<long long>(value));
}

void print_start(const Options& options)
{
    std::printf("{\"role\": \"%s\"", std::string(options.role).c_str());
    print_number("count", options.count);
}

// Continues the JSON line and ends it; the exit status.
int report(const Options& options, const Receiver& receiver)
{
    if (!options.samples.empty()) write_samples(options.samples, receiver.samples());
    const Order order = examine(receiver.samples(), options.count);
    print_number("received", receiver.received());
    print_number("lost", options.count - receiver.received());
    print_number("duplicates", order.duplicates);
    print_number("reordered", order.reordered);
    if (!order.delays.empty()) {
        const auto size = static_cast<double>(order.delays.size());
        double sum = 0;
        double squares = 0;
        for (const int64_t delay : order.delays) sum += static_cast<double>(delay);
        for (const int64_t delay : order.delays) squares += std::pow(static_cast<double>(delay) - sum / size, 2);
        print_number("mean_ns", std::llround(sum / size));
        print_number("sd_ns", std::llround(std::sqrt(squares / size)));
        print_number("min_ns", order.delays.front());
        print_number("p50_ns", percentile(order.delays, 0.50));
        print_number("p99_ns", percentile(order.delays, 0.99));
        print_number("max_ns", order.delays.back());
    }
    std::puts("}");
    return order.delays.empty() ? 1 : 0;
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
