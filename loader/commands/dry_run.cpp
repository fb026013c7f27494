// SPDX-License-Identifier: MIT
// Rehearses changes for --dry-run.
#include "commands/dry_run.h"

#include "commands/prompt.h"
#include "util/output.h"

namespace headwind {

CLI::Option* add_dry_run_flag(CLI::App* command, bool& dry_run)
{
    return command->add_flag("--dry-run", dry_run,
                             "say what would be done, or why it would be refused; change nothing");
}

void tell_dry_run()
{
    say("headwind: --dry-run: nothing was changed\n");
}

Result<std::vector<RuleView>> change_or_rehearse(const Changes& changes, bool yes, bool dry_run)
{
    HW_CHECK(prompt(changes, yes, dry_run));
    if (!dry_run) return apply_changes(changes);
    HW_TRY(auto views, rehearse_changes({}, [&changes](const auto&) { return changes; }));
    tell_dry_run();
    return views;
}

}  // namespace headwind
