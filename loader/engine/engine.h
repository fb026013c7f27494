// SPDX-License-Identifier: MIT
// The operations of the commands, for the network namespace of the calling thread. Arguments and results are plain data
// (types.h): rules and counters, and for reports also hooks, programs and the line.
//
// Every function that adds, changes or removes rules takes the InstanceLock, repairs what a killed command left,
// removes stale rules (write_session.h), and either does all it was asked or leaves things as they were. Renewing a
// lease takes no lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/types.h"
#include "util/result.h"

namespace headwind {

// Needs no lock and changes nothing.
Result<Snapshot> take_snapshot();

// The rule that a packet gets at this moment, by the datapath's own lookup, and why the others are not it. `packet`: a
// rule with one device, one direction, and single values: addresses, not prefixes; what it has none of is not known of
// the packet. Needs no lock, changes and sends nothing.
Result<Explanation> explain(const Rule& packet);

Result<RuleView> add_rule(const AddRequest& request);

// Returns the rules added, then the rules changed, in the order given.
Result<std::vector<RuleView>> apply_changes(const Changes& changes);
// Counts the rules that match; of an owner's none of the guards, which clear() leaves. Needs no lock and changes
// nothing.
Result<RulesHere> rules_here(const RuleFilter& filter);
// Needs no lock and changes nothing. Oldest first.
Result<std::vector<RuleInfo>> find_rules(const RuleFilter& filter);
// Applies the changes that `decide` makes of the rules that match `filter`; nobody else changes rules meanwhile. An
// error of `decide`, or no change, leaves all as it was. Returns as apply_changes().
using Decide = std::function<Result<Changes>(const std::vector<RuleInfo>& found)>;
Result<std::vector<RuleView>> change_rules(const RuleFilter& filter, const Decide& decide);
// What change_rules() would return, without ids and counters, or its error, as far as either can be told without
// changing anything. Takes no lock.
Result<std::vector<RuleView>> rehearse_changes(const RuleFilter& filter, const Decide& decide);

constexpr std::chrono::seconds default_drain{15};

Result<Removed> delete_rules(const std::vector<std::string>& names, bool if_exists, const Progress& progress,
                             std::chrono::nanoseconds drain = default_drain);
// Removes the rules of `owner`, or of everyone; with the last one the instance goes, and what killed commands left. For
// everyone it works also where the pins are gone or not to be trusted: it removes what it finds at devices, then the
// pins, as far as they are Headwind's.
Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress,
                      std::chrono::nanoseconds drain = default_drain);

// What delete_rules() and clear() would return, or their errors, as far as it can be told without changing anything.
Result<Removed> rehearse_removal(const std::vector<std::string>& names, bool if_exists);
Result<Removed> rehearse_clear(const std::optional<std::string>& owner);

// "va (egress, ingress), lo (egress)"
std::string describe(const std::vector<ProgramAt>& programs);

// Renews the lease of the rule with this RuleInfo::stable_id: it ends `lease` ns from now. not_found: the rule was
// removed.
Status renew_lease(std::uint32_t stable_id, std::uint64_t lease);
// Renews the leases of the rules with these names, each for its own length. not_found: a rule is not there; usage: a
// rule has no lease. None is renewed then, nor with `rehearsal`.
Status renew_leases(const std::vector<std::string>& names, bool rehearsal = false);

// Confirms the change that waits or, with `undo`, undoes it at once. not_found: none waits.
Result<Settled> settle_pending(bool undo, const Progress& progress);

}  // namespace headwind
