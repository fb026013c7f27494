// SPDX-License-Identifier: MIT
// Rules with the traffic that they are for, and whether what became of it is as asked, or healthy.
#pragma once

#include <cstdint>
#include <ostream>

#include <fmt/format.h>

#include "verify/statistics.h"

namespace headwind::test {

// Of one check: there are some 20,000 in 50 seeds.
constexpr double alpha_of_check = 1e-9;

// A rule and the traffic that it is for: to this port and the next (in the background) of the other end.
struct Subject {
    const char *name, *flags;
    std::uint16_t port;
    double loss = 0;
    std::size_t copies = 1, segments = 1;
    std::int64_t delay_ms = 0;
    enum Way { out, in, lo } way = out;
    bool needs_fq = false;
};

struct Outcome {
    std::size_t sent = 0, failed = 0, lost = 0, arrived = 0, miscopied = 0;
    std::int64_t least_ns = INT64_MAX;  // from its sender to its receiver
};

inline void PrintTo(const Outcome& one, std::ostream* out)
{
    *out << fmt::format("{} sent, {} failed, {} lost, {} arrivals, {} not as many times as asked, at least {} us later",
                        one.sent, one.failed, one.lost, one.arrived, one.miscopied, one.least_ns / 1000);
}

// Whether so many losses may be those of the rule, or of a part of its packets.
inline bool may_lose(const Subject& subject, std::size_t sent, std::size_t lost, bool all)
{
    if (subject.loss == 0) return lost == 0;
    if (subject.loss == 1) return !all || lost == sent;
    const auto counts = statistics::binomial_acceptance(sent, subject.loss, alpha_of_check);
    return lost <= counts.high && (!all || lost >= counts.low);
}

inline bool is_as_asked(const Subject& subject, const Outcome& one)
{
    return one.failed == 0 && one.miscopied == 0 && may_lose(subject, one.sent, one.lost, true) &&
           (subject.loss == 1 || one.least_ns >= subject.delay_ms * 1'000'000);
}

inline bool is_healthy_or_as_asked(const Subject& subject, const Outcome& one)
{
    return one.failed == 0 && may_lose(subject, one.sent, one.lost, false) && one.arrived <= one.sent * subject.copies;
}

}  // namespace headwind::test
