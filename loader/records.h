// What the loader remembers of each rule: the description that is kept, as JSON, in the instance's texts map.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compile.h"
#include "instance.h"
#include "result.h"
#include "rule.h"

namespace headwind {

struct AttachedDevice {
    std::string name;
    int ifindex = 0;
    std::uint16_t slot = 0;
};

struct RuleRecord {
    std::uint32_t id = 0;     // key of the rules and texts maps; a changed rule gets another
    std::uint32_t state = 0;  // key of its lease, state and counters, which outlive a change: the first id it had
    Rule rule;
    std::vector<AttachedDevice> devices;  // where it applies; those of rules without --dev are found by their flag.
                                          // Empty with --dev: none is there now
    std::vector<Cgroup> cgroups;
    std::int64_t created = 0;    // wall clock, s
    std::uint64_t deadline = 0;  // CLOCK_BOOTTIME ns; 0: none
    std::uint64_t since = 0;     // CLOCK_BOOTTIME ns: when its --flap began
    std::int64_t until = 0;      // the deadline on the wall clock as it was set, s
    std::uint64_t lease = 0;     // ns that a renewal lasts; 0: no lease
    std::string owner;           // user who added it
    bool guard = false;          // added by Headwind itself to spare an SSH connection; goes with the last other rule

    Resolved resolved() const;  // for compile_selector
};

Result<std::vector<RuleRecord>> load_records(const Instance& instance);  // by id, oldest first
Status store_record(const Instance& instance, const RuleRecord& record);
Status erase_record(const Instance& instance, std::uint32_t id);

}  // namespace headwind
