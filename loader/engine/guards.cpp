#include "engine/guards.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "host/host.h"

namespace headwind {
namespace {

constexpr const char* guard_owner = "headwind";

// The rules that will be in force.
std::vector<const Rule*> rules_of(const Session& session, const Plan& plan)
{
    std::vector<const Rule*> out;
    for (const auto* records : {&session.records, &plan.fresh})
        for (const auto& record : *records)
            if (record.guard == Guard::no) out.push_back(&record.rule);
    return out;
}

using Ports = std::set<std::pair<unsigned, unsigned>>;

// Ports of this namespace's established TCP connections, local and remote, as guards have them.
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

// Of the caller's connections, each that a rule could befall and none names. In tmux, one that its server was started
// on may have ended long ago.
Result<std::vector<Rule>> guards_for(const std::vector<const Rule*>& rules, const Ports& established)
{
    HW_TRY(const auto connections, ssh_connections_here());
    std::vector<Rule> out;
    for (const auto& connection : connections) {
        const auto any = [&rules, &connection](auto predicate) {
            return std::any_of(rules.begin(), rules.end(),
                               [&](const Rule* rule) { return predicate(*rule, connection); });
        };
        if (is_among(established, connection) && any(could_match) && !any(names)) out.push_back(guard_rule(connection));
    }
    return out;
}

// The connection of a guard, which others may have typed on.
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

// Guards of SSH connections that are there and not wanted: others' stay until a rule names them or they have ended.
std::vector<RuleRecord> obsolete_guards(const std::vector<RuleRecord>& records, const std::vector<const Rule*>& rules,
                                        const std::vector<Rule>& wanted, const Ports& established)
{
    std::vector<RuleRecord> out;
    for (const auto& record : records) {
        if (record.guard != Guard::ssh || record.pending != 0 || has(wanted, record.rule.name)) continue;
        const auto connection = connection_of(record.rule);
        const bool ended = !is_among(established, connection);
        const bool named = std::any_of(rules.begin(), rules.end(),
                                       [&connection](const Rule* rule) { return names(*rule, connection); });
        if (ended || named) out.push_back(record);
    }
    return out;
}

// Those that are not there yet.
Status add_guards(const Session& session, Guard kind, const std::vector<Rule>& wanted, Plan& plan)
{
    struct Taken {
        Guard guard;
        bool pending;
    };
    std::map<std::string, Taken> taken;
    for (const auto* records : {&session.records, &std::as_const(plan.fresh)})
        for (const auto& record : *records) taken[record.rule.name] = {record.guard, record.pending != 0};
    for (const auto& rule : wanted) {
        const auto there = taken.find(rule.name);
        if (there != taken.end() && there->second.guard != kind)
            return fail(ErrorKind::usage,
                        "a rule is called {0}, the name of what is to be left alone ({1}): give it another name, or "
                        "remove it first (headwind del {0})",
                        rule.name, sentence(rule));
        if (there != taken.end() && there->second.pending && kind == Guard::protect) return fail_pending(rule.name);
        if (there != taken.end()) continue;
        AddRequest request;
        request.rule = rule;
        request.owner = guard_owner;
        HW_TRY(auto record, new_record(request, kind));
        taken[rule.name] = {kind, false};
        plan.fresh.push_back(std::move(record));
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

Status plan_guards(Session& session, Plan& plan)
{
    const auto rules = rules_of(session, plan);
    auto obsolete = session.records;  // guards only, if there is no rule
    if (!rules.empty()) {
        const auto established = all_established_ports();
        HW_TRY(const auto wanted, guards_for(rules, established));
        obsolete = obsolete_guards(session.records, rules, wanted, established);
        HW_CHECK(add_guards(session, Guard::ssh, wanted, plan));
        HW_CHECK(add_guards(session, Guard::protect, plan.protect, plan));
    }
    subtract(session.records, obsolete);
    plan.gone.insert(plan.gone.end(), obsolete.begin(), obsolete.end());
    return {};
}

}  // namespace headwind
