// SPDX-License-Identifier: MIT
// The command `headwind explain`: says which rule a packet would get, and why the others not.
#include <algorithm>
#include <memory>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "rule/factory.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

struct ExplainOptions {
    CommonOptions common;
    std::string device, direction = "out", protocol, local, remote, local_port, remote_port, cgroup;
    bool all = false;
};

// A packet has one address at each end, and one port.
Status check_one(const char* flag, const std::vector<Cidr>& addresses)
{
    if (addresses.empty() || (addresses.size() == 1 && addresses.front().prefix == 128)) return {};
    std::vector<std::string> words;
    for (const auto& address : addresses) words.push_back(format_cidr(address));
    return fail(ErrorKind::usage, "{} {}: a packet has one address: write 10.0.0.9", flag, fmt::join(words, ","));
}

Status check_one(const char* flag, const std::vector<PortRange>& ports)
{
    if (ports.empty() || (ports.size() == 1 && ports.front().first == ports.front().last)) return {};
    return fail(ErrorKind::usage, "{} {}: a packet has one port: write 443", flag, format_ports(ports));
}

void give(const std::string& text, std::vector<std::string>& to)
{
    if (!text.empty()) to = {text};
}

// The packet as a rule that selects it alone.
Result<Rule> packet_of(const ExplainOptions& options)
{
    RuleSpec text;
    text.name = "packet";
    text.pass = true;
    text.devices = {options.device};
    text.direction = options.direction;
    give(options.protocol, text.protocols);
    give(options.cgroup, text.cgroups);
    give(options.local, text.locals);
    give(options.remote, text.remotes);
    give(options.local_port, text.local_ports);
    give(options.remote_port, text.remote_ports);
    HW_TRY(auto rule, make_rule(text));
    const auto& selector = rule.selector;
    HW_CHECK(check_one("--local", selector.locals));
    HW_CHECK(check_one("--remote", selector.remotes));
    HW_CHECK(check_one("--local-port", selector.local_ports));
    HW_CHECK(check_one("--remote-port", selector.remote_ports));
    if (selector.devices.size() != 1 || selector.protocols.size() > 1 || selector.cgroups.size() > 1)
        return fail(ErrorKind::usage,
                    "a packet has one device, one protocol and one cgroup: --dev, --proto and --cgroup take one each");
    if (rule.direction == Direction::both)
        return fail(ErrorKind::usage, "--direction both: a packet goes one way: write in or out");
    return rule;
}

std::string_view format_verdict(Verdict verdict)
{
    switch (verdict) {
        case Verdict::wins: return "wins";
        case Verdict::loses: return "loses";
        case Verdict::open: return "may win";
        case Verdict::idle: return "off";
        case Verdict::apart: return "other";
    }
    return "?";
}

nlohmann::json to_json(const Explanation& explanation)
{
    nlohmann::json out{{"panic", explanation.panic}, {"winner", nullptr}, {"rules", nlohmann::json::array()}};
    for (const auto& rule : explanation.rules) {
        if (rule.verdict == Verdict::wins) out["winner"] = rule.name;
        out["rules"].push_back({{"name", rule.name}, {"verdict", format_verdict(rule.verdict)}, {"why", rule.why}});
    }
    return out;
}

void print(const Explanation& explanation, bool all)
{
    std::size_t width = 4, others = 0;
    const auto is_shown = [all](const Explained& rule) { return all || rule.verdict != Verdict::apart; };
    for (const auto& rule : explanation.rules)
        if (is_shown(rule)) width = std::max(width, rule.name.size());
    const auto has = [&explanation](Verdict verdict) {
        return std::ranges::find(explanation.rules, verdict, &Explained::verdict) != explanation.rules.end();
    };
    if (!has(Verdict::wins))
        put("no rule{}: the packet goes unimpaired\n", has(Verdict::open) ? ", unless one that may win" : "");
    for (const auto& rule : explanation.rules) {
        if (!is_shown(rule)) {
            ++others;
            continue;
        }
        put("{:<7}  {:<{}}  {}\n", format_verdict(rule.verdict), rule.name, width,
            rule.why.empty() ? rule.sentence : rule.why);
    }
    if (others != 0) put("{} other {} not for it: --all says why\n", others, others == 1 ? "rule is" : "rules are");
    if (explanation.panic) put("panic is on: no rule has an effect; `headwind panic --off` goes on\n");
}

Result<int> run_explain(const ExplainOptions& options)
{
    HW_TRY(const auto packet, packet_of(options));
    HW_CHECK(enter(options.common));
    HW_TRY(const auto explanation, explain(packet));
    if (options.common.json)
        print_json(to_json(explanation));
    else
        print(explanation, options.all);
    return 0;
}

}  // namespace

void register_explain(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ExplainOptions>();
    auto* command = app.add_subcommand("explain", "say which rule a packet would get, and why the others not");
    command->add_option("--dev", options->device, "the device it goes through")->type_name("NAME")->required();
    command->add_option("--direction", options->direction, "out, or in (default out)")->type_name("out|in");
    command->add_option("--proto", options->protocol, "its protocol, as for `headwind add`")->type_name("NAME");
    command->add_option("--local", options->local, "its address at this end")->type_name("ADDRESS");
    command->add_option("--remote", options->remote, "its address at the other end")->type_name("ADDRESS");
    command->add_option("--local-port", options->local_port, "its port at this end")->type_name("PORT");
    command->add_option("--remote-port", options->remote_port, "its port at the other end")->type_name("PORT");
    command->add_option("--cgroup", options->cgroup, "the cgroup of the socket that sends or receives it")
        ->type_name("PATH");
    command->add_flag("--all", options->all, "also the rules that do not select it");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "The datapath's own lookup is asked, over the rules in force at this moment; no packet is sent. What is not\n"
        "given is not known of the packet: rules that look at it may win.\n\n"
        "wins: the packet gets this rule. loses: it selects the packet, too. may win: it does if it selects the packet,\n"
        "which depends on a flag that was not given. off: it has no effect now.\n\n"
        "--json: {\"winner\": NAME or null, \"panic\": BOOL, \"rules\": [{\"name\", \"verdict\", \"why\"}, ...]}, all rules,\n"
        "the highest rank first; a verdict may also be other: the rule does not select the packet.\n\n"
        "Examples:\n"
        "  headwind explain --dev eth0 --proto tcp --remote 10.0.0.9 --remote-port 5432\n"
        "  headwind explain --dev eth0 --direction in --proto udp --local-port 53 --all\n"
        "  headwind explain --dev eth0 --proto tcp --remote-port 443 --cgroup /system.slice/shop.service --json");
    command->callback([options, &cli] { cli.chosen = [options] { return run_explain(*options); }; });
}

}  // namespace headwind
