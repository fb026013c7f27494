// What a command has changed, told in one place at once when it is done: for the audit (audit.h). What no command asked
// for (rules that ended, what the agent does) is not told.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/plan.h"

namespace headwind {

struct Changed {
    std::vector<RuleView> added, replaced, changed;  // added: what is left alone from now on, too
    std::vector<std::string> removed;                // names
    std::string words;                               // of what is not told by the rules above
    std::vector<std::string> about;                  // names of the rules that `words` are about
    std::uint64_t confirm = 0;                       // ns: undone then, unless it is confirmed
    bool everywhere = false;                         // not only in this network namespace
};

// Who is told from now on, in this process; at first nobody.
using ChangeObserver = std::function<void(const Changed&)>;
void observe_changes(ChangeObserver observer);

// Of a plan that was carried out, whose fresh rules are `views` now. Rules that are as they were are left out.
Changed changes_of(const Plan& plan, const std::vector<RuleView>& views);
// Nothing is told of nothing.
void tell(const Changed& changed);

}  // namespace headwind
