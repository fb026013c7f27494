// SPDX-License-Identifier: MIT
// Makes the impairment of a rule: checks which flags go together, and which numbers are possible.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "chance/law.h"
#include "chance/law_file.h"
#include "chance/loss_model.h"
#include "chance/packet_list.h"
#include "rule/factory.h"
#include "rule/flags.h"
#include "rule/netem.h"
#include "util/int128.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t max_delay_seconds = max_delay / 1'000'000'000;
constexpr std::uint64_t max_gap = std::uint64_t{1} << 31;

// The impairments as they were typed, but for the flag `except`.
std::string typed_impairments(const RuleSpec& text, std::string_view except = {})
{
    std::string words;
    for (const Flag& flag : rule_flags()) {
        if (flag.kind != FlagKind::impairment || flag.name == except || !is_given(flag, text)) continue;
        const bool word = std::holds_alternative<Word>(flag.member);
        append_word(words, word ? typed(flag.name, said(flag, text)) : std::string(flag.name));
    }
    return words;
}

// ---- single words ----

constexpr std::array<std::string_view, 8> distribution_names{"uniform",     "normal",    "pareto", "paretonormal",
                                                             "exponential", "lognormal", "table",  "samples"};

bool is_from_file(Distribution distribution)
{
    return distribution == Distribution::table || distribution == Distribution::samples;
}

// "normal", "samples:ping.txt"
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

Result<Reject> parse_reject(std::string_view text)
{
    for (const Reject reject : {Reject::rst, Reject::icmp}) {
        if (trimmed(text) == format_reject(reject)) return reject;
    }
    return fail(ErrorKind::usage, "unknown answer: write rst (TCP is reset, the rest gets ICMP) or icmp");
}

Result<std::uint32_t> parse_gap(std::string_view text)
{
    const std::string_view digits = trimmed(text);
    std::uint64_t value = 0;
    bool valid = !digits.empty();
    for (const char c : digits) {
        valid = valid && c >= '0' && c <= '9';
        if (valid) value = std::min(value * 10 + static_cast<unsigned>(c - '0'), max_gap + 1);
    }
    if (!valid || value < 1 || value > max_gap) {
        return fail(ErrorKind::usage, "write a whole number of packets from 1 to {}", max_gap);
    }
    return static_cast<std::uint32_t>(value);
}

// A size ("64kb") or a time ("50ms"): only the units of sizes have a 'b'.
Result<QueueLimit> parse_queue(std::string_view text)
{
    const std::string_view value = trimmed(text);
    const bool bare = !value.empty() && value.find_first_not_of("0123456789.") == std::string_view::npos;
    if (value.empty() || bare) {
        return fail(ErrorKind::usage, "{}: write a size (64kb, 64KiB) or a time at that rate (50ms)",
                    bare ? "needs a unit" : "empty");
    }
    QueueLimit limit;
    if (value.find_first_of("bB") != std::string_view::npos) {
        HW_TRY(limit.bytes, parse_size(value));
    } else {
        HW_TRY(limit.nanoseconds, parse_duration(value));
    }
    if (limit == QueueLimit{}) {
        return fail(ErrorKind::usage, "no queue would drop nearly everything: write a size (64kb) or a time (50ms)");
    }
    return limit;
}

// "3", "2.5": the mean length of a burst, in 1/1000 packets.
Result<std::uint64_t> parse_burst(std::string_view text)
{
    constexpr double most = 1'000'000;
    const auto number = trimmed(text);
    double packets = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), packets);
    if (error != std::errc() || end != number.data() + number.size() || !(packets >= 1) || packets > most)
        return fail(ErrorKind::usage, "write a number of packets from 1 to {}, like 3 or 2.5", most);
    return static_cast<std::uint64_t>(std::llround(packets * 1000));
}

// Parses one flag's text, if it was given, into its field.
template <class Field, class T>
Status read(std::string_view flag, const std::optional<std::string>& value, Result<T> (*parse)(std::string_view),
            Field& into)
{
    if (!value) return {};
    HW_TRY(into, named(flag, *value, parse(*value)));
    return {};
}

Status read_value(const Flag& flag, const RuleSpec& text, Impairment& into)
{
    if (!is_given(flag, text)) return {};
    if (const auto* amount = std::get_if<Amount>(&flag.value)) {
        HW_TRY(into.*amount->at, named(flag.name, said(flag, text), amount->parse(said(flag, text))));
    } else if (const auto* chance = std::get_if<Chance>(&flag.value)) {
        HW_TRY(into.*chance->at, named(flag.name, said(flag, text), parse_probability(said(flag, text))));
    }
    return {};
}

// ---- the impairment as a whole ----

bool happens(const std::optional<Probability>& probability)
{
    return probability && probability->threshold != 0;
}

Status check_alone(const RuleSpec& text)
{
    const std::string others = typed_impairments(text, "--reject");
    const std::string all = typed_impairments(text);
    if (text.partition && text.pass) {
        return fail(ErrorKind::usage, "--partition --pass: one drops every packet, the other none: use one of them");
    }
    if (text.partition && !others.empty()) {
        return fail(ErrorKind::usage,
                    "--partition {}: --partition drops every packet: use it alone, or with --reject only", all);
    }
    if (text.pass && !all.empty()) {
        return fail(ErrorKind::usage, "--pass {}: --pass leaves packets unimpaired: use it alone", all);
    }
    if (text.reject && !text.loss && !text.loss_model && !text.loss_nth && !text.loss_pattern && !others.empty()) {
        return fail(ErrorKind::usage, "{}: --reject without --loss drops every packet: use it alone, or add --loss 1%",
                    all);
    }
    return {};
}

bool happens(const Flag& flag, const Impairment& impairment)
{
    if (const auto* amount = std::get_if<Amount>(&flag.value)) return impairment.*amount->at != 0;
    const auto* chance = std::get_if<Chance>(&flag.value);
    return chance != nullptr && happens(impairment.*chance->at);
}

// The longest wait in the queue, in ns; on overflow the largest number.
std::uint64_t queue_wait(const QueueLimit& queue, std::uint64_t rate)
{
    if (queue.nanoseconds != 0) return queue.nanoseconds;
    const u128 wait = u128{queue.bytes} * 8'000'000'000 / rate;
    return static_cast<std::uint64_t>(std::min(wait, u128{~std::uint64_t{0}}));
}

Status check_times(const Impairment& impairment, const RuleSpec& text)
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
    if (longest_delay(impairment) > max_delay) {
        return fail(ErrorKind::usage, "{}: the delay plus the longest jitter ({}) exceeds {}s: use a shorter jitter",
                    typed_impairments(text), format_duration(longest_delay(impairment) - impairment.delay),
                    max_delay_seconds);
    }
    if (impairment.queue && queue_wait(*impairment.queue, impairment.rate) > max_delay - longest_delay(impairment)) {
        return fail(ErrorKind::usage, "{}: the wait in the queue plus the delay exceeds {}s: use a shorter queue",
                    typed_impairments(text), max_delay_seconds);
    }
    return {};
}

// Refuses correlations that no packets can have.
Status check_correlations(const RuleSpec& text, const Impairment& impairment)
{
    for (const Flag& flag : rule_flags()) {
        if (!flag.name.ends_with("-correlation") || !is_given(flag, text)) continue;
        const auto& value = impairment.*std::get<Chance>(flag.value).at;
        const bool delays = &impairment.delay_correlation == &value;
        constexpr std::uint64_t most_of_delays = Probability::always - Probability::always / 10'000;  // 99.99%
        if (value && delays && value->threshold > most_of_delays)
            return refuse(flag.name, said(flag, text), "use at most 99.99%: else hours would have one delay");
        if (value && value->threshold == Probability::always)
            return refuse(flag.name, said(flag, text),
                          "the first packet would decide for all that follow: use less than 100%");
    }
    return {};
}

Status check_burst(const RuleSpec& text, const Impairment& impairment)
{
    if (!text.loss_burst || !happens(impairment.loss)) return {};
    if (text.loss_correlation)
        return refuse("--loss-burst", *text.loss_burst,
                      "it makes a correlation, and --loss-correlation bursts: use one of them");
    if (impairment.loss->threshold == Probability::always)
        return refuse("--loss-burst", *text.loss_burst, "--loss 100% is one burst without an end: leave it out");
    const double shortest = 1000 * shortest_burst(fraction_of(*impairment.loss));
    if (static_cast<double>(impairment.loss_burst) >= shortest) return {};
    return refuse("--loss-burst", *text.loss_burst,
                  fmt::format("bursts are no shorter where {} is lost: use at least {}",
                              format_probability(*impairment.loss), std::ceil(shortest) / 1000));
}

// The flags that say how much is lost, each in its way.
Status check_losses(const RuleSpec& text)
{
    const Flag* said_by = nullptr;
    for (const auto name : {"--loss", "--loss-model", "--loss-nth", "--loss-pattern"}) {
        const auto& flag = rule_flag(name);
        if (!is_given(flag, text)) continue;
        if (said_by != nullptr)
            return refuse(name, said(flag, text),
                          fmt::format("it says what is lost, and so does {}: use one of them", said_by->name));
        said_by = &flag;
    }
    return {};
}

// The share of the packets that is lost where no flag says it.
double share_of_losses(const Impairment& impairment)
{
    if (impairment.loss_nth != 0) return 1 / static_cast<double>(impairment.loss_nth);
    if (impairment.lost_packets.empty()) return facts_of(chain_of_loss_model(impairment.loss_model)).share;
    return static_cast<double>(count_of(impairment.lost_packets)) / impairment.lost_packets.back().second;
}

Status put_loss(const RuleSpec& text, Impairment& impairment)
{
    HW_CHECK(check_losses(text));
    if (text.loss_pattern) {
        impairment.loss_pattern = std::string(trimmed(*text.loss_pattern));
        impairment.lost_packets = text.lost_packets;
        if (impairment.lost_packets.empty())
            return refuse("--loss-pattern", *text.loss_pattern, "its file has not been read");
    }
    if (impairment.loss_model.empty() && impairment.loss_nth == 0 && !text.loss_pattern) return {};
    const double share = share_of_losses(impairment);
    const double threshold = std::ceil(std::ldexp(std::min(share, 1.0), 32) - 0.5);
    impairment.loss = Probability{static_cast<std::uint64_t>(share > 0 ? std::max(threshold, 1.0) : 0)};
    return {};
}

// Refuses what netem's arithmetic does to no one's liking, and Headwind does not follow.
Status check_compatible(const Impairment& impairment)
{
    constexpr std::uint64_t longest = 100'000'000;  // ns
    if (!impairment.netem_compatible) return {};
    if (happens(impairment.reorder_correlation) && impairment.reorder_gap != 1)
        return fail(ErrorKind::usage,
                    "--netem-compatible: correlated reordering with a gap is not as netem's: leave one of them out");
    const bool own = impairment.loss_burst != 0 || impairment.loss_nth != 0 || !impairment.lost_packets.empty();
    if (happens(impairment.duplicate) && (own || !impairment.loss_model.empty()))
        return fail(ErrorKind::usage,
                    "--netem-compatible: what netem makes of copies by other losses than of --loss and "
                    "--loss-correlation is not followed: leave --duplicate out, or the rest of the losses");
    if (happens(impairment.delay_correlation) && impairment.jitter > longest)
        return fail(ErrorKind::usage,
                    "--netem-compatible: netem's correlation spoils the law of jitters above {}, which Headwind does "
                    "not follow: use a shorter jitter, or leave the correlation out",
                    format_duration(longest));
    return {};
}

Status check_seed(const RuleSpec& text, const Impairment& impairment)
{
    const bool chance = happens(impairment.loss) || happens(impairment.corrupt) || happens(impairment.duplicate) ||
                        happens(impairment.reorder) || impairment.jitter != 0;
    if (!text.seed || chance) return {};
    return refuse("--seed", *text.seed, "chance decides nothing here: add --loss 1% or --jitter 10ms, or leave it out");
}

// Makes the delay smooth, if packets are to keep their order.
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
    const auto shortest = shortest_correlation_time(impairment);
    if (!text.correlation_time) impairment.correlation_time = default_correlation_time(impairment);
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

// Refuses an impairment that does nothing. A flag that only shapes another one, as --jitter, has been refused without
// that one.
Status check_effect(const Impairment& impairment, const RuleSpec& text)
{
    const bool something =
        std::ranges::any_of(rule_flags(), [&impairment](const Flag& flag) { return happens(flag, impairment); });
    if (something || partitions(impairment) || impairment.pass) return {};
    const std::string zeros = typed_impairments(text);
    if (zeros.empty()) {
        return fail(ErrorKind::usage,
                    "the rule does nothing: add --delay 50ms, --loss 1%, --rate 10mbit, --partition or --pass");
    }
    return fail(ErrorKind::usage, "{}: does nothing: use more than 0, or --pass to leave packets unimpaired", zeros);
}

}  // namespace

Result<RuleSpec> spell_out(const RuleSpec& text)
{
    RuleSpec flags = text;
    if (!text.netem) return flags;
    std::string others = typed_impairments(text, "--netem-compatible");
    if (text.partition) append_word(others, "--partition");
    if (text.pass) append_word(others, "--pass");
    if (!others.empty()) {
        return fail(ErrorKind::usage, "{} {}: netem's words stand for such flags: use the words or the flags",
                    typed("--netem", *text.netem), others);
    }
    flags.netem.reset();
    HW_CHECK(apply_netem(*text.netem, flags));
    return flags;
}

Result<Impairment> make_impairment(const RuleSpec& text)
{
    HW_CHECK(check_alone(text));
    Impairment impairment;
    const bool nothing_said = typed_impairments(text).empty() && !text.pass;
    impairment.partition = text.partition || (text.flap && nothing_said);  // --flap alone: the link goes down
    impairment.pass = text.pass;
    for (const Flag& flag : rule_flags()) HW_CHECK(read_value(flag, text, impairment));
    HW_CHECK(read_distribution(text, impairment));
    HW_CHECK(read("--reorder-gap", text.reorder_gap, parse_gap, impairment.reorder_gap));
    HW_CHECK(read("--queue", text.queue, parse_queue, impairment.queue));
    HW_CHECK(read("--reject", text.reject, parse_reject, impairment.reject));
    HW_CHECK(read("--loss-burst", text.loss_burst, parse_burst, impairment.loss_burst));
    HW_CHECK(read("--loss-model", text.loss_model, normal_loss_model, impairment.loss_model));
    HW_CHECK(check_company(FlagKind::impairment, text));
    HW_CHECK(check_correlations(text, impairment));
    HW_CHECK(check_burst(text, impairment));
    HW_CHECK(put_loss(text, impairment));
    if (happens(impairment.reorder) && impairment.delay == 0)
        return refuse("--reorder", *text.reorder, rule_flag("--reorder").needs_why);
    HW_CHECK(check_times(impairment, text));
    HW_CHECK(check_seed(text, impairment));
    if (text.jitter && impairment.jitter == 0)
        impairment.correlation_time = 0;  // --jitter 0ms
    else
        HW_CHECK(put_order(text, impairment));
    impairment.rate_last = text.rate_last && impairment.rate != 0;
    impairment.netem_compatible = text.netem_compatible;
    HW_CHECK(check_compatible(impairment));
    HW_CHECK(check_effect(impairment, text));
    if (impairment.jitter != 0) return impairment;
    impairment.distribution = Distribution::uniform;  // so that equal rules compare equal
    impairment.distribution_file.clear();
    impairment.quantiles.clear();
    impairment.delay_correlation.reset();
    return impairment;
}

bool partitions(const Impairment& impairment)
{
    return impairment.partition || (impairment.reject != Reject::no && !impairment.loss);
}

bool has_sequence(const Impairment& impairment)
{
    return happens(impairment.loss_correlation) || happens(impairment.corrupt_correlation) ||
           happens(impairment.duplicate_correlation) || happens(impairment.reorder_correlation) ||
           (happens(impairment.delay_correlation) && !impairment.netem_compatible) || impairment.seed != 0 ||
           impairment.loss_burst != 0 || !impairment.loss_model.empty() || impairment.loss_nth != 0 ||
           !impairment.lost_packets.empty() ||
           (impairment.netem_compatible && happens(impairment.loss) && happens(impairment.duplicate));
}

Chain event_chain(const std::optional<Probability>& share, const std::optional<Probability>& correlation)
{
    if (!share) return independent_chain(0);
    if (!happens(correlation)) return independent_chain(fraction_of(*share));
    return correlated_chain(fraction_of(*share), fraction_of(*correlation));
}

Chain loss_chain(const Impairment& impairment)
{
    if (impairment.loss_nth != 0 || !impairment.lost_packets.empty()) return independent_chain(0);
    if (!impairment.loss_model.empty()) return chain_of_loss_model(impairment.loss_model);
    if (impairment.loss_burst != 0 && happens(impairment.loss))
        return bursty_chain(fraction_of(*impairment.loss), static_cast<double>(impairment.loss_burst) / 1000);
    return event_chain(impairment.loss, impairment.netem_compatible ? std::nullopt : impairment.loss_correlation);
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

std::vector<double> delay_law(const Impairment& impairment)
{
    switch (impairment.distribution) {
        case Distribution::uniform: return uniform_law();
        case Distribution::normal: return normal_law();
        case Distribution::pareto: return pareto_law();
        case Distribution::paretonormal: return paretonormal_law();
        case Distribution::exponential: return exponential_law();
        case Distribution::lognormal:
            return lognormal_law(static_cast<double>(impairment.jitter) / static_cast<double>(impairment.delay));
        case Distribution::table:
        case Distribution::samples: return law_of(impairment.quantiles);
    }
    return {};
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

std::uint64_t default_correlation_time(const Impairment& impairment)
{
    constexpr std::uint64_t usual = 50'000'000;
    return std::max(usual, shortest_correlation_time(impairment));
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

std::string_view format_reject(Reject reject)
{
    switch (reject) {
        case Reject::no: return "no";
        case Reject::rst: return "rst";
        case Reject::icmp: return "icmp";
    }
    return "no";
}

}  // namespace headwind
