// SPDX-License-Identifier: MIT
// The records of rules: the description that the loader keeps of each, as JSON, in the instance's texts map.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datapath/instance.h"
#include "rule/rule.h"
#include "ruleset/compile.h"
#include "util/result.h"

namespace headwind {

struct AttachedDevice {
    std::string name;
    int ifindex = 0;
    std::uint16_t slot = 0;
};

struct RuleRecord : RuleInfo {            // id: key of the rules and texts maps; stable_id: of leases, states, locals
    std::vector<AttachedDevice> devices;  // where it applies; those of rules without --dev are found by their flag.
                                          // Empty with --dev: none is there now
    std::vector<Cgroup> cgroups;
    std::uint64_t since = 0;  // CLOCK_BOOTTIME ns: when its --flap and its timeline began
    LocalClock clock;         // the host's when the rule was written, if it has hours

    Resolved resolved() const;  // for compile_selector
    int priority() const;       // for rank(): a protection's is above any that rules can have
    bool is_at_default_devices() const;
    bool is_at_loopback() const;  // lo is one of its devices
};

// Turn a record into its text, without the id, and back. Pure.
std::string encode_record(const RuleRecord& record);
Result<RuleRecord> decode_record(std::uint32_t id, const std::string& text);

// Reads the record of a rule. A former rule whose time has come is a rule like any other.
Result<RuleRecord> read_record(const Instance& instance, std::uint32_t id);
struct RankedRecord {
    RuleRecord record;
    std::uint64_t rank = 0;
};
// The records of all rules in force, by id, oldest first. For code that shows them: code that changes some uses the
// index.
Result<std::vector<RankedRecord>> load_records(const Instance& instance);
Status store_record(const Instance& instance, const RuleRecord& record);
Status erase_record(const Instance& instance, std::uint32_t id);

}  // namespace headwind
