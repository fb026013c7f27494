// What the loader remembers of each rule: the description that is kept, as JSON, in the instance's texts map.
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

// What Headwind leaves alone, besides the rules: it goes with the last of them.
enum class Guard {
    no,
    ssh,      // the SSH connection that a command was typed on, unless a rule names it
    protect,  // --protect: whatever rules say
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
    std::uint64_t since = 0;     // CLOCK_BOOTTIME ns: when its --flap and its timeline began
    std::uint32_t timeline = 0;  // key of the timelines map: the id under which it was made; 0: none, or not made yet
    LocalClock clock;            // of a rule with hours: the host's when it was written
    std::int64_t until = 0;      // the deadline on the wall clock as it was set, s
    std::uint64_t lease = 0;     // ns that a renewal lasts; 0: no lease
    std::string owner;           // user who added it
    // Of a change that waits for `headwind confirm` until this moment of CLOCK_BOOTTIME (0: of none): a rule as the
    // change would have it, which ends then, or, `former`, as it was before, which begins again then.
    std::uint64_t pending = 0;
    bool former = false;
    Guard guard = Guard::no;
    bool everywhere = false;  // at every device that any rule is at, needing none itself: guards (but those that
                              // older versions made)

    Resolved resolved() const;  // for compile_selector
    int priority() const;       // for rank(): a protection's is above all that rules can have
    bool is_at_default_devices() const;
};

// The description as text, without its id, and back. Pure.
std::string encode_record(const RuleRecord& record);
Result<RuleRecord> decode_record(std::uint32_t id, const std::string& text);

// By id, oldest first. A former rule whose time has come is a rule like any other.
Result<std::vector<RuleRecord>> load_records(const Instance& instance);
Status store_record(const Instance& instance, const RuleRecord& record);
Status erase_record(const Instance& instance, std::uint32_t id);

}  // namespace headwind
