// SPDX-License-Identifier: MIT
// Properties that must hold for every rule, however it was made.
#pragma once

#include <nlohmann/json.hpp>

#include "fuzz.h"
#include "rule/rule.h"
#include "ruleset/compile.h"
#include "ruleset/port_classes.h"

namespace headwind::fuzz {

// Requires that the rule compiles to the datapath's entries, for one device and one cgroup where it names any.
inline void require_compiles(const Rule& rule)
{
    Resolved resolved;
    resolved.far = is_at_peer(rule);
    if (!rule.selector.devices.empty()) resolved.device_slots = {1};
    if (!rule.selector.cgroups.empty()) resolved.cgroups = {{"/a", 4711, 1}};
    PortClasses classes;
    for (const auto& ports : port_lists(rule.selector)) REQUIRE(classes.split(ports), describe_rule(rule));
    const auto entries = compile_selector(rule, resolved, classes.table());
    if (!entries) return require_good(entries.error());
    REQUIRE(!entries->empty() && entries->size() <= max_rule_entries, describe_rule(rule));
    REQUIRE(rank(rule.priority, specificity(*entries), 1) != 0, describe_rule(rule));
    const auto compiled = compile_impairment(rule.impairment);
    REQUIRE(compiled.delay == rule.impairment.delay, describe_rule(rule));
    for (const auto& chance : compiled.events) REQUIRE(chance.threshold <= std::uint64_t{1} << 32, describe_rule(rule));
}

inline void require_sound(const Rule& rule)
{
    const auto stored = to_json(rule).dump();
    const auto again = rule_from_json(nlohmann::json::parse(stored));
    REQUIRE(again, stored + "\n" + again.error().message);
    REQUIRE(*again == rule, stored);
    const bool plain = !rule.subject || (is_plain_text(rule.subject->container) && is_plain_text(rule.subject->id) &&
                                         is_plain_text(rule.subject->pod));
    REQUIRE(!plain || is_plain_text(describe_rule(rule)), describe_rule(rule));
    require_compiles(rule);
}

}  // namespace headwind::fuzz
