// SPDX-License-Identifier: MIT
// Kinds of faults: what others do to Headwind's parts of the kernel, and to what its rules are for.
#pragma once

#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "agent_test.h"
#include "foreign_program.h"

namespace headwind::test {

// Where the faults happen: a pair whose device va of `a` has rules.
struct FaultSite {
    const Namespace &a, &b;
    const Namespace& away;                   // where devices are moved to
    std::mt19937 dice;                       // the only chance there is
    std::optional<TestCgroup> cgroup;        // that of a rule
    std::optional<RunningAgent> agent;       // that serves them, in `home`
    const Namespace* home = nullptr;         // none: there is no agent
    std::vector<ForeignProgram> programs{};  // others' that are there now
    std::string last{};                      // what the last fault did
};

enum FaultTrait : unsigned {
    cuts = 1,        // no packet of the pair gets through until undo_faults()
    disturbs = 2,    // packets of the pair may be lost for a moment
    harms_pins = 4,  // rules may be gone, or cannot be read: `clear --all` is the way out
    ends_rules = 8,  // rules may be gone
    in_guests = 16,  // changes something that other processes of this machine share, or needs modules
    needs_fq = 32,
    needs_nft = 64,
    needs_agent = 128,
    loses = 256,  // packets that need the line are lost until it is mended
};

struct FaultKind {
    std::string name;
    unsigned traits = 0;
    std::function<bool(FaultSite&)> happen;  // false: it could not, since another came first
};

// The kinds that are possible here.
std::vector<FaultKind> fault_kinds(bool with_agent);
// Undoes what nobody asks of Headwind: the pair is as it was made (but for the index of its devices), what is not
// Headwind's is gone.
void undo_faults(FaultSite& site);
// Lines of `batch` that add the rules of the site are in this file: commands that are killed use them, too.
void set_rules_file(const std::string& path);

}  // namespace headwind::test
