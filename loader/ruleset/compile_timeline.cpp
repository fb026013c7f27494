// SPDX-License-Identifier: MIT
// A timeline's phases as the datapath's steps, and back.
#include <algorithm>

#include "ruleset/compile.h"
#include "util/int128.h"

namespace headwind {
namespace {

constexpr std::uint64_t never_ends = ~0ULL;
std::uint64_t value_of(const Phase& phase, Quantity quantity)
{
    return phase.values.at(static_cast<std::size_t>(quantity));
}

void set_quantity(Impairment& impairment, Quantity quantity, std::uint64_t value)
{
    switch (quantity) {
        case Quantity::delay: impairment.delay = value; break;
        case Quantity::jitter: impairment.jitter = value; break;
        case Quantity::loss: impairment.loss = Probability{value}; break;
        case Quantity::corrupt: impairment.corrupt = Probability{value}; break;
        case Quantity::duplicate: impairment.duplicate = Probability{value}; break;
        case Quantity::rate: impairment.rate = value; break;
    }
}

std::uint64_t quantity_of(const hw_impairment& impairment, Quantity quantity)
{
    constexpr std::uint64_t bits_q16 = 8'000'000'000ULL << 16;
    switch (quantity) {
        case Quantity::delay: return impairment.delay;
        case Quantity::jitter: return impairment.jitter;
        case Quantity::loss: return impairment.events[HW_EVENT_LOSS].threshold;
        case Quantity::corrupt: return impairment.events[HW_EVENT_CORRUPT].threshold;
        case Quantity::duplicate: return impairment.events[HW_EVENT_DUPLICATE].threshold;
        case Quantity::rate: break;
    }
    return (bits_q16 + impairment.ns_per_byte_q16 / 2) / impairment.ns_per_byte_q16;
}

}  // namespace

std::vector<hw_step> compile_steps(const Rule& rule)
{
    const auto& timeline = rule.timeline.value();
    const auto phases = phases_of(timeline);
    const bool timed = rule.impairment.delay != 0 || rule.impairment.rate != 0;
    std::vector<hw_step> steps(phases.size() + 1);
    const auto law = compile_law(rule.impairment);
    u128 sent = 0;  // bytes, 48 fractional bits
    const auto whole = [&sent] { return static_cast<__u64>(std::min<u128>(sent >> 40, never_ends >> 1)); };
    for (std::size_t i = 0; i < phases.size(); ++i) {
        Impairment impairment = rule.impairment;
        for (const auto& varying : timeline.varying)
            set_quantity(impairment, varying.quantity, value_of(phases[i], varying.quantity));
        impairment.jitter = std::min(impairment.jitter, impairment.delay);
        auto& step = steps[i];
        step.begin = phases[i].begin;
        step.end = i + 1 < phases.size() ? phases[i + 1].begin : timeline.repeat ? timeline.length : never_ends;
        step.sent = whole();
        step.impairment = compile_impairment(impairment);
        if (law && impairment.jitter != 0) step.impairment.law = key_of(*law);
        if (timed) step.impairment.flags |= HW_TIMED_STEPS;
        if (step.end != never_ends && step.impairment.ns_per_byte_q16 != 0)
            sent += (u128{step.end - step.begin} << 64) / step.impairment.ns_per_byte_q16;
    }
    steps.back().begin = steps.back().end = never_ends;
    steps.back().sent = whole();
    return steps;
}

std::vector<Phase> phases_of(const Timeline& timeline, const std::vector<hw_step>& steps)
{
    std::vector<Phase> phases;
    for (std::size_t i = 0; i < timeline.phases && i < steps.size(); ++i) {
        Phase phase;
        phase.begin = steps[i].begin;
        for (const auto& varying : timeline.varying)
            phase.values.at(static_cast<std::size_t>(varying.quantity)) =
                quantity_of(steps[i].impairment, varying.quantity);
        phases.push_back(phase);
    }
    return phases;
}

}  // namespace headwind
