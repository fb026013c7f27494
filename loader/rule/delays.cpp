// SPDX-License-Identifier: MIT
// The law of the delays, and their order.
#include <algorithm>
#include <array>
#include <cmath>

#include "chance/law.h"
#include "chance/law_file.h"
#include "rule/factory.h"
#include "rule/flags.h"
#include "util/int128.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t max_delay_seconds = max_delay / 1'000'000'000;
constexpr std::array<std::string_view, 8> distribution_names{"uniform",     "normal",    "pareto", "paretonormal",
                                                             "exponential", "lognormal", "table",  "samples"};

bool is_from_file(Distribution distribution)
{
    return distribution == Distribution::table || distribution == Distribution::samples;
}

// The longest wait in the queue, in ns; on overflow the largest number.
std::uint64_t queue_wait(const QueueLimit& queue, std::uint64_t rate)
{
    if (queue.nanoseconds != 0) return queue.nanoseconds;
    const u128 wait = u128{queue.bytes} * 8'000'000'000 / rate;
    return static_cast<std::uint64_t>(std::min(wait, u128{~std::uint64_t{0}}));
}

}  // namespace

Status read_distribution(const RuleSpec& text, Impairment& into)
{
    if (!text.distribution) return {};
    const auto word = trimmed(*text.distribution);
    const auto colon = word.find(':');
    const auto* const found = std::ranges::find(distribution_names, word.substr(0, colon));
    into.distribution = static_cast<Distribution>(found - distribution_names.begin());
    if (found == distribution_names.end() || is_from_file(into.distribution) != (colon != std::string_view::npos))
        return refuse(
            "--distribution", *text.distribution,
            "unknown distribution: write uniform, normal, pareto, paretonormal, exponential, lognormal, table:FILE or samples:FILE");
    if (!is_from_file(into.distribution)) return {};
    into.distribution_file = std::string(word.substr(colon + 1));
    into.quantiles = text.quantiles;
    if (into.distribution_file.empty() || into.quantiles.size() != HW_LAW_KNOTS ||
        !std::ranges::is_sorted(into.quantiles))
        return refuse("--distribution", *text.distribution, "its file has not been read");
    return {};
}

Status check_times(const RuleSpec& text, const Impairment& impairment)
{
    if (impairment.delay > max_delay) {
        return refuse("--delay", *text.delay,
                      fmt::format("fq, which holds the packets, counts 2^32 us: use at most {}s", max_delay_seconds));
    }
    const bool lognormal = impairment.distribution == Distribution::lognormal;
    const bool stays_above = lognormal || is_from_file(impairment.distribution);
    if (lognormal && impairment.delay != 0 &&
        static_cast<double>(impairment.jitter) > most_lognormal * static_cast<double>(impairment.delay))
        return refuse("--jitter", *text.jitter,
                      fmt::format("a lognormal law has at most {} times the delay: use a shorter one", most_lognormal));
    if (impairment.jitter > impairment.delay && (!stays_above || impairment.delay == 0)) {
        return refuse("--jitter", *text.jitter,
                      fmt::format("longer than {}, and no packet leaves before it was sent: use at most {}",
                                  typed("--delay", *text.delay), format_duration(impairment.delay)));
    }
    const auto longest = longest_delay(impairment);
    if (longest > max_delay) {
        return fail(ErrorKind::usage, "{}: the delay plus the longest jitter ({}) exceeds {}s: use a shorter jitter",
                    typed_impairments(text), format_duration(longest - impairment.delay), max_delay_seconds);
    }
    if (impairment.queue && queue_wait(*impairment.queue, impairment.rate) > max_delay - longest) {
        return fail(ErrorKind::usage, "{}: the wait in the queue plus the delay exceeds {}s: use a shorter queue",
                    typed_impairments(text), max_delay_seconds);
    }
    return {};
}

Status put_order(const RuleSpec& text, Impairment& impairment)
{
    constexpr std::uint64_t longest = 3'600'000'000'000;
    if (!text.keep_order && !text.correlation_time) return {};
    const auto& flag = rule_flag(text.correlation_time ? "--correlation-time" : "--keep-order");
    constexpr std::pair<std::string_view, std::string_view> others[] = {
        {"--reorder", "it lets packets overtake others, and --keep-order none"},
        {"--delay-correlation", "it goes from packet to packet, and --correlation-time with the time"},
        {"--seed", "the delays of --keep-order depend on the time, not on the packet's number"}};
    for (const auto& [name, why] : others)
        if (is_given(rule_flag(name), text))
            return refuse_flag(rule_flag(name), text, fmt::format("{}: use one of them", why));
    const auto shortest = impairment.jitter != 0 ? shortest_correlation_time(impairment) : 0;
    if (!text.correlation_time) impairment.correlation_time = std::max(usual_correlation_time, shortest);
    if (impairment.correlation_time < shortest)
        return refuse_flag(
            flag, text,
            fmt::format("with this law packets would overtake others: use at least {}, or a shorter --jitter",
                        format_duration(shortest)));
    if (impairment.correlation_time > longest)
        return refuse_flag(flag, text,
                           shortest > longest
                               ? fmt::format("with this law that would take more than {}: use a shorter --jitter",
                                             format_duration(longest))
                               : fmt::format("use at most {}", format_duration(longest)));
    return {};
}

std::uint64_t longest_delay(const Impairment& impairment)
{
    if (impairment.jitter == 0 || impairment.distribution == Distribution::uniform)
        return impairment.delay + impairment.jitter;
    const double units = std::round(delay_law(impairment).back() * HW_LAW_ONE);  // as the datapath has it
    const double longest = static_cast<double>(impairment.jitter) * units / HW_LAW_ONE;
    constexpr double most = 1e18;  // of ns
    return impairment.delay + static_cast<std::uint64_t>(std::clamp(std::ceil(longest), 0.0, most));
}

const std::vector<double>& delay_law(const Impairment& impairment)
{
    static thread_local std::vector<double> own;
    switch (impairment.distribution) {
        case Distribution::uniform: return uniform_law();
        case Distribution::normal: return normal_law();
        case Distribution::pareto: return pareto_law();
        case Distribution::paretonormal: return paretonormal_law();
        case Distribution::exponential: return exponential_law();
        case Distribution::lognormal:
            own = lognormal_law(static_cast<double>(impairment.jitter) / static_cast<double>(impairment.delay));
            break;
        case Distribution::table:
        case Distribution::samples: own = law_of(impairment.quantiles); break;
    }
    return own;
}

bool keeps_order(const Impairment& impairment)
{
    return impairment.correlation_time != 0 || impairment.rate_last;
}

std::uint64_t shortest_correlation_time(const Impairment& impairment)
{
    const double widths = static_cast<double>(impairment.delay) / static_cast<double>(impairment.jitter);
    const double factor = order_factor(delay_law(impairment), -widths);
    const double exact = std::max(1000.0, static_cast<double>(impairment.jitter) * factor);
    const double digit = std::pow(10, std::floor(std::log10(exact)) - 1);  // two of them are said
    return static_cast<std::uint64_t>(std::llround(std::ceil(exact / digit) * digit));
}

double share_without_delay(const Impairment& impairment)
{
    const double widths = static_cast<double>(impairment.delay) / static_cast<double>(impairment.jitter);
    return impairment.jitter == 0 ? 0 : share_up_to(delay_law(impairment), std::nextafter(-widths, -HUGE_VAL));
}

std::string format_distribution(const Impairment& impairment)
{
    std::string name(distribution_names.at(static_cast<std::size_t>(impairment.distribution)));
    return impairment.distribution_file.empty() ? name : name + ":" + impairment.distribution_file;
}

}  // namespace headwind
