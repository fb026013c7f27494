// SPDX-License-Identifier: MIT
// Turns requests into records, after checking them against the rules in force.
#include "engine/plan.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

#include <headwind/index.h>

#include "host/agent_claim.h"
#include "host/clock.h"
#include "host/netlink.h"
#include "ruleset/stops.h"
#include "ruleset/timelines.h"

namespace headwind {
namespace {

Status require_fq()
{
    HW_TRY(const bool fq, netlink::kernel_has_fq());
    if (fq) return {};
    return fail(
        ErrorKind::unsupported,
        "this kernel has no sch_fq: delay and rate need it (Debian: boot linux-image-amd64; or see it now: tools/demo --guest); loss and partition work here.");
}

void set_deadline(RuleRecord& record, std::uint64_t duration)
{
    record.deadline = duration != 0 ? boottime_ns() + duration : 0;
    record.until =
        duration != 0 ? wall_seconds() + static_cast<std::int64_t>((duration + 500'000'000) / 1'000'000'000) : 0;
}

Status find_clock(RuleRecord& record)
{
    if (!record.rule.hours) return {};
    HW_TRY(record.clock, host_clock());
    return {};
}

Status find_cgroups(RuleRecord& record)
{
    record.cgroups.clear();
    const char* flag = record.guard == Guard::protect ? "--protect" : "--cgroup";
    for (const auto& text : record.rule.selector.cgroups) {
        HW_TRY(auto cgroup, find_cgroup(text, flag));
        record.cgroups.push_back(std::move(cgroup));
    }
    return {};
}

// Fails if no agent serves this namespace: the agent runs --stop-if and renews the rule's lease at each check; without
// it the rule would end by its lease.
Status require_agent(const Rule& rule)
{
    HW_TRY(const bool there, agent_serves_here());
    if (there) return {};
    return fail(
        ErrorKind::unsupported,
        "--stop-if {}: `headwind agent` runs it, and none runs here: start it first (systemctl start headwind-agent)",
        rule.stop_if);
}

Status change_check(const RuleRecord& before, RuleRecord& record)
{
    const bool had = !before.rule.stop_if.empty(), has = !record.rule.stop_if.empty();
    if (has && !had && record.lease != 0)
        return fail(ErrorKind::usage, "--stop-if {}: {} has a lease, and can end by one of them only",
                    record.rule.stop_if, record.rule.name);
    if (has && !had) HW_CHECK(require_agent(record.rule));
    if (has != had) record.lease = has ? check_lease : 0;
    return {};
}

// Gives the rule new steps if the change is about its timeline, or about what is the same in all of its steps.
Status change_timeline(const Instance& instance, const RuleRecord& before, RuleRecord& record)
{
    auto& timeline = record.rule.timeline;
    const bool begins = timeline && (timeline->rows || timeline != before.rule.timeline);
    if (begins) record.since = boottime_ns();
    if (timeline == before.rule.timeline && !begins && record.rule.impairment == before.rule.impairment) return {};
    record.timeline = 0;
    if (!timeline || begins || timeline->file.empty()) return {};
    HW_TRY(const auto steps, read_timeline(instance, before.timeline, timeline->phases));
    timeline->rows = std::make_shared<const std::vector<Phase>>(phases_of(*timeline, steps));
    return {};
}

Result<RuleRecord> changed_record(const Instance& instance, const RuleRecord& before, const ChangeRequest& request)
{
    RuleRecord record = before;
    HW_TRY(record.rule, request.edit(before.rule));
    HW_CHECK(change_timeline(instance, before, record));
    if (request.duration) set_deadline(record, *request.duration);
    HW_CHECK(change_check(before, record));
    HW_CHECK(find_clock(record));
    if (record.rule.selector.cgroups != before.rule.selector.cgroups) HW_CHECK(find_cgroups(record));
    return record;
}

// Adds the rules of this name to plan.remove. Returns the last of them, which is the one that has not expired, if there
// is one; null: none has this name.
Result<const RuleRecord*> take(const WriteSession& session, const Named& named, const std::string& name, Plan& plan)
{
    const auto [begin, end] = named.equal_range(name);
    const auto now = boottime_ns();
    for (const bool expired : {true, false}) {
        for (auto one = begin; one != end; ++one) {
            if (is_expired(one->second, now) != expired) continue;
            HW_TRY(auto record, read_record(*session.instance, one->second->id));
            plan.remove.push_back(std::move(record));
        }
    }
    return begin == end ? nullptr : &plan.remove.back();
}

Status plan_change(const WriteSession& session, const Named& named, const ChangeRequest& request, Plan& plan)
{
    HW_TRY(const auto* before, take(session, named, request.name, plan));
    if (before == nullptr) return fail_no_rule(request.name);
    if (before->guard != Guard::no)
        return fail(ErrorKind::usage, "{0}: what is left alone cannot be changed, but taken away: headwind del {0}",
                    request.name);
    HW_TRY(auto record, changed_record(*session.instance, *before, request));
    if (request.go_on) plan.go_on.push_back(record.stable_id);
    plan.add.push_back(std::move(record));
    return {};
}

// Plans a rule to add. An expired rule of the same name is no obstacle.
Status plan_add(const WriteSession& session, const Named& named, const AddRequest& request, Plan& plan)
{
    const auto [begin, end] = named.equal_range(request.rule.name);
    for (auto one = begin; one != end; ++one) {
        const auto& rule = one->second;
        if (is_guard(rule))
            return fail(
                ErrorKind::usage,
                "--name {0}: this is the name of what is left alone: choose another, or take that away (headwind del {0})",
                request.rule.name);
        if (!request.replace && !is_expired(rule, boottime_ns()))
            return fail(ErrorKind::usage,
                        "--name {}: a rule of this name exists: choose another, or put it in its place with --replace",
                        request.rule.name);
    }
    HW_CHECK(take(session, named, request.rule.name, plan));
    HW_TRY(auto record, new_record(request));
    plan.add.push_back(std::move(record));
    plan.protect.insert(plan.protect.end(), request.protect.begin(), request.protect.end());
    if (request.max_held != 0) plan.max_held = request.max_held;
    plan.max_rules = std::max(plan.max_rules, request.max_rules);
    return {};
}

std::vector<std::string> names_in(const Changes& changes)
{
    auto out = changes.remove;
    for (const auto& request : changes.change) out.push_back(request.name);
    for (const auto& request : changes.add) out.push_back(request.rule.name);
    return out;
}

// Fails if a rule to change waits to be confirmed, or if a second change would wait: one waits at a time.
Status check_settled(const WriteSession& session, const Changes& changes)
{
    std::set<std::string> pending;
    if (!session.rules.may_have(HW_INDEX_PENDING)) return {};
    for (const auto& rule : session.rules)
        if (is_pending(rule, boottime_ns())) pending.insert(rule_name(rule));
    const auto look = [&pending](const std::string& name) -> Status {
        if (pending.contains(name)) return fail_pending(name);
        return {};
    };
    if (changes.confirm != 0 && !pending.empty()) return fail_pending("");
    for (const auto& name : names_in(changes)) HW_CHECK(look(name));
    return {};
}

// Makes the plan wait: its rules end at `until`, and the rules it removes stay as former ones, to come back then.
void await_confirmation(Plan& plan, std::uint64_t until)
{
    for (auto& record : plan.add) record.pending = until;
    for (auto record : plan.remove) {
        if (record.deadline != 0 && boottime_ns() >= record.deadline) continue;
        record.pending = until;
        record.former = true;
        plan.add.push_back(std::move(record));
    }
}

Status check_names_differ(const Changes& changes)
{
    std::set<std::string> seen;
    for (const auto& name : names_in(changes))
        if (!seen.insert(name).second) return fail(ErrorKind::usage, "{} is named twice: once per rule, please", name);
    return {};
}

}  // namespace

tl::unexpected<Error> fail_pending(const std::string& name)
{
    return fail(ErrorKind::busy,
                "{} waits to be confirmed: `headwind confirm`, or `headwind confirm --undo`, comes first",
                name.empty() ? "a change" : "a change of " + name);
}

Result<RuleRecord> new_record(const AddRequest& request, Guard guard)
{
    RuleRecord record;
    record.guard = guard;
    record.everywhere = guard != Guard::no;
    record.rule = request.rule;
    record.created = wall_seconds();
    record.since = boottime_ns();
    set_deadline(record, request.duration);
    record.lease = request.lease;
    if (!record.rule.stop_if.empty()) {
        if (request.lease != 0)
            return fail(ErrorKind::usage, "--stop-if {}: not with --lease or --hold: the rule ends without its agent",
                        record.rule.stop_if);
        HW_CHECK(require_agent(record.rule));
        record.lease = check_lease;
    }
    record.owner = request.owner;
    HW_CHECK(find_clock(record));
    HW_CHECK(find_cgroups(record));
    return record;
}

Result<Plan> make_plan(WriteSession& session, const Changes& changes)
{
    Plan plan;
    plan.protect = changes.protect;
    HW_CHECK(check_names_differ(changes));
    HW_CHECK(check_settled(session, changes));
    const auto named = find_named(session.rules, names_in(changes));
    for (const auto& request : changes.add) HW_CHECK(plan_add(session, named, request, plan));
    for (const auto& request : changes.change) HW_CHECK(plan_change(session, named, request, plan));
    for (const auto& name : changes.remove) {
        HW_TRY(const auto* taken, take(session, named, name, plan));
        if (taken == nullptr && !changes.if_exists) return fail_no_rule(name);
    }
    remove(session.rules, plan.remove);
    return plan;
}

Status complete_plan(const WriteSession& session, const Changes& changes, Plan& plan)
{
    if (changes.confirm != 0) await_confirmation(plan, boottime_ns() + changes.confirm);
    const auto fresh = static_cast<std::uint32_t>(std::min<std::size_t>(plan.add.size(), HW_MAX_RULES));
    if (plan.max_rules == 0)  // not given: room to change all of them at once
        plan.max_rules = std::clamp<std::uint32_t>(2 * fresh, HW_DEFAULT_RULES, HW_MAX_RULES);
    const bool has_fq = session.instance && session.instance->control->line_pace != 0;
    const bool needs_fq = std::any_of(plan.add.begin(), plan.add.end(), [](const RuleRecord& record) {
        return record.rule.impairment.delay != 0 || record.rule.impairment.rate != 0;
    });
    return needs_fq && !has_fq ? require_fq() : Status{};
}

}  // namespace headwind
