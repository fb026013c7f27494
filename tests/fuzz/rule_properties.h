// What must hold for every rule, however it was made.
#pragma once

#include <nlohmann/json.hpp>

#include "fuzz.h"
#include "rule/rule.h"
#include "ruleset/compile.h"

namespace headwind::fuzz {

// The datapath's entries, for one device and one cgroup where the rule names any.
inline void require_compiles(const Rule& rule)
{
    Resolved resolved;
    resolved.far = is_far(rule);
    if (!rule.selector.devices.empty()) resolved.device_slots = {1};
    if (!rule.selector.cgroups.empty()) resolved.cgroups = {{"/a", 4711, 1}};
    const auto entries = compile_selector(rule, resolved);
    if (!entries) return require_good(entries.error());
    REQUIRE(!entries->empty() && entries->size() <= max_rule_entries, sentence(rule));
    REQUIRE(rank(rule.priority, specificity(*entries), 1) != 0, sentence(rule));
    const auto compiled = compile_impairment(rule.impairment);
    REQUIRE(compiled.delay == rule.impairment.delay, sentence(rule));
    for (const auto& chance : compiled.events) REQUIRE(chance.threshold <= std::uint64_t{1} << 32, sentence(rule));
}

inline void require_sound(const Rule& rule)
{
    const auto stored = to_json(rule).dump();
    const auto again = rule_from_json(nlohmann::json::parse(stored));
    REQUIRE(again, stored + "\n" + again.error().message);
    REQUIRE(*again == rule, stored);
    const bool plain = !rule.party || (is_plain_text(rule.party->container) && is_plain_text(rule.party->id) &&
                                       is_plain_text(rule.party->pod));
    REQUIRE(!plain || is_plain_text(sentence(rule)), sentence(rule));
    require_compiles(rule);
}

}  // namespace headwind::fuzz
