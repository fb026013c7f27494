// SPDX-License-Identifier: MIT
// The command `headwind confirm`, and the option --confirm of the commands that change something.
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "util/output.h"
#include "util/units.h"

namespace headwind {
namespace {

struct ConfirmOptions {
    CommonOptions common;
    bool undo = false, dry_run = false;
};

// The rules that would be in force then, of those that the change was about.
Result<Settled> rehearse_settling(bool undo)
{
    HW_TRY(const auto all, take_snapshot());
    if (!all.pending) return fail_nothing_pending();
    Settled out;
    if (undo) {
        out.rules = all.pending->comes_back;
        return out;
    }
    for (const auto& view : all.rules)
        if (view.record.pending != 0) out.rules.push_back(view.record.rule.name);
    return out;
}

Result<int> confirm(const ConfirmOptions& options)
{
    HW_CHECK(enter(options.common));
    if (options.dry_run) {
        HW_TRY(const auto settled, rehearse_settling(options.undo));
        tell_dry_run();
        if (options.common.json)
            print_json(nlohmann::json{{options.undo ? "undone" : "confirmed", true},
                                      {"rules", settled.rules},
                                      {"packets_lost", 0},
                                      {"dry_run", true}});
        else
            put("{}; in force then: {}\n", options.undo ? "would be undone" : "would be confirmed",
                settled.rules.empty() ? "none of the rules it is about"
                                      : fmt::format("{}", fmt::join(settled.rules, ", ")));
        return 0;
    }
    HW_TRY(const auto settled, settle_pending(options.undo, drain_progress()));
    if (options.common.json) {
        print_json(nlohmann::json{{options.undo ? "undone" : "confirmed", true},
                                  {"rules", settled.rules},
                                  {"packets_lost", settled.packets_lost}});
        return 0;
    }
    put("{}; ", options.undo ? "undone" : "confirmed");
    if (settled.rules.empty())
        put("of the rules it was about none is left\n");
    else
        put("in force: {}\n", fmt::join(settled.rules, ", "));
    return 0;
}

}  // namespace

void add_confirm_flag(CLI::App* command, std::string& confirm)
{
    command
        ->add_option("--confirm", confirm,
                     "undo it, in the kernel, unless `headwind confirm` comes within this time: 60s")
        ->type_name("TIME");
}

Result<std::uint64_t> parse_confirm(const std::string& text)
{
    return parse_time_option("--confirm", text);
}

void tell_confirm(std::uint64_t confirm)
{
    if (confirm != 0) say("headwind: undone in {} unless `headwind confirm` comes first\n", format_duration(confirm));
}

void register_confirm(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ConfirmOptions>();
    auto* command = app.add_subcommand("confirm", "keep what a command with --confirm changed");
    command->add_flag("--undo", options->undo, "undo it now instead");
    add_dry_run_flag(command, options->dry_run);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "What a command with --confirm changed is undone by the kernel when its time is over: also if the connection it\n"
        "was typed on is cut off. Until then nothing else can be done to the rules it is about, but `clear`.\n\n"
        "Examples:\n"
        "  headwind add --name all --dev eth0 --loss 30% --yes --confirm 60s\n"
        "  headwind confirm\n"
        "  headwind confirm --undo");
    command->callback([options, &cli] { cli.chosen = [options] { return confirm(*options); }; });
}

}  // namespace headwind
