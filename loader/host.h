// What Headwind needs of the host besides BPF and netlink: the BPF file system, one lock, namespaces, sysctls, clocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "fd.h"
#include "result.h"

namespace headwind {

// All pins are below this directory, one directory per network namespace.
constexpr const char* bpffs_mount = "/sys/fs/bpf";
constexpr const char* pin_root = "/sys/fs/bpf/headwind";

// Mounts the BPF file system if it is not (systemd does at boot; small images do not).
Status ensure_bpffs();

// Refuses the BPF file system of a container that is not its host's: what is pinned there dies with the container.
// `root`: where the host's file system is seen (--host-root).
Status check_bpffs_is_hosts(const std::string& root);

// One change at a time on a host. Waits up to 5 s, then fails with ErrorKind::busy and says who holds it. Given back
// when the value is destroyed or the process dies.
Result<Fd> lock_host();

// A directory that is one process's until it ends, however it ends; made, if it is not there, and removed by the
// destructor.
class Claim {
public:
    // `what`: half a sentence for ErrorKind::busy, which goes on with who has it.
    static Result<Claim> take(const std::string& directory, const std::string& what);
    // Some process has it now.
    static bool is_taken(const std::string& directory);
    Claim(Claim&& other) noexcept = default;
    Claim& operator=(Claim&&) = delete;
    ~Claim();

private:
    Claim(Fd lock, std::string directory) : lock_(std::move(lock)), directory_(std::move(directory)) {}
    Fd lock_;
    std::string directory_;
};

// What is in a directory; nothing if there is no such directory.
Result<std::vector<std::filesystem::path>> entries_of(const std::string& directory);

// Opens a network namespace: a name of `ip netns`, a process id, or a path.
Result<Fd> open_netns(const std::string& name);
// Moves the calling thread into a network namespace: a name of `ip netns`, a process id, or a path. Mount namespaces
// stay as they are (`ip netns exec` would hide the BPF file system).
Status enter_netns(const std::string& name);
// The same for one that is open; `what` names it in errors.
Status enter_netns(int netns, const std::string& what);
// Runs `work` in another network namespace and comes back.
Status in_netns(int netns, const std::function<Status()>& work);
// A path that names the network namespace of this inode, of a mount or else of a process; empty: there is none.
std::string path_of_netns(const std::string& inode);
// For certain: where it could not be found out, it is taken for alive.
bool is_netns_gone(const std::string& inode);
// The namespace the thread is in now.
struct NetnsId {
    std::uint64_t inode = 0;
    std::uint64_t cookie = 0;  // never used again, unlike the inode
};
Result<NetnsId> current_netns();

// Where the host's file system is seen (--host-root); "" at first. Sysctls are read and written below it: a container's
// own /proc/sys is read-only.
void use_host_root(const std::string& root);
const std::string& host_root();
std::string sysctl_file(const std::string& path);

// Value of a sysctl, as "net/core/somaxconn", and setting it; of the thread's network namespace where the sysctl is per
// namespace.
Result<std::uint32_t> read_sysctl(const std::string& path);
Status write_sysctl(const std::string& path, std::uint32_t value);
// The same seen from the host's first namespace: some sysctls are shown nowhere else. Looked for in the thread's
// namespace, the one it was in before enter_netns, and process 1's.
Result<std::uint32_t> read_initial_sysctl(const std::string& path);
Status write_initial_sysctl(const std::string& path, std::uint32_t value);

std::uint64_t boottime_ns();  // CLOCK_BOOTTIME
std::int64_t wall_seconds();  // CLOCK_REALTIME

}  // namespace headwind
