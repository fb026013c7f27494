#include "guards.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "ssh_session.h"

namespace headwind {
namespace {

constexpr const char* guard_owner = "headwind";

// The rules that will be in force.
std::vector<const Rule*> rules_of(const Session& session, const Plan& plan)
{
    std::vector<const Rule*> out;
    for (const auto* records : {&session.records, &plan.fresh})
        for (const auto& record : *records)
            if (!record.guard) out.push_back(&record.rule);
    return out;
}

// Of the caller's connections, each that a rule could befall and none names.
Result<std::vector<Rule>> guards_for(const std::vector<const Rule*>& rules)
{
    HW_TRY(const auto connections, ssh_connections_here());
    std::vector<Rule> out;
    for (const auto& connection : connections) {
        const auto any = [&rules, &connection](auto predicate) {
            return std::any_of(rules.begin(), rules.end(),
                               [&](const Rule* rule) { return predicate(*rule, connection); });
        };
        if (any(could_match) && !any(names)) out.push_back(guard_rule(connection));
    }
    return out;
}

// Ports of this namespace's established TCP connections, local and remote, as guards have them.
std::set<std::pair<unsigned, unsigned>> established_ports()
{
    constexpr unsigned established = 1;
    std::set<std::pair<unsigned, unsigned>> out;
    for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
        std::ifstream file(path);
        std::string line;
        while (std::getline(file, line)) {
            std::replace(line.begin(), line.end(), ':', ' ');
            std::istringstream words(line);
            std::string slot, local, remote;
            unsigned local_port = 0, remote_port = 0, state = 0;
            words >> slot >> local >> std::hex >> local_port >> remote >> remote_port >> state;
            if (words && state == established) out.emplace(local_port, remote_port);
        }
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

// Guards that are there and not wanted: others' stay until a rule names them or they have ended.
std::vector<RuleRecord> obsolete_guards(const std::vector<RuleRecord>& records, const std::vector<const Rule*>& rules,
                                        const std::vector<Rule>& wanted)
{
    const auto established = established_ports();
    std::vector<RuleRecord> out;
    for (const auto& record : records) {
        if (!record.guard || has(wanted, record.rule.name)) continue;
        const auto connection = connection_of(record.rule);
        const bool ended = !established.contains({connection.server_port, connection.client_port});
        const bool named = std::any_of(rules.begin(), rules.end(),
                                       [&connection](const Rule* rule) { return names(*rule, connection); });
        if (ended || named) out.push_back(record);
    }
    return out;
}

Status add_guards(const Session& session, const std::vector<Rule>& wanted, Plan& plan)
{
    std::set<std::string> taken;
    for (const auto* records : {&session.records, &std::as_const(plan.fresh)})
        for (const auto& record : *records) taken.insert(record.rule.name);
    for (const auto& rule : wanted) {
        if (taken.contains(rule.name)) continue;
        AddRequest request;
        request.rule = rule;
        request.owner = guard_owner;
        HW_TRY(auto record, new_record(request));
        record.guard = true;
        plan.fresh.push_back(std::move(record));
    }
    return {};
}

}  // namespace

Status plan_guards(Session& session, Plan& plan)
{
    const auto rules = rules_of(session, plan);
    auto obsolete = session.records;  // guards only, if there is no rule
    if (!rules.empty()) {
        HW_TRY(const auto wanted, guards_for(rules));
        obsolete = obsolete_guards(session.records, rules, wanted);
        HW_CHECK(add_guards(session, wanted, plan));
    }
    subtract(session.records, obsolete);
    plan.gone.insert(plan.gone.end(), obsolete.begin(), obsolete.end());
    return {};
}

}  // namespace headwind
