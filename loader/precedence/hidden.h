// SPDX-License-Identifier: MIT
// Which rules leave another one nothing: each packet that it selects gets one of higher rank.
//
// A rule's packets are its entries. One is hidden by a shape that looks at nothing more than it does: its key, masked
// as that shape's, is then the one that all its packets look up there. So a rule costs a lookup for each of its keys
// and of the shapes in use, however many rules there are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <headwind/abi.h>
#include <headwind/rule.h>

#include "datapath/instance.h"
#include "ruleset/compile.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

// The rules of a version, as packets find them.
struct RuleSpace {
    std::uint64_t version = 0;
    std::span<const hw_shape> shapes;
    std::span<const hw_device> devices;  // hw_control.devices
    std::span<const __u16> ports;        // a PortTable
    std::function<Result<std::optional<hw_entry>>(const hw_key&)> entry;
    std::function<Result<std::optional<hw_rule>>(std::uint32_t id)> rule;
    std::function<Result<RuleRecord>(std::uint32_t id)> record;
    // Whether the time is one of the rule's: it has begun, its lease is renewed, nothing has stopped it.
    std::function<Result<bool>(const hw_rule&)> is_on;
    // The id of the cgroup's ancestor at a level that is not below its own; 0: it is not known.
    std::function<std::uint64_t(const Cgroup&, unsigned level)> ancestor;
};

// Those in force. The instance outlives it.
RuleSpace space_in_force(const Instance& instance);

struct Hidden {
    std::vector<std::uint32_t> by;  // ids of the rules that its packets get, in ascending order
    bool for_good = true;           // as long as it is there itself; else one of them ends before it, or may
    std::uint64_t top_rank = 0;     // the highest of theirs
    // Some win whatever their rank: on lo the sender's rules come before the receiver's, and at a pod's device those of
    // this namespace before the pod's.
    bool by_other_side = false;
};

// nullopt: a packet may get the rule. A rule that is on only at times (--flap, --between) hides none, and one of some
// flows only one of the same. Prefixes that make up the rule's together are found if they are at most 4 bits longer;
// classes of ports that make up one are not.
Result<std::optional<Hidden>> find_hiding_rules(const RuleSpace& space, const RuleRecord& record);

}  // namespace headwind
