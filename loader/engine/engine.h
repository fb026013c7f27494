// What the commands do, for the network namespace of the calling thread. Hides pins, locks, hooks, line and
// transactions: a caller sees rules and counters.
//
// Every function that changes something takes the InstanceLock, repairs what a killed command left, removes rules whose
// owner is gone, and either does all it was asked or leaves things as they were.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/attached.h"
#include "datapath/line.h"
#include "rule/rule.h"
#include "ruleset/records.h"
#include "ruleset/xdp.h"
#include "util/result.h"

namespace headwind {

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
std::string_view format_state(RuleState state);

// When the hours of a rule begin.
struct Opening {
    std::int64_t at = 0;               // unix time, s
    std::uint32_t second_of_week = 0;  // local time, since Monday 00:00
};

struct DirectionCounters {
    Direction direction = Direction::out;  // out or in
    hw_counters counters{};
};

struct RuleView {
    RuleRecord record;
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

struct Overview {
    bool exists = false;  // an instance is there
    bool panic = false;
    bool tcx = false;          // hooks are tcx, else clsact
    bool own_programs = true;  // of this version of headwind: else `headwind upgrade` would replace them
    std::uint64_t max_held = 0;
    std::vector<RuleView> rules;  // highest rank first
    std::optional<Pending> pending;
    LineStats line;
};

// Needs no lock and changes nothing.
Result<Overview> overview();

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
Result<RuleView> add_rule(const AddRequest& request);

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
// The rules added, then those changed, in the order given.
Result<std::vector<RuleView>> apply_changes(const Changes& changes);
// The same for changes that depend on the rules there are, which nobody else changes meanwhile. An error of `decide`
// leaves all as it was, and so does no change.
using Decide = std::function<Result<Changes>(const std::vector<RuleRecord>& in_force)>;
Result<std::vector<RuleView>> change_rules(const Decide& decide);

// Packets that are left in the line are waited for; `left` tells how many every 200 ms.
using Progress = std::function<void(std::uint32_t left)>;
constexpr std::chrono::seconds default_drain{15};

struct Removed {
    std::vector<std::string> rules;         // names
    std::vector<RuleRecord> left;           // what is still there
    std::uint32_t packets_lost = 0;         // still in the line when the drain limit had passed
    bool instance_gone = false;             // the last rule went, and with it everything Headwind had on this namespace
    std::vector<AttachedProgram> programs;  // of rules that could not be told any more: see clear()
};
Result<Removed> delete_rules(const std::vector<std::string>& names, bool if_exists, const Progress& progress,
                             std::chrono::nanoseconds drain = default_drain);
// The rules of this owner, or of everyone; with the last one the instance goes, and what killed commands left. Of
// everyone also where the pins are gone or not to be trusted: what is found at devices goes, then the pins, as far as
// they are Headwind's.
Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress,
                      std::chrono::nanoseconds drain = default_drain);

// The rule with this RuleRecord::state lives until `lease` ns from now. not_found: it was removed.
Status renew_lease(std::uint32_t state, std::uint64_t lease);
// Rules by name, each for its own lease. usage: one has none. All of them are there, or none is renewed.
Status renew_leases(const std::vector<std::string>& names);

struct Settled {
    std::vector<std::string> rules;  // that are there now, of those the change was about
    std::uint32_t packets_lost = 0;  // as of Removed
};
// The change that waits is there to stay or, `undo`, is undone at once. not_found: none waits.
Result<Settled> settle_pending(bool undo, const Progress& progress);

}  // namespace headwind
