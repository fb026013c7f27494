// SPDX-License-Identifier: MIT
// A series of packets that met an event or not, against the Markov chain that it should come from.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/sequence.h>

#include "chance/chain.h"

namespace headwind::test {

struct EventSeries {
    std::uint64_t packets = 0, events = 0;
    std::uint64_t pairs[2][2] = {};     // [met it or not][so did the next one]
    std::vector<std::uint64_t> bursts;  // lengths; the last one may go on
    void add(bool event);

private:
    bool last_ = false;
};

// The series of one kind of event (hw_event) in the next steps of a sequence.
EventSeries draw_series(const hw_sequence& sequence, hw_progress& progress, unsigned event, std::uint64_t packets);

// p-values, each two-sided: of the number of events (its variance is the chain's), and of the lengths of bursts
// (chi-square).
double count_p_value(const EventSeries& series, const Chain& chain);
double burst_p_value(const EventSeries& series, const Chain& chain);
// The lag-1 correlation of the series, and the p-value of the transitions, if `chain` is a correlated_chain() of this
// share and correlation: out of each of its two states they are independent of each other.
double correlation_of(const EventSeries& series);
double transitions_p_value(const EventSeries& series, double share, double correlation);

}  // namespace headwind::test
