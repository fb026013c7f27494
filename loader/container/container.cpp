// SPDX-License-Identifier: MIT
// Finds what a user named with --container, --pod or --pid, and the paths of its network namespace.
#include "container/container.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include <fmt/ranges.h>

#include "container/inventory.h"
#include "util/text.h"

namespace headwind {
namespace {

using Containers = std::vector<const ContainerState*>;

constexpr std::size_t shortest_id = 6;  // digits of an id that may stand for it
constexpr std::size_t longest_list = 10;

// "web (3f2a1b4c5d6e) of pod default/shop, db (…) and 3 more"
std::string listed(const Containers& containers)
{
    std::vector<std::string> words;
    for (const auto* one : containers) words.push_back(describe(*one));
    std::sort(words.begin(), words.end());
    const std::size_t more = words.size() > longest_list ? words.size() - longest_list : 0;
    words.resize(words.size() - more);
    return fmt::format("{}{}", fmt::join(words, ", "), more == 0 ? "" : fmt::format(" and {} more", more));
}

template <class Condition>
Containers select(const Inventory& inventory, Condition condition)
{
    Containers out;
    for (const auto& one : inventory.containers)
        if (condition(one)) out.push_back(&one);
    return out;
}

bool runs(const Inventory& inventory, const ContainerState& container)
{
    return inventory.cgroups.contains(container.id);
}

std::string what_runs(const Inventory& inventory)
{
    const auto running = select(inventory, [&](const auto& one) { return !one.is_sandbox && runs(inventory, one); });
    return running.empty() ? "no container runs on this host" : "there are: " + listed(running);
}

// ---- one of several ----

bool is_short_id(const std::string& text)
{
    return text.size() >= shortest_id && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The containers that `text` may mean, by the rules of engines: the whole id, else the name, else the beginning of an
// id.
Containers meant_by(const Inventory& inventory, const std::string& text)
{
    auto found = select(inventory, [&](const auto& one) { return one.id == text; });
    if (found.empty()) found = select(inventory, [&](const auto& one) { return one.name == text && !one.is_sandbox; });
    if (found.empty() && is_short_id(text))
        found = select(inventory, [&](const auto& one) { return one.id.starts_with(text); });
    return found;
}

// The one container of `meant` that runs. `flag`: with the value typed.
Result<const ContainerState*> the_one(const Inventory& inventory, const Containers& meant, const std::string& flag)
{
    Containers running;
    for (const auto* one : meant)
        if (runs(inventory, *one)) running.push_back(one);
    if (running.size() == 1) return running.front();
    if (running.empty())
        return fail(ErrorKind::not_found, "{}: {} does not run: start it first", flag, describe(*meant.front()));
    return fail(ErrorKind::usage, "{}: several are meant: write the id of one of {}", flag, listed(running));
}

// ---- the network namespace ----

void add_path(std::vector<std::string>& paths, const std::string& path)
{
    const bool known = std::find(paths.begin(), paths.end(), path) != paths.end();
    if (!known && access(path.c_str(), F_OK) == 0) paths.push_back(path);
}

void add_process_netns(const std::string& root, int pid, std::vector<std::string>& paths)
{
    if (pid != 0) add_path(paths, fmt::format("{}/proc/{}/ns/net", root, pid));
}

// Adds the namespace that the container was given by path. Paths below /proc are left out: they are of processes that
// may have ended since.
void add_given_netns(const std::string& root, const ContainerState& container, std::vector<std::string>& paths)
{
    if (!container.netns.empty() && !container.netns.starts_with("/proc/"))
        add_path(paths, in_root(root, container.netns));
}

// The paths of the containers' network namespace. The sandbox's own come first: a container's process may be between
// two of its crashes.
std::vector<std::string> netns_of(const std::string& root, const Inventory& inventory, const Containers& containers)
{
    std::vector<std::string> paths;
    for (const auto* one : containers) {
        for (const auto* sandbox : select(inventory, [one](const auto& other) { return other.id == one->sandbox; })) {
            add_process_netns(root, sandbox->pid, paths);
            add_given_netns(root, *sandbox, paths);
        }
    }
    for (const auto* one : containers) add_given_netns(root, *one, paths);
    for (const auto* one : containers) add_process_netns(root, one->pid, paths);
    for (const auto* one : containers) {
        if (!paths.empty() || !runs(inventory, *one)) continue;
        for (const int pid : processes_of(root, inventory.cgroups.at(one->id))) add_process_netns(root, pid, paths);
    }
    return paths;
}

Result<Found> with_netns(const std::string& root, const Inventory& inventory, const Containers& containers,
                         const std::string& flag, Found found)
{
    found.netns = netns_of(root, inventory, containers);
    found.host_network =
        std::any_of(containers.begin(), containers.end(), [](const auto* one) { return one->host_network; });
    if (found.netns.empty())
        return fail(ErrorKind::not_found, "{}: its network namespace is not found: no process of it lives", flag);
    return found;
}

Result<Found> found_container(const std::string& root, const Inventory& inventory, const Containers& meant,
                              const std::string& flag)
{
    HW_TRY(const auto* one, the_one(inventory, meant, flag));
    Found found;
    found.container = *one;
    found.cgroup = inventory.cgroups.at(one->id);
    return with_netns(root, inventory, {one}, flag, std::move(found));
}

// ---- pods ----

struct PodName {
    std::string space, name, container;  // empty container: the whole pod
};

Result<PodName> parse_pod(const std::string& text)
{
    std::vector<std::string> parts;
    std::istringstream words(text);
    for (std::string part; std::getline(words, part, '/');) parts.push_back(part);
    const bool empty = text.ends_with('/') || std::find(parts.begin(), parts.end(), "") != parts.end();
    if (parts.size() < 2 || parts.size() > 3 || empty)
        return fail(ErrorKind::usage,
                    "--pod {}: write NAMESPACE/NAME or NAMESPACE/NAME/CONTAINER, like default/shop/web",
                    printable(text));
    return PodName{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
}

std::string pods_of(const Inventory& inventory)
{
    std::set<std::string> names;
    for (const auto& one : inventory.containers)
        if (!one.pod_name.empty()) names.insert(one.pod_namespace + "/" + one.pod_name);
    if (names.empty()) return "no pod runs on this host";
    return fmt::format("there are: {}", fmt::join(names, ", "));
}

// The pod's containers, all of one sandbox. A pod that was made anew, or whose sandbox was, may have left another
// sandbox behind.
Result<Containers> members_of(const Inventory& inventory, const PodName& pod, const std::string& flag)
{
    std::set<std::string> live;
    for (const auto& one : inventory.containers) {
        const bool here = one.pod_namespace == pod.space && one.pod_name == pod.name;
        if (here && (one.pid != 0 || runs(inventory, one))) live.insert(one.sandbox);
    }
    if (live.empty())
        return fail(ErrorKind::not_found, "{}: no such pod runs on this host; {}", flag, pods_of(inventory));
    if (live.size() > 1)
        return fail(ErrorKind::usage,
                    "{}: it runs {} times, in the sandboxes {}: name a container by its id with --container", flag,
                    live.size(), fmt::join(live, ", "));
    return select(inventory, [&](const auto& one) {
        return one.pod_namespace == pod.space && one.pod_name == pod.name && one.sandbox == *live.begin();
    });
}

}  // namespace

Result<Found> find_container(const std::string& root, const std::string& text)
{
    const auto flag = fmt::format("--container {}", printable(text));
    const auto inventory = take_inventory(root);
    const auto meant = meant_by(inventory, text);
    if (meant.empty())
        return fail(ErrorKind::not_found,
                    "{}: no such container on this host (an id, {} or more digits of it, or a name); {}", flag,
                    shortest_id, what_runs(inventory));
    return found_container(root, inventory, meant, flag);
}

Result<Found> find_pod(const std::string& root, const std::string& text)
{
    const auto flag = fmt::format("--pod {}", printable(text));
    HW_TRY(const auto pod, parse_pod(text));
    const auto inventory = take_inventory(root);
    HW_TRY(const auto members, members_of(inventory, pod, flag));
    if (!pod.container.empty()) {
        Containers meant, others;
        for (const auto* one : members)
            if (!one->is_sandbox) (one->name == pod.container ? meant : others).push_back(one);
        if (meant.empty())
            return fail(ErrorKind::not_found, "{}: the pod has no such container; {}", flag,
                        others.empty() ? "it has none" : "there are: " + listed(others));
        return found_container(root, inventory, meant, flag);
    }
    Found found;
    found.whole_pod = true;
    found.container.pod_namespace = pod.space;
    found.container.pod_name = pod.name;
    found.container.sandbox = members.front()->sandbox;
    return with_netns(root, inventory, members, flag, std::move(found));
}

Result<Found> find_process(const std::string& root, const std::string& text)
{
    const auto flag = fmt::format("--pid {}", printable(text));
    Found found;
    const auto* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, found.process);
    if (parsed.ec != std::errc{} || parsed.ptr != end || found.process < 1)
        return fail(ErrorKind::usage, "{}: write a process id, a whole number above 0", flag);
    const auto folder = fmt::format("{}/proc/{}", root, found.process);
    std::istringstream lines(read_host_file(folder + "/cgroup"));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("0::")) found.cgroup = line.substr(3);
    add_path(found.netns, folder + "/ns/net");
    if (found.netns.empty()) return fail(ErrorKind::not_found, "{}: no such process on this host", flag);
    if (found.cgroup.empty() || found.cgroup == "/")
        return fail(
            ErrorKind::unsupported,
            "{}: it is in the root of the cgroup2 hierarchy, and with it every process that is in no other cgroup: start it in one (systemd-run --scope), or use --netns and --port",
            flag);
    if (found.cgroup.starts_with("/.."))
        return fail(
            ErrorKind::unsupported,
            "{}: this headwind runs in a cgroup namespace that does not show the process's cgroup: name its container with --container, or run headwind in the host's (nsenter --cgroup --target 1)",
            flag);
    return found;
}

}  // namespace headwind
