// SPDX-License-Identifier: MIT
// Turns probabilities, chains of events and laws of delays into fixed point.
#include <algorithm>
#include <cmath>

#include <headwind/model.h>

#include "chance/chain.h"
#include "chance/law.h"
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

__u64 threshold_of(const std::optional<Probability>& probability)
{
    return probability ? probability->threshold : 0;
}

// The scores of the delays, so that the delays, cut where they would be below 0, have their correlation.
void put_score_series(const Impairment& impairment, std::uint64_t seed, hw_sequence& out)
{
    const double widths = static_cast<double>(impairment.delay) / static_cast<double>(impairment.jitter);
    // netem's does nothing at all: of the blend of dice only the lowest digits choose the delay.
    const bool correlated = impairment.delay_correlation && !impairment.netem_compatible;
    const double asked = correlated ? fraction_of(*impairment.delay_correlation) : 0;
    const double r = asked == 0 ? 0 : score_correlation(cut_at(delay_law(impairment), -widths), asked);
    out.score_seed = seed;
    out.correlation = static_cast<__s32>(std::lround(r * HW_SCORE_ONE));
    const double rounded = std::ldexp(out.correlation, -24);  // else the scores would grow, or shrink
    out.rest = std::max(1, static_cast<__s32>(std::lround(std::sqrt(1 - rounded * rounded) * HW_SCORE_ONE)));
}

}  // namespace

hw_chance compile_chance(const std::optional<Probability>& probability)
{
    hw_chance out{};
    if (!probability) return out;
    out.threshold = probability->threshold;
    const double p = fraction_of(*probability);
    // log1p, since a plain logarithm of 1 - 2^-32 keeps few digits. At most 2^32 ln 2 packets: 56 bits.
    if (p > 0 && p < 1)
        out.half_life_q24 = static_cast<__u64>(std::llround(std::ldexp(-std::log(2.0) / std::log1p(-p), 24)));
    return out;
}

hw_sequence compile_sequence(const Impairment& impairment, std::uint64_t seed)
{
    const auto chain_of = [&impairment](const auto& share, const auto& correlation) {
        return event_chain(share, impairment.netem_compatible ? std::nullopt : correlation);
    };
    const Chain chains[HW_CHAINS] = {loss_chain(impairment),
                                     chain_of(impairment.corrupt, impairment.corrupt_correlation),
                                     chain_of(impairment.duplicate, impairment.duplicate_correlation),
                                     chain_of(impairment.reorder, impairment.reorder_correlation)};
    const bool used[HW_CHAINS] = {impairment.loss.has_value(), impairment.corrupt.has_value(),
                                  impairment.duplicate.has_value(), impairment.reorder.has_value()};
    hw_sequence out{};
    for (std::size_t i = 0; i < HW_CHAINS; ++i) {
        out.chains[i] = compile_chain(chains[i], hw_bits(seed, i));
        if (used[i]) out.used |= 1U << i;
    }
    if (impairment.netem_compatible) {
        out.netem = 1;
        out.chains[HW_EVENT_LOSS].blend = threshold_of(impairment.loss_correlation);
        out.chains[HW_EVENT_CORRUPT].blend = threshold_of(impairment.corrupt_correlation);
        out.chains[HW_EVENT_DUPLICATE].blend = threshold_of(impairment.duplicate_correlation);
        out.chains[HW_EVENT_REORDER].blend = threshold_of(impairment.reorder_correlation);
    }
    out.chains[HW_EVENT_LOSS].every = impairment.loss_nth;
    if (!impairment.lost_packets.empty()) out.listed = impairment.lost_packets.back().second;
    if (has_delay_series(impairment)) put_score_series(impairment, hw_bits(seed, HW_CHAINS), out);
    return out;
}

std::map<__u32, hw_list_block> compile_list(const PacketList& list)
{
    std::map<__u32, hw_list_block> out;
    for (const auto& [first, last] : list)
        for (auto index = first - 1; index < last; ++index)
            out[index / HW_LIST_BLOCK].bits[index / 64 % (HW_LIST_BLOCK / 64)] |= 1ULL << index % 64;
    return out;
}

bool has_delay_series(const Impairment& impairment)
{
    const auto& correlation = impairment.delay_correlation;
    const bool correlated = correlation && correlation->threshold != 0 && !impairment.netem_compatible;
    return impairment.jitter != 0 && (impairment.seed != 0 || correlated);
}

std::optional<hw_law> compile_law(const Impairment& impairment)
{
    const bool plain = impairment.distribution == Distribution::uniform && !has_delay_series(impairment) &&
                       impairment.correlation_time == 0;
    if (impairment.jitter == 0 || plain) return std::nullopt;
    return fixed_point(delay_law(impairment));
}

__u64 key_of(const hw_law& law)
{
    __u64 hash = 0;
    for (const auto value : law.at) hash = hw_mix(hash + static_cast<__u32>(value));
    return std::max<__u64>(hash, 1);
}

}  // namespace headwind
