// What is there, as callers of the engine see it. Nothing is changed.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "datapath/instance.h"
#include "engine/types.h"
#include "host/netlink.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// What others took away: programs, or the line.
struct Damage {
    std::map<std::uint32_t, __u32> hooks;  // by ifindex, see lost_hooks
    bool line = false;
};

// `links`: all of this network namespace.
Result<RuleView> view(const Instance& instance, RuleRecord record, const std::vector<netlink::Link>& links,
                      const Damage& damage);

// Without Overview::panic.
Result<Overview> look_at(const Instance& instance);

}  // namespace headwind
