// SPDX-License-Identifier: MIT
// Markov chains of events, one step for each wire packet: losses in bursts, correlated ones. Pure.
#pragma once

#include <array>

namespace headwind {

// Of a packet that finds the chain in state s: the event happens with probability event[s], then the chain moves to
// state t with probability to[s][t]. The datapath has room for 4 states.
constexpr std::size_t chain_states = 4;
struct Chain {
    std::array<double, chain_states> event{};
    std::array<std::array<double, chain_states>, chain_states> to{};  // each row adds up to 1
};

// Each packet by itself.
Chain independent_chain(double probability);
// Events with this share of the packets, exactly, and this correlation of each packet with the next one, exactly (of
// packets k apart it is correlation^k). 0 <= correlation < 1.
Chain correlated_chain(double probability, double correlation);
// Events with this share of the packets, in bursts of this mean length (their lengths are geometric). Only if
// mean_burst >= shortest_burst(probability).
Chain bursty_chain(double probability, double mean_burst);
double shortest_burst(double probability);
// Gilbert and Elliott: from good to bad with p, back with r; the event happens with `bad` or `good`.
Chain gilbert_elliott_chain(double p, double r, double bad, double good);
// netem's four states (Salsano, Ludovici, Ordine 2010): 1 is a gap without losses, 3 a burst of losses, 2 what arrives
// within a burst, 4 a single loss within a gap. p13 + p14 <= 1, p31 + p32 <= 1.
Chain four_state_chain(double p13, double p31, double p32, double p23, double p14);

// What the chain does in the long run, if it begins in its first state.
struct ChainFacts {
    std::array<double, chain_states> stationary{};  // the share of the packets that find it in each state
    double share = 0;                               // of the packets that meet the event
    double correlation = 0;                         // of a packet with the next one; 0 where all meet it, or none
    // The variance of the number of events among many packets, by that of independent ones of the same share.
    double spread = 1;
    double mean_burst = 0;  // packets in a row that meet it; 0: none does; infinite: all do
};
ChainFacts facts_of(const Chain& chain);

}  // namespace headwind
