// SPDX-License-Identifier: MIT
// The option --dry-run of the commands that change something: all is checked that can be checked, nothing is changed.
#pragma once

#include <vector>

#include "commands/cli.h"

namespace headwind {

CLI::Option* add_dry_run_flag(CLI::App* command, bool& dry_run);

// Says on stderr that nothing was changed.
void tell_dry_run();

// Asks as prompt() does and makes the changes; with `dry_run` says what would be asked, and returns the rules as they
// would be.
Result<std::vector<RuleView>> change_or_rehearse(const Changes& changes, bool yes, bool dry_run);

}  // namespace headwind
