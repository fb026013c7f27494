// SPDX-License-Identifier: MIT
// Small senders and receivers for exact counting: every UDP packet carries its sender and its number.
#pragma once

#include <linux/tcp.h>  // not netinet/tcp.h: the kernel's tcp_info has more
#include <netinet/in.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "command.h"
#include "namespace.h"

namespace headwind::test {

struct Endpoint {
    std::string address;  // IPv4 or IPv6; fe80::1%7: on the device of index 7
    std::uint16_t port = 0;
};

// The beginning of the payload of a UDP packet.
struct Stamp {
    std::uint32_t sender = 0, sequence = 0;
    std::int64_t sent_ns = 0;  // CLOCK_MONOTONIC
};

struct Arrival {
    Stamp stamp;
    std::int64_t arrived_ns = 0;
    std::size_t size = 0;
};

std::int64_t monotonic_ns();

// A bound socket with room for everything a test sends.
Fd udp_socket(const Namespace& where, const Endpoint& local, bool reuse = false);

struct Flow {
    std::size_t count = 100;
    std::size_t size = 100;    // bytes of UDP payload of each wire packet
    std::size_t segments = 1;  // wire packets of a super-packet (UDP_SEGMENT), if more than 1
    unsigned per_second = 0;   // packets; 0: in bursts of 100, 1 ms apart
    std::uint32_t sender = 0;
    std::uint32_t first = 0;  // number of the first packet
    std::uint32_t mark = 0;   // SO_MARK
    std::uint16_t local_port = 0;
    const std::atomic<bool>* stop = nullptr;
};

struct Sent {
    std::size_t packets = 0;           // wire packets that send() took
    std::size_t failed = 0;            // send() calls that failed (IP_RECVERR is on, so ENOBUFS is told)
    std::vector<std::int64_t> stamps;  // Stamp::sent_ns of each, by number
};

// The clock that says when a packet arrived: the receiving thread's, or the kernel's (SO_TIMESTAMPNS), which does not
// wait for a CPU.
enum class Arrived { by_thread, by_kernel };

// Receives in a thread of its own until finish().
class UdpSink {
public:
    UdpSink(const Namespace& where, const Endpoint& local, Arrived arrived = Arrived::by_thread);
    UdpSink(const UdpSink&) = delete;
    UdpSink& operator=(const UdpSink&) = delete;
    ~UdpSink();

    std::size_t count() const { return count_.load(); }
    bool join(const std::string& group4, const std::string& interface4) const;  // a multicast group
    bool bind_to_device(const std::string& device) const;
    // Sends from the same address and port, like send_udp_to().
    Sent send(const Endpoint& to, const Flow& flow);
    // Waits until no packet has come for `idle`, at most until `expected` packets are there, and returns all. Time in
    // which a packet waits for a CPU, in the kernel's backlogs or in the socket, does not count, nor does time in which
    // this thread waits.
    std::vector<Arrival> finish(std::chrono::milliseconds idle = std::chrono::milliseconds(150),
                                std::size_t expected = SIZE_MAX);

private:
    void receive();
    Fd socket_;
    Arrived arrived_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> count_{0};
    std::vector<Arrival> arrivals_;
    std::thread thread_;
};

// The number of packets that wait in the kernel's per-CPU backlogs (softnet_data), of any namespace.
std::size_t packets_in_backlogs();
// Waits until the backlogs can take a burst: the receiving end of a veth has room for netdev_max_backlog packets
// (1000), which on a busy machine wait for their softirq.
void wait_for_backlogs();
// Waits for a packet to read, at most until none has come for `idle`: time in which packets wait in the backlogs does
// not count. False if none came.
bool wait_for_packet(int socket, std::chrono::milliseconds idle);

Sent send_udp(const Namespace& from, const Endpoint& to, const Flow& flow);
Sent send_udp(int socket, const Flow& flow);  // a connected socket
// Sends from a socket that is not connected: the kernel computes each packet's flow hash, which is then the same in
// both directions.
Sent send_udp_to(const Fd& socket, const Endpoint& to, const Flow& flow);

// Keeps the calling thread on one CPU as long as this lives, so that its packets stay in order.
class OnCpu {
public:
    explicit OnCpu(unsigned cpu);
    OnCpu(const OnCpu&) = delete;
    OnCpu& operator=(const OnCpu&) = delete;
    ~OnCpu();

private:
    cpu_set_t before_{};
};

// Sends `flow` to a sink in `to_namespace`, and returns how many packets arrived.
std::size_t deliver(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, const Flow& flow = {},
                    std::optional<std::size_t> expected = std::nullopt);

struct TcpPair {
    Fd sender, receiver;
};
Fd listen_tcp(const Namespace& where, const Endpoint& at);
// The errno of a connection attempt (0: connected; ETIMEDOUT: no answer within the limit) and how long it took.
struct Attempt {
    int error = 0;
    std::int64_t ns = 0;
    Fd socket;
};
Attempt try_connect(const Namespace& from, const Endpoint& to,
                    std::chrono::milliseconds limit = std::chrono::milliseconds(500));
Fd connected_udp(const Namespace& from, const Endpoint& to);  // with IP_RECVERR
TcpPair connect_tcp(const Namespace& from, const Namespace& to_namespace, const Endpoint& to);
tcp_info tcp_info_of(const Fd& socket);

struct TcpResult {
    std::string error;  // empty: all bytes arrived
    std::uint64_t received = 0;
    unsigned retransmits = 0;        // tcpi_total_retrans of the sender
    unsigned segments_out = 0;       // tcpi_segs_out: wire packets of the sender, all kinds
    std::uint64_t bytes_sent = 0;    // tcpi_bytes_sent: payload, retransmissions included
    unsigned looks = 0, in_cwr = 0;  // how often the sender was looked at, and how often it was in state CWR
    double seconds = 0;
};

// Transfers over a connection of its own, until the sender's side of it is in TIME_WAIT. Answers after that are not
// counted.
TcpResult transfer_tcp(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, std::uint64_t bytes,
                       std::chrono::seconds limit = std::chrono::seconds(60));
// Transfers over a connection that stays open, until all is acknowledged and the sender has nothing left to send.
// segments_out and bytes_sent are those of this call.
TcpResult send_tcp(const TcpPair& pair, std::uint64_t bytes, std::chrono::seconds limit = std::chrono::seconds(60));

}  // namespace headwind::test
