// SPDX-License-Identifier: MIT
// Rehearses changes for --dry-run.
#include "commands/dry_run.h"

#include <algorithm>

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
    if (!dry_run) {
        HW_CHECK(prompt(changes, yes));
        return apply_changes(changes);
    }
    HW_TRY(auto views, rehearse_changes({}, [&changes](const auto&) { return changes; }));
    HW_CHECK(tell_dangers(changes, yes));
    tell_dry_run();
    return views;
}

Result<std::vector<std::string>> rehearse_removal(std::vector<std::string> names, bool if_exists)
{
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    Changes changes;
    changes.remove = names;
    changes.if_exists = if_exists;
    HW_TRY(const auto views, rehearse_changes({}, [&changes](const auto&) { return changes; }));
    static_cast<void>(views);
    RuleFilter filter;
    filter.names = names;
    HW_TRY(const auto rules, find_rules(filter));
    std::vector<std::string> out;
    for (const auto& rule : rules) out.push_back(rule.rule.name);
    return out;
}

}  // namespace headwind
