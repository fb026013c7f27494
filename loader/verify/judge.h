// SPDX-License-Identifier: MIT
// Judges whether the traffic that arrived fits the impairment that was asked for. Pure: an impairment and samples of
// traffic in, rows of a table out.
//
// Every row has an interval of allowed values. Chance may leave it once in a million (alpha 1e-6); it has room for the
// variation of the bare path, measured before the rule was there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rule/rule.h"

namespace headwind::verify {

struct Arrival {
    std::uint32_t sequence = 0;
    std::int64_t arrived = 0;  // CLOCK_MONOTONIC, ns
};

// Numbered packets, sent one by one.
struct Stream {
    std::vector<std::int64_t> sent;     // times, by number; CLOCK_MONOTONIC, ns
    std::vector<Arrival> arrivals;      // in the order they came
    std::uint64_t failed = 0;           // packets that send() refused, or reported as dropped
    std::uint64_t checksum_errors = 0;  // wrong checksums that the receiving kernel found
    std::uint64_t wrong_bytes = 0;      // packets from which the application read other bytes than were sent
};

// Packets, more of them than the rate lets through.
struct Flood {
    std::uint64_t frame_bytes = 0;  // without FCS
    std::uint64_t sent = 0;
    std::int64_t begin = 0, end = 0;    // the time of sending; CLOCK_MONOTONIC, ns
    std::vector<std::int64_t> arrived;  // times; CLOCK_MONOTONIC, ns
    std::uint64_t checksum_errors = 0;
};

// The answers that senders of one packet each got.
struct Answers {
    std::uint64_t tries = 0;
    std::uint64_t rst = 0;   // ECONNREFUSED
    std::uint64_t icmp = 0;  // EHOSTUNREACH, EACCES
};

struct Samples {
    Stream bare;                   // before the rule
    std::optional<Stream> timing;  // spaced out: delay, jitter, reordering
    Stream counting;               // many: loss, corruption, duplicates
    std::optional<Flood> flood;
    std::optional<Answers> tcp, udp;
    std::int64_t on_link = 0;  // ns that a packet of `timing` takes on the link of the rate
};

enum class Unit { nanoseconds, fraction, bits_per_second, distance, packets };

struct Row {
    std::string what;
    Unit unit = Unit::packets;
    double asked = 0, measured = 0, low = 0, high = 0;  // low and high: the allowed interval
    std::string note;                                   // "4965 of 50000"
    std::optional<bool> ok;                             // none: this machine could not measure it
};

std::vector<Row> judge(const Impairment& asked, const Samples& samples);

// The time skipped at the start of a flood, beside the delay, for the queue to fill.
constexpr std::int64_t flood_settles = 500'000'000;  // ns

}  // namespace headwind::verify
