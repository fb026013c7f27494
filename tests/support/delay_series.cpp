// SPDX-License-Identifier: MIT
// Draws delays by the datapath's arithmetic.
#include "delay_series.h"

#include <cmath>

#include "ruleset/compile.h"

namespace headwind::test {

std::vector<double> draw_delays(const DelayLaw& law, std::uint64_t seed, std::size_t packets)
{
    std::vector<double> out(packets);
    for (std::size_t n = 0; n < packets; ++n) {
        const auto score = hw_score(&normal_scores(), hw_dice(seed, n));
        out[n] = static_cast<double>(hw_by_law(law.delay, law.jitter, hw_law_at(&law.law, std::int64_t{score} << 8)));
    }
    return out;
}

std::vector<double> draw_delays(const DelayLaw& law, const hw_sequence& sequence, std::size_t packets)
{
    std::vector<double> out(packets);
    hw_progress progress{};
    hw_sequence_begin(&sequence, &progress, 1, HW_OUT);
    for (auto& delay : out) {
        hw_fate fate{};
        hw_sequence_fate(&sequence, &normal_scores(), &progress, &fate);
        delay =
            static_cast<double>(hw_by_law(law.delay, law.jitter, hw_law_at(&law.law, std::int64_t{fate.score} << 8)));
    }
    return out;
}

SmoothDelays::SmoothDelays(const Impairment& impairment, const hw_scores& scores, std::uint64_t seed)
    : impairment_(compile_impairment(impairment)), law_(compile_law(impairment).value()), scores_(scores), seed_(seed)
{
}

std::uint64_t SmoothDelays::at(std::uint64_t time) const
{
    const auto score = hw_smooth_score(&scores_, seed_, impairment_.correlation_time, time);
    return hw_by_law(impairment_.delay, impairment_.jitter, hw_law_at(&law_, score));
}

SampleMoments sample_moments(const std::vector<double>& values)
{
    SampleMoments out;
    const auto n = static_cast<double>(values.size());
    for (const auto value : values) out.mean += value / n;
    for (const auto value : values) out.sd += (value - out.mean) * (value - out.mean) / n;
    out.sd = std::sqrt(out.sd);
    return out;
}

double lag_p_value(const std::vector<double>& values, double correlation)
{
    constexpr std::size_t parts = 1000;
    const auto [mean, sd] = sample_moments(values);
    std::vector<double> found(parts);
    const auto length = values.size() / parts;
    for (std::size_t part = 0; part < parts; ++part)
        for (auto i = part * length; i < (part + 1) * length && i + 1 < values.size(); ++i) {
            const double here = (values[i] - mean) / sd, next = (values[i + 1] - mean) / sd;
            // to the first order the error of the ratio, of which the variance cancels
            found[part] += (here * next - correlation * here * here) / static_cast<double>(length);
        }
    const auto of_parts = sample_moments(found);
    return std::erfc(std::abs(of_parts.mean) / of_parts.sd * std::sqrt(double{parts} / 2));
}

}  // namespace headwind::test
