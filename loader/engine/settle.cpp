// What becomes of a change that waits to be confirmed.
#include <fmt/ranges.h>

#include "engine/changed.h"
#include "engine/engine.h"
#include "engine/plan.h"

namespace headwind {

Result<Settled> settle_pending(bool undo, const Progress& progress)
{
    HW_TRY(auto session, begin());
    if (!is_pending(session.records))
        return fail(ErrorKind::not_found, "no change waits to be confirmed (it may have been undone by now)");
    Plan plan;
    Settled out;
    for (const auto& record : session.records) {
        if (record.pending == 0) continue;
        plan.gone.push_back(record);
        if (record.former != undo) continue;
        auto staying = record;
        staying.pending = 0;
        staying.former = false;
        out.rules.push_back(staying.rule.name);
        plan.fresh.push_back(std::move(staying));
    }
    subtract(session.records, plan.gone);
    HW_TRY(const auto devices, find_devices(plan, true));
    HW_CHECK(carry_out(session, plan, devices));
    Changed changed;
    changed.words = fmt::format("{} what waited to be confirmed; in force: {}", undo ? "undid" : "confirmed",
                                out.rules.empty() ? "nothing" : fmt::format("{}", fmt::join(out.rules, ", ")));
    changed.about = out.rules;
    tell(changed);
    if (only_guards(session.records)) {
        HW_TRY(out.packets_lost, drain_and_tear_down(session, default_drain, progress));
    } else {
        HW_CHECK(trim_hooks(*session.instance, session.records));
    }
    return out;
}

}  // namespace headwind
