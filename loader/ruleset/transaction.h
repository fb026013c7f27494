// Changes the set of rules so that every packet sees the old set or the new one, and so that a command killed at any
// instant leaves one of the two.
//
// What a packet sees is decided by one word, hw_control.version: rules are born and die at a version, and each version
// has its table of shapes. A transaction writes rules of the next version beside those in force, then stores the word.
// What nobody can see any more is removed after a grace period. What it costs depends on the rules it is about: of the
// others only the index is read.
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

// The caller holds the InstanceLock. On failure the old set is in force. Entries of the index are other ones then.
Status commit(Instance& instance, const Transaction& transaction);

// No rule is in force any more. What they consist of stays, for repair(), or to go with the instance.
Status retire(Instance& instance);

// Removes what a killed command left of a transaction. Cheap if there is nothing (hw_control.dirty).
Status repair(Instance& instance);

std::uint32_t next_rule_id(Instance& instance);

}  // namespace headwind
