// SPDX-License-Identifier: MIT
// Makes Markov chains of events, and says what they do in the long run.
#include "chance/chain.h"

#include <algorithm>
#include <limits>

namespace headwind {
namespace {

using Matrix = std::array<std::array<double, chain_states>, chain_states>;

// States that are not used stay where they are, and are never reached.
Chain without_moves()
{
    Chain chain;
    for (std::size_t s = 0; s < chain_states; ++s) chain.to[s][s] = 1;
    return chain;
}

// Good is 0, bad is 1.
Chain two_state_chain(double to_bad, double to_good)
{
    Chain chain = without_moves();
    chain.to[0] = {1 - to_bad, to_bad};
    chain.to[1] = {to_good, 1 - to_good};
    return chain;
}

Matrix squared(const Matrix& m)
{
    Matrix out{};
    for (std::size_t i = 0; i < chain_states; ++i) {
        for (std::size_t j = 0; j < chain_states; ++j)
            for (std::size_t k = 0; k < chain_states; ++k) out[i][j] += m[i][k] * m[k][j];
        double sum = 0;
        for (const double p : out[i]) sum += p;
        for (double& p : out[i]) p /= sum;  // rounding does not add up
    }
    return out;
}

// After so many steps of a chain that waits at every other one: it forgets where it began, and has no period.
std::array<double, chain_states> stationary_of(const Chain& chain)
{
    Matrix lazy = chain.to;
    for (std::size_t i = 0; i < chain_states; ++i) {
        for (double& p : lazy[i]) p /= 2;
        lazy[i][i] += 0.5;
    }
    for (int i = 0; i < 100; ++i) lazy = squared(lazy);  // 2^100 steps
    return lazy[0];
}

// What an event in each state brings with it later: the sum over k >= 1 of how much likelier it makes one, k packets
// on.
std::array<double, chain_states> events_that_follow(const Chain& chain,
                                                    const std::array<double, chain_states>& stationary)
{
    const auto centred = [&stationary](std::array<double, chain_states> values) {
        double mean = 0;
        for (std::size_t s = 0; s < chain_states; ++s) mean += stationary[s] * values[s];
        for (double& value : values) value -= mean;
        return values;
    };
    const auto after = [](const Matrix& steps, const std::array<double, chain_states>& values) {
        std::array<double, chain_states> out{};
        for (std::size_t s = 0; s < chain_states; ++s)
            for (std::size_t t = 0; t < chain_states; ++t) out[s] += steps[s][t] * values[t];
        return out;
    };
    auto sum = centred(chain.event);
    Matrix steps = chain.to;
    for (int i = 0; i < 60; ++i, steps = squared(steps)) {  // the sum of 2^i terms gives that of the next 2^i
        const auto more = after(steps, sum);
        for (std::size_t s = 0; s < chain_states; ++s) sum[s] += more[s];
        sum = centred(sum);  // else what rounding leaves would double each time
    }
    return after(chain.to, sum);
}

}  // namespace

Chain independent_chain(double probability)
{
    Chain chain = without_moves();
    chain.event[0] = probability;
    return chain;
}

Chain correlated_chain(double probability, double correlation)
{
    Chain chain = two_state_chain(probability * (1 - correlation), (1 - probability) * (1 - correlation));
    chain.event[1] = 1;
    return chain;
}

double shortest_burst(double probability)
{
    if (probability >= 1) return std::numeric_limits<double>::infinity();
    return std::max(1.0, probability / (1 - probability));
}

Chain bursty_chain(double probability, double mean_burst)
{
    const double to_good = 1 / mean_burst;
    Chain chain = two_state_chain(std::min(1.0, to_good * probability / (1 - probability)), to_good);
    chain.event[1] = 1;
    return chain;
}

Chain gilbert_elliott_chain(double p, double r, double bad, double good)
{
    Chain chain = two_state_chain(p, r);
    chain.event = {good, bad};
    return chain;
}

Chain four_state_chain(double p13, double p31, double p32, double p23, double p14)
{
    Chain chain;
    chain.event = {0, 0, 1, 1};
    chain.to = {{{1 - p13 - p14, 0, p13, p14}, {0, 1 - p23, p23, 0}, {p31, p32, 1 - p31 - p32, 0}, {1, 0, 0, 0}}};
    for (auto& row : chain.to)
        for (double& p : row) p = std::max(p, 0.0);
    return chain;
}

ChainFacts facts_of(const Chain& chain)
{
    ChainFacts facts;
    facts.stationary = stationary_of(chain);
    double both = 0;  // a packet and the next one meet it
    for (std::size_t s = 0; s < chain_states; ++s) {
        facts.share += facts.stationary[s] * chain.event[s];
        for (std::size_t t = 0; t < chain_states; ++t)
            both += facts.stationary[s] * chain.event[s] * chain.to[s][t] * chain.event[t];
    }
    const double variance = facts.share * (1 - facts.share), ends = facts.share - both;
    if (variance > 0) {
        facts.correlation = (both - facts.share * facts.share) / variance;
        const auto follow = events_that_follow(chain, facts.stationary);
        for (std::size_t s = 0; s < chain_states; ++s)
            facts.spread += 2 * facts.stationary[s] * chain.event[s] * follow[s] / variance;
    }
    if (facts.share > 0) facts.mean_burst = ends > 0 ? facts.share / ends : std::numeric_limits<double>::infinity();
    return facts;
}

}  // namespace headwind
