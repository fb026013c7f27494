#include "plan.h"

#include <set>

#include "guards.h"
#include "netlink.h"

namespace headwind {
namespace {

Status require_fq(const Rule& rule)
{
    if (rule.impairment.delay == 0 && rule.impairment.rate == 0) return {};
    HW_TRY(const bool fq, netlink::kernel_has_fq());
    if (fq) return {};
    return fail(ErrorKind::unsupported,
                "this kernel has no sch_fq: delay and rate need it (Debian: boot linux-image-amd64; or see it now: "
                "tools/demo --guest); loss and partition work here.");
}

void set_deadline(RuleRecord& record, std::uint64_t duration)
{
    record.deadline = duration != 0 ? boottime_ns() + duration : 0;
    record.until =
        duration != 0 ? wall_seconds() + static_cast<std::int64_t>((duration + 500'000'000) / 1'000'000'000) : 0;
}

Status find_cgroups(RuleRecord& record)
{
    record.cgroups.clear();
    for (const auto& text : record.rule.selector.cgroups) {
        HW_TRY(auto cgroup, find_cgroup(text));
        record.cgroups.push_back(std::move(cgroup));
    }
    return {};
}

Result<RuleRecord> changed_record(const RuleRecord& before, const ChangeRequest& request)
{
    RuleRecord record = before;
    HW_TRY(record.rule, request.edit(before.rule));
    if (request.duration) set_deadline(record, *request.duration);
    if (record.rule.selector.cgroups != before.rule.selector.cgroups) HW_CHECK(find_cgroups(record));
    return record;
}

// Moves the records of this name from the session to `gone`.
std::vector<RuleRecord> take(Session& session, const std::string& name, Plan& plan)
{
    std::vector<RuleRecord> taken;
    for (const auto& record : session.records)
        if (record.rule.name == name) taken.push_back(record);
    subtract(session.records, taken);
    plan.gone.insert(plan.gone.end(), taken.begin(), taken.end());
    return taken;
}

Status plan_change(Session& session, const ChangeRequest& request, Plan& plan)
{
    const auto before = take(session, request.name, plan);
    if (before.empty()) return fail(ErrorKind::not_found, "no rule is called {}: see `headwind list`", request.name);
    HW_TRY(auto record, changed_record(before.front(), request));
    plan.fresh.push_back(std::move(record));
    return {};
}

// A rule of this name that has expired is no obstacle.
Status plan_add(Session& session, const AddRequest& request, Plan& plan)
{
    for (const auto& record : session.records) {
        if (record.rule.name != request.rule.name || request.replace) continue;
        HW_TRY(const auto state, read_state(*session.instance, record));
        if (state != RuleState::expired)
            return fail(ErrorKind::usage,
                        "--name {}: a rule of this name exists: choose another, or put it in its place with "
                        "--replace",
                        record.rule.name);
    }
    take(session, request.rule.name, plan);
    HW_TRY(auto record, new_record(request));
    plan.fresh.push_back(std::move(record));
    if (request.max_held != 0) plan.max_held = request.max_held;
    plan.max_rules = std::max(plan.max_rules, request.max_rules);
    return {};
}

Status check_names_differ(const Changes& changes)
{
    std::set<std::string> seen;
    const auto look = [&seen](const std::string& name) -> Status {
        if (!seen.insert(name).second) return fail(ErrorKind::usage, "{} is named twice: once per rule, please", name);
        return {};
    };
    for (const auto& name : changes.remove) HW_CHECK(look(name));
    for (const auto& request : changes.change) HW_CHECK(look(request.name));
    for (const auto& request : changes.add) HW_CHECK(look(request.rule.name));
    return {};
}

}  // namespace

Result<RuleRecord> new_record(const AddRequest& request)
{
    RuleRecord record;
    record.rule = request.rule;
    record.created = wall_seconds();
    record.since = boottime_ns();
    set_deadline(record, request.duration);
    record.lease = request.lease;
    record.owner = request.owner;
    HW_CHECK(find_cgroups(record));
    return record;
}

Result<Plan> make_plan(Session& session, const Changes& changes)
{
    Plan plan;
    HW_CHECK(check_names_differ(changes));
    for (const auto& request : changes.add) HW_CHECK(plan_add(session, request, plan));
    for (const auto& request : changes.change) HW_CHECK(plan_change(session, request, plan));
    for (const auto& name : changes.remove)
        if (take(session, name, plan).empty() && !changes.if_exists)
            return fail(ErrorKind::not_found, "no rule is called {}: see `headwind list`", name);
    HW_CHECK(plan_guards(session, plan));
    while (plan.max_rules < 2 * plan.fresh.size() && plan.max_rules < HW_MAX_RULES) plan.max_rules *= 2;
    const bool has_fq = session.instance && session.instance->control->line_pace != 0;
    if (!has_fq)
        for (const auto& record : plan.fresh) HW_CHECK(require_fq(record.rule));
    return plan;
}

}  // namespace headwind
