// A rule changed by words: what they do not name stays.
#include <algorithm>
#include <iterator>

#include <nlohmann/json.hpp>

#include "util/text.h"

#include "rule/factory.h"

namespace headwind {
namespace {

using Value = std::optional<std::string> RuleText::*;
using List = std::vector<std::string> RuleText::*;

constexpr Value impairments[] = {&RuleText::delay,       &RuleText::jitter,    &RuleText::distribution, &RuleText::loss,
                                 &RuleText::corrupt,     &RuleText::duplicate, &RuleText::reorder,      &RuleText::rate,
                                 &RuleText::reorder_gap, &RuleText::queue,     &RuleText::reject};
constexpr List all_lists[] = {&RuleText::devices, &RuleText::cgroups,     &RuleText::protocols,
                              &RuleText::ports,   &RuleText::local_ports, &RuleText::remote_ports,
                              &RuleText::locals,  &RuleText::remotes};
// What goes with what.
constexpr std::pair<Value, Value> dependents[] = {{&RuleText::jitter, &RuleText::distribution},
                                                  {&RuleText::reorder, &RuleText::reorder_gap},
                                                  {&RuleText::rate, &RuleText::queue}};

bool is_off(const std::optional<std::string>& value)
{
    return value && trimmed(*value) == "off";
}

void forget_impairments(RuleText& text)
{
    for (const Value value : impairments) text.*value = std::nullopt;
    text.partition = text.pass = text.repeat = false;
    text.ramp = text.trace = std::nullopt;
}

// A timeline that begins, takes the place of the one there was and of constants for what it varies; or one that ends.
Status change_timeline(RuleText& text, const RuleText& given)
{
    if (!given.ramp && !given.trace && !given.repeat) return {};
    if (!given.ramp && !given.trace)
        return fail(ErrorKind::usage, "--repeat: it is said with --ramp or --trace, when they begin");
    const bool ends = (!given.ramp || is_off(given.ramp)) && (!given.trace || is_off(given.trace));
    text.ramp = ends || is_off(given.ramp) ? std::nullopt : given.ramp;
    text.trace = ends || is_off(given.trace) ? std::nullopt : given.trace;
    text.timeline = given.timeline;
    text.repeat = given.repeat;
    HW_TRY(const auto timeline, make_timeline(text));
    if (timeline) forget_constant(*timeline, text);
    return {};
}

// Names an impairment that cannot stand beside --partition or --pass?
bool replaces_partition(const RuleText& given)
{
    if ((given.ramp && !is_off(given.ramp)) || (given.trace && !is_off(given.trace))) return true;
    return std::any_of(std::begin(impairments), std::end(impairments), [&given](Value value) {
        return value != &RuleText::reject && given.*value && !is_off(given.*value);
    });
}

Status change_impairments(RuleText& text, const RuleText& given)
{
    if (given.partition || given.pass || given.netem)
        forget_impairments(text);
    else if (replaces_partition(given))
        text.partition = text.pass = false;
    text.partition = text.partition || given.partition;
    text.pass = text.pass || given.pass;
    text.netem = given.netem;
    for (const auto& [value, dependent] : dependents)
        if (is_off(given.*value)) text.*dependent = std::nullopt;
    HW_CHECK(change_timeline(text, given));
    for (const Value value : impairments)
        if (given.*value) text.*value = is_off(given.*value) ? std::nullopt : given.*value;
    return {};
}

Status check_party(const Rule& before, const RuleText& given)
{
    if (!before.party) return {};
    const bool devices = before.party->at_host && !given.devices.empty();
    if (given.cgroups.empty() && !devices) return {};
    return fail(ErrorKind::usage, "{}: the rule was made for {}: add another for other packets",
                given.cgroups.empty() ? "--dev" : "--cgroup", describe(before.party.value()));
}

}  // namespace

Result<Rule> change_rule(const Rule& before, const RuleText& given)
{
    HW_CHECK(check_party(before, given));
    HW_TRY(auto text, text_from_json(to_json(before)));
    HW_CHECK(change_impairments(text, given));
    if (given.direction) text.direction = given.direction;
    if (given.priority) text.priority = given.priority;
    if (given.xdp) text.xdp = given.xdp;
    if (given.flows) {
        const bool all = trimmed(*given.flows) == "any";
        text.flows = all ? std::nullopt : given.flows;
        if (all) text.flow_seed = std::nullopt;
    }
    if (given.flap) text.flap = is_off(given.flap) ? std::nullopt : given.flap;
    if (given.max_share) text.max_share = is_off(given.max_share) ? std::nullopt : given.max_share;
    if (given.stop_if) text.stop_if = is_off(given.stop_if) ? std::nullopt : given.stop_if;
    if (given.between) text.between = is_off(given.between) ? std::nullopt : given.between;
    if (given.days) text.days = is_off(given.days) ? std::nullopt : given.days;
    if (given.flow_seed) text.flow_seed = given.flow_seed;
    for (const List list : all_lists) {
        if ((given.*list).empty()) continue;
        text.*list = given.*list == std::vector<std::string>{"any"} ? std::vector<std::string>{} : given.*list;
    }
    // --port and the one-sided ports exclude each other: the one named takes the other's place.
    if (!given.ports.empty() && given.local_ports.empty() && given.remote_ports.empty())
        text.local_ports = text.remote_ports = {};
    if (given.ports.empty() && (!given.local_ports.empty() || !given.remote_ports.empty())) text.ports = {};
    return make_rule(text);
}

}  // namespace headwind
