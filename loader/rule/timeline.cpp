// SPDX-License-Identifier: MIT
// Reads --ramp and --trace, and checks them against a rule's other flags.
#include "rule/factory.h"
#include "rule/flags.h"

namespace headwind {
namespace {

Word word_of(Quantity quantity)
{
    return std::get<Word>(rule_flag(fmt::format("--{}", name_of(quantity))).member);
}

std::string typed_timeline(const RuleSpec& text)
{
    return text.ramp ? typed("--ramp", *text.ramp) : typed("--trace", text.trace.value_or(""));
}

}  // namespace

Result<std::optional<Timeline>> make_timeline(const RuleSpec& text)
{
    if (text.ramp && text.trace)
        return fail(ErrorKind::usage, "{} {}: a rule has one timeline: use one of them", typed("--ramp", *text.ramp),
                    typed("--trace", *text.trace));
    if (text.ramp) {
        HW_TRY(auto ramp, named("--ramp", *text.ramp, parse_ramp(*text.ramp, text.repeat)));
        return ramp;
    }
    if (text.trace && !text.timeline) return refuse("--trace", *text.trace, "the file was not read");
    if (!text.trace && text.repeat)
        return fail(ErrorKind::usage, "--repeat: nothing to repeat: add --ramp or --trace, or leave it out");
    return text.trace ? text.timeline : std::nullopt;
}

Status put_worst(const Timeline& timeline, RuleSpec& text)
{
    if (text.partition || text.pass)
        return fail(ErrorKind::usage, "{} {}: {} goes without other impairments: use one of them", typed_timeline(text),
                    text.pass ? "--pass" : "--partition", text.pass ? "--pass" : "--partition");
    for (const auto& varying : timeline.varying) {
        const auto flag = fmt::format("--{}", name_of(varying.quantity));
        const auto* const constant = varying.quantity == Quantity::loss ? loss_flag(text) : &rule_flag(flag);
        if (constant != nullptr && is_given(*constant, text))
            return fail(ErrorKind::usage, "{} {}: both say what the {} is: use one of them", typed_timeline(text),
                        typed(constant->name, said(*constant, text)), name_of(varying.quantity));
        text.*word_of(varying.quantity) = format_quantity(varying.quantity, worst(varying));
    }
    return {};
}

void forget_constant(const Timeline& timeline, RuleSpec& text)
{
    for (const auto& varying : timeline.varying) text.*word_of(varying.quantity) = std::nullopt;
    if (varies(timeline, Quantity::loss)) forget_losses(text);
}

}  // namespace headwind
