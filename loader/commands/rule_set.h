// A declared set of rules (`headwind apply`): what it makes of the rules there are, and what of it ended by itself
// since the host was started and is not begun again. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "util/result.h"

namespace headwind {

struct DeclaredRule {
    AddRequest request;  // with the set's owner
    std::string words;   // its line: another line of the same name is another declaration
    std::string place;   // of the line, for errors
};

// What is remembered of a rule that was applied in this boot.
struct AppliedRule {
    std::string words;
    std::uint64_t deadline = 0;  // CLOCK_BOOTTIME ns; 0: none
    bool stopped = false;        // `apply --remove` took it, before it had ended
};
using AppliedRules = std::map<std::string, AppliedRule>;  // by name

struct SetChange {
    Changes changes;
    std::vector<std::string> unchanged, ended;  // names; ended: by themselves, or by another command
};

// `in_force`: the namespace's rules of all owners, expired ones, too. `now`: CLOCK_BOOTTIME ns. `again`: also what
// ended. A rule goes on until the deadline it had, also after `apply --remove`. An error names the line.
Result<SetChange> plan_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                           const AppliedRules& applied, const std::vector<RuleInfo>& in_force, std::uint64_t now,
                           bool again);

// What to remember after plan_set's changes were made. `in_force`: as they are then.
AppliedRules remember_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                          const AppliedRules& applied, const std::vector<RuleInfo>& in_force);
// And after all of the owner's rules were removed. `in_force`: as they were before.
AppliedRules remember_stop(const AppliedRules& applied, const std::string& owner, const std::vector<RuleInfo>& in_force,
                           std::uint64_t now);

// As kept in a file: of this boot and network namespace, or nothing is remembered.
struct BootId {
    std::string boot;                // /proc/sys/kernel/random/boot_id
    std::uint64_t netns_cookie = 0;  // a namespace of the same name is another one
    friend bool operator==(const BootId&, const BootId&) = default;
};
std::string format_applied(const AppliedRules& applied, const BootId& of);
AppliedRules parse_applied(const std::string& text, const BootId& of);  // what cannot be read is nothing

}  // namespace headwind
