// SPDX-License-Identifier: MIT
// Names network namespaces.
#include "container/netns_name.h"

#include <sys/stat.h>

#include <algorithm>

#include "host/host.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::size_t short_id = 12;  // as container engines print ids

bool is_of_process_1(const std::string& path)
{
    struct stat there {
    }, first{};
    return stat(path.c_str(), &there) == 0 && stat((host_root() + "/proc/1/ns/net").c_str(), &first) == 0 &&
           there.st_ino == first.st_ino;
}

bool is_number(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// What is between `before` and `after`; empty: the path is another.
std::string between(const std::string& path, std::string_view before, std::string_view after)
{
    if (!path.starts_with(before) || !path.ends_with(after)) return "";
    return path.substr(before.size(), path.size() - before.size() - after.size());
}

std::string container_name(const Subject& subject)
{
    return subject.container.empty() ? subject.id.substr(0, short_id) : subject.container;
}

// --host-root, where it is not what commands take anyway.
std::string root_flag()
{
    const char* preset = std::getenv("HEADWIND_HOST_ROOT");
    return host_root().empty() || host_root() == (preset != nullptr ? preset : "")
               ? ""
               : " --host-root " + shell_word(host_root());
}

}  // namespace

std::string owner_of_netns(const std::string& path, const std::optional<Subject>& subject)
{
    if (!subject || (subject->pod.empty() && subject->id.empty()) || is_of_process_1(path)) return "";
    return subject->pod.empty() ? "container " + container_name(*subject) : "pod " + subject->pod;
}

NetnsName name_netns(const std::string& path, const std::optional<Subject>& subject)
{
    const auto root = root_flag();
    if (auto owner = owner_of_netns(path, subject); !owner.empty()) {
        const auto flags = subject->pod.empty() ? "--container " + shell_word(container_name(*subject))
                                                : "--pod " + shell_word(subject->pod);
        return {path, std::move(owner), flags + root};
    }
    const auto process = between(path, "/proc/", "/ns/net");
    if (!process.empty()) return {path, "the network namespace of process " + process, "--netns " + process + root};
    auto name = between(path, "/run/netns/", "");
    if (is_number(name)) name = path;  // not another, or that of a process
    return {path, "network namespace " + printable(name), "--netns " + shell_word(name) + root};
}

}  // namespace headwind
