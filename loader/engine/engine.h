// What the commands do, for the network namespace of the calling thread. Hides pins, locks, hooks, line and
// transactions: a caller sees rules and counters.
//
// Every function that changes something takes the InstanceLock, repairs what a killed command left, removes rules whose
// owner is gone, and either does all it was asked or leaves things as they were.
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
Result<Overview> overview();

Result<RuleView> add_rule(const AddRequest& request);

// The rules added, then those changed, in the order given.
Result<std::vector<RuleView>> apply_changes(const Changes& changes);
// Needs no lock and changes nothing. Oldest first.
Result<std::vector<RuleInfo>> find_rules(const RuleFilter& filter);
// As apply_changes(), for changes that depend on rules there are, which nobody else changes meanwhile. An error of
// `decide` leaves all as it was, and so does no change.
using Decide = std::function<Result<Changes>(const std::vector<RuleInfo>& found)>;
Result<std::vector<RuleView>> change_rules(const RuleFilter& filter, const Decide& decide);

constexpr std::chrono::seconds default_drain{15};

Result<Removed> delete_rules(const std::vector<std::string>& names, bool if_exists, const Progress& progress,
                             std::chrono::nanoseconds drain = default_drain);
// The rules of this owner, or of everyone; with the last one the instance goes, and what killed commands left. Of
// everyone also where the pins are gone or not to be trusted: what is found at devices goes, then the pins, as far as
// they are Headwind's.
Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress,
                      std::chrono::nanoseconds drain = default_drain);

// "va (egress, ingress), lo (egress)"
std::string describe(const std::vector<ProgramAt>& programs);

// The rule with this RuleInfo::state lives until `lease` ns from now. not_found: it was removed.
Status renew_lease(std::uint32_t state, std::uint64_t lease);
// Rules by name, each for its own lease. usage: one has none. All of them are there, or none is renewed.
Status renew_leases(const std::vector<std::string>& names);

// The change that waits is there to stay or, `undo`, is undone at once. not_found: none waits.
Result<Settled> settle_pending(bool undo, const Progress& progress);

}  // namespace headwind
