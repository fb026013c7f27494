// Rules as JSON. Reading goes through make_rule: there is no second way to a Rule.
#include <algorithm>
#include <charconv>
#include <initializer_list>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "util/text.h"

#include "rule/rule.h"

namespace headwind {
namespace {

using nlohmann::json;

// Of each probability the percent that readers see, and the threshold that counts.
struct ChanceKeys {
    const char* percent;
    const char* threshold;
    std::optional<Probability> Impairment::*value;
    std::optional<std::string> RuleText::*text;
};
constexpr ChanceKeys chances[] = {
    {"loss_percent", "loss_threshold", &Impairment::loss, &RuleText::loss},
    {"corrupt_percent", "corrupt_threshold", &Impairment::corrupt, &RuleText::corrupt},
    {"duplicate_percent", "duplicate_threshold", &Impairment::duplicate, &RuleText::duplicate},
    {"reorder_percent", "reorder_threshold", &Impairment::reorder, &RuleText::reorder},
};

// ---- writing ----

// The decimal percent that users see, as the nearest double.
double percent(Probability probability)
{
    const std::string text = format_probability(probability);
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size() - 1, value);  // without the '%'
    return value;
}

void put_list(json& object, const char* key, const std::vector<std::string>& list)
{
    if (!list.empty()) object[key] = list;
}

template <class T, class Format>
std::vector<std::string> formatted(const std::vector<T>& list, Format format)
{
    std::vector<std::string> result;
    for (const T& element : list) result.push_back(format(element));
    return result;
}

void put_ports(json& object, const char* key, const std::vector<PortRange>& ports)
{
    put_list(object, key, formatted(ports, [](const PortRange& range) { return format_ports({range}); }));
}

json to_json(const Selector& selector)
{
    json object = json::object();
    put_list(object, "devices", selector.devices);
    put_list(object, "cgroups", selector.cgroups);
    put_list(object, "protocols", formatted(selector.protocols, format_protocol));
    put_ports(object, "ports", selector.ports);
    put_ports(object, "local_ports", selector.local_ports);
    put_ports(object, "remote_ports", selector.remote_ports);
    put_list(object, "locals", formatted(selector.locals, format_cidr));
    put_list(object, "remotes", formatted(selector.remotes, format_cidr));
    if (selector.flows) {
        object["flows_percent"] = percent(*selector.flows);
        object["flows_threshold"] = selector.flows->threshold;
        if (selector.flow_seed != 0) object["flow_seed"] = selector.flow_seed;
    }
    return object;
}

json to_json(const Impairment& impairment)
{
    json object = json::object();
    // Beside a reorder of 0% a delay of 0 is told too: --reorder is refused without --delay.
    if (impairment.delay != 0 || impairment.reorder) object["delay_ns"] = impairment.delay;
    if (impairment.jitter != 0) {
        object["jitter_ns"] = impairment.jitter;
        object["distribution"] = std::string(format_distribution(impairment.distribution));
    }
    for (const ChanceKeys& chance : chances) {
        const auto& probability = impairment.*chance.value;
        if (!probability) continue;
        object[chance.percent] = percent(*probability);
        object[chance.threshold] = probability->threshold;
    }
    if (impairment.reorder_gap != 1) object["reorder_gap"] = impairment.reorder_gap;
    if (impairment.rate != 0) object["rate_bit_per_s"] = impairment.rate;
    if (impairment.queue && impairment.queue->bytes != 0) object["queue_bytes"] = impairment.queue->bytes;
    if (impairment.queue && impairment.queue->nanoseconds != 0) object["queue_ns"] = impairment.queue->nanoseconds;
    if (impairment.partition) object["partition"] = true;
    if (impairment.pass) object["pass"] = true;
    if (impairment.reject != Reject::no) object["reject"] = std::string(format_reject(impairment.reject));
    return object;
}

// What is not said is all day, every day.
json to_json(const Hours& hours)
{
    json object = json::object();
    if (hours.from != 0 || hours.to != Hours{}.to) object["between"] = format_between(hours);
    if (hours.days != every_day) object["days"] = format_days(hours.days);
    return object;
}

// The timeline tells them.
void erase_varying(const Timeline& timeline, json& impairment)
{
    for (const auto& varying : timeline.varying)
        for (const char* unit : {"_ns", "_percent", "_threshold", "_bit_per_s"})
            impairment.erase(std::string(name_of(varying.quantity)) + unit);
}

json to_json(const Party& party)
{
    json object = json::object();
    if (!party.container.empty()) object["container"] = party.container;
    if (!party.id.empty()) object["id"] = party.id;
    if (!party.pod.empty()) object["pod"] = party.pod;
    if (party.process != 0) object["process"] = party.process;
    object["at"] = party.at_host ? "host" : "pod";
    return object;
}

// ---- reading: every function names the key it refuses ----

tl::unexpected<Error> wrong(std::string_view key, std::string_view expected)
{
    return fail(ErrorKind::usage, "rule JSON: {}: must be {}", printable(key), expected);
}

Status check_keys(const json& object, std::string_view path, std::initializer_list<std::string_view> known)
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

const json* find(const json& object, const char* key)
{
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

Status read_strings(const json& object, const char* key, std::vector<std::string>& into)
{
    const json* value = find(object, key);
    if (value == nullptr) return {};
    const std::string path = fmt::format("selector.{}", key);
    if (!value->is_array()) return wrong(path, "an array of strings");
    for (const json& element : *value) {
        if (!element.is_string()) return wrong(path, "an array of strings");
        into.push_back(element.get<std::string>());
        if (into.back().find(',') != std::string::npos) return wrong(path, "one entry a string, without commas");
    }
    return {};
}

Status read_bool(const json& object, const char* key, bool& into)
{
    const json* value = find(object, key);
    if (value == nullptr) return {};
    if (!value->is_boolean()) return wrong(fmt::format("impairment.{}", key), "true or false");
    into = value->get<bool>();
    return {};
}

Result<std::optional<std::uint64_t>> read_count(const json& object, std::string_view of, const char* key)
{
    const json* value = find(object, key);
    if (value == nullptr) return std::nullopt;
    const bool negative = !value->is_number_unsigned() && value->is_number_integer() && value->get<std::int64_t>() < 0;
    if (!value->is_number_integer() || negative) {
        return wrong(fmt::format("{}.{}", of, key), "a whole number, 0 or more");
    }
    return value->get<std::uint64_t>();
}

// A count under `key` as the text of a flag.
Status read_quantity(const json& object, const char* key, std::string_view unit, std::optional<std::string>& into)
{
    HW_TRY(const auto count, read_count(object, "impairment", key));
    if (count) into = fmt::format("{}{}", *count, unit);
    return {};
}

Status read_word(const json& object, std::string_view of, const char* key, std::string_view choices,
                 std::optional<std::string>& into)
{
    const json* value = find(object, key);
    if (value == nullptr) return {};
    if (!value->is_string()) return wrong(fmt::format("{}.{}", of, key), fmt::format("a string: {}", choices));
    into = value->get<std::string>();
    return {};
}

struct ShareKeys {
    const char *percent, *threshold;
};

// The threshold rules; the percent is for readers, but must not say something else.
Status read_share(const json& object, std::string_view of, const ShareKeys& keys, std::optional<std::string>& into)
{
    HW_TRY(const auto threshold, read_count(object, of, keys.threshold));
    const json* shown = find(object, keys.percent);
    if (!threshold && shown == nullptr) return {};
    if (!threshold || *threshold > std::uint64_t{1} << 32) {
        return wrong(fmt::format("{}.{}", of, keys.threshold), "a whole number from 0 to 4294967296 (100%)");
    }
    const Probability probability{*threshold};
    if (shown != nullptr && (!shown->is_number() || shown->get<double>() != percent(probability))) {
        return wrong(
            fmt::format("{}.{}", of, keys.percent),
            fmt::format("the number {} for {} {}, or left out", percent(probability), keys.threshold, *threshold));
    }
    into = format_probability(probability);
    return {};
}

Status read_queue(const json& object, RuleText& text)
{
    if (object.contains("queue_bytes") && object.contains("queue_ns")) {
        return fail(ErrorKind::usage, "rule JSON: impairment.queue_bytes and impairment.queue_ns: use one of them");
    }
    HW_CHECK(read_quantity(object, "queue_bytes", "b", text.queue));
    return read_quantity(object, "queue_ns", "ns", text.queue);
}

Status read_selector(const json& rule, RuleText& text)
{
    const json* object = find(rule, "selector");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "selector",
                        {"devices", "cgroups", "protocols", "ports", "local_ports", "remote_ports", "locals", "remotes",
                         "flows_percent", "flows_threshold", "flow_seed"}));
    HW_CHECK(read_strings(*object, "devices", text.devices));
    HW_CHECK(read_strings(*object, "cgroups", text.cgroups));
    HW_CHECK(read_strings(*object, "protocols", text.protocols));
    HW_CHECK(read_strings(*object, "ports", text.ports));
    HW_CHECK(read_strings(*object, "local_ports", text.local_ports));
    HW_CHECK(read_strings(*object, "remote_ports", text.remote_ports));
    HW_CHECK(read_strings(*object, "locals", text.locals));
    HW_CHECK(read_strings(*object, "remotes", text.remotes));
    HW_CHECK(read_share(*object, "selector", {"flows_percent", "flows_threshold"}, text.flows));
    HW_TRY(const auto seed, read_count(*object, "selector", "flow_seed"));
    if (seed) text.flow_seed = fmt::format("{}", *seed);
    return {};
}

Status read_impairment(const json& rule, RuleText& text)
{
    const json* object = find(rule, "impairment");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(
        *object, "impairment",
        {"delay_ns", "jitter_ns", "distribution", "loss_percent", "loss_threshold", "corrupt_percent",
         "corrupt_threshold", "duplicate_percent", "duplicate_threshold", "reorder_percent", "reorder_threshold",
         "reorder_gap", "rate_bit_per_s", "queue_bytes", "queue_ns", "partition", "pass", "reject"}));
    HW_CHECK(read_quantity(*object, "delay_ns", "ns", text.delay));
    HW_CHECK(read_quantity(*object, "jitter_ns", "ns", text.jitter));
    HW_CHECK(read_word(*object, "impairment", "distribution", "uniform or normal", text.distribution));
    for (const ChanceKeys& chance : chances)
        HW_CHECK(read_share(*object, "impairment", {chance.percent, chance.threshold}, text.*chance.text));
    HW_CHECK(read_quantity(*object, "reorder_gap", "", text.reorder_gap));
    HW_CHECK(read_quantity(*object, "rate_bit_per_s", "bit", text.rate));
    HW_CHECK(read_queue(*object, text));
    HW_CHECK(read_bool(*object, "partition", text.partition));
    HW_CHECK(read_bool(*object, "pass", text.pass));
    return read_word(*object, "impairment", "reject", "rst or icmp", text.reject);
}

Status read_head(const json& rule, RuleText& text)
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
    return read_share(rule, "rule", {"max_share_percent", "max_share_threshold"}, text.max_share);
}

Status read_flap(const json& rule, RuleText& text)
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

Status read_hours(const json& rule, RuleText& text)
{
    const json* object = find(rule, "hours");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "hours", {"between", "days"}));
    HW_CHECK(read_word(*object, "hours", "between", "like 09:00-17:00", text.between));
    return read_word(*object, "hours", "days", "like mon-fri", text.days);
}

Status read_timeline(const json& rule, RuleText& text)
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

Status read_party(const json& rule, RuleText& text)
{
    const json* object = find(rule, "party");
    if (object == nullptr) return {};
    HW_CHECK(check_keys(*object, "party", {"container", "id", "pod", "process", "at"}));
    Party party;
    for (const auto& [key, field] :
         {std::pair{"container", &party.container}, {"id", &party.id}, {"pod", &party.pod}}) {
        const json* value = find(*object, key);
        if (value != nullptr && !value->is_string()) return wrong(fmt::format("party.{}", key), "a string");
        if (value != nullptr) *field = value->get<std::string>();
    }
    if (const json* process = find(*object, "process")) {
        if (!process->is_number_unsigned()) return wrong("party.process", "a process id");
        party.process = process->get<std::uint32_t>();
    }
    const json* side = find(*object, "at");
    if (side == nullptr || (*side != "pod" && *side != "host")) return wrong("party.at", "pod or host");
    party.at_host = *side == "host";
    text.party = std::move(party);
    return {};
}

}  // namespace

json to_json(const Rule& rule)
{
    json object = json::object();
    object["name"] = rule.name;
    object["direction"] = std::string(format_direction(rule.direction));
    object["priority"] = rule.priority;
    if (rule.xdp != Xdp::automatic) object["xdp"] = std::string(format_xdp(rule.xdp));
    object["selector"] = to_json(rule.selector);
    object["impairment"] = to_json(rule.impairment);
    if (rule.timeline) {
        object["timeline"] = to_json(*rule.timeline);
        erase_varying(*rule.timeline, object["impairment"]);
    }
    if (rule.flap) object["flap"] = {{"up_ns", rule.flap->up}, {"down_ns", rule.flap->down}};
    if (rule.max_share) {
        object["max_share_percent"] = percent(*rule.max_share);
        object["max_share_threshold"] = rule.max_share->threshold;
    }
    if (!rule.stop_if.empty()) object["stop_if"] = rule.stop_if;
    if (rule.hours) object["hours"] = to_json(*rule.hours);
    if (rule.party) object["party"] = to_json(*rule.party);
    return object;
}

Result<RuleText> text_from_json(const json& json)
{
    RuleText text;
    HW_CHECK(check_keys(json, "",
                        {"name", "direction", "priority", "xdp", "selector", "impairment", "flap", "hours", "timeline",
                         "max_share_percent", "max_share_threshold", "stop_if", "party"}));
    HW_CHECK(read_head(json, text));
    HW_CHECK(read_selector(json, text));
    HW_CHECK(read_party(json, text));
    HW_CHECK(read_impairment(json, text));
    HW_CHECK(read_flap(json, text));
    HW_CHECK(read_hours(json, text));
    HW_CHECK(read_timeline(json, text));
    return text;
}

Result<Rule> rule_from_json(const json& json)
{
    HW_TRY(const auto text, text_from_json(json));
    auto rule = make_rule(text);
    if (!rule) return fail(rule.error().kind, "rule JSON: {}", rule.error().message);
    return rule;
}

}  // namespace headwind
