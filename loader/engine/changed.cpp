// SPDX-License-Identifier: MIT
// Compares the rules after a change with those before, and hands the difference to the observer.
#include "engine/changed.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace headwind {
namespace {

ChangeObserver& observer_of_this_process()
{
    static ChangeObserver observer;
    return observer;
}

bool is_as_before(const RuleInfo& now, const RuleInfo& before, const Plan& plan)
{
    return now.rule == before.rule && now.deadline == before.deadline && now.timeline == before.timeline &&
           std::find(plan.go_on.begin(), plan.go_on.end(), now.stable_id) == plan.go_on.end();
}

}  // namespace

void observe_changes(ChangeObserver observer)
{
    observer_of_this_process() = std::move(observer);
}

Changed changes_of(const Plan& plan, const std::vector<RuleView>& views)
{
    Changed out;
    std::unordered_map<std::string_view, const RuleRecord*> before;  // by name; the first of two that share one
    for (const auto& gone : plan.remove) before.emplace(gone.rule.name, &gone);
    std::unordered_set<std::string_view> there;
    for (const auto& view : views) {
        const auto& now = view.record;
        there.insert(now.rule.name);
        const auto found = before.find(now.rule.name);
        if (found == before.end())
            out.added.push_back(view);
        else if (found->second->stable_id != now.stable_id)
            out.replaced.push_back(view);
        else if (!is_as_before(now, *found->second, plan))
            out.changed.push_back(view);
    }
    for (const auto& gone : plan.remove)
        if (gone.guard != Guard::ssh && !there.contains(gone.rule.name)) out.removed.push_back(gone.rule.name);
    return out;
}

void tell(const Changed& changed)
{
    const bool nothing = changed.added.empty() && changed.replaced.empty() && changed.changed.empty() &&
                         changed.removed.empty() && changed.words.empty();
    if (const auto& observer = observer_of_this_process(); observer && !nothing) observer(changed);
}

}  // namespace headwind
