#include "guards.h"

#include <unistd.h>

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

// Of guard rules, by name, for the connections they are to be there for.
Result<std::vector<Rule>> guards_for(const std::vector<const Rule*>& rules)
{
    HW_TRY(const auto here, current_netns());
    std::vector<Rule> out;
    for (const auto& connection : ssh_connections_of(getpid(), "/proc")) {
        const auto any = [&rules, &connection](auto predicate) {
            return std::any_of(rules.begin(), rules.end(),
                               [&](const Rule* rule) { return predicate(*rule, connection); });
        };
        if (connection.netns == here.inode && any(could_match) && !any(names)) out.push_back(guard_rule(connection));
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

bool has_ended(const Rule& guard, const std::set<std::pair<unsigned, unsigned>>& established)
{
    const auto& selector = guard.selector;
    return !established.contains({selector.local_ports.front().first, selector.remote_ports.front().first});
}

}  // namespace

Status plan_guards(Session& session, Plan& plan)
{
    const auto rules = rules_of(session, plan);
    std::vector<RuleRecord> obsolete;
    if (rules.empty()) {
        obsolete = session.records;
    } else {
        HW_TRY(const auto wanted, guards_for(rules));
        const auto established = established_ports();
        const auto is_wanted = [&wanted](const std::string& name) {
            return std::any_of(wanted.begin(), wanted.end(), [&name](const Rule& rule) { return rule.name == name; });
        };
        const auto is_meant = [&rules](const Rule& guard) {
            const auto& selector = guard.selector;
            const SshConnection connection{selector.remotes.front(), selector.locals.front(),
                                           selector.remote_ports.front().first, selector.local_ports.front().first, 0};
            return std::any_of(rules.begin(), rules.end(),
                               [&connection](const Rule* rule) { return names(*rule, connection); });
        };
        std::set<std::string> taken;
        for (const auto& record : session.records) {
            taken.insert(record.rule.name);
            if (record.guard && !is_wanted(record.rule.name) &&
                (is_meant(record.rule) || has_ended(record.rule, established)))
                obsolete.push_back(record);
        }
        for (const auto& record : plan.fresh) taken.insert(record.rule.name);
        for (const auto& rule : wanted) {
            if (taken.contains(rule.name)) continue;
            AddRequest request;
            request.rule = rule;
            request.owner = guard_owner;
            HW_TRY(auto record, new_record(request));
            record.guard = true;
            plan.fresh.push_back(std::move(record));
        }
    }
    subtract(session.records, obsolete);
    plan.gone.insert(plan.gone.end(), obsolete.begin(), obsolete.end());
    return {};
}

}  // namespace headwind
