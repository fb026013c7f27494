// SPDX-License-Identifier: MIT
// Writes rules as JSON, and reads them through make_rule: there is no second way to a Rule.
#include <algorithm>
#include <charconv>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "chance/packet_list.h"
#include "rule/flags.h"
#include "util/text.h"

namespace headwind {
namespace {

using nlohmann::json;

// ---- writing ----

// The decimal percent that users see, as the nearest double.
double percent(Probability probability)
{
    const std::string text = format_probability(probability);
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size() - 1, value);  // without the '%'
    return value;
}

void put_share(json& object, const std::string& name, Probability probability)
{
    object[name + "_percent"] = percent(probability);
    object[name + "_threshold"] = probability.threshold;
}

// The part of a rule's JSON that has the flag's key.
const char* part_of(const Flag& flag)
{
    return flag.kind == FlagKind::selector ? "selector" : "impairment";
}

void put_flag(json& part, const Flag& flag, const Rule& rule, const RuleSpec& text)
{
    const std::string key(flag.json);
    if (const auto* amount = std::get_if<Amount>(&flag.value))
        part[key] = rule.impairment.*amount->at;
    else if (const auto* chance = std::get_if<Chance>(&flag.value))
        put_share(part, key, (rule.impairment.*chance->at).value());
    else if (const auto* list = std::get_if<List>(&flag.member))
        part[key] = text.**list;
    else if (const auto* word = std::get_if<Word>(&flag.member))
        part[key] = (text.**word).value();
    else
        part[key] = true;
}

// Writes the flags that are given and have a key; with a timeline, these are the constant ones only.
void put_flags(json& object, const Rule& rule, const RuleSpec& text)
{
    object["selector"] = object["impairment"] = json::object();
    for (const Flag& flag : rule_flags())
        if (!flag.json.empty() && is_given(flag, text)) put_flag(object[part_of(flag)], flag, rule, text);
}

// Writes the keys that are not in the table of flags.
void put_rest(const Selector& selector, json& object)
{
    if (!selector.flows) return;
    put_share(object, "flows", *selector.flows);
    if (selector.flow_seed != 0) object["flow_seed"] = selector.flow_seed;
}

// The first value of a table, and how far it is from each to the next.
std::string steps_of(const std::vector<std::int32_t>& quantiles)
{
    std::string out = fmt::format("{}", quantiles.front());
    for (std::size_t i = 1; i < quantiles.size(); ++i) out += fmt::format(" {}", quantiles[i] - quantiles[i - 1]);
    return out;
}

void put_rest(const Impairment& impairment, json& object)
{
    if (!impairment.quantiles.empty()) object["quantiles"] = steps_of(impairment.quantiles);
    if (!impairment.lost_packets.empty()) object["lost_packets"] = format_packet_list(impairment.lost_packets);
    if (impairment.loss_burst != 0) object["loss_burst_packets"] = static_cast<double>(impairment.loss_burst) / 1000;
    if (impairment.reorder_gap != 1) object["reorder_gap"] = impairment.reorder_gap;
    if (impairment.queue && impairment.queue->bytes != 0) object["queue_bytes"] = impairment.queue->bytes;
    if (impairment.queue && impairment.queue->nanoseconds != 0) object["queue_ns"] = impairment.queue->nanoseconds;
}

json to_json(const Subject& subject)
{
    json object = json::object();
    if (!subject.container.empty()) object["container"] = subject.container;
    if (!subject.id.empty()) object["id"] = subject.id;
    if (!subject.pod.empty()) object["pod"] = subject.pod;
    if (subject.process != 0) object["process"] = subject.process;
    object["at"] = subject.at_host ? "host" : "pod";
    return object;
}

// ---- reading: every function names the key it refuses ----

tl::unexpected<Error> wrong(std::string_view key, std::string_view expected)
{
    return fail(ErrorKind::usage, "rule JSON: {}: must be {}", printable(key), expected);
}

Status check_keys(const json& object, std::string_view path, const std::vector<std::string>& known)
{
    if (!object.is_object() && path.empty()) return fail(ErrorKind::usage, "rule JSON: must be an object");
    if (!object.is_object()) return wrong(path, "an object");
    for (const auto& [key, value] : object.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        return fail(ErrorKind::usage, "rule JSON: unknown key {}{}{}: use {}", path, path.empty() ? "" : ".",
                    printable(key), fmt::join(known, ", "));
    }
    return {};
}

const json* find(const json& object, const std::string& key)
{
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

Status read_strings(const json& value, std::string_view path, std::vector<std::string>& into)
{
    if (!value.is_array()) return wrong(path, "an array of strings");
    for (const json& element : value) {
        if (!element.is_string()) return wrong(path, "an array of strings");
        into.push_back(element.get<std::string>());
        if (into.back().find(',') != std::string::npos) return wrong(path, "one entry a string, without commas");
    }
    return {};
}

Status read_bool(const json& value, std::string_view path, bool& into)
{
    if (!value.is_boolean()) return wrong(path, "true or false");
    into = value.get<bool>();
    return {};
}

Result<std::optional<std::uint64_t>> read_count(const json& object, std::string_view of, const std::string& key)
{
    const json* value = find(object, key);
    if (value == nullptr) return std::nullopt;
    const bool negative = !value->is_number_unsigned() && value->is_number_integer() && value->get<std::int64_t>() < 0;
    if (!value->is_number_integer() || negative) {
        return wrong(fmt::format("{}.{}", of, key), "a whole number, 0 or more");
    }
    return value->get<std::uint64_t>();
}

// "rst or icmp", "LAW"
std::string choices_of(const Flag& flag)
{
    std::string text(flag.type);
    for (auto bar = text.find('|'); bar != std::string::npos; bar = text.find('|')) text.replace(bar, 1, " or ");
    return text;
}

// Reads the count under `key` as the text of a flag.
Status read_quantity(const json& object, const std::string& key, std::string_view unit,
                     std::optional<std::string>& into)
{
    HW_TRY(const auto count, read_count(object, "impairment", key));
    if (count) into = fmt::format("{}{}", *count, unit);
    return {};
}

Status read_word(const json& object, std::string_view of, const std::string& key, std::string_view choices,
                 std::optional<std::string>& into)
{
    const json* value = find(object, key);
    if (value == nullptr) return {};
    if (!value->is_string()) return wrong(fmt::format("{}.{}", of, key), fmt::format("a string: {}", choices));
    into = value->get<std::string>();
    return {};
}

// Reads a probability. Its threshold counts; the percent is for readers, but must not say something else.
Status read_share(const json& object, std::string_view of, const std::string& name, std::optional<std::string>& into)
{
    const std::string percent_key = name + "_percent", threshold_key = name + "_threshold";
    HW_TRY(const auto threshold, read_count(object, of, threshold_key));
    const json* shown = find(object, percent_key);
    if (!threshold && shown == nullptr) return {};
    if (!threshold || *threshold > Probability::always) {
        return wrong(fmt::format("{}.{}", of, threshold_key), "a whole number from 0 to 4294967296 (100%)");
    }
    const Probability probability{*threshold};
    if (shown != nullptr && (!shown->is_number() || shown->get<double>() != percent(probability))) {
        return wrong(
            fmt::format("{}.{}", of, percent_key),
            fmt::format("the number {} for {} {}, or left out", percent(probability), threshold_key, *threshold));
    }
    into = format_probability(probability);
    return {};
}

Status read_flag(const json& part, const Flag& flag, RuleSpec& text)
{
    const std::string key(flag.json);
    if (const auto* word = std::get_if<Word>(&flag.member)) {
        if (const auto* amount = std::get_if<Amount>(&flag.value))
            return read_quantity(part, key, amount->unit, text.**word);
        if (std::holds_alternative<Chance>(flag.value)) return read_share(part, part_of(flag), key, text.**word);
        return read_word(part, part_of(flag), key, choices_of(flag), text.**word);
    }
    const json* value = find(part, key);
    if (value == nullptr) return {};
    const std::string path = fmt::format("{}.{}", part_of(flag), key);
    if (const auto* list = std::get_if<List>(&flag.member)) return read_strings(*value, path, text.**list);
    return read_bool(*value, path, text.*std::get<Switch>(flag.member));
}

// The keys that a part may have: those in the table of flags, and `others`.
std::vector<std::string> keys_of(std::string_view part, std::vector<std::string> others)
{
    std::vector<std::string> keys;
    for (const Flag& flag : rule_flags()) {
        if (flag.json.empty() || part_of(flag) != part) continue;
        const std::string key(flag.json);
        if (std::holds_alternative<Chance>(flag.value))
            keys.insert(keys.end(), {key + "_percent", key + "_threshold"});
        else
            keys.push_back(key);
    }
    keys.insert(keys.end(), others.begin(), others.end());
    return keys;
}

Status read_flags(const json& object, std::string_view part, RuleSpec& text)
{
    for (const Flag& flag : rule_flags())
        if (!flag.json.empty() && part_of(flag) == part) HW_CHECK(read_flag(object, flag, text));
    return {};
}

Status read_queue(const json& object, RuleSpec& text)
{
    if (object.contains("queue_bytes") && object.contains("queue_ns")) {
        return fail(ErrorKind::usage, "rule JSON: impairment.queue_bytes and impairment.queue_ns: use one of them");
    }
    HW_CHECK(read_quantity(object, "queue_bytes", "b", text.queue));
    return read_quantity(object, "queue_ns", "ns", text.queue);
}

Status read_selector(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "selector");
    if (object == nullptr) return {};
    static const auto known = keys_of("selector", {"flows_percent", "flows_threshold", "flow_seed"});
    HW_CHECK(check_keys(*object, "selector", known));
    HW_CHECK(read_flags(*object, "selector", text));
    HW_CHECK(read_share(*object, "selector", "flows", text.flows));
    HW_TRY(const auto seed, read_count(*object, "selector", "flow_seed"));
    if (seed) text.flow_seed = fmt::format("{}", *seed);
    return {};
}

// The table of a law that was read from a file.
Status read_quantiles(const json& object, RuleSpec& text)
{
    const json* values = find(object, "quantiles");
    if (values == nullptr) return {};
    std::int64_t sum = 0;
    if (!values->is_string()) return wrong("impairment.quantiles", "a string of whole numbers");
    const auto steps = values->get<std::string>();
    for (const auto word : words_of(steps)) {
        std::int32_t step = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), step);
        sum += step;
        if (error != std::errc() || end != word.data() + word.size() || sum != static_cast<std::int32_t>(sum))
            return wrong("impairment.quantiles", "a string of whole numbers");
        text.quantiles.push_back(static_cast<std::int32_t>(sum));
    }
    return {};
}

Status read_impairment(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "impairment");
    if (object == nullptr) return {};
    static const auto known = keys_of(
        "impairment", {"quantiles", "lost_packets", "loss_burst_packets", "reorder_gap", "queue_bytes", "queue_ns"});
    HW_CHECK(check_keys(*object, "impairment", known));
    HW_CHECK(read_flags(*object, "impairment", text));
    HW_CHECK(read_quantiles(*object, text));
    std::optional<std::string> lost_packets;
    HW_CHECK(read_word(*object, "impairment", "lost_packets", "like 7,10-12", lost_packets));
    if (lost_packets) {
        HW_TRY(text.lost_packets, parse_packet_list(*lost_packets, "rule JSON: impairment.lost_packets"));
    }
    HW_CHECK(read_quantity(*object, "reorder_gap", "", text.reorder_gap));
    if (const json* burst = find(*object, "loss_burst_packets")) {
        if (!burst->is_number()) return wrong("impairment.loss_burst_packets", "a number of packets");
        text.loss_burst = fmt::format("{}", burst->get<double>());
    }
    return read_queue(*object, text);
}

Status read_head(const json& rule, RuleSpec& text)
{
    if (const json* name = find(rule, "name")) {
        if (!name->is_string()) return wrong("name", "a string");
        text.name = name->get<std::string>();
    }
    if (const json* direction = find(rule, "direction")) {
        if (!direction->is_string()) return wrong("direction", "a string: out, in or both");
        text.direction = direction->get<std::string>();
    }
    if (const json* priority = find(rule, "priority")) {
        if (!priority->is_number_integer()) return wrong("priority", "a whole number from -1000 to 1000");
        text.priority = priority->dump();
    }
    if (const json* xdp = find(rule, "xdp")) {
        if (!xdp->is_string()) return wrong("xdp", "a string: auto, native, generic or off");
        text.xdp = xdp->get<std::string>();
    }
    if (const json* command = find(rule, "stop_if")) {
        if (!command->is_string()) return wrong("stop_if", "a string: a shell command");
        text.stop_if = command->get<std::string>();
    }
    return read_share(rule, "rule", "max_share", text.max_share);
}

Status read_flap(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "flap");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "flap", {"up_ns", "down_ns"}));
    HW_TRY(const auto up, read_count(*object, "flap", "up_ns"));
    HW_TRY(const auto down, read_count(*object, "flap", "down_ns"));
    if (!up || !down) return wrong("flap", "both up_ns and down_ns");
    text.flap = fmt::format("up={}ns,down={}ns", *up, *down);
    return {};
}

Status read_hours(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "hours");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "hours", {"between", "days"}));
    HW_CHECK(read_word(*object, "hours", "between", "like 09:00-17:00", text.between));
    return read_word(*object, "hours", "days", "like mon-fri", text.days);
}

Status read_timeline(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "timeline");
    if (object == nullptr) return {};
    HW_TRY(auto timeline, timeline_from_json(*object));
    text.repeat = timeline.repeat;
    if (timeline.file.empty()) {
        text.ramp = format_ramp(timeline);
        return {};
    }
    text.trace = timeline.file;
    text.timeline = std::move(timeline);
    return {};
}

Status read_subject(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "subject");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "subject", {"container", "id", "pod", "process", "at"}));
    Subject subject;
    for (const auto& [key, field] :
         {std::pair{"container", &subject.container}, {"id", &subject.id}, {"pod", &subject.pod}}) {
        const json* value = find(*object, key);
        if (value != nullptr && !value->is_string()) return wrong(fmt::format("subject.{}", key), "a string");
        if (value != nullptr) *field = value->get<std::string>();
    }
    if (const json* process = find(*object, "process")) {
        if (!process->is_number_unsigned()) return wrong("subject.process", "a process id");
        subject.process = process->get<std::uint32_t>();
    }
    const json* side = find(*object, "at");
    if (side == nullptr || (*side != "pod" && *side != "host")) return wrong("subject.at", "pod or host");
    subject.at_host = *side == "host";
    text.subject = std::move(subject);
    return {};
}

Status read_suspended(const json& rule, RuleSpec& text)
{
    const json* object = find(rule, "suspended");
    if (object == nullptr) return {};
    if (!object->is_object()) return wrong("suspended", "an object");
    RuleSpec suspended;
    HW_CHECK(read_impairment({{"impairment", *object}}, suspended));
    suspended.name = "suspended";  // any will do
    auto made = make_rule(suspended);
    if (!made) return fail(made.error().kind, "suspended: {}", made.error().message);
    text.suspended = std::move(made->impairment);
    return {};
}

// The RuleSpec that a rule's JSON stands for; every value has its unit, as flags would have it.
Result<RuleSpec> text_from_json(const json& rule)
{
    RuleSpec text;
    HW_CHECK(check_keys(rule, "",
                        {"name", "direction", "priority", "xdp", "selector", "impairment", "flap", "hours", "timeline",
                         "max_share_percent", "max_share_threshold", "stop_if", "subject", "suspended"}));
    HW_CHECK(read_head(rule, text));
    HW_CHECK(read_selector(rule, text));
    HW_CHECK(read_subject(rule, text));
    HW_CHECK(read_impairment(rule, text));
    HW_CHECK(read_flap(rule, text));
    HW_CHECK(read_hours(rule, text));
    HW_CHECK(read_timeline(rule, text));
    HW_CHECK(read_suspended(rule, text));
    return text;
}

}  // namespace

json to_json(const Rule& rule)
{
    const RuleSpec text = text_of(rule);
    json object = json::object();
    object["name"] = rule.name;
    object["direction"] = std::string(format_direction(rule.direction));
    object["priority"] = rule.priority;
    if (rule.xdp != Xdp::automatic) object["xdp"] = std::string(format_xdp(rule.xdp));
    put_flags(object, rule, text);
    put_rest(rule.selector, object["selector"]);
    put_rest(rule.impairment, object["impairment"]);
    if (rule.timeline) object["timeline"] = to_json(*rule.timeline);
    if (rule.flap) object["flap"] = {{"up_ns", rule.flap->up}, {"down_ns", rule.flap->down}};
    if (rule.max_share) put_share(object, "max_share", *rule.max_share);
    if (!rule.stop_if.empty()) object["stop_if"] = rule.stop_if;
    if (text.between) object["hours"]["between"] = *text.between;
    if (text.days) object["hours"]["days"] = *text.days;
    if (rule.subject) object["subject"] = to_json(*rule.subject);
    if (rule.suspended) {
        Rule before = rule;
        before.impairment = *std::exchange(before.suspended, std::nullopt);
        object["suspended"] = to_json(before)["impairment"];
    }
    return object;
}

Result<Rule> rule_from_json(const json& json)
{
    HW_TRY(const auto text, text_from_json(json));
    auto rule = make_rule(text);
    if (!rule) return fail(rule.error().kind, "rule JSON: {}", rule.error().message);
    return rule;
}

}  // namespace headwind
