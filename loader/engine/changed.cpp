// SPDX-License-Identifier: MIT
// Compares the rules after a change with those before, and hands the difference to the observer.
#include "engine/changed.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <fmt/ranges.h>

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

Event event_of(const RemovedRule& removed)
{
    const auto& rule = removed.record.rule;
    Event out{.event = "removed", .rule = rule.name};
    switch (removed.why) {
        case RuleState::expired: out.why = "it expired"; break;
        case RuleState::undone:
            out.event = "undone";
            out.why = "it was not confirmed in time";
            break;
        case RuleState::unleased:
            out.event = "lease-lost";
            out.why = "its lease ended: who held it is gone";
            break;
        default: out.why = rule.subject ? describe(*rule.subject) + " is gone" : "gone"; break;
    }
    out.text = "removed: " + out.why;
    return out;
}

Event event_of(const Moved& moved)
{
    Event out{.event = "moved", .rule = moved.rule, .devices = moved.devices};
    if (moved.cgroup) {
        out.text = "its cgroup was made anew";
    } else if (moved.clock) {
        out.text = "the host's local time changes otherwise than before: its hours follow";
    } else if (moved.devices.empty()) {
        out.event = "device-gone";
        out.text = "none of its devices is there now";
    } else {
        if (moved.was_nowhere) out.event = "device-back";
        out.text = fmt::format("now at {}", fmt::join(moved.devices, ", "));
    }
    return out;
}

}  // namespace

void observe_changes(ChangeObserver observer)
{
    observer_of_this_process() = std::move(observer);
}

std::vector<Event> events_of(const Reconciled& done)
{
    std::vector<Event> out;
    for (const auto& removed : done.removed) out.push_back(event_of(removed));
    for (const auto& moved : done.moved) out.push_back(event_of(moved));
    for (const auto& device : done.lost)
        out.push_back({.event = "device-gone", .text = fmt::format("{} is gone", device), .devices = {device}});
    if (!done.attached.empty())
        out.push_back({.event = "attached",
                       .text = fmt::format("attached to {}", fmt::join(done.attached, ", ")),
                       .devices = done.attached});
    if (!done.mended.empty())
        out.push_back({.event = "mended",
                       .text = fmt::format("the line is again as it was made: {}", done.mended),
                       .why = done.mended});
    if (done.instance_gone)
        out.push_back({.event = "instance-gone", .text = "no rule is left: all of Headwind's is removed"});
    return out;
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
        if (const auto& subject = gone.rule.subject; subject && !subject->at_host) out.subject = subject;
    for (const auto& gone : plan.remove)
        if (gone.guard != Guard::ssh && !there.contains(gone.rule.name)) out.removed.push_back(gone.rule.name);
    return out;
}

void tell(const Changed& changed)
{
    const bool nothing = changed.added.empty() && changed.replaced.empty() && changed.changed.empty() &&
                         changed.removed.empty() && changed.words.empty() && changed.meanwhile.empty();
    if (const auto& observer = observer_of_this_process(); observer && !nothing) observer(changed);
}

}  // namespace headwind
