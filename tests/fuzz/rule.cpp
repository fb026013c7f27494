// SPDX-License-Identifier: MIT
// Fuzzes rules from the flags of `headwind add`, `change`, a line of a batch or comcast's command line.
//
// Each line of the input is a flag and its value. "+" in front: the flag is for a change of the rule that the other
// lines make. "-" in front: the flag is comcast's.
#include "fuzz.h"
#include "rule/comcast.h"
#include "rule/protect.h"
#include "rule_properties.h"
#include "rule_words.h"

using namespace headwind;

namespace {

void put(RuleSpec& text, std::string_view flag, const std::string& value)
{
    rule_test::give(fmt::format("--{}", flag), value, text);
    if (flag == "pod")
        text.subject = Subject{.container = "", .id = "", .pod = "a/b", .process = 0, .at_host = value == "host"};
}

void put(ComcastOptions& options, std::string_view flag, const std::string& value)
{
    if (flag == "device") options.device = value;
    if (flag == "latency") options.latency = value;
    if (flag == "target-bw") options.target_bw = value;
    if (flag == "default-bw") options.default_bw = value;
    if (flag == "packet-loss") options.packet_loss = value;
    if (flag == "target-addr") options.target_addrs.push_back(value);
    if (flag == "target-port") options.target_ports.push_back(value);
    if (flag == "target-proto") options.target_protos.push_back(value);
}

void check_comcast(const ComcastOptions& options)
{
    const auto texts = translate_comcast(options);
    if (!texts) return fuzz::require_good(texts.error());
    REQUIRE(texts->size() == 1 || texts->size() == 2, "");
    for (const auto& text : *texts) {
        const auto rule = make_rule(text);
        if (rule) {
            fuzz::require_sound(*rule);
            REQUIRE(is_plain_text(add_command(text)), add_command(text));
        } else {
            fuzz::require_good(Error{rule.error().kind, in_comcast_words(rule.error().message)});
        }
    }
}

void check_protections(const std::vector<std::string>& texts)
{
    const auto rules = make_protections(texts);
    if (!rules) return fuzz::require_good(rules.error());
    for (const auto& rule : *rules) fuzz::require_sound(rule);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    RuleSpec text, given;
    ComcastOptions comcast;
    bool is_comcast = false;
    std::vector<std::string> protections;
    text.name = "r";
    for (const auto& line : fuzz::split(fuzz::text_of(data, size), '\n')) {
        std::string_view flag = line;
        const char kind = flag.empty() ? ' ' : flag.front();
        if (kind == '+' || kind == '-') flag.remove_prefix(1);
        flag = flag.substr(0, flag.find(' '));
        const auto blank = line.find(' ');
        const auto value = blank == std::string::npos ? std::string() : line.substr(blank + 1);
        if (kind == '-')
            put(comcast, flag, value), is_comcast = true;
        else if (flag == "protect")
            protections.push_back(value);
        else
            put(kind == '+' ? given : text, flag, value);
    }
    if (is_comcast) check_comcast(comcast);
    check_protections(protections);
    const auto rule = make_rule(text);
    if (!rule) {
        fuzz::require_good(rule.error());
        return 0;
    }
    fuzz::require_sound(*rule);
    const auto same = change_rule(*rule, {});
    REQUIRE(same && *same == *rule, describe_rule(*rule));
    const auto changed = change_rule(*rule, given);
    if (!changed) {
        fuzz::require_good(changed.error());
        return 0;
    }
    fuzz::require_sound(*changed);
    return 0;
}
