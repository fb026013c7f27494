// SPDX-License-Identifier: MIT
// Plans the changes of a declared set of rules, and keeps the memory of applied rules.
#include "commands/rule_set.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace headwind {
namespace {

const RuleInfo* find_rule(const std::vector<RuleInfo>& records, const std::string& name)
{
    const auto found =
        std::find_if(records.begin(), records.end(), [&name](const auto& record) { return record.rule.name == name; });
    return found == records.end() ? nullptr : &*found;
}

bool is_past(std::uint64_t deadline, std::uint64_t now)
{
    return deadline != 0 && now >= deadline;
}

// The declared rule as it was applied in this boot; null: it was not, or was declared otherwise.
const AppliedRule* find_applied(const AppliedRules& applied, const DeclaredRule& declared)
{
    const auto found = applied.find(declared.request.rule.name);
    return found == applied.end() || found->second.words != declared.words ? nullptr : &found->second;
}

Status check_free(const DeclaredRule& declared, const std::string& owner, const RuleInfo& record, std::uint64_t now)
{
    if ((record.owner == owner && record.guard == Guard::no) || is_past(record.deadline, now)) return {};
    return fail(
        ErrorKind::usage,
        "{}: --name {}: there is a rule of this name that is not of this set but of {}: choose another name, or remove that one first (headwind del {})",
        declared.place, record.rule.name, record.owner, record.rule.name);
}

// Plans the change of a rule that is there and has not expired. Its counters go on, unless another lease replaces it.
void plan_present(const DeclaredRule& declared, const AppliedRule* before, const RuleInfo& record, SetChange& out)
{
    const auto& request = declared.request;
    const bool as_before = before != nullptr;
    if (record.lease != request.lease) {  // a rule gets its lease once
        out.changes.add.push_back(request);
        out.changes.add.back().replace = true;
    } else if (as_before && record.rule == request.rule) {
        out.unchanged.push_back(request.rule.name);
    } else {
        ChangeRequest change{
            request.rule.name, [rule = request.rule](const Rule&) -> Result<Rule> { return rule; }, {}};
        if (!as_before) change.duration = request.duration;
        change.for_ever = request.for_ever;
        out.changes.change.push_back(std::move(change));
    }
}

void plan_absent(const DeclaredRule& declared, const AppliedRule* before, std::uint64_t now, SetChange& out)
{
    auto request = declared.request;
    if (before != nullptr && (!before->stopped || is_past(before->deadline, now))) {
        out.ended.push_back(request.rule.name);
        return;
    }
    if (before != nullptr && before->deadline != 0) request.duration = before->deadline - now;
    out.changes.add.push_back(std::move(request));
}

// Appends the protections that are not there yet, for a rule that is.
void append_missing(const std::vector<Rule>& protect, const std::vector<RuleInfo>& in_force, std::vector<Rule>& to)
{
    for (const auto& rule : protect) {
        const auto* record = find_rule(in_force, rule.name);
        if (record == nullptr || record->guard != Guard::protect) to.push_back(rule);
    }
}

Status check_named_once(const std::vector<DeclaredRule>& declared)
{
    std::set<std::string> names;
    for (const auto& one : declared)
        if (!names.insert(one.request.rule.name).second)
            return fail(ErrorKind::usage, "{}: --name {}: an earlier line has a rule of this name", one.place,
                        one.request.rule.name);
    return {};
}

}  // namespace

Result<SetChange> plan_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                           const AppliedRules& applied, const std::vector<RuleInfo>& in_force, std::uint64_t now,
                           bool again)
{
    SetChange out;
    HW_CHECK(check_named_once(declared));
    out.changes.may_wait = true;
    std::set<std::string> names;
    for (const auto& one : declared) {
        const auto& name = one.request.rule.name;
        names.insert(name);
        const auto* before = find_applied(applied, one);
        const auto* record = find_rule(in_force, name);
        if (record != nullptr) HW_CHECK(check_free(one, owner, *record, now));
        const bool present = record != nullptr && record->owner == owner && !is_past(record->deadline, now);
        if (present) {
            plan_present(one, before, *record, out);
            append_missing(one.request.protect, in_force, out.changes.protect);
        } else {
            plan_absent(one, again ? nullptr : before, now, out);
        }
    }
    for (const auto& record : in_force)
        if (record.owner == owner && record.guard == Guard::no && !names.contains(record.rule.name))
            out.changes.remove.push_back(record.rule.name);
    return out;
}

AppliedRules remember_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                          const AppliedRules& applied, const std::vector<RuleInfo>& in_force)
{
    AppliedRules out;
    for (const auto& one : declared) {
        const auto& name = one.request.rule.name;
        AppliedRule now{one.words, 0, false};
        const auto* record = find_rule(in_force, name);
        if (const auto* before = find_applied(applied, one)) now.deadline = before->deadline;
        if (record != nullptr && record->owner == owner) now.deadline = record->deadline;
        out[name] = now;
    }
    return out;
}

AppliedRules remember_stop(const AppliedRules& applied, const std::string& owner, const std::vector<RuleInfo>& in_force,
                           std::uint64_t now)
{
    auto out = applied;
    for (auto& [name, rule] : out) {
        const auto* record = find_rule(in_force, name);
        if (record == nullptr || record->owner != owner || is_past(record->deadline, now)) continue;
        rule.stopped = true;
        rule.deadline = record->deadline;
    }
    return out;
}

std::string format_applied(const AppliedRules& applied, const BootId& of)
{
    auto rules = nlohmann::json::object();
    for (const auto& [name, rule] : applied)
        rules[name] = {{"line", rule.words}, {"deadline_boottime_ns", rule.deadline}, {"stopped", rule.stopped}};
    return nlohmann::json{{"boot_id", of.boot}, {"netns_cookie", of.netns_cookie}, {"rules", rules}}.dump(
        2, ' ', false, nlohmann::json::error_handler_t::replace);
}

AppliedRules parse_applied(const std::string& text, const BootId& of)
{
    AppliedRules out;
    try {
        const auto value = nlohmann::json::parse(text);
        if (BootId{value.at("boot_id"), value.at("netns_cookie")} != of) return {};
        for (const auto& [name, rule] : value.at("rules").items())
            out[name] = {rule.at("line"), rule.at("deadline_boottime_ns"), rule.at("stopped")};
    } catch (const nlohmann::json::exception&) {
        return {};
    }
    return out;
}

}  // namespace headwind
