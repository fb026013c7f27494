// SPDX-License-Identifier: MIT
// Looks at an instance for the agent.
#include "agent/pending.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include <headwind/index.h>

#include "engine/reconcile.h"
#include "engine/view.h"
#include "host/clock.h"
#include "host/host.h"
#include "line/damage.h"
#include "line/line.h"
#include "ruleset/leases.h"

namespace headwind {
namespace {

using Links = std::vector<netlink::Link>;

constexpr std::uint64_t share_interval = 1'000'000'000;  // ns; a stop by --max-share is looked for this often
constexpr std::uint64_t minute = 60'000'000'000, hour = 60 * minute;  // ns
constexpr std::uint64_t look_again = 1'000'000'000;                   // ns; the next look while packets are in the line

// Finds stops that nobody has told yet, and checks to run. The datapath tells nobody that it stopped a rule: out.next
// sets the next look.
Status find_stops(const Instance& instance, const Entries& rules, PendingWork& out)
{
    if (!rules.may_have(HW_INDEX_CHECKED | HW_INDEX_SHARE)) return {};
    for (const auto& rule : rules) {
        if (!(rule->flags & (HW_INDEX_CHECKED | HW_INDEX_SHARE))) continue;
        HW_TRY(const auto stop, instance.stops.find(rule->state));
        const bool untold = stop && stop->told == 0;
        if (untold || (!stop && (rule->flags & HW_INDEX_CHECKED))) {
            HW_TRY(const auto record, read_record(instance, rule->id));
            if (untold)
                out.stopped.push_back({rule->state, record.rule.name, describe(*stop, record.rule)});
            else
                out.checks.push_back({rule->state, record.rule.name, record.rule.stop_if});
        }
        const auto soon = boottime_ns() + share_interval;
        if (!stop && (rule->flags & HW_INDEX_SHARE)) out.next = out.next == 0 ? soon : std::min(out.next, soon);
    }
    return {};
}

// CLOCK_BOOTTIME ns at which a deadline passes, or at which it, a lease or a wait for confirmation next makes a rule
// stale; 0: never.
Result<std::uint64_t> next_end(const Instance& instance, const Entries& rules)
{
    std::uint64_t next = 0;
    const auto sooner = [&next](std::uint64_t time) { next = next == 0 ? time : std::min(next, time); };
    HW_TRY(const auto leases, read_leases(instance, rules));
    const auto now = boottime_ns();
    for (const auto& rule : rules) {
        if (is_pending(rule, now)) sooner(rule.rest().pending);
        if (rule->deadline != 0) sooner(rule->deadline > now ? rule->deadline : rule->deadline + keep_expired + 1);
        if (!(rule->flags & HW_INDEX_LEASED)) continue;
        if (const auto lease = leases.find(rule->state); lease != leases.end()) sooner(lease->second);
    }
    return next;
}

// The directories of the rules' cgroups, for the agent to watch.
Result<std::vector<std::string>> cgroup_directories(const Instance& instance, const Entries& rules)
{
    std::vector<std::string> out;
    if (!rules.may_have(HW_INDEX_CGROUP)) return out;
    std::set<std::uint64_t> seen;  // ids
    const auto mount = cgroup2_mount();
    for (const auto& rule : rules) {
        if (!mount || !(rule->flags & HW_INDEX_CGROUP)) continue;
        if (!seen.insert(rule.rest().cgroup).second && !(rule->flags & HW_INDEX_CGROUPS)) continue;
        HW_TRY(const auto record, read_record(instance, rule->id));
        for (const auto& cgroup : record.cgroups) out.push_back(*mount + cgroup.path);
    }
    return out;
}

// The cgroups of rules that are gone. (Those that were made anew are moves.)
Result<std::vector<std::string>> gone_cgroups(const Instance& instance, const Entries& rules)
{
    std::vector<std::string> out;
    if (!rules.may_have(HW_INDEX_CGROUP)) return out;
    GoneCgroups gone(instance);
    for (const auto& rule : rules) {
        if (rule->flags & HW_INDEX_SUBJECT) continue;
        HW_TRY(const bool all, gone.all_of(rule));
        if (!all) continue;
        HW_TRY(const auto record, read_record(instance, rule->id));
        for (const auto& cgroup : record.cgroups)
            if (!find_cgroup(cgroup.path)) out.push_back(fmt::format("cgroup {} is gone", cgroup.path));
    }
    return out;
}

// What others have done to `gone` cgroups, and, as find_work() found it, at the line.
Result<std::vector<std::string>> damage_of(std::vector<std::string> gone, const Instance& instance,
                                           const Entries& rules, const Links& links, const Work& work)
{
    auto out = std::move(gone);
    if (!work.line.empty()) out.push_back(work.line);
    for (const auto& device : work.taken_off)
        out.push_back(fmt::format("somebody took Headwind's program off {}", device));
    if (!rules.may_have(HW_INDEX_LINE)) return out;
    HW_TRY(const auto guests, line_guests(instance, links));
    for (const auto& device : guests)
        out.push_back(fmt::format("others' tc programs or filters at {} may drop or change packets of rules", device));
    return out;
}

Result<PendingWork> look_for_work(const Instance& instance, std::uint64_t before, std::uint64_t now)
{
    PendingWork out;
    out.exists = true;
    const auto rules = entries_in_force(instance);
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(const auto stale, stale_rules(instance, rules));
    HW_TRY(out.next, next_end(instance, rules));
    HW_TRY(auto gone, gone_cgroups(instance, rules));  // first: what comes back meanwhile is then due, and gone
    HW_TRY(auto work, find_work(instance, rules, links));
    if (rules.empty() || !work.lost.empty()) {
        HW_TRY(const auto line, line_stats(instance, links));
        if (line.held_packets != 0) {
            work.lost.clear();
            out.next = boottime_ns() + look_again;
        } else {
            out.due = true;
        }
    }
    HW_CHECK(find_stops(instance, rules, out));
    HW_TRY(out.damage, damage_of(std::move(gone), instance, rules, links, work));
    out.suspect = suspect_hooks(instance);
    if (before / minute != now / minute) watch_on(instance, before / hour != now / hour);
    for (const auto& rule : rules)
        if (rule->deadline > before && rule->deadline <= now) out.expired.push_back(rule_name(rule));
    out.due = out.due || work.any() || !stale.empty() || instance.control->dirty != 0;
    HW_TRY(out.cgroups, cgroup_directories(instance, rules));
    out.subject = subject_there(instance, rules).value_or(std::nullopt);
    return out;
}

}  // namespace

Result<Trouble> find_trouble(bool all)
{
    Trouble out;
    HW_TRY(const auto lock, InstanceLock::take());
    HW_TRY(const auto instance, open_instance());
    if (!instance) return out;
    HW_TRY(const auto links, netlink::list_links());
    const auto rules = entries_in_force(*instance);
    HW_TRY(auto gone, gone_cgroups(*instance, rules));
    HW_TRY(const auto work, find_work(*instance, rules, links));
    HW_TRY(out.damage, damage_of(std::move(gone), *instance, rules, links, work));
    out.suspect = suspect_hooks(*instance);
    if (!all && out.damage.empty() && out.suspect.empty()) return out;
    HW_TRY(const auto now, look_at(*instance, false));
    for (const auto& one : now.rules) {
        if (one.state == RuleState::broken) out.not_effective[one.record.rule.name] = one.trouble;
        if (one.state == RuleState::live || one.state == RuleState::off_hours)
            out.effective.insert(one.record.rule.name);
    }
    return out;
}

Status heed_check(const StopCheck& check, const std::string& failure)
{
    HW_TRY(const auto instance, open_instance());
    if (!instance) return {};
    if (!failure.empty()) return stop_for_check(*instance, check.stable_id, failure);
    auto renewed = renew_lease(*instance, check.stable_id, check_lease);
    if (renewed || renewed.error().kind == ErrorKind::not_found) return {};
    return renewed;
}

Status note_told(const std::vector<Stopped>& stopped)
{
    if (stopped.empty()) return {};
    HW_TRY(const auto instance, open_instance());
    for (const auto& one : stopped) {
        if (!instance) return {};
        HW_TRY(auto stop, instance->stops.find(one.stable_id));
        if (!stop) continue;
        stop->told = 1;
        HW_CHECK(instance->stops.put(one.stable_id, *stop));
    }
    return {};
}

Result<PendingWork> find_pending_work(std::uint64_t before, std::uint64_t now)
{
    HW_TRY(auto found,
           look_without_lock([=](const Instance& instance) { return look_for_work(instance, before, now); }));
    return found ? std::move(*found) : PendingWork();
}

}  // namespace headwind
