// SPDX-License-Identifier: MIT
// Turns a rule into the RuleSpec that makes it, and changes a rule by a RuleSpec.
#include <algorithm>

#include "rule/factory.h"
#include "rule/flags.h"
#include "util/text.h"

namespace headwind {
namespace {

// ---- a rule's RuleSpec ----

template <class T, class Format>
std::vector<std::string> formatted(const std::vector<T>& list, Format format)
{
    std::vector<std::string> result;
    for (const T& element : list) result.push_back(format(element));
    return result;
}

std::string format_range(const PortRange& range)
{
    return format_ports({range});
}

void say_selector(const Selector& selector, RuleSpec& text)
{
    text.devices = selector.devices;
    text.loopback = selector.loopback;
    text.cgroups = selector.cgroups;
    text.protocols = formatted(selector.protocols, format_protocol);
    text.ports = formatted(selector.ports, format_range);
    text.local_ports = formatted(selector.local_ports, format_range);
    text.remote_ports = formatted(selector.remote_ports, format_range);
    text.locals = formatted(selector.locals, format_cidr);
    text.remotes = formatted(selector.remotes, format_cidr);
    if (selector.flows) text.flows = format_probability(*selector.flows);
    if (selector.flow_seed != 0) text.flow_seed = fmt::format("{}", selector.flow_seed);
}

void say_value(const Flag& flag, const Impairment& impairment, RuleSpec& text)
{
    if (const auto* amount = std::get_if<Amount>(&flag.value)) {
        const auto value = impairment.*amount->at;
        if (value != 0) text.*std::get<Word>(flag.member) = amount->format(value);
    } else if (const auto* chance = std::get_if<Chance>(&flag.value)) {
        const auto& value = impairment.*chance->at;
        if (value) text.*std::get<Word>(flag.member) = format_probability(*value);
    }
}

// What no amount of 0 says.
bool says_nothing(const RuleSpec& text)
{
    return !text.partition && !text.pass && typed_impairments(text, "--netem-compatible").empty();
}

void say_impairment(const Impairment& impairment, RuleSpec& text)
{
    for (const Flag& flag : rule_flags()) say_value(flag, impairment, text);
    const bool has_law = impairment.distribution != Distribution::uniform || impairment.delay_correlation ||
                         impairment.correlation_time != 0;
    const bool has_events = impairment.loss || impairment.corrupt || impairment.duplicate || impairment.reorder;
    const bool is_of_seed = impairment.seed != 0 && !has_events;  // without a jitter there is nothing for a seed
    if ((has_law || is_of_seed) && impairment.jitter == 0) text.jitter = format_duration(0);
    const bool of_file = !impairment.distribution_file.empty();  // to be read only with both
    if (of_file && impairment.jitter == 0 && impairment.delay == 0) text.delay = format_duration(0);
    if (impairment.jitter != 0 || has_law) text.distribution = format_distribution(impairment);
    text.quantiles = impairment.quantiles;
    if (impairment.loss_burst != 0)
        text.loss_burst = fmt::format("{}", static_cast<double>(impairment.loss_burst) / 1000);
    if (!impairment.loss_model.empty()) text.loss_model = impairment.loss_model;
    if (!impairment.loss_pattern.empty()) text.loss_pattern = impairment.loss_pattern;
    text.lost_packets = impairment.lost_packets;
    if (!impairment.loss_model.empty() || impairment.loss_nth != 0 || text.loss_pattern) text.loss.reset();
    if (impairment.reorder_gap != 1) text.reorder_gap = fmt::format("{}", impairment.reorder_gap);
    if (const auto& queue = impairment.queue)
        text.queue = queue->bytes != 0 ? format_size(queue->bytes) : format_duration(queue->nanoseconds);
    text.keep_order =
        impairment.correlation_time != 0 &&
        impairment.correlation_time ==
            std::max(usual_correlation_time, impairment.jitter != 0 ? shortest_correlation_time(impairment) : 0);
    text.rate_last = impairment.rate_last;
    text.netem_compatible = impairment.netem_compatible;
    text.partition = impairment.partition;
    text.pass = impairment.pass;
    if (impairment.reject != Reject::no) text.reject = format_reject(impairment.reject);
    if (says_nothing(text)) text.delay = format_duration(0);  // all that was asked for is 0
}

void say_hours(const Hours& hours, RuleSpec& text)
{
    if (hours.from != 0 || hours.to != Hours{}.to) text.between = format_between(hours);
    if (hours.days != every_day) text.days = format_days(hours.days);
}

// A trace's rows are not in the RuleSpec: the trace goes on where it is.
void say_timeline(const Timeline& timeline, RuleSpec& text)
{
    forget_constant(timeline, text);
    text.repeat = timeline.repeat;
    if (timeline.file.empty()) {
        text.ramp = format_ramp(timeline);
        return;
    }
    text.trace = timeline.file;
    text.timeline = timeline;
    text.timeline->rows.reset();
}

// ---- changes ----

bool is_taken_away(const Flag& flag, const RuleSpec& given)
{
    if (std::holds_alternative<Switch>(flag.member))
        return std::ranges::find(given.off, flag.name.substr(2)) != given.off.end();
    if (flag.off.empty() || !is_given(flag, given)) return false;
    if (const auto* list = std::get_if<List>(&flag.member))
        return (given.**list).size() == 1 && (given.**list).front() == flag.off;
    return trimmed(said(flag, given)) == flag.off;
}

void copy(const Flag& flag, const RuleSpec& from, RuleSpec& to)
{
    std::visit([&from, &to](auto member) { to.*member = from.*member; }, flag.member);
}

void forget(const Flag& flag, RuleSpec& text)
{
    copy(flag, RuleSpec{}, text);
}

// Clears a flag, and the flags that make no sense without it.
void take_away(const Flag& flag, RuleSpec& text)
{
    forget(flag, text);
    const auto* word = std::get_if<Word>(&flag.member);
    for (const Flag& other : rule_flags())
        if (word != nullptr && other.leaves_with_needs && other.needs == *word) forget(other, text);
}

// Whether the flag is for an impairment that cannot stand beside --partition or --pass.
bool replaces_partition(const Flag& flag)
{
    return (flag.kind == FlagKind::impairment && flag.name != "--reject") ||
           (flag.kind == FlagKind::timeline && !flag.off.empty());
}

// Clears the flags that `given` takes the place of: --partition, --pass and --netem take that of all impairments, and
// impairments that of --partition and --pass.
void make_room(RuleSpec& text, const RuleSpec& given)
{
    bool all = false, exclusive = false;
    for (const Flag& flag : rule_flags()) {
        const bool comes = is_given(flag, given) && !is_taken_away(flag, given);
        all = all || (comes && flag.kind == FlagKind::exclusive);
        exclusive = exclusive || (comes && replaces_partition(flag));
    }
    for (const Flag& flag : rule_flags()) {
        const bool impairs = flag.kind == FlagKind::impairment || flag.kind == FlagKind::timeline;
        if ((all && impairs) || ((all || exclusive) && flag.kind == FlagKind::exclusive)) forget(flag, text);
    }
}

// Begins or ends a timeline. One that begins takes the place of the one there was, and of constants for what it varies.
Status change_timeline(RuleSpec& text, const RuleSpec& given)
{
    if (!given.ramp && !given.trace && !given.repeat && !is_taken_away(rule_flag("--repeat"), given)) return {};
    if (!given.ramp && !given.trace)
        return fail(ErrorKind::usage, "--repeat: it is said with --ramp or --trace, when they begin");
    for (const Flag& flag : rule_flags()) {
        if (flag.kind != FlagKind::timeline) continue;
        forget(flag, text);
        if (!is_taken_away(flag, given)) copy(flag, given, text);
    }
    text.timeline = given.timeline;
    HW_TRY(const auto timeline, make_timeline(text));
    if (timeline) forget_constant(*timeline, text);
    return {};
}

// Clears the flags whose place a given one takes, where one says all of a thing.
void make_room_for_losses(RuleSpec& text, const RuleSpec& given)
{
    const std::vector<std::string_view> kinds[] = {{"--loss", "--loss-model", "--loss-nth", "--loss-pattern"},
                                                   {"--loss-correlation", "--loss-burst"}};
    for (const auto& kind : kinds)
        for (const auto comes : kind) {
            if (!is_given(rule_flag(comes), given) || is_taken_away(rule_flag(comes), given)) continue;
            for (const auto leaves : kind)
                if (leaves != comes) take_away(rule_flag(leaves), text);
        }
}

// Whether a flag comes that takes the place of --pass or --partition.
bool comes_instead(const RuleSpec& given, bool exclusive)
{
    return std::ranges::any_of(rule_flags(), [&](const Flag& flag) {
        const bool kind = exclusive ? flag.kind == FlagKind::exclusive : replaces_partition(flag);
        return kind && is_given(flag, given) && !is_taken_away(flag, given);
    });
}

// Takes --pass or --partition away again, for what it took the place of.
Status resume(const Flag& exclusive, const Rule& before, RuleSpec& text, const RuleSpec& given)
{
    const auto& impairment = before.impairment;
    const bool is = exclusive.name == "--pass" ? impairment.pass : impairment.partition;
    if (!is && exclusive.name == "--partition" && partitions(impairment))
        return fail(ErrorKind::usage, "--partition off: here it comes of --reject: use --reject off --loss 1%");
    if (!is) return fail(ErrorKind::usage, "{} off: the rule has none: {}", exclusive.name, describe(impairment));
    const bool comes = comes_instead(given, false) || (exclusive.name == "--pass" && given.reject);
    const bool was_exclusive = before.suspended && (before.suspended->pass || before.suspended->partition);
    if (comes_instead(given, true) || (comes && was_exclusive)) return {};
    if (!before.suspended && !comes)
        return fail(
            ErrorKind::usage,
            "{} off: there is nothing that it leads back to (a ramp or a trace is not kept): say what the rule is to do: --loss 1%",
            exclusive.name);
    if (!before.suspended) return {};
    for (const Flag& flag : rule_flags())
        if (flag.kind == FlagKind::impairment) forget(flag, text);
    say_impairment(*before.suspended, text);
    text.suspended.reset();
    return {};
}

// Begins or ends what --pass and --partition do in the place of all else.
Status suspend_or_resume(const Rule& before, RuleSpec& text, const RuleSpec& given)
{
    const auto& impairment = before.impairment;
    const auto& suspended = before.suspended;
    const std::tuple<std::string_view, bool Impairment::*, bool> both[] = {
        {"--pass", &Impairment::pass, given.pass}, {"--partition", &Impairment::partition, given.partition}};
    for (const auto& [name, at, comes] : both) {
        if (comes && suspended && (*suspended).*at)
            text.suspended.reset();  // it is what it was
        else if (comes && !(impairment.*at) && !before.timeline)
            text.suspended = suspended ? suspended : impairment;
        if (const auto& flag = rule_flag(name); is_taken_away(flag, given)) HW_CHECK(resume(flag, before, text, given));
    }
    return {};
}

Status check_subject(const Rule& before, const RuleSpec& given)
{
    if (!before.subject) return {};
    const bool devices = before.subject->at_host && !given.devices.empty();
    if (given.cgroups.empty() && !devices) return {};
    return fail(ErrorKind::usage, "{}: the rule was made for {}: add another for other packets",
                given.cgroups.empty() ? "--dev" : "--cgroup", describe(before.subject.value()));
}

}  // namespace

RuleSpec text_of(const Rule& rule)
{
    RuleSpec text;
    text.name = rule.name;
    say_selector(rule.selector, text);
    say_impairment(rule.impairment, text);
    text.direction = format_direction(rule.direction);
    text.priority = fmt::format("{}", rule.priority);
    if (rule.xdp != Xdp::automatic) text.xdp = format_xdp(rule.xdp);
    if (rule.flap)
        text.flap = fmt::format("up={},down={}", format_duration(rule.flap->up), format_duration(rule.flap->down));
    if (rule.hours) say_hours(*rule.hours, text);
    if (rule.timeline) say_timeline(*rule.timeline, text);
    if (rule.max_share) text.max_share = format_probability(*rule.max_share);
    if (!rule.stop_if.empty()) text.stop_if = rule.stop_if;
    text.subject = rule.subject;
    text.suspended = rule.suspended;
    return text;
}

Result<Rule> change_rule(const Rule& before, const RuleSpec& given)
{
    HW_CHECK(check_subject(before, given));
    RuleSpec text = text_of(before);
    const auto& reject = rule_flag("--reject");
    if (asks_for_nothing(before.impairment) && is_given(reject, given) && !is_taken_away(reject, given))
        text.delay.reset();  // a stand-in
    make_room(text, given);
    HW_CHECK(suspend_or_resume(before, text, given));
    make_room_for_losses(text, given);
    // Flags that are taken away go first, with those that go along: `given` may name one that goes along anew.
    for (const Flag& flag : rule_flags())
        if (is_taken_away(flag, given)) take_away(flag, text);
    if (is_taken_away(rule_flag("--keep-order"), given)) text.correlation_time.reset();
    if (!text.correlation_time) text.keep_order = false;
    HW_CHECK(change_timeline(text, given));
    for (const Flag& flag : rule_flags())
        if (is_given(flag, given) && !is_taken_away(flag, given)) copy(flag, given, text);
    if (text.keep_order && !given.correlation_time) text.correlation_time.reset();  // what it is now follows the rest
    if (given.distribution || given.netem) text.quantiles = given.quantiles;
    if (given.loss_pattern) text.lost_packets = given.lost_packets;
    // --port and the one-sided ports exclude each other: the one named takes the other's place.
    if (!given.ports.empty() && given.local_ports.empty() && given.remote_ports.empty())
        text.local_ports = text.remote_ports = {};
    if (given.ports.empty() && (!given.local_ports.empty() || !given.remote_ports.empty())) text.ports = {};
    return make_rule(text);
}

}  // namespace headwind
