// SPDX-License-Identifier: MIT
// Names network namespaces.
#include "container/netns_name.h"

#include "host/host.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::size_t short_id = 12;  // as container engines print ids

// The name of `ip netns list`; empty: the path is none of those.
std::string name_in(const std::string& path)
{
    for (const std::string folder : {"/run/netns/", "/var/run/netns/"})
        if (path.starts_with(host_root() + folder)) return path.substr(host_root().size() + folder.size());
    return "";
}

// The process id of /proc/N/ns/net; empty: the path is none of those.
std::string process_in(const std::string& path)
{
    constexpr std::string_view before = "/proc/", after = "/ns/net";
    if (!path.starts_with(before) || !path.ends_with(after)) return "";
    return path.substr(before.size(), path.size() - before.size() - after.size());
}

}  // namespace

NetnsName name_netns(const std::string& path, const std::optional<Subject>& subject)
{
    if (subject && !subject->pod.empty()) return {path, "pod " + subject->pod, "--pod " + subject->pod};
    if (subject && !subject->id.empty()) {
        const auto name = subject->container.empty() ? subject->id.substr(0, short_id) : subject->container;
        return {path, "container " + name, "--container " + name};
    }
    if (const auto name = name_in(path); !name.empty())
        return {path, "network namespace " + printable(name), "--netns " + printable(name)};
    const auto process = process_in(path);
    if (process.empty()) return {path, "network namespace " + printable(path), "--netns " + printable(path)};
    return {path, "the network namespace of process " + process, "--netns " + process};
}

}  // namespace headwind
