// SPDX-License-Identifier: MIT
// What happened to rules, told in one place: the changes that a command made, all at once when it is done, for the
// audit (audit.h); and as events what it found to have become of rules without any command, or the agent did.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "engine/reconcile.h"
#include "event/event.h"

namespace headwind {

struct Changed {
    std::vector<RuleView> added, replaced, changed;  // added: new guards, too
    std::vector<std::string> removed;                // names
    std::optional<Subject> subject;                  // of one of `removed` that sat in its subject's namespace
    std::string words;                               // a change that the rules above do not show
    const char* event = "changed";                   // the name of the event that `words` are
    std::vector<std::string> about;                  // names of the rules that `words` are about
    std::uint64_t confirm = 0;                       // ns until the change is undone, unless it is confirmed; 0: never
    bool everywhere = false;                         // in every network namespace, not only this one
    std::vector<Event> meanwhile;                    // before the command, and by no command
};

// Sets the observer that is told of changes in this process; at first there is none.
using ChangeObserver = std::function<void(const Changed&)>;
void observe_changes(ChangeObserver observer);

// The events of what was reconciled, without their network namespace.
std::vector<Event> events_of(const Reconciled& done);

// The changes that an applied plan made; `views`: its added rules as they are now. Rules that are as they were are left
// out.
Changed changes_of(const Plan& plan, const std::vector<RuleView>& views);
// Tells the observer, unless nothing changed.
void tell(const Changed& changed);

}  // namespace headwind
