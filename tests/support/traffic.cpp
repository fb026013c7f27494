// SPDX-License-Identifier: MIT
// Sends and receives the tests' UDP and TCP packets.
#include "traffic.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace headwind::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int tcp_close = 7;  // TCP_CLOSE of netinet/tcp.h, which excludes linux/tcp.h

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    int family = AF_INET;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address address_of(const Endpoint& endpoint)
{
    Address out;
    if (endpoint.address.find(':') != std::string::npos) {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(endpoint.port);
        const auto scope = endpoint.address.find('%');
        if (scope != std::string::npos)
            v6->sin6_scope_id = static_cast<std::uint32_t>(std::stoul(endpoint.address.substr(scope + 1)));
        EXPECT_EQ(inet_pton(AF_INET6, endpoint.address.substr(0, scope).c_str(), &v6->sin6_addr), 1)
            << endpoint.address;
        out.size = sizeof(*v6);
        out.family = AF_INET6;
    } else {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(endpoint.port);
        EXPECT_EQ(inet_pton(AF_INET, endpoint.address.c_str(), &v4->sin_addr), 1) << endpoint.address;
        out.size = sizeof(*v4);
    }
    return out;
}

void set(int fd, int level, int option, int value)
{
    EXPECT_EQ(setsockopt(fd, level, option, &value, sizeof(value)), 0) << option << ": " << std::strerror(errno);
}

Fd make_socket(const Namespace& where, int family, int type)
{
    const Inside inside(where);
    Fd fd(socket(family, type | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(fd) << std::strerror(errno);
    return fd;
}

Fd sending_socket(const Namespace& from, const Endpoint& to, const Flow& flow)
{
    const auto there = address_of(to);
    Fd fd = make_socket(from, there.family, SOCK_DGRAM);
    set(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20);
    if (there.family == AF_INET6)
        set(fd.get(), IPPROTO_IPV6, IPV6_RECVERR, 1);
    else
        set(fd.get(), IPPROTO_IP, IP_RECVERR, 1);
    if (flow.mark != 0) set(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(flow.mark));
    if (flow.segments > 1) set(fd.get(), IPPROTO_UDP, UDP_SEGMENT, static_cast<int>(flow.size));
    if (flow.local_port != 0) {
        const auto here = address_of({there.family == AF_INET6 ? "::" : "0.0.0.0", flow.local_port});
        EXPECT_EQ(bind(fd.get(), here.get(), here.size), 0) << std::strerror(errno);
    }
    EXPECT_EQ(connect(fd.get(), there.get(), there.size), 0) << to.address << ": " << std::strerror(errno);
    return fd;
}

// Sleeps to keep to flow.per_second, or between bursts.
void pace_sender(const Flow& flow, std::size_t packets, Clock::time_point start)
{
    constexpr std::size_t burst = 100;
    const bool burst_ends = packets / burst != (packets - flow.segments) / burst;
    if (flow.per_second != 0) {
        const auto due = start + std::chrono::nanoseconds(1'000'000'000ULL * packets / flow.per_second);
        if (burst_ends && Clock::now() - due > std::chrono::milliseconds(2)) wait_for_backlogs();  // catching up
        std::this_thread::sleep_until(due);
    } else if (burst_ends) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        wait_for_backlogs();
    }
}

// Sends the flow. `to`: null for a connected socket.
Sent send_all(int socket, const Address* to, const Flow& flow)
{
    Sent sent;
    std::vector<char> payload(std::max(flow.size, sizeof(Stamp)) * flow.segments, 'u');
    const auto start = Clock::now();
    for (std::size_t done = 0; done < flow.count && !(flow.stop != nullptr && flow.stop->load());
         done += flow.segments) {
        for (std::size_t i = 0; i < flow.segments; ++i) {
            const Stamp stamp{flow.sender, flow.first + static_cast<std::uint32_t>(done + i), monotonic_ns()};
            std::memcpy(payload.data() + i * (payload.size() / flow.segments), &stamp, sizeof(stamp));
            sent.stamps.push_back(stamp.sent_ns);
        }
        if (sendto(socket, payload.data(), payload.size(), 0, to != nullptr ? to->get() : nullptr,
                   to != nullptr ? to->size : 0) == static_cast<ssize_t>(payload.size()))
            sent.packets += flow.segments;
        else
            ++sent.failed;
        pace_sender(flow, done + flow.segments, start);
    }
    return sent;
}

bool wait_for(int fd, short what, Clock::time_point end)
{
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{fd, what, 0};
    return left > 0 && poll(&waiting, 1, static_cast<int>(left)) == 1;
}

// Reads until the end of the connection, or `most` bytes, or `end`. Returns the number of bytes.
std::uint64_t receive(const Fd& connection, std::uint64_t most, Clock::time_point end)
{
    std::vector<char> buffer(256 * 1024);
    std::uint64_t received = 0;
    while (received < most && wait_for(connection.get(), POLLIN, end)) {
        const ssize_t length = recv(connection.get(), buffer.data(), buffer.size(), 0);
        if (length <= 0) break;
        received += static_cast<std::uint64_t>(length);
    }
    return received;
}

// Accepts one connection and reads it to its end.
std::uint64_t accept_and_receive(const Fd& listener, Clock::time_point end, const std::atomic<bool>& give_up)
{
    const auto soon = [&] { return std::min(end, Clock::now() + std::chrono::milliseconds(100)); };
    while (!wait_for(listener.get(), POLLIN, soon()))
        if (give_up || Clock::now() >= end) return 0;
    return receive(Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)), UINT64_MAX, end);
}

void look(const Fd& fd, TcpResult& result)
{
    const auto info = tcp_info_of(fd);
    ++result.looks;
    result.in_cwr += info.tcpi_ca_state == TCP_CA_CWR ? 1 : 0;
    result.retransmits = info.tcpi_total_retrans;
    result.segments_out = info.tcpi_segs_out;
    result.bytes_sent = info.tcpi_bytes_sent;
}

// Returns errno; 0: connected.
int connect_until(int fd, const Address& there, Clock::time_point end)
{
    if (connect(fd, there.get(), there.size) != 0 && errno != EINPROGRESS) return errno;
    if (!wait_for(fd, POLLOUT, end)) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

std::string connect_to(int fd, const Address& there, Clock::time_point end)
{
    const int error = connect_until(fd, there, end);
    return error != 0 ? std::strerror(error) : "";
}

std::string write_all(const Fd& fd, std::uint64_t bytes, Clock::time_point end, TcpResult& result)
{
    const std::vector<char> chunk(64 * 1024, 'x');
    while (bytes > 0) {
        const ssize_t length = send(fd.get(), chunk.data(), std::min<std::uint64_t>(bytes, chunk.size()), MSG_NOSIGNAL);
        if (length > 0)
            bytes -= static_cast<std::uint64_t>(length);
        else if (errno != EAGAIN)
            return std::strerror(errno);
        else if (!wait_for(fd.get(), POLLOUT, end))
            return "not sent in time";
        look(fd, result);
    }
    return {};
}

std::int64_t nanoseconds(const timespec& time)
{
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

double seconds_since(Clock::time_point start)
{
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::int64_t monotonic_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}

std::size_t packets_in_backlogs()
{
    std::ifstream file("/proc/net/softnet_stat");
    std::size_t sum = 0;
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::size_t length = 0;
        for (int i = 0; i < 12; ++i) fields >> std::hex >> length;  // the 12th is softnet_backlog_len (net-procfs.c)
        sum += length;
    }
    return sum;
}

void wait_for_backlogs()
{
    constexpr std::size_t room = 200;
    const auto end = Clock::now() + std::chrono::seconds(30);
    while (packets_in_backlogs() > room && Clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

bool wait_for_packet(int socket, std::chrono::milliseconds idle)
{
    constexpr std::chrono::milliseconds step(5);
    const auto end = Clock::now() + idle + std::chrono::seconds(30);  // packets of others may go on for ever
    pollfd waiting{socket, POLLIN, 0};
    for (auto quiet = step; quiet <= idle && Clock::now() < end; quiet += step) {
        if (poll(&waiting, 1, static_cast<int>(step.count())) == 1) return true;
        if (packets_in_backlogs() != 0) quiet = std::chrono::milliseconds(0);
    }
    return false;
}

Fd udp_socket(const Namespace& where, const Endpoint& local, bool reuse)
{
    const auto here = address_of(local);
    Fd fd = make_socket(where, here.family, SOCK_DGRAM);
    set(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, 512 << 20);
    if (reuse) set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT_EQ(bind(fd.get(), here.get(), here.size), 0) << local.address << ": " << std::strerror(errno);
    return fd;
}

namespace {

// The kernel's receive stamp, converted from the wall clock to CLOCK_MONOTONIC.
std::int64_t kernel_stamp(msghdr& message)
{
    const auto* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_TIMESTAMPNS) return 0;
    timespec stamp{}, wall{};
    std::memcpy(&stamp, CMSG_DATA(header), sizeof(stamp));
    clock_gettime(CLOCK_REALTIME, &wall);
    return monotonic_ns() - (nanoseconds(wall) - nanoseconds(stamp));
}

}  // namespace

UdpSink::UdpSink(const Namespace& where, const Endpoint& local, Arrived arrived)
    : socket_(udp_socket(where, local)), arrived_(arrived)
{
    if (arrived == Arrived::by_kernel) set(socket_.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1);
    thread_ = std::thread([this] { receive(); });
}

UdpSink::~UdpSink()
{
    stop_ = true;
    if (thread_.joinable()) thread_.join();
}

void UdpSink::receive()
{
    std::vector<char> buffer(70'000);
    std::array<char, CMSG_SPACE(sizeof(timespec))> control{};
    iovec part{buffer.data(), buffer.size()};
    while (!stop_) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (poll(&waiting, 1, 20) != 1) continue;
        ssize_t length = 0;
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        while (message.msg_controllen = control.size(),
               (length = recvmsg(socket_.get(), &message, MSG_DONTWAIT)) >= 0) {
            Arrival arrival;
            arrival.arrived_ns = arrived_ == Arrived::by_kernel ? kernel_stamp(message) : monotonic_ns();
            arrival.size = static_cast<std::size_t>(length);
            if (arrival.size >= sizeof(Stamp)) std::memcpy(&arrival.stamp, buffer.data(), sizeof(Stamp));
            arrivals_.push_back(arrival);
            ++count_;
        }
    }
}

bool UdpSink::join(const std::string& group4, const std::string& interface4) const
{
    ip_mreq request{};
    return inet_pton(AF_INET, group4.c_str(), &request.imr_multiaddr) == 1 &&
           inet_pton(AF_INET, interface4.c_str(), &request.imr_interface) == 1 &&
           setsockopt(socket_.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)) == 0;
}

bool UdpSink::bind_to_device(const std::string& device) const
{
    return setsockopt(socket_.get(), SOL_SOCKET, SO_BINDTODEVICE, device.data(),
                      static_cast<socklen_t>(device.size())) == 0;
}

Sent UdpSink::send(const Endpoint& to, const Flow& flow)
{
    return send_udp_to(socket_, to, flow);
}

std::vector<Arrival> UdpSink::finish(std::chrono::milliseconds idle, std::size_t expected)
{
    constexpr std::chrono::milliseconds step(5);
    const auto is_on_its_way = [this] {
        pollfd waiting{socket_.get(), POLLIN, 0};
        return packets_in_backlogs() != 0 || poll(&waiting, 1, 0) == 1;
    };
    const auto end = Clock::now() + idle + std::chrono::seconds(30);  // packets of others may go on for ever
    auto last = count();
    for (auto quiet = step; quiet <= idle && (count() < expected || is_on_its_way()) && Clock::now() < end;
         quiet += step) {
        std::this_thread::sleep_for(step);
        if (count() != last || is_on_its_way()) quiet = std::chrono::milliseconds(0);
        last = count();
    }
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    socket_ = Fd();  // frees the port for the next sink
    return std::move(arrivals_);
}

Sent send_udp(const Namespace& from, const Endpoint& to, const Flow& flow)
{
    return send_udp(sending_socket(from, to, flow).get(), flow);
}

Sent send_udp_to(const Fd& socket, const Endpoint& to, const Flow& flow)
{
    const auto there = address_of(to);
    return send_all(socket.get(), &there, flow);
}

Sent send_udp(int socket, const Flow& flow)
{
    return send_all(socket, nullptr, flow);
}

OnCpu::OnCpu(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    EXPECT_EQ(sched_getaffinity(0, sizeof(before_), &before_), 0);
    EXPECT_EQ(sched_setaffinity(0, sizeof(set), &set), 0) << "CPU " << cpu << ": " << std::strerror(errno);
}

OnCpu::~OnCpu()
{
    sched_setaffinity(0, sizeof(before_), &before_);
}

std::size_t deliver(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, const Flow& flow,
                    std::optional<std::size_t> expected)
{
    UdpSink sink(to_namespace, to);
    send_udp(from, to, flow);
    return sink.finish(std::chrono::milliseconds(slow_machine() ? 400 : 60), expected.value_or(flow.count)).size();
}

Fd listen_tcp(const Namespace& where, const Endpoint& at)
{
    const auto here = address_of(at);
    Fd fd = make_socket(where, here.family, SOCK_STREAM);
    set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT_EQ(bind(fd.get(), here.get(), here.size), 0) << std::strerror(errno);
    EXPECT_EQ(listen(fd.get(), 4096), 0) << std::strerror(errno);
    return fd;
}

Attempt try_connect(const Namespace& from, const Endpoint& to, std::chrono::milliseconds limit)
{
    const auto there = address_of(to);
    Attempt out;
    out.socket = make_socket(from, there.family, SOCK_STREAM | SOCK_NONBLOCK);
    const auto start = monotonic_ns();
    out.error = connect_until(out.socket.get(), there, Clock::now() + limit);
    out.ns = monotonic_ns() - start;
    return out;
}

Fd connected_udp(const Namespace& from, const Endpoint& to)
{
    return sending_socket(from, to, {});
}

TcpPair connect_tcp(const Namespace& from, const Namespace& to_namespace, const Endpoint& to)
{
    const auto listener = listen_tcp(to_namespace, to);
    const auto there = address_of(to);
    TcpPair pair;
    pair.sender = make_socket(from, there.family, SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_EQ(connect_to(pair.sender.get(), there, Clock::now() + std::chrono::seconds(10)), "");
    pair.receiver = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(pair.receiver) << std::strerror(errno);
    return pair;
}

tcp_info tcp_info_of(const Fd& socket)
{
    tcp_info info{};
    socklen_t size = sizeof(info);
    getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    return info;
}

TcpResult send_tcp(const TcpPair& pair, std::uint64_t bytes, std::chrono::seconds limit)
{
    TcpResult result;
    const auto start = Clock::now();
    const auto end = start + limit;
    const auto before = tcp_info_of(pair.sender);
    std::thread receiver([&] { result.received = receive(pair.receiver, bytes, end); });
    result.error = write_all(pair.sender, bytes, end, result);
    receiver.join();
    result.seconds = seconds_since(start);
    const bool acknowledged = eventually(std::chrono::seconds(2), [&] {
        const auto info = tcp_info_of(pair.sender);
        return info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0;
    });
    look(pair.sender, result);
    result.segments_out -= before.tcpi_segs_out;
    result.bytes_sent -= before.tcpi_bytes_sent;
    if (result.error.empty() && !(acknowledged && result.received == bytes)) result.error = "not all arrived in time";
    return result;
}

TcpResult transfer_tcp(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, std::uint64_t bytes,
                       std::chrono::seconds limit)
{
    TcpResult result;
    const auto start = Clock::now();
    const auto end = start + limit;
    const auto listener = listen_tcp(to_namespace, to);
    std::atomic<bool> give_up{false};
    std::thread receiver([&] { result.received = accept_and_receive(listener, end, give_up); });
    {
        const auto there = address_of(to);
        const Fd fd = make_socket(from, there.family, SOCK_STREAM | SOCK_NONBLOCK);
        result.error = connect_to(fd.get(), there, end);
        if (result.error.empty()) result.error = write_all(fd, bytes, end, result);
        shutdown(fd.get(), SHUT_WR);
        give_up = !result.error.empty();
        receiver.join();
        result.seconds = seconds_since(start);
        // The kernel's socket goes to TIME_WAIT after its last ACK, and leaves this one closed.
        if (result.error.empty())
            eventually(std::chrono::seconds(2), [&] { return tcp_info_of(fd).tcpi_state == tcp_close; });
        look(fd, result);
    }
    if (result.error.empty() && result.received != bytes) result.error = "only part of the bytes arrived";
    return result;
}

}  // namespace headwind::test
