// SPDX-License-Identifier: MIT
// Makes the impairment of a rule: checks which flags go together, and which numbers are possible.
#include <algorithm>

#include "rule/factory.h"
#include "rule/flags.h"
#include "rule/netem.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::uint64_t max_gap = std::uint64_t{1} << 31;

// ---- single words ----

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
    const bool chance =
        impairment.loss || impairment.corrupt || impairment.duplicate || impairment.reorder || text.jitter;
    if (!text.seed || chance) return {};
    return refuse("--seed", *text.seed, "chance decides nothing here: add --loss 1% or --jitter 10ms, or leave it out");
}

// Refuses a rule that asks for nothing, not even for 0 of something. A flag that only shapes another one, as
// --distribution, has been refused without that one.
Status check_effect(const Impairment& impairment, const RuleSpec& text)
{
    if (partitions(impairment) || impairment.pass || !typed_impairments(text, "--netem-compatible").empty()) return {};
    return fail(ErrorKind::usage,
                "the rule does nothing: add --delay 50ms, --loss 1%, --rate 10mbit, --partition or --pass");
}

// Refuses a flag without the one it needs, unless it asks for 0.
Status check_company(const RuleSpec& text, const Impairment& impairment)
{
    for (const Flag& flag : rule_flags()) {
        if (flag.kind != FlagKind::impairment || !lacks_company(flag, text)) continue;
        const bool zero = !std::holds_alternative<std::monostate>(flag.value) && !happens(flag, impairment);
        if (!zero) return refuse_flag(flag, text, flag.needs_why);
    }
    return {};
}

}  // namespace

bool asks_for_nothing(const Impairment& impairment)
{
    return !partitions(impairment) && !impairment.pass && impairment.delay == 0 && impairment.rate == 0 &&
           !happens(impairment.loss) && !happens(impairment.corrupt) && !happens(impairment.duplicate);
}

std::string typed_impairments(const RuleSpec& text, std::string_view except)
{
    std::string words;
    for (const Flag& flag : rule_flags()) {
        if (flag.kind != FlagKind::impairment || flag.name == except || !is_given(flag, text)) continue;
        const bool word = std::holds_alternative<Word>(flag.member);
        append_word(words, word ? typed(flag.name, said(flag, text)) : std::string(flag.name));
    }
    return words;
}

bool happens(const std::optional<Probability>& probability)
{
    return probability && probability->threshold != 0;
}

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
    HW_CHECK(read_losses(text, impairment));
    HW_CHECK(read_word("--reorder-gap", text.reorder_gap, parse_gap, impairment.reorder_gap));
    HW_CHECK(read_word("--queue", text.queue, parse_queue, impairment.queue));
    HW_CHECK(read_word("--reject", text.reject, parse_reject, impairment.reject));
    HW_CHECK(check_company(text, impairment));
    HW_CHECK(check_correlations(text, impairment));
    HW_CHECK(put_losses(text, impairment));
    if (happens(impairment.reorder) && impairment.delay == 0)
        return refuse("--reorder", *text.reorder, rule_flag("--reorder").needs_why);
    HW_CHECK(check_times(text, impairment));
    HW_CHECK(check_seed(text, impairment));
    HW_CHECK(put_order(text, impairment));
    impairment.rate_last = text.rate_last && impairment.rate != 0;
    impairment.netem_compatible = text.netem_compatible;
    HW_CHECK(check_compatible(impairment));
    HW_CHECK(check_effect(impairment, text));
    return impairment;
}

bool partitions(const Impairment& impairment)
{
    return impairment.partition || (impairment.reject != Reject::no && !impairment.loss);
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
