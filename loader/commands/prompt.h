// SPDX-License-Identifier: MIT
// Asks for agreement to changes that could cut their own author off.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"

namespace headwind {

// The dangers of rules without an end (--for, --lease), a sentence each.
struct Dangers {
    // For everything through a device other than a veth or lo, or for the SSH connection the command is typed on.
    std::vector<std::string> of_hosts;
    // For a container, a pod, a process or a cgroup, unless that they have no end was said (--for ever).
    std::vector<std::string> of_subjects;
};
Result<Dangers> dangers(const Changes& changes);
// What the rule is for that others may answer for, in words, as in Dangers::of_subjects; empty: nothing.
std::string subject_asked_about(const Rule& rule);

// Asks on the terminal, unless `yes` or there is nothing to ask; with `dry_run` says only what would be asked. usage:
// not agreed, or no terminal to ask on.
Status prompt(const Changes& changes, bool yes, bool dry_run = false);

}  // namespace headwind
