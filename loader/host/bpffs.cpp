// SPDX-License-Identifier: MIT
// Decides by which path the host's BPF file system is reached, and checks, makes and locks directories in it.
#include "host/bpffs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <fmt/ranges.h>

#include "host/host.h"

namespace headwind {
namespace {

constexpr const char* path_by_process_1 = "/proc/1/root/sys/fs/bpf";
constexpr int lock_wait_ms = 5'000;
constexpr int lock_poll_ms = 20;

bool is_bpffs(const struct statfs& info)
{
    return static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC;
}

bool is_bpffs(const char* path)
{
    struct statfs info {};
    return statfs(path, &info) == 0 && is_bpffs(info);
}

std::string device_text(dev_t device)
{
    return fmt::format("{}:{}", major(device), minor(device));
}

// The device ("0:28") of the BPF file system that this process sees at bpffs_mount; empty: it sees none.
std::string own_device()
{
    struct stat info {};
    return is_bpffs(bpffs_mount) && stat(bpffs_mount, &info) == 0 ? device_text(info.st_dev) : "";
}

// The mounts of a process, from /proc/PID/mountinfo (proc(5)).
struct Mounts {
    std::string bpffs;          // as own_device(), for that process
    std::set<std::string> ids;  // of its mounts; no two mount namespaces share one
};

std::optional<Mounts> read_mounts(const std::string& mountinfo)
{
    std::ifstream file(mountinfo);
    if (!file) return std::nullopt;
    Mounts out;
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        fields >> id >> parent >> device >> root >> point;
        out.ids.insert(id);
        if (point == bpffs_mount)
            out.bpffs = line.find(" - bpf ") == std::string::npos ? "" : device;  // the last mount is on top
    }
    return out;
}

bool share_mounts(const Mounts& one, const Mounts& other)
{
    return std::ranges::any_of(one.ids, [&other](const auto& id) { return other.ids.contains(id); });
}

// With --host-root, the BPF file system of that host must be mounted at bpffs_mount.
Status check_is_of_host(const std::string& root)
{
    const auto mountinfo = root + "/proc/1/mountinfo";
    const auto hosts = read_mounts(mountinfo);
    if (!hosts)
        return fail(ErrorKind::usage,
                    "--host-root: {} cannot be read ({}): name the folder where the host's / is mounted", mountinfo,
                    std::strerror(errno));
    if (const auto own = own_device(); !own.empty() && own == hosts->bpffs) return {};
    return fail(
        ErrorKind::unsupported,
        "--host-root {0}: {1} is not the host's BPF file system: rules pinned there would die with this container. Mount the host's: a hostPath volume of {1} on {1}, with mountPropagation: Bidirectional where the host may not have mounted it yet (Docker, Podman: -v {1}:{1})",
        root, bpffs_mount);
}

bool has_initial_pid_namespace()
{
    constexpr ino_t initial = 0xEFFFFFFC;  // PROC_PID_INIT_INO, in every kernel
    struct stat info {};
    return stat("/proc/self/ns/pid", &info) != 0 || info.st_ino == initial;
}

enum class Reach { own_mounts, process_1, nowhere };  // nowhere: process 1 has none, this process other mounts

Result<Reach> decide()
{
    if (!host_root().empty()) {
        HW_CHECK(check_is_of_host(host_root()));
        return Reach::own_mounts;
    }
    if (!has_initial_pid_namespace() && started_in_initial_netns())
        return fail(
            ErrorKind::unsupported,
            "this container shares the host's network, but not its processes: what Headwind does here would be done to the host, and nobody there could see or undo it. Run headwind on the host, or in a container with the host's processes (--pid host), or mount the host's / and name it: --host-root /host");
    if (is_in_mounts_of_process_1()) return Reach::own_mounts;  // else, or if it may not know: from long lists
    const auto of_process_1 = read_mounts("/proc/1/mountinfo"), own = read_mounts("/proc/self/mountinfo");
    if (!of_process_1 || !own || share_mounts(*of_process_1, *own)) return Reach::own_mounts;
    if (of_process_1->bpffs.empty()) return Reach::nowhere;
    if (of_process_1->bpffs == own_device()) return Reach::own_mounts;
    if (is_bpffs(path_by_process_1)) return Reach::process_1;
    return fail(
        ErrorKind::unsupported,
        "this process has mounts of its own, and {} in them is not the host's BPF file system, which is out of reach ({}): start headwind outside, with --netns for another network namespace",
        bpffs_mount, path_by_process_1);
}

// The decision is made once: a process stays where it is.
Result<Reach> reach()
{
    static std::optional<Reach> known;
    if (!known) {
        HW_TRY(known, decide());
    }
    return *known;
}

std::string kind_of(const struct stat& info)
{
    return S_ISLNK(info.st_mode) ? "a symbolic link" : S_ISDIR(info.st_mode) ? "a directory" : "";
}

std::string owner_of(const struct stat& info)
{
    return fmt::format("(owner: user {}, mode {:04o})", info.st_uid, info.st_mode & 07777);
}

// `fd` was opened without following links.
Status check_is_safe(const Fd& fd, const std::string& path)
{
    struct stat info {};
    struct statfs where {};
    if (fstat(fd.get(), &info) != 0 || fstatfs(fd.get(), &where) != 0) return fail_errno(errno, "inspect " + path);
    const auto refuse = [&](const std::string& what, const std::string& remedy) {
        return fail(ErrorKind::permission, "{} {} {}: see what it is (ls -ld {}), then {}", path, what, owner_of(info),
                    path, remedy);
    };
    if (!S_ISDIR(info.st_mode))
        return refuse(fmt::format("is {}, and Headwind keeps its rules in a directory of that name",
                                  S_ISLNK(info.st_mode) ? "a symbolic link" : "no directory"),
                      "rm " + path);
    if (info.st_uid != 0)
        return refuse(fmt::format("belongs to user {}, not to root, and what is in it may be anything", info.st_uid),
                      fmt::format("rm -r {}, or chown it", path));
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse("can be written to by others than its owner, and what is in it may be anything",
                      fmt::format("rm -r {}, or chmod go-w {}", path, path));
    if (!is_bpffs(where))
        return refuse("is on no BPF file system",
                      fmt::format("mount -t bpf bpf {}, below which it is to be", bpffs_mount));
    return {};
}

// The holder of the lock, "process 1234 (headwind add ...)", from /proc/locks and /proc/1234/cmdline.
std::string lock_holder(const Fd& fd)
{
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) return "another process";
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

}  // namespace

Result<std::optional<std::string>> find_bpffs()
{
    HW_TRY(const auto where, reach());
    const char* path = where == Reach::process_1 ? path_by_process_1 : bpffs_mount;
    return where != Reach::nowhere && is_bpffs(path) ? std::optional<std::string>(path) : std::nullopt;
}

Result<std::string> ensure_bpffs()
{
    HW_TRY(auto found, find_bpffs());
    if (found) return *found;
    HW_TRY(const auto where, reach());
    if (where != Reach::own_mounts)
        return fail(
            ErrorKind::unsupported,
            "no BPF file system is mounted on the host's {0}, and this process has mounts of its own: what it mounts would be gone when it ends. Mount it outside, once: mount -t bpf bpf {0}",
            bpffs_mount);
    if (mount("bpf", bpffs_mount, "bpf", 0, "mode=0700") != 0)
        return fail_errno(errno, fmt::format("mount the BPF file system on {} (run as root)", bpffs_mount));
    return std::string(bpffs_mount);
}

Result<std::optional<PinDirectory>> PinDirectory::open_mount(Access access)
{
    HW_TRY(const auto path, find_bpffs());
    if (!path) return std::nullopt;
    Fd fd(::open(path->c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return denied_or_failed(errno, "open " + *path, access);
    return PinDirectory(std::move(fd), bpffs_mount);
}

Result<PinDirectory> PinDirectory::make_mount()
{
    HW_TRY(const auto path, ensure_bpffs());
    HW_TRY(auto mount, open_mount(Access::change));
    if (!mount) return fail(ErrorKind::failed, "{} was unmounted meanwhile", path);
    return std::move(*mount);
}

Result<std::optional<PinDirectory>> PinDirectory::open(const std::string& name, Access access) const
{
    Fd fd(openat(fd_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && errno == ENOENT) return std::nullopt;
    if (!fd) return denied_or_failed(errno, "look for " + path_of(name), access);
    HW_CHECK(check_is_safe(fd, path_of(name)));
    return PinDirectory(std::move(fd), path_of(name));
}

Result<PinDirectory> PinDirectory::make(const std::string& name) const
{
    for (;;) {
        if (mkdirat(fd_.get(), name.c_str(), 0700) != 0 && errno != EEXIST)
            return denied_or_failed(errno, "create " + path_of(name), Access::change);
        HW_TRY(auto made, open(name));
        if (made) return std::move(*made);  // if not, somebody removed it meanwhile
    }
}

std::string PinDirectory::anchored(const std::string& name) const
{
    return fmt::format("/proc/self/fd/{}/{}", fd_.get(), name);
}

Result<bool> PinDirectory::has(const std::string& name, Access access) const
{
    HW_TRY(const auto found, look_at(name, access));
    return found.has_value();
}

Result<std::vector<std::string>> PinDirectory::names() const
{
    HW_TRY(auto fd, reopen());
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd.get()), closedir);
    if (!stream) return fail_errno(errno, "read " + path_);
    fd.release();  // the stream owns it
    std::vector<std::string> out;
    errno = 0;
    while (const dirent* entry = readdir(stream.get()))
        if (const std::string name = entry->d_name; name != "." && name != "..") out.push_back(name);
    if (errno != 0) return fail_errno(errno, "read " + path_);
    return out;
}

Result<std::optional<PinDirectory::Found>> PinDirectory::look_at(const std::string& name, Access access) const
{
    struct stat info {};
    if (fstatat(fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return Found{kind_of(info), owner_of(info)};
    if (errno == ENOENT) return std::nullopt;
    return denied_or_failed(errno, "look for " + path_of(name), access);
}

Status PinDirectory::remove(const std::string& name) const
{
    if (unlinkat(fd_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
        return fail_errno(errno, "remove " + path_of(name));
    return {};
}

Status PinDirectory::remove_directory(const std::string& name) const
{
    if (unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY) return fail_errno(errno, "remove " + path_of(name));
    HW_TRY(const auto directory, open(name));
    HW_TRY(const auto left, directory ? directory->names() : std::vector<std::string>());
    return fail(ErrorKind::failed,
                "{0} holds what Headwind did not put there, and stays ({1}): see what it is (ls -l {0})", path_of(name),
                fmt::join(left, ", "));
}

Status PinDirectory::rename(const std::string& from, const std::string& to) const
{
    if (renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0)
        return fail_errno(errno, "rename " + path_of(from));
    return {};
}

Result<PinDirectory> PinDirectory::duplicate() const
{
    Fd fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!fd) return fail_errno(errno, "open " + path_);
    return PinDirectory(std::move(fd), path_);
}

Result<Fd> PinDirectory::reopen() const
{
    Fd fd(openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return denied_or_failed(errno, "open " + path_, Access::change);
    return fd;
}

bool PinDirectory::is_in(const PinDirectory& parent, const std::string& name) const
{
    struct stat own {
    }, named{};
    return fstat(fd_.get(), &own) == 0 && fstatat(parent.fd_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

Result<std::optional<PinDirectory>> open_pin_root(Access access)
{
    HW_TRY(const auto mount, PinDirectory::open_mount(access));
    if (!mount) return std::nullopt;
    return mount->open(root_name, access);
}

Result<PinDirectory> make_pin_root()
{
    HW_TRY(const auto mount, PinDirectory::make_mount());
    return mount.make(root_name);
}

Status remove_pin_root()
{
    HW_TRY(const auto mount, PinDirectory::open_mount(Access::change));
    return mount ? mount->remove_directory(root_name) : Status{};
}

tl::unexpected<Error> denied_or_failed(int error, const std::string& what, Access access)
{
    auto failure = fail_errno(error, what);
    if (failure.value().kind == ErrorKind::permission)
        failure.value().message +=
            access == Access::read ? " (needs root, or CAP_BPF and read access to that)" : privileges_needed;
    return failure;
}

namespace {

// Whether anybody holds the lock: it is tried, and given back at once.
bool is_locked(const Result<std::optional<PinDirectory>>& directory)
{
    if (!directory || !*directory) return false;
    const auto fd = (*directory)->reopen();
    return fd && flock(fd->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

Result<PinLock> PinLock::take(const std::string& name)
{
    std::string holder;
    for (int waited = 0;;) {  // ms, for this holder
        HW_TRY(const auto mount, PinDirectory::make_mount());
        HW_TRY(auto root, mount.make(root_name));
        HW_TRY(const auto directory, root.open(name));
        if (!directory) {
            const auto made = root.make(name);
            if (!made && root.is_in(mount, root_name)) return tl::unexpected(made.error());
            continue;  // the root was removed meanwhile, or all is well
        }
        auto fd = directory->reopen();
        if (!fd && directory->is_in(root, name)) return tl::unexpected(fd.error());
        if (!fd) continue;
        for (; flock(fd->get(), LOCK_EX | LOCK_NB) != 0; waited += lock_poll_ms) {
            if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(errno, "lock " + directory->path());
            if (auto now = lock_holder(*fd); now != holder) {
                holder = std::move(now);
                waited = 0;
            }
            if (waited >= lock_wait_ms)
                return fail(ErrorKind::busy, "{} is changing rules and has not finished in {} s: try again, or end it",
                            holder, lock_wait_ms / 1000);
            usleep(lock_poll_ms * 1000);
        }
        if (root.is_in(mount, root_name) && directory->is_in(root, name))
            return PinLock(std::move(root), std::move(*fd));
        // if not, its holder removed it
    }
}

std::optional<PinLock> PinLock::try_take(const PinDirectory& root, const std::string& name)
{
    const auto directory = root.open(name);
    if (!directory || !*directory) return std::nullopt;
    auto fd = (*directory)->reopen();
    auto same = root.duplicate();
    if (!fd || !same || flock(fd->get(), LOCK_EX | LOCK_NB) != 0 || !(*directory)->is_in(root, name))
        return std::nullopt;
    return PinLock(std::move(*same), std::move(*fd));
}

bool PinLock::is_held(const std::string& name)
{
    const auto mount = PinDirectory::open_mount(Access::change);
    if (!mount || !*mount) return false;
    const auto root = (*mount)->open(root_name);
    return root && *root && is_locked((*root)->open(name));
}

Result<Claim> Claim::take(const std::string& name, const std::string& what)
{
    HW_TRY(auto mount, PinDirectory::make_mount());
    for (;;) {
        HW_TRY(const auto directory, mount.make(name));
        HW_TRY(auto fd, directory.reopen());
        if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK ? fail(ErrorKind::busy, "{}: {}", what, lock_holder(fd))
                                        : fail_errno(errno, "lock " + directory.path());
        if (directory.is_in(mount, name)) return Claim(std::move(fd), std::move(mount), name);
        // if not, its holder removed it meanwhile
    }
}

bool Claim::is_taken(const std::string& name)
{
    const auto mount = PinDirectory::open_mount(Access::change);
    if (!mount || !*mount) return false;
    return is_locked((*mount)->open(name));
}

Claim::~Claim()
{
    if (lock_) static_cast<void>(mount_.remove_directory(name_));
}

}  // namespace headwind
