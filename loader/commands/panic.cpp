// SPDX-License-Identifier: MIT
// The command `headwind panic`: turns every rule of the host off, or ends that.
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "datapath/instance_pins.h"
#include "engine/panic_state.h"
#include "util/output.h"

namespace headwind {
namespace {

struct PanicOptions {
    bool off = false, json = false, dry_run = false;
};

// The number of the network namespaces in which rules would lose their effect, or have it again.
Result<int> rehearse(const PanicOptions& options)
{
    HW_TRY(const auto instances, instance_inodes());
    tell_dry_run();
    if (options.json)
        print_json(nlohmann::json{{"instances", !instances.empty()}, {"panic", !options.off}, {"dry_run", true}}, -1);
    else
        put("the rules of {} network namespace{} would {}\n", instances.size(), instances.size() == 1 ? "" : "s",
            options.off ? "have their effect again" : "be off");
    return 0;
}

Result<int> panic(const PanicOptions& options)
{
    if (options.dry_run) return rehearse(options);
    HW_TRY(const bool found, set_panic(!options.off));
    if (options.json)
        print_json(nlohmann::json{{"instances", found}, {"panic", !options.off}}, -1);
    else if (!found)
        put("there are no rules on this host{}\n",
            options.off ? "" : ", and none can be added until `headwind panic --off`");
    else if (options.off)
        put("rules of every namespace have their effect again\n");
    else
        put("every rule of every namespace is off, and none can be added. Go on with `headwind panic --off`, or remove the rules with `headwind clear --everywhere --anyone`\n");
    return 0;
}

}  // namespace

void register_panic(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<PanicOptions>();
    auto* command = app.add_subcommand("panic", "turn every rule of every namespace off, at once");
    command->add_flag("--off", options->off, "end the panic: the rules have their effect again");
    add_dry_run_flag(command, options->dry_run);
    command->add_flag("--json", options->json, "print JSON");
    command->footer(
        "One write to a map that all instances share; packets already held are still delivered in time. Until it is\n"
        "ended nothing is added (add, batch, apply, run).\n\n"
        "Examples:\n  headwind panic\n  headwind panic --off");
    command->callback([options, &cli] { cli.chosen = [options] { return panic(*options); }; });
}

}  // namespace headwind
