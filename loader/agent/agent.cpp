#include "agent/agent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include <fmt/ranges.h>

#include "datapath/instance.h"
#include "engine/takeover.h"
#include "host/netlink.h"

namespace headwind {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // ns
// Events come in bursts: a look waits for their end this long, and takes at most half of the time.
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

// Where something must appear before the directory can: the nearest one above it that is there.
std::string place_of(const std::string& directory)
{
    std::error_code error;
    auto place = std::filesystem::path(directory).parent_path();
    while (place.has_relative_path() && !std::filesystem::is_directory(place, error)) place = place.parent_path();
    return place;
}

std::string reason(const Swept& swept)
{
    switch (swept.why) {
        case RuleState::expired: return "it expired";
        case RuleState::undone: return "it was not confirmed in time";
        case RuleState::unleased: return "its lease ended: who held it is gone";
        default: return swept.record.rule.party ? describe(*swept.record.rule.party) + " is gone" : "gone";
    }
}

// The network namespace of this inode, by a path that is renewed if it names another one now; none: there is no way in.
// To be held for the time of the work only: it keeps the namespace alive.
Fd open_namespace(const std::string& inode, std::string& path)
{
    if (!is_inode(path, inode)) path = path_of_netns(inode);
    Fd netns(path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns || !is_inode(fmt::format("/proc/self/fd/{}", netns.get()), inode)) return Fd();
    return netns;
}

// In a thread of its own: who ends a namespace's processes, as its owner may, must not take the agent for one.
Status work_inside(const Fd& netns, const std::function<Status()>& work)
{
    return std::async(std::launch::async, [&] { return in_netns(netns.get(), work); }).get();
}

}  // namespace

Agent::Agent(HostEvents events, Checks checks, const AgentLog& log, std::optional<NetnsId> only)
    : events_(std::move(events)), checks_(std::move(checks)), log_(log), only_(only)
{
    events_.heed(checks_.fd());
}

Result<Agent::End> Agent::run(const Hooks& hooks)
{
    for (;;) {
        if (const auto now = boottime_ns(); now >= next_look()) {
            hooks.before();
            look();
            hooks.after();
            if (only_is_gone()) return End::namespace_gone;
            earliest_ = boottime_ns() + gather + (boottime_ns() - now);
        }
        const auto now = boottime_ns(), until = std::max(next_look(), now);
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
        const auto status = work_inside(netns, [&outcome] { return heed_check(outcome.check, outcome.failure); });
        if (!status) complain(one, status.error());
    }
    if (outcome.failure.empty()) return;
    one.dirty = dirty_ = true;  // it is told
}

void Agent::take_in(const HostEvents::News& news)
{
    const auto before = dirty_;
    const auto is_instance = [](const auto& name) { return inode_of_lock(name).empty(); };
    const bool all = news.all || std::ranges::any_of(news.came_or_went, is_instance);
    std::set<std::string> changed;  // by a command that has given its lock back
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

// CLOCK_BOOTTIME ns.
std::uint64_t Agent::next_look() const
{
    if (dirty_) return earliest_;
    auto next = all_seen_ + safety_net;
    for (const auto& [inode, one] : instances_)
        if (one.next != 0) next = std::min(next, one.next);
    if (host_.next != 0) next = std::min(next, host_.next);
    return std::max(next, earliest_);
}

void Agent::look()
{
    const auto now = boottime_ns();
    const bool all = now >= all_seen_ + safety_net;
    if (all) all_seen_ = now;
    dirty_ = false;
    find_instances();
    for (auto place = instances_.begin(); place != instances_.end();) {
        auto& [inode, one] = *place++;
        if (all || is_due(one)) tend(inode, one);
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
    for (const auto& inode : found) instances_.try_emplace(inode).first->second.take_over |= started;
}

void Agent::tend(const std::string& inode, Served& one)
{
    one.dirty = false;
    const auto netns = open_namespace(inode, one.path);
    if (!netns) return bury(inode, one);
    if (!one.id) {
        const auto own = current_netns();
        if (own && std::to_string(own->inode) == inode)
            one.id = HostEvents::this_netns;
        else if (const auto id = netlink::give_id_to_netns(netns.get()); id && *id >= 0)
            one.id = *id;
    }
    Outlook outlook;
    const auto work = [&]() -> Status {
        HW_TRY(outlook, tend_inside(one));
        return {};
    };
    const auto status = work_inside(netns, work);
    if (status)
        one.trouble.clear();
    else
        complain(one, status.error());
    if (status) checks_.set(inode, one.path, outlook.checks);
    one.watched.clear();
    for (const auto& directory : outlook.cgroups) one.watched.insert(place_of(directory));
    one.next = outlook.next;
    if (!status || outlook.due) return put_off(one);
    one.not_before = one.pause = 0;
}

// Once: an agent of another version may start after this one, and commands of either be used.
Status Agent::upgrade(Served& one) const
{
    if (!one.take_over) return {};
    HW_TRY(const auto done, take_over());
    one.take_over = false;
    if (!done.replaced) return {};
    AgentEvent event;
    event.event = "upgraded";
    event.netns = one.path;
    event.devices = done.devices;
    event.text = fmt::format("programs of another version replaced on {}", fmt::join(done.devices, ", "));
    log_.tell(event);
    return {};
}

// Other namespaces do not wait for a command that is at work in this one. It is trouble if that takes too long.
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

Result<Outlook> Agent::tend_inside(Served& one)
{
    HW_TRY(auto outlook, look_ahead());
    if (!outlook.due) one.locked = 0;
    if (outlook.due) {
        HW_TRY(const bool locked, is_locked(one));
        if (locked) return outlook;
        HW_TRY(const auto done, follow());
        tell(one, done);
        HW_TRY(outlook, look_ahead());
    }
    HW_CHECK(upgrade(one));
    HW_CHECK(tell_stops(one, outlook));
    return outlook;
}

Status Agent::tell_stops(const Served& one, const Outlook& outlook) const
{
    AgentEvent event;
    event.event = "stopped";
    event.netns = one.path;
    event.severity = Severity::warning;
    for (const auto& stopped : outlook.stopped) {
        event.rule = stopped.rule;
        event.why = stopped.why;
        event.text = fmt::format("stopped: {}", event.why);
        log_.tell(event);
    }
    return note_told(outlook.stopped);
}

// There is no way into the namespace: it is ending, or only open files keep it.
void Agent::bury(const std::string& inode, Served& one)
{
    one.id.reset();
    if (const auto status = sweep_host(); !status) complain(one, status.error());
    const auto left = instance_inodes();
    if (!left || std::ranges::find(*left, inode) != left->end()) return put_off(one);
    log_.tell({.event = "namespace-gone",
               .text = fmt::format("network namespace {} is gone, and with it its rules", inode),
               .netns = {},
               .rule = {},
               .devices = {},
               .why = {}});
    one.next = 0;
    dirty_ = true;  // it may have been the last one
}

// What the last instance of a namespace that ended has left on the host.
void Agent::sweep_the_host()
{
    const auto host = open_host_map();
    const auto inodes = instance_inodes();
    const bool only_panic = host && *host && (**host)->panic != 0 && (**host)->backlog_changed == 0;  // it stays
    if (!host || !*host || only_panic || !inodes || !inodes->empty()) {
        host_ = {};
        return;
    }
    if (boottime_ns() < host_.not_before) return;
    if (const auto status = sweep_host(); !status) complain(host_, status.error());
    put_off(host_);
}

void Agent::put_off(Served& one) const
{
    one.pause = std::clamp(2 * one.pause, first_pause, one.locked != 0 ? 1'000 * ms : safety_net);
    one.not_before = boottime_ns() + one.pause;
    one.next = one.not_before;
    one.dirty = true;
}

void Agent::tell(const Served& one, const Followed& done) const
{
    AgentEvent event;
    event.netns = one.path;
    for (const auto& swept : done.removed) {
        event.event = "removed";
        event.rule = swept.record.rule.name;
        event.why = reason(swept);
        event.text = "removed: " + event.why;
        log_.tell(event);
    }
    event.why.clear();
    for (const auto& moved : done.moved) {
        event.event = "moved";
        event.rule = moved.rule;
        event.devices = moved.devices;
        event.text = moved.devices.empty() ? "none of its devices is there now"
                     : moved.cgroup        ? "its cgroup was made anew"
                     : moved.clock         ? "the host's local time changes otherwise than before: its hours follow"
                                           : fmt::format("now at {}", fmt::join(moved.devices, ", "));
        log_.tell(event);
    }
    event.rule.clear();
    if (!done.attached.empty()) {
        event.event = "attached";
        event.devices = done.attached;
        event.text = fmt::format("attached to {}", fmt::join(done.attached, ", "));
        log_.tell(event);
    }
    event.devices.clear();
    if (done.mended) {
        event.event = "mended";
        event.text = "somebody took the line apart: it is whole again";
        log_.tell(event);
    }
    if (!done.instance_gone) return;
    event.event = "instance-gone";
    event.text = "no rule is left: all of Headwind's is removed";
    log_.tell(event);
}

// Once for each new trouble.
void Agent::complain(Served& one, const Error& error) const
{
    if (error.message == one.trouble) return;
    one.trouble = error.message;
    AgentEvent event;
    event.event = "trouble";
    event.netns = one.path;
    event.text = error.message + " (tried again within 10 s)";
    event.severity = Severity::warning;
    log_.tell(event);
}

bool Agent::only_is_gone() const
{
    if (!only_) return false;
    const auto inode = std::to_string(only_->inode);
    return !instances_.contains(inode) && path_of_netns(inode).empty();
}

}  // namespace headwind
