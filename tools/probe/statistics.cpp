// SPDX-License-Identifier: MIT
// Computes and prints udp_probe's figures.
#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace {

struct Order {
    int64_t duplicates = 0;
    int64_t reordered = 0;
    std::vector<int64_t> delays;  // delays of the first copy of each packet, sorted
};

Order examine(const std::vector<Sample>& samples, int64_t count)
{
    Order order;
    std::vector<bool> seen(static_cast<size_t>(count));
    int64_t highest = -1;
    for (const Sample& sample : samples) {
        const auto index = static_cast<size_t>(sample.sequence);
        if (seen[index]) {
            ++order.duplicates;
            continue;
        }
        seen[index] = true;
        if (sample.sequence < highest) ++order.reordered;
        highest = std::max(highest, sample.sequence);
        order.delays.push_back(sample.received_ns - sample.sent_ns);
    }
    std::ranges::sort(order.delays);
    return order;
}

int64_t percentile(const std::vector<int64_t>& sorted, double part)
{
    const double rank = std::ceil(part * static_cast<double>(sorted.size()));
    return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

void print_delays(const std::vector<int64_t>& sorted)
{
    const auto size = static_cast<double>(sorted.size());
    double sum = 0;
    double squares = 0;
    for (const int64_t delay : sorted) sum += static_cast<double>(delay);
    for (const int64_t delay : sorted) squares += std::pow(static_cast<double>(delay) - sum / size, 2);
    print_number("mean_ns", std::llround(sum / size));
    print_number("sd_ns", std::llround(std::sqrt(squares / size)));
    print_number("min_ns", sorted.front());
    print_number("p50_ns", percentile(sorted, 0.50));
    print_number("p99_ns", percentile(sorted, 0.99));
    print_number("max_ns", sorted.back());
}

// The rate of the frames after the first one, which only starts the clock.
void print_rate(const std::vector<Sample>& samples)
{
    const int64_t duration = samples.back().received_ns - samples.front().received_ns;
    if (duration <= 0) return;
    int64_t bytes = -samples.front().frame_bytes;
    for (const Sample& sample : samples) bytes += sample.frame_bytes;
    print_number("bit_per_s", std::llround(8e9 * static_cast<double>(bytes) / static_cast<double>(duration)));
}

}  // namespace

void print_number(const char* name, int64_t value)
{
    std::printf(", \"%s\": %lld", name, static_cast<long long>(value));
}

void print_figures(const std::vector<Sample>& samples, int64_t count)
{
    const Order order = examine(samples, count);
    const auto received = static_cast<int64_t>(order.delays.size());
    print_number("received", received);
    print_number("lost", count - received);
    print_number("duplicates", order.duplicates);
    print_number("reordered", order.reordered);
    if (samples.empty()) return;
    print_delays(order.delays);
    print_rate(samples);
}
