// SPDX-License-Identifier: MIT
// Compiles a valid rule, and what its names stand for on this host, into keys and numbers of the datapath. Pure; the
// only place where units become fixed point.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include <headwind/abi.h>
#include <headwind/sequence.h>

#include "chance/packet_list.h"
#include "host/cgroup.h"
#include "rule/rule.h"
#include "util/result.h"
#include "util/zone.h"

namespace headwind {

// The most entries that one rule may make (ports or their classes × addresses × protocols × cgroups × devices).
constexpr std::size_t max_rule_entries = 65536;

// The devices and cgroups that the names in a rule stand for on this host.
struct Resolved {
    std::vector<std::uint16_t> device_slots;  // of hw_control.devices; empty: the default devices
    std::vector<Cgroup> cgroups;              // one for each of the rule's
    bool peer = false;                        // the rule's subject is at the devices' peers: see hw_shape.peer
    bool everywhere = false;                  // at every device that any rule is at, for a subject on either side
    bool not_loopback = false;                // the default devices, but lo
};

// One element of the entries map and the shape it is looked up with. shape.id, shape.max_rank and key.shape are 0:
// the transaction gives them.
struct SelectorEntry {
    hw_shape shape;
    hw_key key;
    std::uint32_t ports;  // what the rule's port lists, or an EtherType, add to its specificity()
};

// The class of each port, as in hw_port_classes.of.
using PortTable = std::span<const __u16, HW_PORTS>;

// Whether a rule looks at the class of these ports, instead of having an entry for each. Up to a few ports, it shares
// the shape that rules with single ports have.
bool has_classes(const std::vector<PortRange>& ports);
bool has_classes(const Selector& selector);

// The lists of ports whose class the rule looks at.
std::vector<std::vector<PortRange>> port_lists(const Selector& selector);

// The classes that make up these ports, if the table was split for them.
std::vector<__u16> classes_of(const std::vector<PortRange>& ports, PortTable table);

// `classes`: of a version that the rule is in.
Result<std::vector<SelectorEntry>> compile_selector(const Rule& rule, const Resolved& resolved, PortTable classes);

// The hooks (hw_device_flags) that this rule wants on the devices it is at. At the host side of a pod's device, packets
// that the pod sends come in. Not for a rule that is everywhere.
__u32 attach_flags(const Rule& rule);
// Whether the impairment has a delay or a rate, and so needs the pacer.
bool needs_time(const Impairment& impairment);
// Whether packets take the detour through the line for the impairment.
bool needs_line(const Impairment& impairment);
// Whether some packets on lo do, which are not cut there: those in which a bit is to be flipped, and those whose sender
// gets an answer.
bool needs_segmenting(const Impairment& impairment);

// All but the key of its law.
hw_impairment compile_impairment(const Impairment& impairment);

// ---- compile_chance.cpp ----

hw_chance compile_chance(const std::optional<Probability>& probability);
// Only with has_sequence(). The random numbers are those of the seed.
hw_sequence compile_sequence(const Impairment& impairment, std::uint64_t seed);
// The blocks of a list of losses that have some, by hw_list_key.block.
std::map<__u32, hw_list_block> compile_list(const PacketList& list);
// Whether the sequence says the delays, too: they are correlated, or repeatable.
bool has_delay_series(const Impairment& impairment);
// The law of the delays; none if they are uniform and each packet draws its own, or all are the same.
std::optional<hw_law> compile_law(const Impairment& impairment);
// The key under which rules share a law: a hash of its table, not 0.
__u64 key_of(const hw_law& law);

// ---- compile.cpp ----

// ns that a packet may wait for its delay, by this law, and its rate; its sender may ask for more (HW_LONGEST_EDT).
std::uint64_t longest_hold(const hw_impairment& impairment, const std::optional<hw_law>& law);

// The hw_rule.held_shift with which a hw_ring reaches as far ahead.
std::uint32_t held_shift(std::uint64_t longest_hold);

// The steps of a rule whose timeline's phases are there, and behind them the one that is never in force (abi.h).
std::vector<hw_step> compile_steps(const Rule& rule);
// The phases that steps were compiled from, with the quantities that vary. (A rate above 20 mbit is as the datapath has
// it: compiled again, it is the same.)
std::vector<Phase> phases_of(const Timeline& timeline, const std::vector<hw_step>& steps);

// The hours as the datapath has them. `clock`: the host's when the rule is written.
hw_hours compile_hours(const Hours& hours, const LocalClock& clock);
// The time (CLOCK_TAI, s) at which the hours next begin after `now` (CLOCK_TAI, s), as the datapath sees it.
std::uint64_t next_opening(const hw_hours& hours, std::uint64_t now);

// The number of bits of a packet that the least specific of these entries fixes, in units of 1 / specificity_per_bit:
// the more, the more specific. One port fixes 16 bits, all ports together fix one, and a range is between them by its
// logarithm: one within another is more specific (if it has 0.08% fewer ports). Of a list the widest range counts.
constexpr unsigned specificity_per_bit = 1024;
std::uint32_t specificity(const std::vector<SelectorEntry>& entries);

// Whether packets of this shape are told by what later fragments have from their first one only: ports, the socket that
// they are for, DHCP.
bool looks_at_transport(const hw_shape& shape);

// The total order of rules: priority, then specificity, then the older rule (lower id). Never 0.
std::uint64_t rank(int priority, std::uint32_t specificity, std::uint32_t id);
int priority_of(std::uint64_t rank);
enum class RankPart { priority, specificity, age };
RankPart decisive_part(std::uint64_t rank, std::uint64_t other);  // that by which they differ

// The queue a rule with `rate` gets when it names none: 200 ms at that rate, at least 10 full frames, at most what
// fq can hold. Nanoseconds.
std::uint64_t default_queue(std::uint64_t rate);

}  // namespace headwind
