// SPDX-License-Identifier: MIT
// Says rules in the words of `headwind batch`.
#include "commands/rule_words.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "commands/cli.h"
#include "commands/prompt.h"
#include "datapath/instance.h"
#include "rule/flags.h"
#include "util/text.h"
#include "util/typed.h"

namespace headwind {
namespace {

void put_word(std::string& line, std::string_view flag, const std::string& value)
{
    line += fmt::format(" {} {}", flag, shell_word(value));
}

// The selector's entries that were found, not typed.
void forget_subject(const Subject& subject, RuleSpec& text)
{
    text.cgroups.clear();
    if (subject.at_host) text.devices.clear();
}

// What a rule has anyway.
void forget_defaults(const Rule& rule, RuleSpec& text)
{
    const bool both = partitions(rule.impairment) || rule.impairment.pass;
    if (rule.direction == (both ? Direction::both : Direction::out)) text.direction.reset();
    if (rule.priority == default_priority) text.priority.reset();
}

void say_subject(const Subject& subject, std::string& line)
{
    if (!subject.id.empty())
        put_word(line, "--container", subject.id);
    else if (!subject.pod.empty())
        put_word(line, "--pod", subject.pod);
    else
        put_word(line, "--pid", fmt::format("{}", subject.process));
    put_word(line, "--at", subject.at_host ? "host" : "pod");
}

void say_flags(const RuleSpec& text, std::string& line)
{
    for (const Flag& flag : rule_flags()) {
        if (!is_given(flag, text)) continue;
        if (const auto* list = std::get_if<List>(&flag.member))
            put_word(line, flag.name, fmt::format("{}", fmt::join(text.**list, ",")));
        else if (std::holds_alternative<Word>(flag.member))
            put_word(line, flag.name, said(flag, text));
        else
            line += fmt::format(" {}", flag.name);
    }
}

std::string add_line(const RuleInfo& record, std::uint64_t now)
{
    const auto& rule = record.rule;
    auto text = text_of(rule);
    std::string line = "add --name " + rule.name;
    if (rule.subject) {
        forget_subject(*rule.subject, text);
        say_subject(*rule.subject, line);
    }
    forget_defaults(rule, text);
    say_flags(text, line);
    if (record.deadline != 0) put_word(line, "--for", format_duration(record.deadline - now));
    if (record.deadline == 0 && (record.lease == 0 || !rule.stop_if.empty()) && !subject_asked_about(rule).empty())
        put_word(line, "--for", std::string(for_ever));
    if (record.lease != 0 && rule.stop_if.empty()) put_word(line, "--lease", format_duration(record.lease));
    put_word(line, "--owner", record.owner);
    return line;
}

// What --protect was given for this guard.
std::string protected_word(const Selector& selector)
{
    if (!selector.cgroups.empty()) return selector.cgroups.front();
    if (!selector.remotes.empty()) return format_cidr(selector.remotes.front());
    return format_ports(selector.ports);
}

// What a line says otherwise than the rule is.
std::string remarks(const Rule& rule)
{
    std::string out;
    if (rule.suspended)
        out +=
            fmt::format("# {}: its --pass or --partition took the place of {}\n", rule.name, describe(*rule.suspended));
    const bool trace = rule.timeline && !rule.timeline->file.empty();
    if (rule.timeline) out += fmt::format("# {}: its {} starts over\n", rule.name, trace ? "trace" : "ramp");
    if (trace || !rule.impairment.distribution_file.empty() || !rule.impairment.loss_pattern.empty())
        out += fmt::format("# {}: its file is read anew, from where the batch is run\n", rule.name);
    return out;
}

// Why a rule is left out; empty: it is not.
std::string reason_to_leave_out(const RuleView& view, std::uint64_t now)
{
    const auto& record = view.record;
    if (record.pending != 0) return "it waits for `headwind confirm`";
    const bool ended = record.deadline != 0 && record.deadline <= now;
    const bool over = view.state == RuleState::orphaned || view.state == RuleState::unleased ||
                      view.state == RuleState::stopped || view.state == RuleState::undone;
    return ended || over ? std::string(format_state(view.state)) : "";
}

}  // namespace

std::string batch_lines(const Snapshot& all, std::uint64_t now,
                        const std::function<std::string(const RuleView&)>& missing)
{
    std::vector<const RuleView*> rules;
    std::string protection, out;
    for (const auto& view : all.rules) {
        const auto& rule = view.record.rule;
        if (const auto why = reason_to_leave_out(view, now); !why.empty())
            out += fmt::format("# {} is left out: {}\n", rule.name, why);
        else if (view.record.guard == Guard::protect)
            protection += (protection.empty() ? "" : ",") + protected_word(rule.selector);
        else if (view.record.guard == Guard::no)
            rules.push_back(&view);
    }
    std::ranges::sort(rules, {}, [](const auto* view) { return view->record.stable_id; });
    std::vector<std::string> lacks;  // why a line is a comment; empty: it is none
    for (const auto* view : rules) lacks.push_back(missing(*view));
    // What is not one rule's is said with the first line that is no comment, if there is one.
    const auto effective = std::ranges::find(lacks, "") - lacks.begin();
    const auto first = static_cast<std::size_t>(effective) % std::max<std::size_t>(1, rules.size());
    for (std::size_t i = 0; i < rules.size(); ++i) {
        out += remarks(rules[i]->record.rule);
        if (!lacks[i].empty()) out += fmt::format("# {}: {}\n# ", rules[i]->record.rule.name, lacks[i]);
        out += add_line(rules[i]->record, now);
        if (i == first && !protection.empty()) put_word(out, "--protect", protection);
        if (i == first && all.max_held != default_max_held) put_word(out, "--max-held", format_size(all.max_held));
        out += '\n';
    }
    return out;
}

}  // namespace headwind
