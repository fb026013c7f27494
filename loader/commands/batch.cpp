// SPDX-License-Identifier: MIT
// The command `headwind batch`: adds, changes and removes the rules of a file's lines in one instant.
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/print.h"
#include "commands/rule_file.h"
#include "engine/panic_state.h"
#include "util/output.h"

namespace headwind {
namespace {

struct BatchOptions {
    CommonOptions common;
    std::string file, confirm;
    bool yes = false, dry_run = false;
};

Result<Changes> read_changes(const BatchOptions& options)
{
    HW_TRY(const auto lines, read_rule_file(options.file, options.common));
    Changes all;
    for (const auto& line : lines) {
        all.add.insert(all.add.end(), line.changes.add.begin(), line.changes.add.end());
        all.change.insert(all.change.end(), line.changes.change.begin(), line.changes.change.end());
        all.remove.insert(all.remove.end(), line.changes.remove.begin(), line.changes.remove.end());
        all.protect.insert(all.protect.end(), line.changes.protect.begin(), line.changes.protect.end());
    }
    return all;
}

Result<int> batch(const BatchOptions& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(auto changes, read_changes(options));
    HW_TRY(changes.confirm, parse_confirm(options.confirm));
    if (!changes.add.empty() || !changes.change.empty()) HW_CHECK(refuse_in_panic());
    HW_TRY(auto views, change_or_rehearse(changes, options.yes, options.dry_run));
    report_guards(views);
    report_effects(views);
    if (!options.dry_run) tell_confirm(changes.confirm);
    if (options.common.json) {
        auto json = nlohmann::json::array();
        for (const auto& view : views) json.push_back(to_json(view));
        nlohmann::json out{{"rules", json}, {"removed", changes.remove}};
        if (options.dry_run) out["dry_run"] = true;
        print_json(out);
        return 0;
    }
    for (const auto& view : views) put("{}: {}\n", view.record.rule.name, describe_rule(view));
    for (const auto& name : changes.remove) put("{} {}\n", options.dry_run ? "would remove" : "removed", name);
    return 0;
}

}  // namespace

void register_batch(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<BatchOptions>();
    auto* command = app.add_subcommand("batch", "add, change and del many rules in one instant, or none of them");
    command
        ->add_option("file", options->file, "a line for each, as on the command line; # starts a comment; - is stdin")
        ->required();
    add_yes_flag(command, options->yes);
    add_dry_run_flag(command, options->dry_run);
    add_confirm_flag(command, options->confirm);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "A packet sees the rules before the batch or after it, never a mixture. A line that is refused is named, and\n"
        "nothing is changed. Files that lines name are\n"
        "relative to the current directory.\n\n"
        "Example:\n"
        "  printf '%s\\n' 'change api --delay 80ms' 'del old' 'add --name new --port 80 --loss 1%' | headwind batch -");
    command->callback([options, &cli] { cli.chosen = [options] { return batch(*options); }; });
}

}  // namespace headwind
