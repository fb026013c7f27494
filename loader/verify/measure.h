// SPDX-License-Identifier: MIT
// Sends real traffic between two network namespaces of our own, and records what of it arrives.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "util/fd.h"
#include "util/result.h"
#include "verify/judge.h"

namespace headwind::verify {

// Two network namespaces that have no name, and a veth pair between them. They are gone with the last descriptor: when
// the Bed is destroyed and no thread is in them, or when the process ends, however it ends.
class Bed {
public:
    static constexpr const char* device = "verify0";  // the sender's

    static Result<Bed> create(bool ipv6);
    Status enter_sender() const;  // with the calling thread; comes before packets are sent
    std::uint64_t frame_bytes(std::uint64_t payload) const { return payload + (ipv6_ ? 62 : 42); }  // without FCS

    int receiver() const { return receiver_.get(); }
    bool ipv6() const { return ipv6_; }

private:
    Fd sender_, receiver_;
    bool ipv6_ = false;
};

// The pace of a stream: packets of 100 bytes, `burst` of them each `spacing`.
struct Pace {
    std::uint32_t packets = 1000;
    unsigned burst = 1;
    std::int64_t spacing = 1'000'000;     // ns, at least: a late burst does not hasten the next
    std::int64_t limit = 10'000'000'000;  // ns of sending, after which no more packets are sent
    std::int64_t wait = 300'000'000;      // ns: for packets that are still under way
};
constexpr std::uint64_t payload_bytes = 100;

// Sends until 10 packets have arrived, for at most 5 s: then all that the first packets need is there.
Status wait_for_path(const Bed& bed);
Result<Stream> measure_stream(const Bed& bed, const Pace& pace);

struct FloodPace {
    std::uint64_t payload = 0;
    double packets_per_second = 0;
    std::int64_t duration = 0;  // ns
    std::int64_t wait = 0;      // ns: as Pace::wait
};
Result<Flood> measure_flood(const Bed& bed, const FloodPace& pace);

// The answers to TCP connections to a port where somebody listens, and to UDP packets from connected sockets.
Result<Answers> measure_tcp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait);
Result<Answers> measure_udp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait);

// While an Interruptible lives, functions that measure end with an error after SIGINT, SIGTERM or SIGHUP. The
// destructor lets the signal that came do what it does by default.
class Interruptible {
public:
    Interruptible();
    Interruptible(const Interruptible&) = delete;
    Interruptible& operator=(const Interruptible&) = delete;
    ~Interruptible();
};

}  // namespace headwind::verify
