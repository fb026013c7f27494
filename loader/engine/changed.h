// SPDX-License-Identifier: MIT
// The changes that a command made, told in one place, all at once when it is done: for the audit (audit.h). Changes
// that no command asked for (rules that ended, the agent's work) are not told.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/plan.h"

namespace headwind {

struct Changed {
    std::vector<RuleView> added, replaced, changed;  // added: new guards, too
    std::vector<std::string> removed;                // names
    std::string words;                               // a change that the rules above do not show
    std::vector<std::string> about;                  // names of the rules that `words` are about
    std::uint64_t confirm = 0;                       // ns until the change is undone, unless it is confirmed; 0: never
    bool everywhere = false;                         // in every network namespace, not only this one
};

// Sets the observer that is told of changes in this process; at first there is none.
using ChangeObserver = std::function<void(const Changed&)>;
void observe_changes(ChangeObserver observer);

// The changes that an applied plan made; `views`: its added rules as they are now. Rules that are as they were are left
// out.
Changed changes_of(const Plan& plan, const std::vector<RuleView>& views);
// Tells the observer, unless nothing changed.
void tell(const Changed& changed);

}  // namespace headwind
