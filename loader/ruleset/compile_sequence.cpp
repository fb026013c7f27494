// SPDX-License-Identifier: MIT
// Turns chains of events into fixed point.
#include <cmath>

#include <headwind/model.h>

#include "chance/chain.h"
#include "ruleset/compile.h"

namespace headwind {
namespace {

// The thresholds, of 2^63, of one out of four states. Their probabilities add up to 1.
void compile_choice(const std::array<double, chain_states>& probabilities, __u64 (&thresholds)[HW_CHAIN_STATES - 1])
{
    constexpr __u64 always = 1ULL << 63;
    double above = 0;
    for (std::size_t i = HW_CHAIN_STATES - 1; i > 0; --i) {
        above += probabilities.at(i);
        const auto rest = static_cast<__u64>(std::llround(std::ldexp(std::min(above, 1.0), 62))) * 2;
        thresholds[i - 1] = always - std::min(rest, always);
    }
}

hw_chain compile_chain(const Chain& chain, std::uint64_t seed)
{
    hw_chain out{};
    out.seed = seed;
    compile_choice(facts_of(chain).stationary, out.start);
    for (std::size_t s = 0; s < chain_states; ++s) {
        out.event[s] = static_cast<__u64>(std::llround(std::ldexp(chain.event.at(s), 32)));
        compile_choice(chain.to.at(s), out.to[s]);
    }
    return out;
}

}  // namespace

hw_sequence compile_sequence(const Impairment& impairment, std::uint64_t seed)
{
    const Chain chains[HW_CHAINS] = {loss_chain(impairment),
                                     event_chain(impairment.corrupt, impairment.corrupt_correlation),
                                     event_chain(impairment.duplicate, impairment.duplicate_correlation),
                                     event_chain(impairment.reorder, impairment.reorder_correlation)};
    const bool used[HW_CHAINS] = {impairment.loss.has_value(), impairment.corrupt.has_value(),
                                  impairment.duplicate.has_value(), impairment.reorder.has_value()};
    hw_sequence out{};
    for (std::size_t i = 0; i < HW_CHAINS; ++i) {
        out.chains[i] = compile_chain(chains[i], hw_bits(seed, i));
        if (used[i]) out.used |= 1U << i;
    }
    out.chains[HW_EVENT_LOSS].every = impairment.loss_nth;
    return out;
}

}  // namespace headwind
