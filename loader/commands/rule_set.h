// SPDX-License-Identifier: MIT
// A declared set of rules (`headwind apply`): the changes it makes to the rules there are, and its rules that ended by
// themselves since the host was started and are not begun again. Pure.
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
    std::string place;   // the line's, for errors
};

// The memory of a rule that was applied in this boot.
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

// Plans the changes that make the owner's rules the declared ones. `in_force`: the namespace's rules of all owners,
// expired ones, too. `now`: CLOCK_BOOTTIME ns. `again`: rules that ended are begun again. A rule goes on until the
// deadline it had, also after `apply --remove`. An error names the line.
Result<SetChange> plan_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                           const AppliedRules& applied, const std::vector<RuleInfo>& in_force, std::uint64_t now,
                           bool again);

// The memory after the changes of plan_set() were made. `in_force`: the rules then.
AppliedRules remember_set(const std::vector<DeclaredRule>& declared, const std::string& owner,
                          const AppliedRules& applied, const std::vector<RuleInfo>& in_force);
// The memory after all of the owner's rules were removed. `in_force`: the rules before.
AppliedRules remember_stop(const AppliedRules& applied, const std::string& owner, const std::vector<RuleInfo>& in_force,
                           std::uint64_t now);

// The boot and the network namespace for which a memory is kept in a file; in others nothing is remembered.
struct BootId {
    std::string boot;                // /proc/sys/kernel/random/boot_id
    std::uint64_t netns_cookie = 0;  // tells it from a later namespace of the same name
    friend bool operator==(const BootId&, const BootId&) = default;
};
std::string format_applied(const AppliedRules& applied, const BootId& of);
AppliedRules parse_applied(const std::string& text, const BootId& of);  // empty: nothing that can be read

}  // namespace headwind
