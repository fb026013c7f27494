// What happens to the packets of a rule: words that go together, numbers that are possible.
#include <algorithm>

#include "rule/factory.h"
#include "rule/netem.h"
#include "util/text.h"

namespace headwind {
namespace {

__extension__ using u128 = unsigned __int128;

constexpr std::uint64_t max_delay_seconds = max_delay / 1'000'000'000;
constexpr std::uint64_t max_gap = std::uint64_t{1} << 31;

struct ImpairmentFlag {
    std::string_view name;
    std::optional<std::string> RuleText::*value;
};

// All that take a value but --reject, which goes with --partition.
constexpr ImpairmentFlag impairment_flags[] = {
    {"--delay", &RuleText::delay},
    {"--jitter", &RuleText::jitter},
    {"--distribution", &RuleText::distribution},
    {"--loss", &RuleText::loss},
    {"--corrupt", &RuleText::corrupt},
    {"--duplicate", &RuleText::duplicate},
    {"--reorder", &RuleText::reorder},
    {"--reorder-gap", &RuleText::reorder_gap},
    {"--rate", &RuleText::rate},
    {"--queue", &RuleText::queue},
};

std::string typed_without_reject(const RuleText& text)
{
    std::string words;
    for (const auto& [name, value] : impairment_flags) {
        if (text.*value) append_word(words, typed(name, *(text.*value)));
    }
    return words;
}

std::string typed_impairments(const RuleText& text)
{
    std::string words = typed_without_reject(text);
    if (text.reject) append_word(words, typed("--reject", *text.reject));
    return words;
}

// ---- single words ----

Result<Distribution> parse_distribution(std::string_view text)
{
    for (const Distribution distribution : {Distribution::uniform, Distribution::normal}) {
        if (trimmed(text) == format_distribution(distribution)) return distribution;
    }
    return fail(ErrorKind::usage, "unknown distribution: write uniform or normal");
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

// One flag's text, if it was given, into its field.
template <class Field, class T>
Status read(std::string_view flag, const std::optional<std::string>& value, Result<T> (*parse)(std::string_view),
            Field& into)
{
    if (!value) return {};
    HW_TRY(into, named(flag, *value, parse(*value)));
    return {};
}

// ---- the impairment as a whole ----

bool happens(const std::optional<Probability>& probability)
{
    return probability && probability->threshold != 0;
}

Status check_alone(const RuleText& text)
{
    const std::string others = typed_without_reject(text);
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
    if (text.reject && !text.loss && !others.empty()) {
        return fail(ErrorKind::usage, "{}: --reject without --loss drops every packet: use it alone, or add --loss 1%",
                    all);
    }
    return {};
}

Status check_company(const Impairment& impairment, const RuleText& text)
{
    if (text.jitter && !text.delay) {
        return refuse("--jitter", *text.jitter, "it varies the delay: add --delay 50ms, or leave it out");
    }
    if (text.distribution && !text.jitter) {
        return refuse("--distribution", *text.distribution,
                      "it is the law of the jitter: add --jitter 10ms, or leave it out");
    }
    if ((text.reorder && !text.delay) || (happens(impairment.reorder) && impairment.delay == 0)) {
        return refuse("--reorder", *text.reorder,
                      "these packets go without delay, before the delayed ones: add --delay 50ms, or leave it out");
    }
    if (text.reorder_gap && !text.reorder) {
        return refuse("--reorder-gap", *text.reorder_gap,
                      "it spaces out reordered packets: add --reorder 25%, or leave it out");
    }
    return {};
}

// Longest wait in the queue, ns; it overflows into the largest number.
std::uint64_t queue_wait(const QueueLimit& queue, std::uint64_t rate)
{
    if (queue.nanoseconds != 0) return queue.nanoseconds;
    const u128 wait = u128{queue.bytes} * 8'000'000'000 / rate;
    return static_cast<std::uint64_t>(std::min(wait, u128{~std::uint64_t{0}}));
}

Status check_times(const Impairment& impairment, const RuleText& text)
{
    if (impairment.delay > max_delay) {
        return refuse("--delay", *text.delay,
                      fmt::format("fq, which holds the packets, counts 2^32 us: use at most {}s", max_delay_seconds));
    }
    if (impairment.jitter > impairment.delay) {
        return refuse("--jitter", *text.jitter,
                      fmt::format("longer than {}, and no packet leaves before it was sent: use at most {}",
                                  typed("--delay", *text.delay), format_duration(impairment.delay)));
    }
    if (longest_delay(impairment) > max_delay) {
        return fail(ErrorKind::usage, "{}: the delay plus the longest jitter ({}) exceeds {}s: use a shorter jitter",
                    typed_impairments(text), format_duration(longest_delay(impairment) - impairment.delay),
                    max_delay_seconds);
    }
    if (!impairment.queue) return {};
    if (impairment.rate == 0) {
        return refuse("--queue", *text.queue, "it is the queue in front of --rate: add --rate 10mbit, or leave it out");
    }
    if (queue_wait(*impairment.queue, impairment.rate) > max_delay - longest_delay(impairment)) {
        return fail(ErrorKind::usage, "{}: the wait in the queue plus the delay exceeds {}s: use a shorter queue",
                    typed_impairments(text), max_delay_seconds);
    }
    return {};
}

Status check_effect(const Impairment& impairment, const RuleText& text)
{
    const bool late = impairment.delay != 0 || impairment.rate != 0;
    const bool damaged = happens(impairment.loss) || happens(impairment.corrupt) || happens(impairment.duplicate);
    if (late || damaged || partitions(impairment) || impairment.pass) return {};
    const std::string zeros = typed_impairments(text);
    if (zeros.empty()) {
        return fail(ErrorKind::usage,
                    "the rule does nothing: add --delay 50ms, --loss 1%, --rate 10mbit, --partition or --pass");
    }
    return fail(ErrorKind::usage, "{}: does nothing: use more than 0, or --pass to leave packets unimpaired", zeros);
}

}  // namespace

Result<RuleText> spell_out(const RuleText& text)
{
    RuleText flags = text;
    if (!text.netem) return flags;
    std::string others = typed_impairments(text);
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

Result<Impairment> make_impairment(const RuleText& text)
{
    HW_CHECK(check_alone(text));
    Impairment impairment;
    const bool nothing_said = typed_impairments(text).empty() && !text.pass;
    impairment.partition = text.partition || (text.flap && nothing_said);  // the link goes down
    impairment.pass = text.pass;
    HW_CHECK(read("--delay", text.delay, parse_duration, impairment.delay));
    HW_CHECK(read("--jitter", text.jitter, parse_duration, impairment.jitter));
    HW_CHECK(read("--distribution", text.distribution, parse_distribution, impairment.distribution));
    HW_CHECK(read("--loss", text.loss, parse_probability, impairment.loss));
    HW_CHECK(read("--corrupt", text.corrupt, parse_probability, impairment.corrupt));
    HW_CHECK(read("--duplicate", text.duplicate, parse_probability, impairment.duplicate));
    HW_CHECK(read("--reorder", text.reorder, parse_probability, impairment.reorder));
    HW_CHECK(read("--reorder-gap", text.reorder_gap, parse_gap, impairment.reorder_gap));
    HW_CHECK(read("--rate", text.rate, parse_rate, impairment.rate));
    HW_CHECK(read("--queue", text.queue, parse_queue, impairment.queue));
    HW_CHECK(read("--reject", text.reject, parse_reject, impairment.reject));
    HW_CHECK(check_company(impairment, text));
    HW_CHECK(check_times(impairment, text));
    HW_CHECK(check_effect(impairment, text));
    if (impairment.jitter == 0) impairment.distribution = Distribution::uniform;  // one rule, one Impairment
    return impairment;
}

bool partitions(const Impairment& impairment)
{
    return impairment.partition || (impairment.reject != Reject::no && !impairment.loss);
}

std::uint64_t longest_delay(const Impairment& impairment)
{
    const std::uint64_t widths = impairment.distribution == Distribution::normal ? normal_tail : 1;
    return impairment.delay + widths * impairment.jitter;
}

std::string_view format_distribution(Distribution distribution)
{
    return distribution == Distribution::normal ? "normal" : "uniform";
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
