// SPDX-License-Identifier: MIT
// The agent: keeps all instances of this host, or that of one network namespace, as reconcile() would have them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/checks.h"
#include "agent/log.h"
#include "agent/pending.h"
#include "engine/reconcile.h"
#include "host/events.h"
#include "host/host.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

class Agent {
public:
    // `only`: the one network namespace to serve; none: all that have an instance.
    Agent(HostEvents events, Checks checks, AgentLog& log, std::optional<NetnsId> only);

    enum class End { asked, namespace_gone };
    // Called around each look at the instances, and around the outcomes of checks: all work is done in between.
    struct Hooks {
        std::function<void()> before, after;
    };
    // Does the work there is now, then the work that comes, until a signal, or until the one namespace is gone.
    Result<End> run(const Hooks& hooks);

    std::size_t served() const { return instances_.size(); }

private:
    struct Served {
        std::uint64_t inode = 0;        // of its namespace
        std::string path;               // a path by which its namespace was last entered
        std::string owner;              // owner_of_netns()
        std::optional<int> id;          // the id of its namespace in ours
        bool dirty = true;              // something happened
        std::uint64_t next = 0;         // CLOCK_BOOTTIME ns at which it is due; 0: not by time alone
        std::uint64_t not_before = 0;   // CLOCK_BOOTTIME ns; after work that could not be finished
        std::uint64_t pause = 0;        // ns, of the last such wait
        std::uint64_t locked = 0;       // CLOCK_BOOTTIME ns since when another command changes its rules; 0: none does
        std::set<std::string> watched;  // directories
        bool take_over = false;         // it was there when the agent started: our programs are to take over
        std::string trouble;            // the last trouble that was told
        std::uint64_t looked = boottime_ns();              // CLOCK_BOOTTIME ns of the last look for work
        std::set<std::string> damage;                      // as it was told: PendingWork::damage
        BlindHooks suspect;                                // PendingWork::suspect when rules were last looked at for it
        std::map<std::string, std::string> not_effective;  // as it was told: Trouble::not_effective
        bool healing = false;                              // some of these may be effective again
        bool untold = false;                               // a command was at work
    };

    void take_in(const HostEvents::News& news);
    void heed(const Checks::Outcome& outcome);
    std::uint64_t next_poll() const;
    void poll();
    void find_instances();
    bool is_due(const Served& one) const;
    void serve(const std::string& inode, Served& one);
    Result<PendingWork> serve_inside(Served& one);
    Status tell_stops(const Served& one, const PendingWork& pending);
    Status tell_trouble(Served& one, const PendingWork& pending, bool tried);
    void tell_healed(Served& one, const Trouble& now);
    Result<PendingWork> look(Served& one, bool tried);
    Status upgrade(Served& one);
    static Result<bool> is_locked(Served& one);
    void forget(const std::string& inode, Served& one);
    void sweep_the_host();
    void back_off(Served& one) const;
    void tell(const Served& one, Event event);
    void complain(Served& one, const Error& error);
    bool only_is_gone() const;

    HostEvents events_;
    Checks checks_;
    AgentLog& log_;
    std::optional<NetnsId> only_;
    std::map<std::string, Served> instances_;  // by the inode of the namespace
    Served host_;                              // the host's part of the work, when no instance is left
    unsigned all_looks_ = 0;                   // number of looks at which instances there are
    bool dirty_ = true;                        // something happened since the last look
    std::uint64_t earliest_ = 0;               // CLOCK_BOOTTIME ns; the next look is not before
    std::uint64_t all_seen_ = 0;               // CLOCK_BOOTTIME ns of the last look at all instances
};

}  // namespace headwind
