// SPDX-License-Identifier: MIT
// Looks rules up in the maps of an instance.
#include "precedence/rule_space.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "host/cgroup.h"
#include "host/clock.h"
#include "ruleset/port_classes.h"

namespace headwind {

RuleSpace space_in_force(const Instance& instance)
{
    RuleSpace out;
    const auto& control = *instance.control;
    const auto& table = control.tables[control.version & 1];
    out.version = control.version;
    out.shapes = std::span(table.shapes).first(std::min<std::size_t>(table.count, HW_MAX_SHAPES));
    out.devices = control.devices;
    out.ports = classes_in_force(instance);
    out.entry = [&instance](const hw_key& key) { return instance.entries.find(key); };
    out.rule = [&instance](std::uint32_t id) { return instance.rules.find(id); };
    out.record = [&instance](std::uint32_t id) { return read_record(instance, id); };
    out.is_on = [&instance](const hw_rule& rule) -> Result<bool> {
        const auto now = boottime_ns();
        if (now < rule.start || (rule.deadline != 0 && now >= rule.deadline)) return false;
        if (rule.leased != 0) {
            HW_TRY(const auto lease, instance.leases.find(rule.state));
            if (!lease || now >= lease->until) return false;
        }
        if (rule.stoppable == 0) return true;
        HW_TRY(const auto stop, instance.stops.find(rule.state));
        return !stop;
    };
    auto known = std::make_shared<std::map<std::string, std::uint64_t>>();
    out.ancestor = [known](const Cgroup& cgroup, unsigned level) -> std::uint64_t {
        std::size_t end = 0;
        for (unsigned depth = 0; depth < level && end != std::string::npos; ++depth)
            end = cgroup.path.find('/', end + 1);
        const auto [at, is_new] = known->try_emplace(level == 0 ? "/" : cgroup.path.substr(0, end));
        if (is_new) at->second = find_cgroup(at->first).value_or(Cgroup{}).id;
        return at->second;
    };
    return out;
}

}  // namespace headwind
