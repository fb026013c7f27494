// SPDX-License-Identifier: MIT
#include "event_series.h"

#include <algorithm>
#include <cmath>

#include "verify/statistics.h"

namespace headwind::test {

void EventSeries::add(bool event)
{
    if (packets != 0) ++pairs[last_ ? 1 : 0][event ? 1 : 0];
    if (event && !last_) bursts.push_back(0);
    if (event) ++bursts.back();
    ++packets;
    events += event ? 1 : 0;
    last_ = event;
}

EventSeries draw_series(const hw_sequence& sequence, hw_progress& progress, unsigned event, std::uint64_t packets)
{
    EventSeries series;
    for (std::uint64_t i = 0; i < packets; ++i) series.add((hw_sequence_step(&sequence, &progress) >> event & 1) != 0);
    return series;
}

double count_p_value(const EventSeries& series, const Chain& chain)
{
    const auto facts = facts_of(chain);
    const auto n = static_cast<double>(series.packets);
    const double sd = std::sqrt(n * facts.share * (1 - facts.share) * facts.spread);
    return std::erfc(std::abs(static_cast<double>(series.events) - n * facts.share) / sd / std::sqrt(2.0));
}

double burst_p_value(const EventSeries& series, const Chain& chain)
{
    // `here`: with which probability a burst goes on, and in which state it is then.
    const auto facts = facts_of(chain);
    std::array<double, chain_states> here{};
    double begins = 0;
    for (std::size_t t = 0; t < chain_states; ++t) {
        for (std::size_t s = 0; s < chain_states; ++s)
            here.at(t) += facts.stationary.at(s) * (1 - chain.event.at(s)) * chain.to.at(s).at(t) * chain.event.at(t);
        begins += here.at(t);
    }
    const auto count = static_cast<double>(series.bursts.size());
    std::vector<double> expected;
    double left = 1;
    while (left * count > 5 && expected.size() < 100'000) {
        std::array<double, chain_states> next{};
        double goes_on = 0;
        for (std::size_t t = 0; t < chain_states; ++t) {
            for (std::size_t s = 0; s < chain_states; ++s)
                next.at(t) += here.at(s) * chain.to.at(s).at(t) * chain.event.at(t);
            goes_on += next.at(t) / begins;
        }
        expected.push_back(count * (left - goes_on));
        here = next;
        left = goes_on;
    }
    expected.push_back(count * left);
    std::vector<std::uint64_t> observed(expected.size());
    for (const auto length : series.bursts) ++observed[std::min<std::size_t>(length, expected.size()) - 1];
    return statistics::chi_square_test(observed, expected);
}

double correlation_of(const EventSeries& series)
{
    const double share = static_cast<double>(series.events) / static_cast<double>(series.packets);
    const double both = static_cast<double>(series.pairs[1][1]) / static_cast<double>(series.packets - 1);
    return (both - share * share) / (share * (1 - share));
}

double transitions_p_value(const EventSeries& series, double share, double correlation)
{
    const auto& [from_good, from_bad] = series.pairs;
    const double good =
        statistics::binomial_p_value(from_good[1], from_good[0] + from_good[1], share * (1 - correlation));
    const double bad =
        statistics::binomial_p_value(from_bad[0], from_bad[0] + from_bad[1], (1 - share) * (1 - correlation));
    return std::min(1.0, 2 * std::min(good, bad));
}

}  // namespace headwind::test
