#include "host.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pins.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace headwind {
namespace {

namespace fs = std::filesystem;

constexpr int lock_wait_ms = 5'000;
constexpr int lock_poll_ms = 20;

bool is_bpffs(const char* path)
{
    struct statfs info {};
    return statfs(path, &info) == 0 && static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC;
}

// "1234 (headwind add ...)" from /proc/locks and /proc/1234/cmdline.
std::string lock_holder(int fd)
{
    struct stat info {};
    if (fstat(fd, &info) != 0) return "another process";
    const auto inode = fmt::format("{:02x}:{:02x}:{}", major(info.st_dev), minor(info.st_dev), info.st_ino);
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        std::istringstream fields(line);
        std::string number, kind, mode, access, pid, where;
        fields >> number >> kind >> mode >> access >> pid >> where;
        if (kind != "FLOCK" || where != inode) continue;
        std::ifstream file("/proc/" + pid + "/cmdline");
        std::string command((std::istreambuf_iterator<char>(file)), {});
        std::replace(command.begin(), command.end(), '\0', ' ');
        return fmt::format("process {} ({})", pid, command.empty() ? "gone" : command.substr(0, command.size() - 1));
    }
    return "another process";
}

// "0:28" of the BPF file system that a process sees at its place; empty: it sees none.
Result<std::string> bpffs_device(const std::string& mountinfo)
{
    std::ifstream mounts(mountinfo);
    if (!mounts)
        return fail(ErrorKind::usage,
                    "--host-root: {} cannot be read ({}): name the folder where the host's / is mounted", mountinfo,
                    std::strerror(errno));
    std::string found;
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        fields >> id >> parent >> device >> root >> point;
        if (point == bpffs_mount)
            found = line.find(" - bpf ") == std::string::npos ? "" : device;  // the last is on top
    }
    return found;
}

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

// Where the process was before enter_netns.
Fd& start_netns()
{
    static Fd fd;
    return fd;
}

// `work` fails in namespaces that do not show the sysctl.
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

// ns by which this process's time namespace is ahead of the host's CLOCK_BOOTTIME, modulo 2^64. (time_namespaces(7);
// the file is about the namespace that children get, which is ours in a program that was started inside.)
std::uint64_t time_namespace_offset()
{
    std::ifstream file("/proc/self/timens_offsets");
    std::string clock;
    std::int64_t seconds = 0, rest = 0;
    while (file >> clock >> seconds >> rest)
        if (clock == "boottime") return static_cast<std::uint64_t>(seconds * 1'000'000'000 + rest);
    return 0;
}

// As path_of_netns(); an error if it could not be found out.
Result<std::string> find_netns(const std::string& inode)
{
    struct stat info {};
    for (const char* mounts : {"/run/netns", "/run/docker/netns"}) {
        HW_TRY(const auto entries, entries_of(host_root_slot() + mounts));
        for (const auto& entry : entries)
            if (stat(entry.c_str(), &info) == 0 && std::to_string(info.st_ino) == inode) return entry.string();
    }
    const auto name = "net:[" + inode + "]";
    HW_TRY(const auto processes, entries_of(host_root_slot() + "/proc"));
    for (const auto& process : processes) {
        if (process.filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
        std::error_code error;
        if (fs::read_symlink(process / "ns/net", error) == name) return (process / "ns/net").string();
        if (error == std::errc::not_enough_memory) return fail_errno(error.value(), "read " + process.string());
    }
    return std::string();
}

}  // namespace

Status ensure_bpffs()
{
    if (is_bpffs(bpffs_mount)) return {};
    if (mount("bpf", bpffs_mount, "bpf", 0, "mode=0700") != 0)
        return fail_errno(errno, "mount the BPF file system on /sys/fs/bpf (run as root)");
    return {};
}

Status check_bpffs_is_hosts(const std::string& root)
{
    if (root.empty()) return {};
    HW_TRY(const auto hosts, bpffs_device(root + "/proc/1/mountinfo"));
    struct stat own {};
    const bool same = stat(bpffs_mount, &own) == 0 && is_bpffs(bpffs_mount) &&
                      fmt::format("{}:{}", major(own.st_dev), minor(own.st_dev)) == hosts;
    if (same) return {};
    return fail(ErrorKind::unsupported,
                "--host-root {0}: {1} is not the host's BPF file system: rules pinned there would die with this "
                "container. Mount the host's: a hostPath volume of {1} on {1}, with mountPropagation: Bidirectional "
                "where the host may not have mounted it yet (Docker, Podman: -v {1}:{1})",
                root, bpffs_mount);
}

Result<Fd> lock_host()
{
    auto fd = open_file(bpffs_mount, O_RDONLY | O_DIRECTORY);
    if (!fd && fd.error().kind == ErrorKind::permission) fd.error().message += privileges_needed;
    if (!fd) return fd;
    for (int waited = 0; flock(fd->get(), LOCK_EX | LOCK_NB) != 0; waited += lock_poll_ms) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(errno, "lock /sys/fs/bpf");
        if (waited >= lock_wait_ms)
            return fail(ErrorKind::busy, "{} is changing rules and has not finished in {} s: try again, or end it",
                        lock_holder(fd->get()), lock_wait_ms / 1000);
        usleep(lock_poll_ms * 1000);
    }
    return fd;
}

Result<Claim> Claim::take(const std::string& directory, const std::string& what)
{
    for (;;) {
        if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "create " + directory);
        HW_CHECK(is_safe_directory(directory));
        Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd && errno == ENOENT) continue;
        if (!fd) return fail_errno(errno, fmt::format("open {}{}", directory, privileges_needed));
        if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK ? fail(ErrorKind::busy, "{}: {}", what, lock_holder(fd.get()))
                                        : fail_errno(errno, "lock " + directory);
        struct stat held {
        }, named{};
        const bool same =
            fstat(fd.get(), &held) == 0 && lstat(directory.c_str(), &named) == 0 && held.st_ino == named.st_ino;
        if (same) return Claim(std::move(fd), directory);  // else who had it removed it meanwhile
    }
}

bool Claim::is_taken(const std::string& directory)
{
    const auto safe = is_safe_directory(directory);
    const Fd fd(safe && *safe ? open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1);
    return fd && flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

Claim::~Claim()
{
    if (lock_) rmdir(directory_.c_str());
}

Result<std::vector<fs::path>> entries_of(const std::string& directory)
{
    std::error_code error;
    std::vector<fs::path> out;
    fs::directory_iterator entry(directory, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) out.push_back(entry->path());
    if (error && error != std::errc::no_such_file_or_directory) return fail_errno(error.value(), "read " + directory);
    return out;
}

Result<Fd> open_netns(const std::string& name)
{
    const bool pid = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    const auto path = name.starts_with('/') ? name : pid ? "/proc/" + name + "/ns/net" : "/run/netns/" + name;
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return fail(ErrorKind::not_found, "--netns {}: {}: {} (a name of `ip netns list`, a process id, or a path)",
                    name, path, std::strerror(errno));
    return fd;
}

Status enter_netns(const std::string& name)
{
    HW_TRY(const auto fd, open_netns(name));
    return enter_netns(fd.get(), "--netns " + name);
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

std::string path_of_netns(const std::string& inode)
{
    return find_netns(inode).value_or("");
}

bool is_netns_gone(const std::string& inode)
{
    const auto path = find_netns(inode);
    return path && path->empty();
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
