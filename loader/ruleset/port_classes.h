// SPDX-License-Identifier: MIT
// The classes of ports of a version (abi.h, hw_port_classes), and what a transaction changes of them. It reads the
// descriptions of no rules but those whose classes become others.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "rule/rule.h"
#include "ruleset/compile.h"
#include "ruleset/index.h"
#include "ruleset/records.h"
#include "ruleset/shapes.h"
#include "util/result.h"

namespace headwind {

// The classes of the next version. A class is either of the same ports as before, or of fewer of them, or of what were
// several classes, or new: so the entries in force are right for packets of both versions.
class PortClasses {
public:
    PortClasses();                             // no port is in any class
    explicit PortClasses(PortTable in_force);  // as they are
    PortTable table() const { return PortTable(table_); }

    // Splits classes so that some of them make up these ports. What is left of a class keeps its number.
    Status split(const std::vector<PortRange>& ports);
    // Joins classes that none of these lists tells apart. Afterwards no class is of ports that are in none.
    Status join(const std::vector<std::vector<PortRange>>& lists);

private:
    bool take_number(unsigned& number);

    std::vector<__u16> table_;
    std::vector<std::uint32_t> sizes_;   // of the classes, by number
    std::vector<bool> taken_;            // numbers that are in use, or are in the version in force
    unsigned lowest_ = 1;                // all numbers below are taken
    std::vector<std::uint32_t> within_;  // by number: of the ports of one split(); zeros between two of them
    std::vector<__u16> into_;            // by number: as split() replaces it
};

// The ports that are in one class before and in another one after, and answers whether a list has any.
class ChangedPorts {
public:
    ChangedPorts(PortTable before, PortTable after);
    bool any_within(unsigned first, unsigned last) const { return sums_[last + 1] != sums_[first]; }

private:
    std::vector<std::uint32_t> sums_;  // the number of changed ports below
};

// The classes of the version in force.
PortTable classes_in_force(const Instance& instance);

struct PortChange {
    std::optional<PortClasses> classes;    // of the next version, if they are others
    std::uint32_t stale = 0;               // the new hw_shape_table.stale_classes
    std::vector<RuleRecord> reclassified;  // rules that stay, the classes of whose ports become others
    std::vector<CompiledRule> gain, loss;  // their entries that come and go
};
Result<PortChange> change_ports(const Instance& instance, const std::vector<RuleRecord>& add,
                                const std::vector<RuleRecord>& remove, const Entries& stay);

}  // namespace headwind
