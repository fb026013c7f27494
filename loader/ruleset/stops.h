// Rules that stop by themselves: because they matched more than --max-share, which the datapath finds out, or because
// the command of --stop-if failed, which the agent runs (checks.h). They stay, stopped, until they are removed or
// `change --go-on`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// How often the command of a --stop-if is run, how long it may take, and how long a rule outlives the agent that should
// run it. ns.
constexpr std::uint64_t check_interval = 5'000'000'000, check_limit = 10'000'000'000, check_lease = 30'000'000'000;

// A rule that wants to be checked.
struct StopCheck {
    std::uint32_t state = 0;  // RuleRecord::state
    std::string rule;         // its name
    std::string command;      // for /bin/sh -c
    friend bool operator==(const StopCheck&, const StopCheck&) = default;
};

bool is_stoppable(const Rule& rule);

// "it matched 812 of 3000 packets of a hook in one minute, more than 20%"
std::string describe(const hw_stop& stop, const Rule& rule);
// With what starts it again. Of a rule that is not stopped: empty.
Result<std::string> why_stopped(const Instance& instance, const RuleRecord& record);

// --stop-if said so. One that is stopped already stays so for its old reason, and so does one that is gone.
Status stop_for_check(const Instance& instance, std::uint32_t state, std::string_view words);

// A rule that is stopped goes on; what it has matched so far is forgotten.
Status start_again(const Instance& instance, std::uint32_t state);
// What rules that are gone, by their states, have matched.
Status erase_shares(const Instance& instance, const std::function<bool(std::uint32_t state)>& is_gone);

}  // namespace headwind
