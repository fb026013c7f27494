// SPDX-License-Identifier: MIT
// Compares the SSH connections here with the rules, and plans guards to add and to remove.
#include "engine/ssh_guard.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include <headwind/index.h>

#include "host/host.h"

namespace headwind {
namespace {

constexpr const char* guard_owner = "headwind";

// The rules that the plan adds, without guards.
std::vector<const Rule*> fresh_rules(const Plan& plan)
{
    std::vector<const Rule*> out;
    for (const auto& record : plan.add)
        if (record.guard == Guard::no) out.push_back(&record.rule);
    return out;
}

using Ports = std::set<std::pair<unsigned, unsigned>>;

// The ports of this namespace's established TCP connections: pairs of local and remote, as in guards.
Ports all_established_ports()
{
    Ports out;
    for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);)
            if (const auto ports = established_ports(std::move(line))) out.insert(*ports);
    }
    return out;
}

bool is_among(const Ports& established, const SshConnection& connection)
{
    return established.contains({connection.server_port, connection.client_port});
}

bool any_names(const std::vector<const Rule*>& rules, const SshConnection& connection)
{
    return std::any_of(rules.begin(), rules.end(), [&](const Rule* rule) { return names(*rule, connection); });
}

// Whether a rule in force names the connection. Only descriptions of rules that name a local port are read.
Result<bool> is_named(const WriteSession& session, const SshConnection& connection)
{
    for (const auto& rule : session.rules) {
        if (!(rule->flags & HW_INDEX_PORT) || is_guard(rule)) continue;
        HW_TRY(const auto record, read_record(*session.instance, rule->id));
        if (names(record.rule, connection)) return true;
    }
    return false;
}

// Guards for those of the caller's connections that an added rule could befall or that have a guard already, unless a
// rule names them. In tmux, the connection that the server was started on may have ended long ago: it gets none.
Result<std::vector<Rule>> guards_for(const WriteSession& session, const std::vector<const Rule*>& fresh,
                                     const Ports& established)
{
    HW_TRY(const auto connections, ssh_connections_here());
    std::vector<Rule> out;
    for (const auto& connection : connections) {
        if (!is_among(established, connection) || any_names(fresh, connection)) continue;
        auto guard = guard_rule(connection);
        if (!find_named(session.rules, {guard.name}).empty()) {
            out.push_back(std::move(guard));
            continue;
        }
        const auto befalls = [&connection](const Rule* rule) { return could_match(*rule, connection); };
        if (std::none_of(fresh.begin(), fresh.end(), befalls)) continue;
        HW_TRY(const bool named, is_named(session, connection));
        if (!named) out.push_back(std::move(guard));
    }
    return out;
}

// The connection that a guard spares, which may be somebody else's.
SshConnection connection_of(const Rule& guard)
{
    const auto& selector = guard.selector;
    return {selector.remotes.front(), selector.locals.front(), selector.remote_ports.front().first,
            selector.local_ports.front().first, 0};
}

bool has(const std::vector<Rule>& rules, const std::string& name)
{
    return std::any_of(rules.begin(), rules.end(), [&name](const Rule& rule) { return rule.name == name; });
}

// The SSH guards in force that are to go. Guards of others' connections stay until a rule names the connection or it
// has ended.
Result<std::vector<RuleRecord>> obsolete_guards(const WriteSession& session, const std::vector<const Rule*>& fresh,
                                                const std::vector<Rule>& wanted, const Ports& established)
{
    std::vector<RuleRecord> out;
    if (!session.rules.may_have(HW_INDEX_SSH)) return out;
    for (const auto& rule : session.rules) {
        if (!(rule->flags & HW_INDEX_SSH) || is_pending(rule, boottime_ns()) || has(wanted, rule_name(rule))) continue;
        HW_TRY(auto record, read_record(*session.instance, rule->id));
        const auto connection = connection_of(record.rule);
        if (!is_among(established, connection) || any_names(fresh, connection)) out.push_back(std::move(record));
    }
    return out;
}

struct Taken {
    Guard guard;
    bool pending;
};

// The names that are taken: by rules in force, as far as `wanted` has them, and by rules that the plan adds.
std::map<std::string, Taken> taken_names(const WriteSession& session, const Plan& plan, const std::vector<Rule>& wanted)
{
    std::map<std::string, Taken> out;
    std::vector<std::string> names;
    for (const auto& rule : wanted) names.push_back(rule.name);
    for (const auto& [name, rule] : find_named(session.rules, names)) {
        const auto guard = rule->flags & HW_INDEX_PROTECT ? Guard::protect
                           : rule->flags & HW_INDEX_SSH   ? Guard::ssh
                                                          : Guard::no;
        out[name] = {guard, is_pending(rule, boottime_ns())};
    }
    for (const auto& record : plan.add) out[record.rule.name] = {record.guard, record.pending != 0};
    return out;
}

// Adds the guards in `wanted` that are not there yet to the plan.
Status add_guards(const WriteSession& session, Guard kind, const std::vector<Rule>& wanted, Plan& plan)
{
    if (wanted.empty()) return {};
    auto taken = taken_names(session, plan, wanted);
    for (const auto& rule : wanted) {
        const auto there = taken.find(rule.name);
        if (there != taken.end() && there->second.guard != kind)
            return fail(
                ErrorKind::usage,
                "a rule is called {0}, the name of what is to be left alone ({1}): give it another name, or remove it first (headwind del {0})",
                rule.name, describe_rule(rule));
        if (there != taken.end() && there->second.pending && kind == Guard::protect) return fail_pending(rule.name);
        if (there != taken.end()) continue;
        AddRequest request;
        request.rule = rule;
        request.owner = guard_owner;
        HW_TRY(auto record, new_record(request, kind));
        taken[rule.name] = {kind, false};
        plan.add.push_back(std::move(record));
    }
    return {};
}

}  // namespace

Result<std::vector<SshConnection>> ssh_connections_here()
{
    HW_TRY(const auto here, current_netns());
    auto out = ssh_connections_of(getpid(), "/proc");
    std::erase_if(out, [&here](const SshConnection& connection) { return connection.netns != here.inode; });
    return out;
}

Status plan_guards(WriteSession& session, Plan& plan)
{
    const auto fresh = fresh_rules(plan);
    std::vector<RuleRecord> obsolete;
    if (fresh.empty() && only_guards(session.rules)) {
        if (session.instance) {
            HW_TRY(obsolete, read_records(*session.instance, session.rules));
        }
    } else {
        const auto established = all_established_ports();
        HW_TRY(const auto wanted, guards_for(session, fresh, established));
        HW_TRY(obsolete, obsolete_guards(session, fresh, wanted, established));
        HW_CHECK(add_guards(session, Guard::ssh, wanted, plan));
        HW_CHECK(add_guards(session, Guard::protect, plan.protect, plan));
    }
    remove(session.rules, obsolete);
    plan.remove.insert(plan.remove.end(), obsolete.begin(), obsolete.end());
    return {};
}

}  // namespace headwind
