// SPDX-License-Identifier: MIT
// Chooses between pod side and host side, and turns what was found into a Place.
#include "container/placement.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/ranges.h>

#include "host/host.h"
#include "host/veth_peer.h"
#include "util/text.h"

namespace headwind {
namespace {

std::string typed(const SubjectArgs& words)
{
    if (!words.container.empty()) return "--container " + printable(words.container);
    return words.pod.empty() ? "--pid " + printable(words.pid) : "--pod " + printable(words.pod);
}

Result<Found> find(const SubjectArgs& words, const std::string& root)
{
    if (!words.container.empty()) return find_container(root, words.container);
    return words.pod.empty() ? find_process(root, words.pid) : find_pod(root, words.pod);
}

Subject subject_of(const Found& found)
{
    const auto& container = found.container;
    Subject subject;
    subject.process = static_cast<std::uint32_t>(found.process);
    if (!container.pod_name.empty()) subject.pod = container.pod_namespace + "/" + container.pod_name;
    if (found.whole_pod) return subject;
    subject.id = container.id;
    subject.container = container.name;
    return subject;
}

// Opens the first of the paths that can be opened.
Status open_netns(const Found& found, const std::string& flag, Place& into)
{
    int error = ENOENT;
    for (const auto& path : found.netns) {
        into.netns = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        into.netns_path = path;
        if (into.netns && is_netns(into.netns)) return {};
        error = into.netns ? EINVAL : errno;
    }
    return fail(error == EACCES || error == EPERM ? ErrorKind::permission : ErrorKind::not_found,
                "{}: its network namespace {}: {}", flag, fmt::join(found.netns, ", "), std::strerror(error));
}

bool is_current(const Fd& netns)
{
    struct stat other {
    }, own{};
    return fstat(netns.get(), &other) == 0 && stat("/proc/thread-self/ns/net", &own) == 0 &&
           other.st_ino == own.st_ino && other.st_dev == own.st_dev;
}

Result<Surroundings> look_around(const Fd& netns)
{
    Surroundings out;
    out.own_netns = !is_current(netns);
    if (!out.own_netns) return out;
    HW_TRY(const auto links, host_sides(netns.get()));
    for (const auto& link : links) out.host_side.push_back(link.name);
    return out;
}

}  // namespace

Result<Choice> choose_side(const std::string& at, const Surroundings& found)
{
    if (!at.empty() && at != "pod" && at != "host")
        return fail(ErrorKind::usage, "--at {}: write pod or host", printable(at));
    if (at == "host") {
        if (!found.own_netns)
            return fail(ErrorKind::usage,
                        "--at host: it has no network namespace but this one, so there is no host side: use --at pod");
        if (found.host_side.empty())
            return fail(
                ErrorKind::unsupported,
                "--at host: none of its devices is a veth whose other end is in this network namespace: use --at pod, or --netns with the namespace that has it");
        return Choice{Side::host, fmt::format("at the host side, {}, as asked", fmt::join(found.host_side, ", "))};
    }
    if (!found.own_netns) return Choice{Side::pod, "in this network namespace, which it shares"};
    if (at == "pod") return Choice{Side::pod, "in its own network namespace, as asked"};
    // Every packet passes the pod's own devices, one to a neighbour in the pod, too. The host side may be bypassed:
    // Cilium and others redirect past it.
    return Choice{
        Side::pod,
        found.host_side.empty()
            ? "in its own network namespace, as it has no veth with a host side here"
            : fmt::format("in its own network namespace, which nothing can bypass (its host side is {}: --at host)",
                          fmt::join(found.host_side, ", "))};
}

Result<Place> find_place(const SubjectArgs& words, const std::string& root)
{
    HW_TRY(const Found found, find(words, root));
    Place place;
    HW_CHECK(open_netns(found, typed(words), place));
    if (found.whole_pod && found.host_network)
        return fail(
            ErrorKind::usage,
            "{0}: it uses the host's network, so a rule for all of it would be one for the host: name one of its containers ({0}/CONTAINER)",
            typed(words));
    HW_TRY(const auto around, look_around(place.netns));
    HW_TRY(auto choice, choose_side(words.at, around));
    place.subject = subject_of(found);
    place.subject.at_host = choice.side == Side::host;
    place.cgroup = found.cgroup;
    place.reason = std::move(choice.reason);
    if (choice.side == Side::host) place.devices = around.host_side;
    if (choice.side == Side::host || !around.own_netns) place.netns = Fd();
    return place;
}

Status select_subject(const Place& place, RuleSpec& text)
{
    if (!text.cgroups.empty())
        return fail(ErrorKind::usage, "--cgroup {}: the container or process is its own cgroup: leave it out",
                    fmt::join(text.cgroups, ","));
    if (place.subject.at_host && !text.devices.empty())
        return fail(ErrorKind::usage, "--dev {}: --at host means the pod's host side, {}: leave one of them out",
                    fmt::join(text.devices, ","), fmt::join(place.devices, ", "));
    if (!place.cgroup.empty()) text.cgroups = {place.cgroup};
    if (place.subject.at_host) text.devices = place.devices;
    text.subject = place.subject;
    return {};
}

Status enter(const Place& place)
{
    if (!place.netns) return {};
    return enter_netns(place.netns.get(), place.netns_path);
}

Status enter_netns_of(const SubjectArgs& words, const std::string& root)
{
    HW_TRY(const Found found, find(words, root));
    Place place;
    HW_CHECK(open_netns(found, typed(words), place));
    return enter(place);
}

}  // namespace headwind
