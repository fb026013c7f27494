// What callers of the engine say and see: plain data.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rule/rule.h"

namespace headwind {

// Room that an instance may have (abi.h, HW_MAX_RULES).
constexpr std::uint32_t most_rules = 1U << 20;

// ---- what there is ----

enum class RuleState {
    live,
    expired,    // past its deadline (--for)
    unleased,   // its owner no longer renews it
    panicked,   // `headwind panic` is on
    orphaned,   // what it was made for (--container, --pod, --pid) is gone; the next change removes it
    waiting,    // none of its devices is there
    off_hours,  // it is not the time of --between and --days
    broken,     // somebody took away what it needs: RuleView::trouble
    stopped,    // by its --max-share or --stop-if: RuleView::trouble
    undone,     // --confirm: nobody did
};
constexpr std::string_view format_state(RuleState state)
{
    switch (state) {
        case RuleState::live: return "live";
        case RuleState::expired: return "expired";
        case RuleState::unleased: return "lease ended";
        case RuleState::panicked: return "off (panic)";
        case RuleState::orphaned: return "gone";
        case RuleState::waiting: return "no device";
        case RuleState::broken: return "not effective";
        case RuleState::stopped: return "stopped";
        case RuleState::undone: return "undone";
        case RuleState::off_hours: return "off hours";
    }
    return "?";
}

// When the hours of a rule begin.
struct Opening {
    std::int64_t at = 0;               // unix time, s
    std::uint32_t second_of_week = 0;  // local time, since Monday 00:00
};

// Why a wire packet was dropped (abi.h, hw_cause).
enum class DropReason { loss, partition, queue, held, line, reject };
constexpr std::size_t drop_reasons = 6;

// Wire packets of a rule in one direction; bytes are frames without FCS (abi.h, hw_counters).
struct Counters {
    std::uint64_t packets = 0, bytes = 0;
    std::array<std::uint64_t, drop_reasons> dropped{};
    std::uint64_t corrupted = 0, duplicated = 0, delayed = 0, reordered = 0;
    std::uint64_t unstampable = 0, shared = 0;  // passed: see abi.h
    std::uint64_t dropped_by(DropReason reason) const { return dropped[static_cast<std::size_t>(reason)]; }
};

struct DirectionCounters {
    Direction direction = Direction::out;  // out or in
    Counters counters;
};

// Who decides what comes in by this rule at this device.
struct IngressHook {
    std::string device;
    Xdp xdp = Xdp::off;       // off: tc
    std::uint32_t other = 0;  // id of another's XDP program that is in the way; 0: none
};

struct RuleView {
    RuleInfo record;
    RuleState state = RuleState::live;
    std::string trouble;                      // of RuleState::broken and stopped: why
    Opening opening;                          // of RuleState::off_hours
    std::vector<std::string> devices;         // names as they are now
    std::vector<IngressHook> ingress;         // of these, if the rule is for what comes in; not lo
    std::vector<DirectionCounters> counters;  // one for each direction of the rule
};

// A change that is undone unless `headwind confirm` comes in time.
struct Pending {
    std::int64_t until = 0;               // wall clock, s
    std::vector<std::string> comes_back;  // rules that were there before and come back then, as they were
};

// What the line as a whole lost: refused by fq, or dropped between the two ends (netdev_max_backlog).
struct LineState {
    std::uint32_t held_packets = 0;
    std::int64_t held_bytes = 0;  // as counted against --max-held
    std::uint64_t dropped_packets = 0;
};

struct Overview {
    bool exists = false;  // an instance is there
    bool panic = false;
    bool tcx = false;          // hooks are tcx, else clsact
    bool own_programs = true;  // of this version of headwind: else `headwind upgrade` would replace them
    std::uint64_t max_held = 0;
    std::vector<RuleView> rules;  // highest rank first
    std::optional<Pending> pending;
    LineState line;
};

// ---- what is to change ----

struct AddRequest {
    Rule rule;
    std::uint64_t duration = 0;  // ns from now until it expires; 0: no end
    std::uint64_t lease = 0;     // ns that each renew_lease lasts; 0: no lease
    std::string owner;
    bool replace = false;         // a live rule of the same name goes in the same instant
    std::uint64_t max_held = 0;   // bytes, for the whole instance; 0: as it is (256 MiB)
    std::uint32_t max_rules = 0;  // room of the instance, if this makes it; 0: HW_DEFAULT_RULES, or what a batch needs
    std::vector<Rule> protect;    // besides (protect.h)
};

// A rule that is there becomes another: its counters, the state of its rate, its lease and its place among equals stay.
struct ChangeRequest {
    std::string name;
    std::function<Result<Rule>(const Rule& before)> edit;  // must not change the name
    std::optional<std::uint64_t> duration;                 // ns from now; 0: no end; nullopt: the deadline stays
    bool go_on = false;                                    // if it is stopped, it starts again
};

// All of it in one instant: a packet sees the rules before or after. A rule may be named once.
struct Changes {
    std::vector<AddRequest> add;
    std::vector<ChangeRequest> change;
    std::vector<std::string> remove;
    std::vector<Rule> protect;  // beside the rules there are; one that is there already is no change
    bool if_exists = false;     // a name of `remove` that is not there is no error
    // ns: as long the change waits to be confirmed, then it is undone, by the kernel; 0: it does not. Until then
    // nothing else can be done to the rules it is about.
    std::uint64_t confirm = 0;
    bool may_wait = false;  // nor is a device of --dev that is not there: the rule waits for it
    bool empty() const { return add.empty() && change.empty() && remove.empty() && protect.empty(); }
};

// Rules in force: of these names, and of this owner. (Expired ones, too, as long as they are listed.)
struct RuleFilter {
    std::vector<std::string> names;
    std::optional<std::string> owner;
    bool all = false;  // everyone's
};

// ---- what went ----

// Packets that are left in the line are waited for; `left` tells how many every 200 ms.
using Progress = std::function<void(std::uint32_t left)>;

struct LeftRule {
    std::string name, owner;
};

// A program at a hook ("egress", "ingress" or "xdp") of a device.
struct ProgramAt {
    std::string device, hook;
    std::uint32_t id = 0;
};

struct Removed {
    std::vector<std::string> rules;   // names
    std::vector<LeftRule> left;       // by clear(): what is still there
    std::uint32_t packets_lost = 0;   // still in the line when the drain limit had passed
    bool instance_gone = false;       // the last rule went, and with it everything Headwind had on this namespace
    std::vector<ProgramAt> programs;  // of rules that could not be told any more: see clear()
};

struct Settled {
    std::vector<std::string> rules;  // that are there now, of those the change was about
    std::uint32_t packets_lost = 0;  // as of Removed
};

}  // namespace headwind
