// What becomes of a change that waits to be confirmed.
#include <fmt/ranges.h>

#include "engine/changed.h"
#include "engine/engine.h"
#include "engine/plan.h"

namespace headwind {

Result<Settled> settle_pending(bool undo, const Progress& progress)
{
    HW_TRY(auto session, begin());
    const auto waiting = session.rules.where([now = boottime_ns()](const auto& rule) { return is_pending(rule, now); });
    if (waiting.empty())
        return fail(ErrorKind::not_found, "no change waits to be confirmed (it may have been undone by now)");
    Plan plan;
    Settled out;
    HW_TRY(plan.gone, read_records(*session.instance, waiting));
    for (const auto& record : plan.gone) {
        if (record.former != undo) continue;
        auto staying = record;
        staying.pending = 0;
        staying.former = false;
        out.rules.push_back(staying.rule.name);
        plan.fresh.push_back(std::move(staying));
    }
    session.rules = without(session.rules, plan.gone);
    HW_TRY(const auto devices, find_devices(plan, true));
    HW_CHECK(carry_out(session, plan, devices));
    Changed changed;
    changed.words = fmt::format("{} what waited to be confirmed; in force: {}", undo ? "undid" : "confirmed",
                                out.rules.empty() ? "nothing" : fmt::format("{}", fmt::join(out.rules, ", ")));
    changed.about = out.rules;
    tell(changed);
    if (only_guards(session.rules)) {
        HW_TRY(out.packets_lost, drain_and_tear_down(session, default_drain, progress));
    } else {
        HW_CHECK(trim_hooks(*session.instance, session.rules));
    }
    return out;
}

}  // namespace headwind
