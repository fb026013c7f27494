#include "engine/changed.h"

#include <algorithm>

namespace headwind {
namespace {

ChangeObserver& observer_of_this_process()
{
    static ChangeObserver observer;
    return observer;
}

bool is_as_before(const RuleRecord& now, const RuleRecord& before, const Plan& plan)
{
    return now.rule == before.rule && now.deadline == before.deadline && now.timeline == before.timeline &&
           std::find(plan.go_on.begin(), plan.go_on.end(), now.state) == plan.go_on.end();
}

}  // namespace

void observe_changes(ChangeObserver observer)
{
    observer_of_this_process() = std::move(observer);
}

Changed changes_of(const Plan& plan, const std::vector<RuleView>& views)
{
    Changed out;
    for (const auto& view : views) {
        const auto& now = view.record;
        const auto before = std::find_if(plan.gone.begin(), plan.gone.end(),
                                         [&now](const RuleRecord& gone) { return gone.rule.name == now.rule.name; });
        if (before == plan.gone.end())
            out.added.push_back(view);
        else if (before->state != now.state)
            out.replaced.push_back(view);
        else if (!is_as_before(now, *before, plan))
            out.changed.push_back(view);
    }
    for (const auto& gone : plan.gone) {
        const auto goes_on = [&gone](const RuleView& view) { return view.record.rule.name == gone.rule.name; };
        if (gone.guard != Guard::ssh && std::none_of(views.begin(), views.end(), goes_on))
            out.removed.push_back(gone.rule.name);
    }
    return out;
}

void tell(const Changed& changed)
{
    const bool nothing = changed.added.empty() && changed.replaced.empty() && changed.changed.empty() &&
                         changed.removed.empty() && changed.words.empty();
    if (const auto& observer = observer_of_this_process(); observer && !nothing) observer(changed);
}

}  // namespace headwind
