// SPDX-License-Identifier: MIT
// Rules that stop by themselves: because they matched more than --max-share, which the datapath finds out, or because
// the command of --stop-if failed, which the agent runs (checks.h). They stay, stopped, until they are removed or
// `change --go-on` starts them again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// ns: the interval at which the command of a --stop-if is run, the longest time it may take, and the time that a rule
// outlives the agent that should run it.
constexpr std::uint64_t check_interval = 5'000'000'000, check_limit = 10'000'000'000, check_lease = 30'000'000'000;

// The check of a rule with --stop-if.
struct StopCheck {
    std::uint32_t stable_id = 0;  // RuleInfo::stable_id
    std::string rule;             // its name
    std::string command;          // for /bin/sh -c
    friend bool operator==(const StopCheck&, const StopCheck&) = default;
};

bool is_stoppable(const Rule& rule);

// "it matched 812 of 3000 packets of a hook in one minute, more than 20%"
std::string describe(const hw_stop& stop, const Rule& rule);
// Why the rule is stopped, and what starts it again. Empty: it is not stopped.
Result<std::string> why_stopped(const Instance& instance, const RuleRecord& record);

// Stops the rule because its --stop-if failed with `words`. A rule that is stopped already keeps its reason, and one
// that is gone stays gone.
Status stop_for_check(const Instance& instance, std::uint32_t stable_id, std::string_view words);

// Starts a stopped rule again; what it has matched so far is forgotten.
Status start_again(const Instance& instance, std::uint32_t stable_id);
// Erases what rules that are gone, by their stable_ids, have matched.
Status erase_shares(const Instance& instance, const std::function<bool(std::uint32_t stable_id)>& is_gone);

}  // namespace headwind
