// SPDX-License-Identifier: MIT
// The cgroup2 hierarchy of this host, wherever it is mounted (hybrid hosts: /sys/fs/cgroup/unified).
#pragma once

#include <cstdint>
#include <string>

#include "util/fd.h"
#include "util/result.h"

namespace headwind {

struct Cgroup {
    std::string path;      // below the mount point, with a leading slash: "/system.slice/x.service"
    std::uint64_t id = 0;  // as bpf_skb_ancestor_cgroup_id reports it
    unsigned level = 0;    // depth below the root, whose level is 0
    friend bool operator==(const Cgroup&, const Cgroup&) = default;
};

// The mount point of cgroup2: one that shows the whole hierarchy, if there is one (a container may have another, of its
// own part). The error says how to mount it.
Result<std::string> cgroup2_mount();

// `text` is a path below the mount point or an absolute path in the file system that lies below it. Errors name `flag`.
Result<Cgroup> find_cgroup(const std::string& text, const char* flag = "--cgroup");

// Whether the cgroup was removed, or removed and made anew. False, too, where this process sees only a part of the
// hierarchy.
bool is_gone(const Cgroup& cgroup);

// The calling process's own cgroup.
Result<std::string> own_cgroup_path();

// A cgroup made for one command, below the caller's own. The destructor removes it; processes left in it are then moved
// to the parent.
class CommandCgroup {
public:
    static Result<CommandCgroup> create();
    CommandCgroup(CommandCgroup&& other) noexcept = default;
    CommandCgroup& operator=(CommandCgroup&&) = delete;
    CommandCgroup(const CommandCgroup&) = delete;
    CommandCgroup& operator=(const CommandCgroup&) = delete;
    ~CommandCgroup();
    const std::string& path() const { return path_; }            // below the mount point
    const std::string& directory() const { return directory_; }  // in the file system

private:
    CommandCgroup(std::string path, std::string directory, Fd lock);
    std::string path_, directory_;
    Fd lock_;  // while it is held, others know that the command lives
};

// Removes the cgroups of `run` commands that no longer live (killed with SIGKILL): only those without processes, or
// all, with their processes moved to the parent.
enum class Sweep { empty, all };
void sweep_command_cgroups(Sweep which);
// Removes the cgroup at `path` (below the mount point), with whatever is in it, if it is a cgroup of such a command.
void sweep_command_cgroup(const std::string& path);

}  // namespace headwind
