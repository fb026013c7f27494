// SPDX-License-Identifier: MIT
// The agent's loop: waits for events, and serves each instance that is due.
#include "agent/agent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include <fmt/ranges.h>

#include "container/netns_name.h"
#include "datapath/instance.h"
#include "engine/changed.h"
#include "engine/engine.h"
#include "engine/takeover.h"
#include "host/netlink.h"

namespace headwind {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // ns
// Events come in bursts: a look waits for their end this long, and looks take at most half of the time (run()).
constexpr std::uint64_t gather = 20 * ms;
// Everything is looked at this often, whether something happened or not.
constexpr std::uint64_t safety_net = 10'000 * ms;
constexpr std::uint64_t stuck = 60'000 * ms;
constexpr std::uint64_t first_pause = 50 * ms;

bool is_inode(const std::string& path, const std::string& inode)
{
    struct stat info {};
    return !path.empty() && stat(path.c_str(), &info) == 0 && std::to_string(info.st_ino) == inode;
}

// The nearest directory above `directory` that is there: something must appear in it before `directory` can.
std::string place_of(const std::string& directory)
{
    std::error_code error;
    auto place = std::filesystem::path(directory).parent_path();
    while (place.has_relative_path() && !std::filesystem::is_directory(place, error)) place = place.parent_path();
    return place;
}

// Opens the network namespace of this inode by `path`, which is renewed if it names another one now. Empty: there is no
// way in. To be held for the time of the work only: it keeps the namespace alive.
Fd open_namespace(const std::string& inode, std::string& path)
{
    if (!is_inode(path, inode)) path = path_of_netns(inode);
    Fd netns(path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns || !is_inode(fmt::format("/proc/self/fd/{}", netns.get()), inode)) return Fd();
    return netns;
}

// Does the work in a thread of its own. Only such a thread enters other namespaces: whoever ends a namespace's
// processes, as its owner may, must not take the agent for one of them. One thread looks at many namespaces: each new
// one costs more than it does there, and moves the process to another CPU.
template <class Work>
auto in_a_thread(const Work& work)
{
    return std::async(std::launch::async, work).get();
}

}  // namespace

Agent::Agent(HostEvents events, Checks checks, AgentLog& log, std::optional<NetnsId> only)
    : events_(std::move(events)), checks_(std::move(checks)), log_(log), only_(only)
{
    events_.heed(checks_.fd());
}

Result<Agent::End> Agent::run(const Hooks& hooks)
{
    for (;;) {
        if (const auto now = boottime_ns(); now >= next_poll()) {
            hooks.before();
            log_.tell_commands();
            in_a_thread([this] { poll(); });
            hooks.after();
            if (only_is_gone()) return End::namespace_gone;
            earliest_ = boottime_ns() + gather + (boottime_ns() - now);
        }
        const auto now = boottime_ns(), until = std::max(next_poll(), now);
        HW_TRY(const auto news, events_.wait(std::chrono::milliseconds((until - now + ms - 1) / ms)));
        if (news.ending) return End::asked;
        take_in(news);
        const auto outcomes = checks_.take();
        if (outcomes.empty()) continue;
        hooks.before();
        for (const auto& outcome : outcomes) heed(outcome);
        hooks.after();
    }
}

void Agent::heed(const Checks::Outcome& outcome)
{
    const auto place = instances_.find(outcome.inode);
    if (place == instances_.end()) return;
    auto& one = place->second;
    if (const auto netns = open_namespace(outcome.inode, one.path)) {
        const auto check = [&outcome] { return heed_check(outcome.check, outcome.failure); };
        const auto status = in_a_thread([&] { return in_netns(netns.get(), check); });
        if (!status) complain(one, status.error());
    }
    if (outcome.failure.empty()) return;
    one.dirty = dirty_ = true;  // the next look tells the stop
}

void Agent::take_in(const HostEvents::News& news)
{
    const auto before = dirty_;
    const auto is_instance = [](const auto& name) { return inode_of_lock(name).empty(); };
    const bool all = news.all || std::ranges::any_of(news.came_or_went, is_instance);
    std::set<std::string> changed;  // inodes of instances that a command has given the lock back of
    for (const auto& name : news.closed) changed.insert(inode_of_lock(name));
    dirty_ = dirty_ || all;
    for (auto& instance : instances_) {
        auto& one = instance.second;
        const auto happened = [&one](const std::string& directory) { return one.watched.contains(directory); };
        const bool hit = all || changed.contains(instance.first) || (one.id && news.namespaces.contains(*one.id)) ||
                         std::any_of(news.directories.begin(), news.directories.end(), happened);
        one.dirty = one.dirty || hit;
        dirty_ = dirty_ || hit;
    }
    if (dirty_ && !before) earliest_ = std::max(earliest_, boottime_ns() + gather);
}

// The time of the next look, CLOCK_BOOTTIME ns.
std::uint64_t Agent::next_poll() const
{
    if (dirty_) return earliest_;
    auto next = all_seen_ + safety_net;
    for (const auto& [inode, one] : instances_)
        if (one.next != 0) next = std::min(next, one.next);
    if (host_.next != 0) next = std::min(next, host_.next);
    return std::max(next, earliest_);
}

void Agent::poll()
{
    const auto now = boottime_ns();
    const bool all = now >= all_seen_ + safety_net;
    if (all) all_seen_ = now;
    dirty_ = false;
    find_instances();
    for (auto place = instances_.begin(); place != instances_.end();) {
        auto& [inode, one] = *place++;
        if (all || is_due(one)) serve(inode, one);
    }
    sweep_the_host();
    std::set<std::string> directories;
    for (const auto& [inode, one] : instances_) directories.insert(one.watched.begin(), one.watched.end());
    events_.watch(directories);
}

bool Agent::is_due(const Served& one) const
{
    const auto now = boottime_ns();
    return now >= one.not_before && (one.dirty || (one.next != 0 && now >= one.next));
}

void Agent::find_instances()
{
    const auto inodes = instance_inodes();
    if (!inodes) return complain(host_, inodes.error());
    std::set<std::string> found;
    for (const auto& inode : *inodes)
        if (!only_ || inode == std::to_string(only_->inode)) found.insert(inode);
    std::erase_if(instances_, [this, &found](const auto& one) {
        if (!found.contains(one.first)) checks_.set(one.first, "", {});
        return !found.contains(one.first);
    });
    const bool started = all_looks_++ == 0;
    const bool any_new = std::ranges::any_of(found, [this](const auto& inode) { return !instances_.contains(inode); });
    const auto paths = any_new ? netns_paths() : Result<std::map<std::string, std::string>>();
    for (const auto& inode : found) {
        const auto [place, is_new] = instances_.try_emplace(inode);
        place->second.take_over |= started;
        if (!is_new) continue;
        place->second.inode = std::stoull(inode);
        if (!paths) continue;
        if (const auto path = paths->find(inode); path != paths->end()) place->second.path = path->second;
    }
}

void Agent::serve(const std::string& inode, Served& one)
{
    one.dirty = false;
    const auto netns = open_namespace(inode, one.path);
    if (!netns) return forget(inode, one);
    if (!one.id) {
        const auto own = current_netns();
        if (own && std::to_string(own->inode) == inode)
            one.id = HostEvents::this_netns;
        else if (const auto id = netlink::give_id_to_netns(netns.get()); id && *id >= 0)
            one.id = *id;
    }
    PendingWork pending;
    const auto work = [&]() -> Status {
        HW_TRY(pending, serve_inside(one));
        return {};
    };
    const auto status = in_netns(netns.get(), work);
    if (status)
        one.trouble.clear();
    else
        complain(one, status.error());
    if (status) checks_.set(inode, one.path, pending.checks);
    one.watched.clear();
    for (const auto& directory : pending.cgroups) one.watched.insert(place_of(directory));
    one.next = pending.next;
    if (!status || pending.due || one.untold) return back_off(one);
    one.not_before = one.pause = 0;
}

// Takes the instance over, but only once: an agent of another version may start after this one, and commands of either
// version be used.
Status Agent::upgrade(Served& one)
{
    if (!one.take_over) return {};
    HW_TRY(const auto done, take_over());
    one.take_over = false;
    if (!done.replaced) return {};
    tell(one, {.event = "upgraded",
               .text = fmt::format("programs of another version replaced on {}", fmt::join(done.devices, ", ")),
               .devices = done.devices});
    return {};
}

// Whether a command is at work in this namespace: others do not wait for it. An error: it has been for too long.
Result<bool> Agent::is_locked(Served& one)
{
    if (!InstanceLock::is_held()) {
        one.locked = 0;
        return false;
    }
    if (one.locked == 0) one.locked = boottime_ns();
    if (boottime_ns() - one.locked < stuck) return true;
    return fail(ErrorKind::busy, "another command has been changing rules for {} s and more: is it stopped?",
                stuck / (1'000 * ms));
}

// Looks for work, and tells what happened since the look before. `tried`: what was due has been done, as far as it can.
Result<PendingWork> Agent::look(Served& one, bool tried)
{
    const auto now = boottime_ns();
    HW_TRY(auto pending, find_pending_work(one.looked, now));
    one.looked = now;
    one.owner = owner_of_netns(one.path, pending.subject);
    for (const auto& rule : pending.expired)
        tell(one, {.event = "expired", .text = "expired: it has no effect any more", .rule = rule});
    // What was told is told once; and to ask for the lock is heard as the end of a command: an agent that asked at each
    // look would look again and again. While a command is at work, its end makes the next look due.
    tried = tried || !pending.due;
    const bool told = std::set(pending.damage.begin(), pending.damage.end()) == one.damage &&
                      pending.suspect == one.suspect && !(one.healing && tried);
    one.untold = !told && InstanceLock::is_held();
    if (!told && !one.untold) HW_CHECK(tell_trouble(one, pending, tried));
    return pending;
}

Result<PendingWork> Agent::serve_inside(Served& one)
{
    HW_TRY(auto pending, look(one, false));
    if (!pending.due) one.locked = 0;
    if (pending.due) {
        HW_TRY(const bool locked, is_locked(one));
        if (locked) return pending;
        auto done = reconcile();
        if (done)
            for (auto& event : events_of(*done)) tell(one, std::move(event));
        auto after = look(one, true);  // also where a part of it could not be done
        if (!done) return pass_error(done);
        if (!after) return after;
        pending = std::move(*after);
    }
    HW_CHECK(upgrade(one));
    HW_CHECK(tell_stops(one, pending));
    return pending;
}

Status Agent::tell_stops(const Served& one, const PendingWork& pending)
{
    for (const auto& stopped : pending.stopped)
        tell(one, {.event = "stopped",
                   .text = "stopped: " + stopped.why,
                   .rule = stopped.rule,
                   .why = stopped.why,
                   .severity = Severity::warning});
    return note_told(pending.stopped);
}

// Forgets a namespace that there is no way into: it is ending, or only open files keep it.
void Agent::forget(const std::string& inode, Served& one)
{
    one.id.reset();
    if (const auto status = sweep_host(); !status) complain(one, status.error());
    const auto left = instance_inodes();
    if (!left || std::ranges::find(*left, inode) != left->end()) return back_off(one);
    log_.tell({.event = "namespace-gone",
               .text = fmt::format("network namespace {} is gone, and with it its rules", inode),
               .netns_inode = one.inode});
    one.next = 0;
    dirty_ = true;  // this namespace may have been the last one
}

// Removes what the last instance has left on the host, if its namespace ended.
void Agent::sweep_the_host()
{
    const auto host = open_host_map();
    const auto inodes = instance_inodes();
    const bool only_panic = host && *host && (**host)->panic != 0 && (**host)->backlog_changed == 0;  // the map stays
    if (!host || !*host || only_panic || !inodes || !inodes->empty()) {
        host_ = {};
        return;
    }
    if (boottime_ns() < host_.not_before) return;
    if (const auto status = sweep_host(); !status) complain(host_, status.error());
    back_off(host_);
}

void Agent::back_off(Served& one) const
{
    one.pause = std::clamp(2 * one.pause, first_pause, one.locked != 0 || one.untold ? 1'000 * ms : safety_net);
    one.not_before = boottime_ns() + one.pause;
    one.next = one.not_before;
    one.dirty = true;
}

// Tells the event as one of this namespace.
void Agent::tell(const Served& one, Event event)
{
    event.netns = one.path;
    event.place = one.owner;
    event.netns_inode = one.inode;
    log_.tell(std::move(event));
}

// Tells what others have done to what rules need, and what that means for rules, once. That it is over is told once
// what was due has been tried: what others gave back does not serve the rules before.
Status Agent::tell_trouble(Served& one, const PendingWork& pending, bool tried)
{
    const bool any = !pending.damage.empty() || !pending.suspect.empty();
    const bool healing = !one.not_effective.empty() && tried;
    Trouble now;
    if (any || healing) {
        HW_TRY(now, find_trouble(healing));
    }
    const std::set<std::string> damage(now.damage.begin(), now.damage.end());
    for (const auto& what : damage)
        if (!one.damage.contains(what))
            tell(one, {.event = "foreign-change",
                       .text = "changed by others: " + what,
                       .why = what,
                       .severity = Severity::warning});
    one.damage = damage;
    one.suspect = pending.suspect;
    for (const auto& [rule, why] : now.not_effective)
        if (one.not_effective.emplace(rule, why).second)
            tell(one, {.event = "not-effective",
                       .text = "not effective: " + why,
                       .rule = rule,
                       .why = why,
                       .severity = Severity::warning});
    if (healing) tell_healed(one, now);
    one.healing = !one.not_effective.empty() && (pending.due || (now.damage.empty() && now.suspect.empty()));
    return {};
}

// Of rules that are gone, stopped, or without a device now nothing is told: that was told of itself.
void Agent::tell_healed(Served& one, const Trouble& now)
{
    for (const auto& [rule, why] : one.not_effective)
        if (now.effective.contains(rule))
            tell(one, {.event = "healed", .text = "effective again, no longer: " + why, .rule = rule, .why = why});
    std::erase_if(one.not_effective, [&now](const auto& told) { return !now.not_effective.contains(told.first); });
}

// Tells each new trouble once.
void Agent::complain(Served& one, const Error& error)
{
    if (error.message == one.trouble) return;
    one.trouble = error.message;
    tell(one,
         {.event = "trouble", .text = error.message + " (tried again within 10 s)", .severity = Severity::warning});
}

bool Agent::only_is_gone() const
{
    if (!only_) return false;
    const auto inode = std::to_string(only_->inode);
    return !instances_.contains(inode) && path_of_netns(inode).empty();
}

}  // namespace headwind
