// SPDX-License-Identifier: MIT
// Finds the dangers of changes, and asks on the terminal whether to go on.
#include "commands/prompt.h"

#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string_view>
#include <unordered_map>

#include "engine/ssh_guard.h"
#include "host/devices.h"
#include "util/output.h"

namespace headwind {
namespace {

// Whether the rule is for everything that goes through a device, or for all of its TCP.
bool is_wide(const Rule& rule)
{
    const auto& selector = rule.selector;
    const auto& protocols = selector.protocols;
    const bool all = protocols.empty() || std::find(protocols.begin(), protocols.end(), IPPROTO_TCP) != protocols.end();
    return all && !rule.impairment.pass && !rule.subject && selector.cgroups.empty() && selector.ports.empty() &&
           selector.local_ports.empty() && selector.remote_ports.empty() && selector.locals.empty() &&
           selector.remotes.empty();
}

// The names of the rule's devices that may be a host's only way to the world.
Result<std::vector<std::string>> lifelines(const Rule& rule, bool may_wait)
{
    HW_TRY(const auto links, netlink::list_links());
    auto devices = default_devices(links);
    if (const auto& names = rule.selector.devices; !names.empty()) {
        HW_TRY(devices, may_wait ? present_devices(links, names) : named_devices(links, names));
    }
    std::vector<std::string> out;
    for (const auto& link : devices)
        if (link.kind != "veth" && !(link.flags & IFF_LOOPBACK)) out.push_back(link.name);
    return out;
}

// A rule without an end.
struct Endless {
    Rule rule;
    bool said = false;  // --for ever
};

Status append_dangers(const Endless& endless, bool may_wait, const std::vector<SshConnection>& connections, Dangers& to)
{
    const auto& rule = endless.rule;
    if (const auto subject = subject_asked_about(rule); !subject.empty() && !endless.said)
        to.of_subjects.push_back(fmt::format("{} is for {}, with no end", rule.name, subject));
    if (is_wide(rule)) {
        HW_TRY(const auto devices, lifelines(rule, may_wait));
        if (!devices.empty())
            to.of_hosts.push_back(
                fmt::format("{} impairs everything through {}, with no end", rule.name, fmt::join(devices, ", ")));
    }
    for (const auto& connection : connections)
        if (names(rule, connection))
            to.of_hosts.push_back(
                fmt::format("{} impairs the SSH connection this is typed on, with no end", rule.name));
    return {};
}

// The rules without an end that `changes` add, or make of rules there are.
Result<std::vector<Endless>> endless_rules(const Changes& changes)
{
    std::vector<Endless> out;
    for (const auto& request : changes.add)
        if (request.duration == 0 && request.lease == 0) out.push_back({request.rule, request.for_ever});
    if (changes.change.empty()) return out;
    RuleFilter filter;
    for (const auto& request : changes.change) filter.names.push_back(request.name);
    HW_TRY(const auto records, find_rules(filter));
    std::unordered_map<std::string_view, const RuleInfo*> by_name;
    for (const auto& record : records) by_name.emplace(record.rule.name, &record);
    for (const auto& request : changes.change) {
        const auto found = by_name.find(request.name);
        if (found == by_name.end()) continue;  // the change is refused for it
        const auto& before = *found->second;
        HW_TRY(auto rule, request.edit(before.rule));
        const bool leased = before.lease != 0 && before.rule.stop_if.empty();
        const bool had_end = leased || before.deadline != 0;
        const bool has_end = leased || (request.duration ? *request.duration != 0 : had_end);
        const bool impairs = before.rule.impairment.pass && !rule.impairment.pass;  // from now on
        if (!has_end && (had_end || impairs || rule.selector != before.rule.selector))
            out.push_back({std::move(rule), request.for_ever});
    }
    return out;
}

}  // namespace

std::string subject_asked_about(const Rule& rule)
{
    if (rule.impairment.pass) return "";
    if (rule.subject) return describe(*rule.subject);
    const auto& cgroups = rule.selector.cgroups;
    return cgroups.empty() ? "" : fmt::format("cgroup {}", fmt::join(cgroups, ", "));
}

Result<Dangers> dangers(const Changes& changes)
{
    HW_TRY(const auto rules, endless_rules(changes));
    Dangers out;
    if (rules.empty()) return out;
    HW_TRY(const auto connections, ssh_connections_here());
    for (const auto& rule : rules) HW_CHECK(append_dangers(rule, changes.may_wait, connections, out));
    return out;
}

Status prompt(const Changes& changes, bool yes, bool dry_run)
{
    if (yes) return {};
    HW_TRY(auto found, dangers(changes));
    const bool only_subjects = found.of_hosts.empty();
    auto words = std::move(found.of_hosts);
    words.insert(words.end(), found.of_subjects.begin(), found.of_subjects.end());
    if (words.empty()) return {};
    const auto text = fmt::format("{}", fmt::join(words, "\n"));
    if (!isatty(STDIN_FILENO))
        return fail(ErrorKind::usage, "{}: {}", text,
                    only_subjects ? "give it an end (--for 1h), or say that it has none (--for ever)"
                                  : "give it an end (--for 10m, --lease 10s), narrow it, or agree with --yes");
    if (dry_run) {
        say("{}.\nheadwind: this would be asked about\n", text);
        return {};
    }
    say("{}.\nIt can be ended with --for 10m. Go on without an end? [y/N] ", text);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return {};
    return fail(ErrorKind::usage, "not agreed: nothing was changed");
}

}  // namespace headwind
