// Real traffic between two network namespaces of our own, and what of it arrived.
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
// this is destroyed and no thread is in them, or when the process ends, however it ends.
class Bed {
public:
    static constexpr const char* device = "verify0";  // at the sender

    static Result<Bed> create(bool ipv6);
    Status enter_sender() const;  // the calling thread; to be called before packets are sent
    std::uint64_t frame_bytes(std::uint64_t payload) const { return payload + (ipv6_ ? 62 : 42); }  // without FCS

    int receiver() const { return receiver_.get(); }
    bool ipv6() const { return ipv6_; }

private:
    Fd sender_, receiver_;
    bool ipv6_ = false;
};

// Packets of 100 bytes, `burst` of them each `spacing`.
struct Pace {
    std::uint32_t packets = 1000;
    unsigned burst = 1;
    std::int64_t spacing = 1'000'000;     // ns, at least: one that was late does not hasten the next
    std::int64_t limit = 10'000'000'000;  // ns: of sending; fewer packets then
    std::int64_t wait = 300'000'000;      // ns: for those that are under way still
};
constexpr std::uint64_t payload_bytes = 100;

// Sends until something arrives, for at most 5 s: what the first packets need is there then.
Status wait_for_path(const Bed& bed);
Result<Stream> measure_stream(const Bed& bed, const Pace& pace);

struct FloodPace {
    std::uint64_t payload = 0;
    double packets_per_second = 0;
    std::int64_t duration = 0;  // ns
    std::int64_t wait = 0;      // ns: as above
};
Result<Flood> measure_flood(const Bed& bed, const FloodPace& pace);

// Connections to a port where somebody listens; packets from connected sockets.
Result<Answers> measure_tcp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait);
Result<Answers> measure_udp_answers(const Bed& bed, unsigned tries, std::chrono::nanoseconds wait);

// SIGINT, SIGTERM or SIGHUP came while this lived; what measures then ends with an error. Destroyed, it lets the signal
// do what it does.
class Interruptible {
public:
    Interruptible();
    Interruptible(const Interruptible&) = delete;
    Interruptible& operator=(const Interruptible&) = delete;
    ~Interruptible();
};

}  // namespace headwind::verify
