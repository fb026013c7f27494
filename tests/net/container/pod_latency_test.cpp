// SPDX-License-Identifier: MIT
// While a container is cut off, the distribution of round trips of the other container of its pod is as before.
#include <csignal>
#include <random>
#include <sstream>

#include "pod_test.h"

namespace headwind::test::pod_latency_test {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr double ks_alpha = 1e-4;
constexpr unsigned pairs = 16, relabelings = 20'000;

// A block of time. Each pair is two blocks close to each other, one of them with the rule. Whatever they have in common
// (load, drift) cannot look like an effect, since the blocks of a pair may change places.
struct Window {
    std::int64_t begin = 0, end = 0;
    unsigned pair = 0;
    bool with_rule = false;
};

struct Sample {
    std::int64_t value = 0;
    unsigned pair = 0;
    bool with_rule = false;
};

// The Kolmogorov-Smirnov distance between the samples with and without the rule, as if the pairs in `swapped` were the
// other way round. The samples are `sorted` by value.
double distance(const std::vector<Sample>& sorted, const std::vector<bool>& swapped)
{
    const auto with = [&swapped](const Sample& one) { return one.with_rule != swapped[one.pair]; };
    const auto total = static_cast<double>(std::count_if(sorted.begin(), sorted.end(), with));
    const auto step_with = 1 / total, step_without = 1 / (static_cast<double>(sorted.size()) - total);
    double gap = 0, largest = 0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        gap += with(sorted[i]) ? step_with : -step_without;
        const bool tied = i + 1 < sorted.size() && sorted[i + 1].value == sorted[i].value;
        if (!tied) largest = std::max(largest, std::abs(gap));
    }
    return largest;
}

// The probability that the blocks look at least as different if the rule makes no difference.
double permutation_p_value(std::vector<Sample> samples)
{
    std::sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) { return a.value < b.value; });
    std::mt19937 random(7);
    std::vector<bool> swapped(pairs);
    const double observed = distance(samples, swapped);
    unsigned as_large = 1;
    for (unsigned i = 0; i < relabelings; ++i) {
        const auto bits = random();
        for (unsigned pair = 0; pair < pairs; ++pair) swapped[pair] = bits >> pair & 1;
        as_large += distance(samples, swapped) >= observed - 1e-12;
    }
    return static_cast<double>(as_large) / (relabelings + 1);
}

std::vector<Sample> samples_of(const std::string& log, const std::vector<Window>& windows)
{
    std::vector<Sample> out;
    std::istringstream lines(log);
    for (std::int64_t sent = 0, answered = 0; lines >> sent >> answered;)
        for (const auto& window : windows)
            if (sent >= window.begin && answered <= window.end)
                out.push_back({answered - sent, window.pair, window.with_rule});
    return out;
}

TEST_F(Pods, TheOtherContainersLatencyIsAsBefore)
{
    const auto watch = shop().watch("db", Node::address4, 6000);
    std::vector<Window> windows;
    std::mt19937 random(std::random_device{}());
    bool there = false;
    const auto record = [&](unsigned pair, bool with_rule) {
        if (with_rule && !there) change(host(), "add --for ever --name cut --pod default/shop/web --partition");
        if (!with_rule && there) change(host(), "del cut --pod default/shop");
        there = with_rule;
        usleep(30'000);  // for work that the kernel still does after the command
        const auto begin = monotonic_ns();
        usleep(70'000);
        windows.push_back({begin, monotonic_ns(), pair, with_rule});
    };
    usleep(500'000);  // for the watcher to begin
    for (unsigned pair = 0; pair < pairs; ++pair) {
        const bool first = random() & 1;
        record(pair, first);
        record(pair, !first);
    }
    watch->signal(SIGTERM);
    const auto output = watch->wait();
    expect_ok(output);
    auto samples = samples_of(output.out, windows);
    ASSERT_GT(samples.size(), 50U * pairs);
    EXPECT_GT(permutation_p_value(samples), ks_alpha) << samples.size() << " round trips";
    for (auto& sample : samples)
        if (sample.with_rule) sample.value *= 2;
    EXPECT_LT(permutation_p_value(samples), 10 * ks_alpha) << "it notices what differs";
}

}  // namespace
}  // namespace headwind::test::pod_latency_test
