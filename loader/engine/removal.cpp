// SPDX-License-Identifier: MIT
// Removes rules, whole instances, and what is left at devices where the pins cannot be opened.
#include "engine/removal.h"

#include <algorithm>
#include <map>
#include <set>

#include <headwind/index.h>

#include "datapath/attached.h"
#include "engine/changed.h"
#include "engine/view.h"
#include "line/reclaim.h"
#include "ruleset/transaction.h"

namespace headwind {
namespace {

void tell_removed(const std::vector<std::string>& names, const std::optional<Subject>& subject)
{
    Changed changed;
    changed.removed = names;
    changed.subject = subject;
    tell(changed);
}

// The names of the rules, oldest rule first, each once: two rules share a name while a change waits to be confirmed.
std::vector<std::string> names_of(const Entries& rules)
{
    std::vector<RuleRef> sorted(rules.begin(), rules.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
    std::vector<std::string> out;
    std::set<std::string> seen;
    for (const auto& rule : sorted)
        if (auto name = rule_name(rule); seen.insert(name).second) out.push_back(std::move(name));
    return out;
}

// Removes all rules, and with them the instance. `asked`: the rules that the caller asked to remove; guards go with
// them unasked.
Result<Removed> remove_everything(WriteSession& session, const Entries& asked, const Progress& progress,
                                  std::chrono::nanoseconds drain)
{
    Removed out;
    out.rules = names_of(asked);
    const auto names =
        names_of(session.rules.where([](const auto& rule) { return (rule->flags & HW_INDEX_SSH) == 0; }));
    std::optional<Subject> subject;
    if (session.instance && !session.rules.empty()) {
        subject = subject_there(*session.instance, session.rules).value_or(std::nullopt);
        HW_CHECK(retire(*session.instance));
    }
    session.look_again();
    tell_removed(names, subject);
    HW_TRY(out.packets_lost, drain_and_tear_down(session, drain, progress));
    out.instance_gone = !session.instance;
    return out;
}

Entries rules_but(const Entries& rules, const Entries& gone)
{
    std::set<std::uint32_t> going;
    for (const auto& rule : gone) going.insert(rule->id);
    return rules.where([&going](const auto& rule) { return !going.contains(rule->id); });
}

}  // namespace

Result<std::vector<LeftRule>> rules_left(const WriteSession& session)
{
    std::vector<LeftRule> out;
    std::map<std::uint64_t, std::string> owners;  // by hash
    for (const auto& rule : session.rules) {
        if (is_guard(rule)) continue;
        auto owner = owners.find(rule.rest().owner_hash);
        if (owner == owners.end()) {
            HW_TRY(const auto record, read_record(*session.instance, rule->id));
            owner = owners.emplace(rule.rest().owner_hash, record.owner).first;
        }
        out.push_back({rule_name(rule), owner->second});
    }
    return out;
}

Removed foretell_removal(WriteSession& session, const Entries& gone)
{
    Removed out;
    out.rules = names_of(gone);
    session.rules = rules_but(session.rules, gone);
    out.instance_gone = session.instance && only_guards(session.rules);
    return out;
}

Result<Removed> remove_rules(WriteSession& session, const Entries& gone, const Progress& progress,
                             std::chrono::nanoseconds drain)
{
    if (only_guards(rules_but(session.rules, gone))) return remove_everything(session, gone, progress, drain);
    Removed out;
    if (!gone.empty()) {
        out.rules = names_of(gone);
        HW_TRY(const auto records, read_records(*session.instance, gone));
        const auto subject = subject_there(*session.instance, gone).value_or(std::nullopt);
        const auto committed = commit(*session.instance, {{}, records});
        session.look_again();
        HW_CHECK(committed);
        tell_removed(out.rules, subject);
    }
    HW_CHECK(trim_hooks(*session.instance, session.rules));
    return out;
}

std::vector<ProgramAt> plain(const std::vector<AttachedProgram>& programs)
{
    std::vector<ProgramAt> out;
    for (const auto& program : programs) out.push_back({program.device, program.hook, program.id});
    return out;
}

Result<Removed> clear_by_devices(const Error& why, const Progress& progress, std::chrono::nanoseconds drain)
{
    Removed out;
    const auto lock = InstanceLock::take();
    if (!lock && lock.error().kind == ErrorKind::busy) return tl::unexpected(lock.error());
    auto reclaimed = reclaim(drain, progress);
    if (!reclaimed) return tl::unexpected(why);
    out.programs = plain(reclaimed->programs);
    out.packets_lost = reclaimed->packets_lost;
    out.instance_gone = true;
    if (const auto removed = remove_instance_pins(); !removed)
        return fail(removed.error().kind, "{}, but of the pins there is left: {}",
                    out.programs.empty() ? "no program of Headwind's is at a device of this network namespace"
                                         : "programs taken off: " + describe(reclaimed->programs),
                    removed.error().message);
    return out;
}

}  // namespace headwind
