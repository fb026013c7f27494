// SPDX-License-Identifier: MIT
// Changes the set of rules so that every packet sees the old set or the new one, and so that a command killed at any
// instant leaves one of the two.
//
// One word, hw_control.version, decides what a packet sees: rules are born and die at a version, and each version has
// its table of shapes. A transaction writes rules of the next version beside those in force, then stores the word.
// After a grace period it removes the rules that nobody can see any more. Its cost depends on the rules it is about: of
// the others only the index is read.
#pragma once

#include <vector>

#include "datapath/instance.h"
#include "ruleset/records.h"
#include "util/result.h"

namespace headwind {

struct Transaction {
    std::vector<RuleRecord> add;     // with ids of their own (next_rule_id)
    std::vector<RuleRecord> remove;  // in force before
};

// Commits the transaction. The caller holds the InstanceLock. On failure the old set is in force; only if the removal
// of old rules fails, after the switch, the new one is (and repair() does the rest). References into the index are
// invalid afterwards.
Status commit(Instance& instance, const Transaction& transaction);

// Puts all rules out of force. Their parts stay, for repair(), or to go with the instance.
Status retire(Instance& instance);

// Removes what a killed command left of a transaction. Cheap if there is nothing (hw_control.dirty).
Status repair(Instance& instance);

std::uint32_t next_rule_id(Instance& instance);

}  // namespace headwind
