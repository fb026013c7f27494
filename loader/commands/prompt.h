// SPDX-License-Identifier: MIT
// Asks for agreement to changes that could cut their own author off.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"

namespace headwind {

// The dangers of a set of changes, a sentence each: a rule without an end (--for, --lease) for everything through a
// device other than a veth or lo, or for the SSH connection the command is typed on. Changes nothing.
Result<std::vector<std::string>> dangers(const Changes& changes);

// Asks on the terminal, unless `yes` or there is nothing to ask; with `dry_run` says only what would be asked. usage:
// not agreed, or no terminal to ask on.
Status prompt(const Changes& changes, bool yes, bool dry_run = false);

}  // namespace headwind
