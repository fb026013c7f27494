// SPDX-License-Identifier: MIT
// Measurements of the guest tests: one-way delays and device counters in virtual time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "net_test.h"

namespace headwind::test {

// The destination of the measured flows.
inline const Endpoint target{Pair::b4, 7000};

struct Moments {
    double mean = 0, sd = 0;  // ns
    std::int64_t min = 0, max = 0;
    std::size_t count = 0;
};
Moments moments(const std::vector<std::int64_t>& values);

// One-way delays in ns, in order of arrival.
std::vector<std::int64_t> delays(const std::vector<Arrival>& arrivals);

// Waits until the kernel has nothing left to do for devices just made (duplicate address detection, multicast reports).
// This costs nothing in virtual time.
void settle();

// Adds a rule that matches nothing sent here, at `va`: with the first one the programs are loaded and the line is made,
// which takes a second or so. What is measured from the moment of a command then begins at once.
void make_instance(const Namespace& where);

// A rate in packets a second that is not in step with the kernel's timer tick of 4 ms: with a packet every 2 ms either
// each second one or none, by chance, would meet the tick's work.
constexpr unsigned out_of_step = 487;
Flow sparse(std::size_t count, unsigned per_second = out_of_step);

// Sends `flow` to `to` and returns the packets that arrived.
std::vector<Arrival> send_and_receive(const Namespace& from, const Namespace& to_namespace, const Endpoint& to,
                                      const Flow& flow, std::chrono::milliseconds idle = std::chrono::seconds(2));

// Whether the packets of each sender arrived in the order of their numbers.
bool in_order(const std::vector<Arrival>& arrivals);

// The bytes of frames (without FCS) that a device has received.
std::uint64_t received_bytes(const Namespace& where, const std::string& device);

// The part of `headwind stats --json` that is about the line.
struct Line {
    std::uint64_t held_packets = 0, held_bytes = 0, dropped_packets = 0;
};
Line line_of(const Namespace& where);

}  // namespace headwind::test
