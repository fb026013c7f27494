// SPDX-License-Identifier: MIT
// The plain data that callers of the engine pass and get.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

// The most rules that an instance may have room for (abi.h, HW_MAX_RULES).
constexpr std::uint32_t most_rules = 1U << 20;

// ---- the rules there are ----

enum class RuleState {
    live,
    expired,    // past its deadline (--for)
    unleased,   // its owner no longer renews its lease
    panicked,   // `headwind panic` is on
    orphaned,   // its subject (--container, --pod, --pid) is gone; the next change removes it
    waiting,    // none of its devices is there
    off_hours,  // now is outside of --between and --days
    hidden,     // rules of higher rank leave it no packet: RuleView::hidden_by
    broken,     // somebody took away what it needs: RuleView::trouble
    stopped,    // by its --max-share or --stop-if: RuleView::trouble
    undone,     // --confirm: nobody confirmed it
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
        case RuleState::hidden: return "hidden";
        case RuleState::broken: return "not effective";
        case RuleState::stopped: return "stopped";
        case RuleState::undone: return "undone";
        case RuleState::off_hours: return "off hours";
    }
    return "?";
}

// The next time that the hours of a rule begin.
struct Opening {
    std::int64_t at = 0;               // unix time, s
    std::uint32_t second_of_week = 0;  // local time, since Monday 00:00
};

// The reasons why a wire packet was dropped (abi.h, hw_drop_reason).
enum class DropReason { loss, partition, queue, held, line, reject };
constexpr std::size_t drop_reasons = 6;
// The reasons why a packet passed that a rule should have changed or held (abi.h, hw_exemption).
enum class Exemption { unstampable, shared, ipsec, ktls, line };
constexpr std::size_t exemptions = 5;

// Wire packets of a rule in one direction; bytes are frames without FCS (abi.h, hw_counters).
struct Counters {
    std::uint64_t packets = 0, bytes = 0;
    std::array<std::uint64_t, drop_reasons> dropped{};
    std::uint64_t corrupted = 0, duplicated = 0, delayed = 0, reordered = 0;
    std::array<std::uint64_t, exemptions> exempt{};
    std::uint64_t dropped_by(DropReason reason) const { return dropped[static_cast<std::size_t>(reason)]; }
    std::uint64_t exempt_by(Exemption reason) const { return exempt[static_cast<std::size_t>(reason)]; }
};

struct DirectionCounters {
    Direction direction = Direction::out;  // out or in
    Counters counters;
};

// The hook that decides incoming packets by this rule at this device.
struct IngressHook {
    std::string device;
    Xdp xdp = Xdp::off;       // off: tc
    std::uint32_t other = 0;  // id of another's XDP program that is in the way; 0: none
};

struct RuleView {
    RuleInfo record;
    RuleState state = RuleState::live;
    // The reason, with RuleState::broken, hidden and stopped; else what may be amiss.
    std::string trouble;
    std::vector<std::string> hidden_by;  // names of rules, with RuleState::hidden
    std::vector<std::string> loses_to;   // names of rules that impair packets that this one, with `pass`, is to spare
    Opening opening;                     // with RuleState::off_hours
    std::vector<std::string> devices;    // names as they are now
    std::vector<IngressHook> ingress;    // for each of `devices` but lo, if the rule is for incoming packets
    std::vector<DirectionCounters> counters;  // one for each direction of the rule
};

// A change that is undone unless `headwind confirm` comes in time.
struct Pending {
    std::int64_t until = 0;               // wall clock, s
    std::vector<std::string> comes_back;  // rules that were there before and come back then, as they were
};

// The line as a whole.
struct LineState {
    std::uint32_t held_packets = 0;
    std::int64_t held_bytes = 0;        // as counted against --max-held
    std::uint64_t dropped_packets = 0;  // refused by fq, or dropped between the two ends (netdev_max_backlog)
};

struct Snapshot {
    bool exists = false;  // an instance is there
    bool panic = false;
    bool tcx = false;          // hooks are tcx, else clsact
    bool own_programs = true;  // the programs are this version's: else `headwind upgrade` would replace them
    std::uint64_t max_held = 0;
    std::vector<RuleView> rules;  // highest rank first
    std::optional<Pending> pending;
    LineState line;
};

// How a rule stands to a packet. wins: the packet gets it. loses: it selects the packet, too. open: it wins if it
// selects the packet, which depends on what is not given. idle: it may select the packet, but is not in force. apart:
// none of these.
enum class Verdict { wins, loses, open, idle, apart };

struct Explained {
    std::string name, sentence;
    Verdict verdict = Verdict::apart;
    std::string why;  // but of the one that wins
};

struct Explanation {
    bool panic = false;
    std::vector<Explained> rules;  // highest rank first
};

// The Error of a name that no rule has.
inline tl::unexpected<Error> fail_no_rule(const std::string& name)
{
    return tl::unexpected(
        Error{ErrorKind::not_found, fmt::format("no rule is called {}: see `headwind list`", name), name});
}

inline tl::unexpected<Error> fail_nothing_pending()
{
    return fail(ErrorKind::not_found, "no change waits to be confirmed (it may have been undone by now)");
}

struct RulesHere {
    std::size_t count = 0;
    std::optional<Subject> subject;  // of one of the rules there, if one sits in its subject's namespace
};

// ---- changes ----

struct AddRequest {
    Rule rule;
    std::uint64_t duration = 0;  // ns from now until it expires; 0: no end
    std::uint64_t lease = 0;     // ns that each renewal lasts; 0: no lease
    bool for_ever = false;       // that it has no end was said: nobody is asked
    std::string owner;
    bool replace = false;         // a live rule of the same name goes in the same instant
    std::uint64_t max_held = 0;   // bytes, for the whole instance; 0: as it is (at first 256 MiB)
    std::uint32_t max_rules = 0;  // room of the instance, if this makes it; 0: HW_DEFAULT_RULES, or a batch's need
    std::vector<Rule> protect;    // protections to add with it (protect.h)
};

// A change of a rule that is there: its counters, the state of its rate, its lease and its place among equals stay.
struct ChangeRequest {
    std::string name;
    std::function<Result<Rule>(const Rule& before)> edit;  // must not change the name
    std::optional<std::uint64_t> duration;                 // ns from now; 0: no end; nullopt: the deadline stays
    bool go_on = false;                                    // if it is stopped, it starts again
    bool for_ever = false;                                 // as in AddRequest
};

// Changes that are made in one instant: a packet sees the rules before or after. A rule may be named once.
struct Changes {
    std::vector<AddRequest> add;
    std::vector<ChangeRequest> change;
    std::vector<std::string> remove;
    std::vector<Rule> protect;  // protections to add; one that is there already is no change
    bool if_exists = false;     // a name of `remove` that is not there is no error
    // ns that the change waits to be confirmed; then the kernel undoes it. 0: it does not wait. Until then nothing else
    // can be done to the rules it is about.
    std::uint64_t confirm = 0;
    bool may_wait = false;  // a device of --dev that is not there is no error: the rule waits for it
    bool empty() const { return add.empty() && change.empty() && remove.empty() && protect.empty(); }
};

// Selects rules in force that have one of these names or this owner. (Expired ones, too, as long as they are listed.)
struct RuleFilter {
    std::vector<std::string> names;
    std::optional<std::string> owner;
    bool all = false;  // everyone's
};

// ---- removals ----

// Called every 200 ms while packets left in the line are waited for; `left`: how many there are.
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
    std::vector<std::string> rules;  // names
    // By clear(): rules in force that stay, without guards, which serve them.
    std::optional<std::vector<LeftRule>> left;
    std::uint32_t packets_lost = 0;   // still in the line when the drain limit had passed
    bool instance_gone = false;       // the last rule went, and with it everything Headwind had on this namespace
    std::vector<ProgramAt> programs;  // taken off, where the rules could not be told any more: see clear()
};

struct Settled {
    std::vector<std::string> rules;  // names of the rules in force now, among those the change was about
    std::uint32_t packets_lost = 0;  // as in Removed
};

}  // namespace headwind
