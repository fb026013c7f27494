// SPDX-License-Identifier: MIT
// The command `headwind comcast`: adds and removes the rules that comcast's options ask for.
#include "rule/comcast.h"

#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/print.h"
#include "util/output.h"

namespace headwind {
namespace {

struct ComcastCommand {
    CommonOptions common;
    ComcastOptions comcast;
    bool stop = false, dry_run = false;
};

void print_commands(const std::vector<std::string>& commands, const nlohmann::json& rules)
{
    print_json(nlohmann::json{{"commands", commands}, {"rules", rules}});
}

// ---- --stop ----

int report_stopped(const Removed& removed, bool json)
{
    if (json) {
        print_json(nlohmann::json{{"removed", removed.rules}, {"packets_lost", removed.packets_lost}});
        return 0;
    }
    report_removed(removed, "no rules of comcast's to remove");
    return 0;
}

Result<int> stop(const ComcastCommand& options)
{
    const std::vector<std::string> names{comcast_rule, comcast_default_rule};
    if (options.dry_run) {
        const auto command = delete_command(names, options.common.netns);
        if (options.common.json)
            print_commands({command}, nlohmann::json::array());
        else
            put("{}\n", command);
        return 0;
    }
    HW_CHECK(enter(options.common));
    HW_TRY(const auto removed, delete_rules(names, true, drain_progress()));
    return report_stopped(removed, options.common.json);
}

// ---- start ----

Result<std::vector<RuleView>> add_all(const std::vector<Rule>& rules)
{
    Changes changes;
    for (const auto& rule : rules) {
        AddRequest request;
        request.rule = rule;
        request.owner = invoking_user();
        request.replace = true;
        changes.add.push_back(std::move(request));
    }
    // The rule for everything else, which an earlier run may have left, goes.
    changes.if_exists = true;
    if (rules.size() == 1) changes.remove.emplace_back(comcast_default_rule);
    return apply_changes(changes);
}

Result<int> start(const ComcastCommand& options)
{
    HW_TRY(const auto texts, translate_comcast(options.comcast));
    std::vector<Rule> rules;
    std::vector<std::string> commands;
    for (const RuleSpec& text : texts) {
        auto rule = make_rule(text);
        if (!rule) return fail(rule.error().kind, "{}", in_comcast_words(rule.error().message));
        rules.push_back(std::move(*rule));
        commands.push_back(add_command(text, options.common.netns));
    }
    std::vector<RuleView> views;
    if (!options.dry_run) {
        HW_CHECK(enter(options.common));
        HW_TRY(views, add_all(rules));
        report_guards(views);
        report_effects(views);
    }
    if (options.common.json) {
        auto json = nlohmann::json::array();
        for (const auto& view : views) json.push_back(to_json(view));
        print_commands(commands, json);
        return 0;
    }
    for (const auto& view : views) put("{}: {}\n", view.record.rule.name, describe_rule(view));
    if (!views.empty()) put("The same in Headwind's words:\n");
    for (const auto& command : commands) put("{}{}\n", views.empty() ? "" : "  ", command);
    return 0;
}

Result<int> comcast(const ComcastCommand& options)
{
    return options.stop ? stop(options) : start(options);
}

constexpr const char* footer =
    "Bare numbers are comcast's: milliseconds, kbit/s, percent (only here; with a unit they are Headwind's).\n"
    "-latency is taken as --latency.\n\n"
    "In Headwind's words:\n"
    "  --latency 250              add --name comcast --delay 250ms\n"
    "  --target-bw 1000           add --name comcast --rate 1000kbit\n"
    "  --packet-loss 10%          add --name comcast --loss 10%\n"
    "  --device eth0              --dev eth0 (several: eth0,eth1); what is sent through it, as in comcast\n"
    "  --target-addr, -port       --remote, --remote-port\n"
    "  --target-proto             --proto. With an address or a port: tcp,udp,icmp unless given; icmp is ICMPv6 too, and\n"
    "                             left out where ports are named. Without any --target-...: all frames on the device\n"
    "  --default-bw 20000         add --name comcast-default --rate 20000kbit --priority -1: all that is no target\n"
    "  --stop                     del --if-exists comcast comcast-default\n\n"
    "Where comcast refuses a second run, it takes the place of the first, on whichever device that was. Nothing is\n"
    "limited that was not asked for (comcast: 1 gbit). As always, ARP, neighbour discovery and DHCP are left alone.\n\n"
    "Examples:\n"
    "  headwind comcast --device eth0 --latency 250 --target-bw 1000 --default-bw 1000000 --packet-loss 10% \\\n"
    "      --target-addr 8.8.8.8,10.0.0.0/24 --target-proto tcp,udp --target-port 80,22,1000:2000\n"
    "  headwind comcast --latency 250 --packet-loss 10% --dry-run\n"
    "  headwind comcast --stop";

}  // namespace

void register_comcast(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ComcastCommand>();
    auto& to = options->comcast;
    auto* command = app.add_subcommand("comcast", "the command line of comcast, in milliseconds and kbit/s");
    command->add_option("--device", to.device, "what is sent through this device")
        ->type_name("NAME")
        ->capture_default_str();
    command->add_option("--latency", to.latency, "milliseconds that packets to the targets are late")->type_name("MS");
    command->add_option("--target-bw", to.target_bw, "rate of what goes to the targets")->type_name("KBIT");
    command->add_option("--default-bw", to.default_bw, "rate of all else on the device")->type_name("KBIT");
    command->add_option("--packet-loss", to.packet_loss, "share of the packets to the targets that is lost: 10%")
        ->type_name("PERCENT");
    const auto list = [command](const char* flag, std::vector<std::string>& values, const char* type,
                                const char* help) {
        command->add_option(flag, values, help)->type_name(type)->take_all()->allow_extra_args(false);
    };
    list("--target-addr", to.target_addrs, "CIDR,...", "only to these addresses, v4 or v6");
    list("--target-port", to.target_ports, "PORTS", "only to these ports: 22,80,1000:2000");
    list("--target-proto", to.target_protos, "NAME,...", "only these protocols: tcp,udp,icmp");
    command->add_flag("--stop", options->stop, "end what comcast began");
    command->add_flag("--dry-run", options->dry_run, "print the headwind commands and change nothing");
    add_common_options(command, options->common, true);
    command->footer(footer);
    command->callback([options, &cli] { cli.chosen = [options] { return comcast(*options); }; });
}

}  // namespace headwind
