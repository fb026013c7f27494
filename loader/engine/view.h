// SPDX-License-Identifier: MIT
// The instance and its rules, as callers of the engine see them. Changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "datapath/instance.h"
#include "datapath/sight.h"
#include "engine/types.h"
#include "host/netlink.h"
#include "ruleset/index.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// Damage by others: programs taken off or passed by, or the line taken apart.
struct Damage {
    std::map<std::uint32_t, __u32> hooks;  // by ifindex: see lost_hooks()
    BlindHooks blind;
    std::string line;                 // line_damage()
    std::vector<std::string> guests;  // line_guests()
};

// The view of a rule. `links`: all of this network namespace.
Result<RuleView> view(const Instance& instance, const RuleRecord& record, const std::vector<netlink::Link>& links,
                      const Damage& damage);

// A rule in force, and its view.
struct Viewed {
    const RuleRecord* record;
    RuleView* view;
};
// Finds out what rules of higher rank leave these. `all`: they are all rules there are, highest rank first.
Status look_at_ranks(const Instance& instance, const std::vector<Viewed>& rules, bool all);

// Finds out whether the rule is off hours, judged as the datapath does it.
void look_at_hours(const RuleRecord& record, RuleView& out);

// The snapshot of the instance, without Snapshot::panic. `ranks`: with look_at_ranks().
Result<Snapshot> look_at(const Instance& instance, bool ranks);

// The subject of one of the rules that sit in their subject's network namespace; nullopt: none does.
Result<std::optional<Subject>> subject_there(const Instance& instance, const Entries& rules);

}  // namespace headwind
