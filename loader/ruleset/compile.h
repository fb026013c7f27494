// A valid rule and what it means on this host -> keys and numbers of the datapath. Pure; the only place where units
// become fixed point.
#pragma once

#include <cstdint>
#include <vector>

#include <headwind/abi.h>

#include "host/cgroup.h"
#include "rule/rule.h"
#include "util/result.h"
#include "util/zone.h"

namespace headwind {

// Most entries one rule may make (ports × addresses × protocols × cgroups × devices).
constexpr std::size_t max_rule_entries = 65536;

// What the names in a rule stand for on this host.
struct Resolved {
    std::vector<std::uint16_t> device_slots;  // of hw_control.devices; empty: the default devices
    std::vector<Cgroup> cgroups;              // one for each of the rule's
    bool far = false;                         // the rule's party is at the far end of the devices: see hw_shape.far
    bool everywhere = false;                  // at every device that any rule is at, for a party at either end
};

// One element of the entries map and the shape it is looked up with. shape.id, shape.max_rank and key.shape are 0:
// given by the engine.
struct SelectorEntry {
    hw_shape shape;
    hw_key key;
};

Result<std::vector<SelectorEntry>> compile_selector(const Rule& rule, const Resolved& resolved);

// The hooks (hw_device_flags) that this rule wants on the devices it is at. At the host side of a pod's device what the
// pod sends comes in. Not of a rule that is everywhere.
__u32 attach_flags(const Rule& rule);
// Delay or rate: the pacer. And all that takes the detour through the line.
bool needs_time(const Impairment& impairment);
bool needs_line(const Impairment& impairment);

hw_impairment compile_impairment(const Impairment& impairment);

// The steps of a rule whose timeline's phases are there, and behind them the one that is never in force (abi.h).
std::vector<hw_step> compile_steps(const Rule& rule);
// The phases that steps were compiled from, for what varies. (A rate above 20 mbit as the datapath has it: compiled
// again it is the same.)
std::vector<Phase> phases_of(const Timeline& timeline, const std::vector<hw_step>& steps);

// `clock`: as the host's is when the rule is written.
hw_hours compile_hours(const Hours& hours, const LocalClock& clock);
// When they begin next after `now` (CLOCK_TAI, s), as the datapath sees it.
std::uint64_t next_opening(const hw_hours& hours, std::uint64_t now);

// How many bits of a packet the least specific of these entries fixes; the more, the more specific.
unsigned specificity(const std::vector<SelectorEntry>& entries);

// Total order of rules: priority, then specificity, then the older rule (lower id). Never 0.
std::uint64_t rank(int priority, unsigned specificity, std::uint32_t id);

// The queue a rule with `rate` gets when it names none: 200 ms at that rate, at least 10 full frames, at most what
// fq can hold. Nanoseconds.
std::uint64_t default_queue(std::uint64_t rate);

}  // namespace headwind
