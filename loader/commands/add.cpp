// SPDX-License-Identifier: MIT
// The command `headwind add`: adds a rule and, with --hold, renews its lease until a signal comes.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/lease.h"
#include "commands/print.h"
#include "rule/files.h"
#include "rule/protect.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

struct AddOptions {
    CommonOptions common;
    AddArgs words;
    std::string confirm;
    bool hold = false, yes = false, dry_run = false;
};

template <class T>
Result<std::uint64_t> parse_option(const char* flag, const std::string& text, T parse)
{
    if (text.empty()) return std::uint64_t{0};
    auto value = parse(text);
    if (!value) return fail(ErrorKind::usage, "{} {}: {}", flag, text, value.error().message);
    if (*value == 0) return fail(ErrorKind::usage, "{} {}: must be above 0", flag, text);
    return value;
}

Result<int> add(const AddOptions& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(const auto place, find_place(options.words, options.common));
    HW_TRY(auto request, add_request(options.words, place));
    if (place) HW_CHECK(enter(*place));
    // The signals are blocked before the rule exists: from here on one ends the holding, and with it the rule.
    const auto signals = hold_signals();
    if (options.hold && !options.dry_run) {
        sigprocmask(SIG_BLOCK, &signals, nullptr);
    }
    if (options.hold && request.lease == 0) request.lease = default_lease;
    Changes changes;
    changes.add = {request};
    HW_TRY(changes.confirm, parse_confirm(options.confirm));
    HW_TRY(auto views, change_or_rehearse(changes, options.yes, options.dry_run));
    report_guards(views);
    report_effects(views);
    if (!options.dry_run) tell_confirm(changes.confirm);
    const auto& view = views.front();
    if (options.common.json) {
        auto json = to_json(view);
        if (place) json["placement"] = place->reason;
        if (options.dry_run) json["dry_run"] = true;
        print_json(json);
    } else {
        put("{}: {}\n", view.record.rule.name, describe_rule(view));
        for (const auto& words : {opening_words(view), ingress_words(view)})
            if (!words.empty()) put("{}: {}\n", view.record.rule.name, words);
        if (asks_for_nothing(view.record.rule.impairment))
            put("{}: all that it asks for is 0: its packets go unimpaired\n", view.record.rule.name);
        if (place) put("{}: it sits {}\n", view.record.rule.name, place->reason);
    }
    if (!options.hold || options.dry_run) return 0;
    if (isatty(STDOUT_FILENO)) put("held: Ctrl-C ends it\n");
    std::fflush(stdout);
    HW_CHECK(hold(view.record));
    HW_TRY(const auto removed, delete_rules({view.record.rule.name}, true, drain_progress()));
    static_cast<void>(removed);
    return 0;
}

}  // namespace

Result<std::string> owner_or_user(const std::string& owner)
{
    if (owner.empty()) return invoking_user();
    if (!is_plain_text(owner) || owner.size() > 64)
        return fail(ErrorKind::usage, "--owner {}: must be at most 64 bytes of plain text", printable(owner));
    return owner;
}

void add_yes_flag(CLI::App* command, bool& yes)
{
    command->add_flag("--yes,-y", yes, "ask nothing, even of a rule without an end for a whole device");
}

Result<std::uint64_t> parse_time_option(const char* flag, const std::string& text)
{
    return parse_option(flag, text, parse_duration);
}

Result<std::optional<Place>> find_place(const AddArgs& words, const CommonOptions& options)
{
    if (!words.subject.given()) {
        if (!words.subject.at.empty())
            return fail(ErrorKind::usage, "--at {}: it places a rule for --container, --pod or --pid: add one of them",
                        words.subject.at);
        return std::nullopt;
    }
    HW_TRY(auto place, find_place(words.subject, options.host_root));
    return place;
}

Result<AddRequest> add_request(const AddArgs& words, const std::optional<Place>& place)
{
    AddRequest request;
    auto text = words.text;
    if (place) HW_CHECK(select_subject(*place, text));
    HW_CHECK(load_files(text));
    HW_TRY(request.rule, make_rule(text));
    request.for_ever = words.duration == for_ever;
    if (!request.for_ever) {
        HW_TRY(request.duration, parse_time_option("--for", words.duration));
    }
    HW_TRY(request.max_held, parse_option("--max-held", words.max_held, parse_size));
    HW_TRY(request.lease, parse_lease(words.lease));
    request.max_rules = words.max_rules;
    request.replace = words.replace;
    HW_TRY(request.protect, make_protections(words.protect));
    HW_TRY(request.owner, owner_or_user(words.owner));
    return request;
}

void register_add(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<AddOptions>();
    auto* command = app.add_subcommand("add", "impair some packets of this host");
    add_flags(command, options->words);
    command->add_flag("--hold", options->hold,
                      "stay here and renew the rule's lease (default 3s); Ctrl-C or SIGTERM removes the rule");
    add_yes_flag(command, options->yes);
    add_dry_run_flag(command, options->dry_run);
    add_confirm_flag(command, options->confirm);
    command->get_option("--confirm")->excludes(command->get_option("--hold"));
    add_common_options(command, options->common, true);
    command->footer(
        "Examples:\n"
        "  headwind add --name slow-db --remote-port 5432 --delay 50ms --loss 1% --for 10m\n"
        "  headwind add --name thin --cgroup /system.slice/backup.service --rate 1mbit --queue 50ms --for 1h\n"
        "  headwind add --name mobile --dev eth0 --delay 80ms --jitter 20ms --reorder 1% --duplicate 0.1%\n"
        "  headwind add --name refused --remote-port 5432 --reject rst --for 1m\n"
        "  headwind add --name as-in-tc --netem \"delay 100ms 20ms distribution normal loss 1%\"\n"
        "  headwind add --name split --remote 10.0.2.0/24 --partition --for 30s\n"
        "  headwind add --name flood --dev eth0 --direction in --proto udp --loss 50% --xdp native\n"
        "  headwind add --name worse --remote-port 443 --ramp delay=0ms..200ms,loss=0%..5%,over=60s\n"
        "  headwind add --name train --dev eth0 --direction in --trace lte.csv --repeat\n"
        "  headwind add --name rush-hour --dev eth0 --rate 10mbit --between 09:00-17:00 --days mon-fri\n"
        "  headwind add --name spare-ssh --port 22 --pass --priority 100\n"
        "  headwind add --name storm --dev eth0 --partition --for 5m --protect 22,10.0.0.5,/system.slice/agent.service\n"
        "  headwind add --name while-i-look --dev eth0 --remote-port 443 --loss 1% --hold\n"
        "  headwind add --name slow-shop --pod default/shop/web --delay 50ms --for 10m\n"
        "  headwind add --name lossy --container web --loss 5% --remote-port 5432 --for ever\n\n"
        "A packet gets at most one rule: the highest --priority, then the most specific, then the oldest.\n"
        "A rule without address, port or protocol takes every frame, also what is not IP (LLDP, LACP, MPLS, PPPoE,\n"
        "IS-IS, PTP, ...), but ARP, IPv6 neighbour discovery and DHCP: they are left alone unless --proto names them.\n"
        "The kernel can hold only IP: other frames pass --delay and --rate at once, and stats counts them.");
    command->callback([options, &cli] { cli.chosen = [options] { return add(*options); }; });
}

}  // namespace headwind
