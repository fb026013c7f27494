// SPDX-License-Identifier: MIT
// Finds and enters network namespaces, reads and writes sysctls, and reads clocks.
#include "host/host.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "util/text.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace headwind {
namespace {

namespace fs = std::filesystem;

Result<Fd> open_file(const std::string& path, int flags)
{
    Fd fd(open(path.c_str(), flags | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open " + path);
    return fd;
}

std::string& host_root_slot()
{
    static std::string root;
    return root;
}

// The network namespace in which the process was before enter_netns.
Fd& start_netns()
{
    static Fd fd;
    return fd;
}

// Runs `work` where it succeeds: it fails in namespaces that do not show the sysctl.
Status in_initial_netns(const std::function<Status()>& work)
{
    if (auto status = work(); status) return status;
    if (start_netns())
        if (auto status = in_netns(start_netns().get(), work); status) return status;
    HW_TRY(const auto initial, open_file("/proc/1/ns/net", O_RDONLY));
    return in_netns(initial.get(), work);
}

std::uint64_t nanoseconds(clockid_t clock)
{
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

// The ns by which this process's time namespace is ahead of the host's CLOCK_BOOTTIME, modulo 2^64.
// (time_namespaces(7); the file is about the namespace that children get, which is ours in a program that was started
// inside.)
std::uint64_t time_namespace_offset()
{
    std::ifstream file("/proc/self/timens_offsets");
    std::string clock;
    std::int64_t seconds = 0, rest = 0;
    while (file >> clock >> seconds >> rest)
        if (clock == "boottime") return static_cast<std::uint64_t>(seconds * 1'000'000'000 + rest);
    return 0;
}

}  // namespace

Result<std::vector<fs::path>> entries_of(const std::string& directory)
{
    std::error_code error;
    std::vector<fs::path> out;
    fs::directory_iterator entry(directory, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) out.push_back(entry->path());
    if (error && error != std::errc::no_such_file_or_directory) return fail_errno(error.value(), "read " + directory);
    return out;
}

bool is_netns(const Fd& fd)
{
    return ioctl(fd.get(), NS_GET_NSTYPE) == CLONE_NEWNET;
}

Result<Fd> open_netns(const std::string& name)
{
    const bool pid = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    const auto path = name.starts_with('/') ? name : pid ? "/proc/" + name + "/ns/net" : "/run/netns/" + name;
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));  // a FIFO is not waited for
    if (!fd)
        return fail(ErrorKind::not_found, "--netns {}: {}: {} (a name of `ip netns list`, a process id, or a path)",
                    printable(name), printable(path), std::strerror(errno));
    if (!is_netns(fd)) return fail(ErrorKind::usage, "--netns {}: this is no network namespace", printable(name));
    return fd;
}

Status enter_netns(const std::string& name)
{
    HW_TRY(const auto fd, open_netns(name));
    return enter_netns(fd.get(), "--netns " + printable(name));
}

Status enter_netns(int netns, const std::string& what)
{
    if (!start_netns()) start_netns() = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (setns(netns, CLONE_NEWNET) != 0)
        return fail(errno == EPERM ? ErrorKind::permission : ErrorKind::usage, "{}: {}", what,
                    errno == EINVAL ? "this is no network namespace" : std::strerror(errno));
    return {};
}

Status in_netns(int netns, const std::function<Status()>& work)
{
    HW_TRY(const auto here, open_file("/proc/thread-self/ns/net", O_RDONLY));
    if (setns(netns, CLONE_NEWNET) != 0) return fail_errno(errno, "enter another network namespace");
    auto status = work();
    if (setns(here.get(), CLONE_NEWNET) != 0) return fail_errno(errno, "return to the network namespace");
    return status;
}

Result<std::map<std::string, std::string>> netns_paths()
{
    std::map<std::string, std::string> out;
    struct stat info {};
    for (const char* mounts : {"/run/netns", "/run/docker/netns"}) {
        HW_TRY(const auto entries, entries_of(host_root_slot() + mounts));
        for (const auto& entry : entries)
            if (stat(entry.c_str(), &info) == 0) out.emplace(std::to_string(info.st_ino), entry.string());
    }
    HW_TRY(const auto processes, entries_of(host_root_slot() + "/proc"));
    for (const auto& process : processes) {
        if (process.filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
        std::error_code error;
        const auto name = fs::read_symlink(process / "ns/net", error).string();  // net:[4026531840]
        if (error == std::errc::not_enough_memory) return fail_errno(error.value(), "read " + process.string());
        if (!error && name.size() > 6) out.emplace(name.substr(5, name.size() - 6), (process / "ns/net").string());
    }
    return out;
}

std::string path_of_netns(const std::string& inode)
{
    const auto paths = netns_paths();
    const auto found = paths ? paths->find(inode) : decltype(paths->begin())();
    return paths && found != paths->end() ? found->second : "";
}

bool is_netns_gone(const std::string& inode)
{
    const auto paths = netns_paths();
    return paths && !paths->contains(inode);
}

Result<NetnsId> current_netns()
{
    NetnsId id;
    struct stat info {};
    if (stat("/proc/thread-self/ns/net", &info) != 0) return fail_errno(errno, "read /proc/thread-self/ns/net");
    id.inode = info.st_ino;
    const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof(id.cookie);
    if (!socket_fd || getsockopt(socket_fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &id.cookie, &size) != 0)
        return fail_errno(errno, "read the network namespace's cookie (needs Linux 5.14; Headwind needs 6.1)");
    return id;
}

bool is_in_mounts_of_process_1()
{
    struct stat own {
    }, first{};
    return stat("/proc/thread-self/ns/mnt", &own) == 0 && stat("/proc/1/ns/mnt", &first) == 0 &&
           own.st_ino == first.st_ino;
}

bool started_in_initial_netns()
{
    // Linux shows this sysctl in the initial network namespace only (net_core_table).
    const auto shown = []() -> Status {
        HW_TRY(const auto value, read_sysctl("net/core/netdev_max_backlog"));
        static_cast<void>(value);
        return {};
    };
    return (start_netns() ? in_netns(start_netns().get(), shown) : shown()).has_value();
}

void use_host_root(const std::string& root)
{
    host_root_slot() = root;
}

const std::string& host_root()
{
    return host_root_slot();
}

std::string sysctl_file(const std::string& path)
{
    return host_root_slot() + "/proc/sys/" + path;
}

Result<std::uint32_t> read_sysctl(const std::string& path)
{
    std::ifstream file(sysctl_file(path));
    std::uint32_t value = 0;
    if (!(file >> value)) return fail(ErrorKind::failed, "read {}", sysctl_file(path));
    return value;
}

Status write_sysctl(const std::string& path, std::uint32_t value)
{
    std::ofstream file(sysctl_file(path));
    if (!(file << value << std::flush)) return fail(ErrorKind::failed, "write {} to {}", value, sysctl_file(path));
    return {};
}

Result<std::uint32_t> read_initial_sysctl(const std::string& path)
{
    Result<std::uint32_t> value = 0U;
    HW_CHECK(in_initial_netns([&]() -> Status {
        HW_TRY(value, read_sysctl(path));
        return {};
    }));
    return value;
}

Status write_initial_sysctl(const std::string& path, std::uint32_t value)
{
    return in_initial_netns([&] { return write_sysctl(path, value); });
}

std::uint64_t boottime_ns()
{
    static const std::uint64_t offset = time_namespace_offset();
    return nanoseconds(CLOCK_BOOTTIME) - offset;
}

std::int64_t wall_seconds()
{
    return static_cast<std::int64_t>(nanoseconds(CLOCK_REALTIME) / 1'000'000'000U);
}

}  // namespace headwind
