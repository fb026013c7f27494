// SPDX-License-Identifier: MIT
// The host besides BPF and netlink, as far as Headwind needs it: network namespaces, sysctls, clocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// The entries of a directory; none if there is no such directory.
Result<std::vector<std::filesystem::path>> entries_of(const std::string& directory);

// Opens a network namespace: a name of `ip netns`, a process id, or a path.
Result<Fd> open_netns(const std::string& name);
bool is_netns(const Fd& fd);  // false: another kind of namespace, or the empty file where one was mounted
// Moves the calling thread into a network namespace: a name of `ip netns`, a process id, or a path. Mount namespaces
// stay as they are (`ip netns exec` would hide the BPF file system).
Status enter_netns(const std::string& name);
// The same for a namespace that is open; `what` names it in errors.
Status enter_netns(int netns, const std::string& what);
// Runs `work` in another network namespace and comes back.
Status in_netns(int netns, const std::function<Status()>& work);
// Paths of network namespaces by inode, each of a mount or else of a process.
Result<std::map<std::string, std::string>> netns_paths();
// A path of the network namespace with this inode, of a mount or else of a process; empty: there is none.
std::string path_of_netns(const std::string& inode);
// Whether the namespace is gone for certain: where that cannot be found out, it is taken for alive.
bool is_netns_gone(const std::string& inode);
// Identifies a network namespace; current_netns(): the one the calling thread is in.
struct NetnsId {
    std::uint64_t inode = 0;
    std::uint64_t cookie = 0;  // never used again, unlike the inode
};
Result<NetnsId> current_netns();
// Whether this process is in the mount namespace of process 1, as far as it may know: that takes CAP_SYS_PTRACE.
bool is_in_mounts_of_process_1();
// Whether the process was in the host's own network namespace when it began, before enter_netns().
bool started_in_initial_netns();

// The directory where the host's file system is seen (--host-root); "" at first. Sysctls are read and written below it:
// a container's own /proc/sys is read-only.
void use_host_root(const std::string& root);
const std::string& host_root();
std::string sysctl_file(const std::string& path);

// These read and write a sysctl, "net/core/somaxconn"; that of the thread's network namespace where the sysctl is per
// namespace.
Result<std::uint32_t> read_sysctl(const std::string& path);
Status write_sysctl(const std::string& path, std::uint32_t value);
// The same in the host's first namespace: some sysctls are shown nowhere else. The thread's namespace, the one it was
// in before enter_netns, and process 1's are tried.
Result<std::uint32_t> read_initial_sysctl(const std::string& path);
Status write_initial_sysctl(const std::string& path, std::uint32_t value);

std::uint64_t boottime_ns();  // the host's CLOCK_BOOTTIME
std::int64_t wall_seconds();  // CLOCK_REALTIME

}  // namespace headwind
