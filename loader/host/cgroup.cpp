// SPDX-License-Identifier: MIT
// Finds the cgroup2 mount and cgroups in it, and makes and removes those of `headwind run`.
#include "host/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace headwind {
namespace {

namespace fs = std::filesystem;

constexpr const char* root_of_process_1 = "/proc/1/root";
constexpr std::string_view command_prefix = "headwind-run-";  // then a number

std::string unescape_mount(std::string_view text)  // decodes \040 and friends of /proc/self/mountinfo
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned code = 0;
        if (text[i] == '\\' && i + 3 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8).ec == std::errc{}) {
            out += static_cast<char>(code);
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

unsigned depth(const std::string& path)
{
    const auto parts = fs::path(path).relative_path();
    return static_cast<unsigned>(std::distance(parts.begin(), parts.end()));
}

// Whether this is the root of the whole hierarchy, not of what a cgroup namespace shows of it.
bool is_root(const std::string& directory)
{
    struct stat info {};
    return stat(directory.c_str(), &info) == 0 && info.st_ino == 1;
}

// The lock that a `headwind run` holds on its cgroup as long as it lives: process ids say nothing across PID
// namespaces. Empty: somebody else has it, or the directory is gone.
Fd lock_cgroup(const std::string& directory)
{
    Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0 ? std::move(fd) : Fd();
}

bool is_command_cgroup(const fs::path& directory)
{
    return directory.filename().string().starts_with(command_prefix);
}

bool is_populated(const fs::path& directory)
{
    std::ifstream events(directory / "cgroup.events");
    for (std::string name, value; events >> name >> value;)
        if (name == "populated") return value != "0";
    return false;
}

// Moves every process of the cgroup to its parent and removes it. The caller holds its lock. Processes that fork while
// they are moved, on a busy machine, take several attempts. Those of PID namespaces that this one does not see, whose
// number is 0 here, stay, and so does the cgroup: 0 written would be this very process.
void remove_cgroup(const std::string& directory)
{
    for (int attempt = 0; attempt < 100; ++attempt) {
        if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return;
        std::ifstream processes(directory + "/cgroup.procs");
        const auto parent = fs::path(directory).parent_path() / "cgroup.procs";
        bool any = false;
        for (std::string pid; std::getline(processes, pid); any = true) {
            if (pid == "0") return;
            std::ofstream(parent) << pid << std::flush;
        }
        if (!any && attempt >= 10) return;  // it has cgroups below it
        usleep(20'000);
    }
}

bool is_cgroup2(const std::string& directory)  // if not, another mount covers it
{
    struct statfs info {};
    return statfs(directory.c_str(), &info) == 0 && static_cast<unsigned long>(info.f_type) == CGROUP2_SUPER_MAGIC;
}

// The cgroup2 mount point that a process sees, below `root_of_mounts`. Empty: it sees none.
std::string find_cgroup2(const std::string& mountinfo, const std::string& root_of_mounts)
{
    std::ifstream mounts(mountinfo);
    std::string found;
    for (std::string line; std::getline(mounts, line);) {
        const auto dash = line.find(" - ");
        if (dash == std::string::npos || line.compare(dash + 3, 8, "cgroup2 ") != 0) continue;
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        fields >> id >> parent >> device >> root >> point;
        point = unescape_mount(point);
        point.insert(0, root_of_mounts);
        if (is_root(point)) return point;
        if (found.empty() && root_of_mounts.empty() && is_cgroup2(point)) found = point;
    }
    return found;
}

bool is_below(const fs::path& root, const fs::path& path)
{
    return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

// The directory that a user calls `text`: a path in the file system, or one below the root of the hierarchy. It need
// not be there.
fs::path find_directory(const fs::path& root, const std::string& text)
{
    std::error_code error;
    const auto shown = is_below(root_of_process_1, root) ? "/" / root.lexically_relative(root_of_process_1) : root;
    auto named = fs::canonical(text, error);
    if (!text.starts_with('/') || error) named = fs::path(text).lexically_normal();
    auto inside = is_below(shown, named) ? named.lexically_relative(shown) : fs::path(text).relative_path();
    auto out = (root / inside).lexically_normal();
    return out.has_filename() ? out : out.parent_path();
}

}  // namespace

Result<std::string> cgroup2_mount()
{
    auto found = find_cgroup2("/proc/self/mountinfo", "");
    if (found.empty()) found = find_cgroup2("/proc/1/mountinfo", root_of_process_1);  // `ip netns exec` hides it
    if (!found.empty()) return found;
    return fail(ErrorKind::unsupported,
                "no cgroup2 file system is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup)");
}

bool is_gone(const Cgroup& cgroup)
{
    // This is asked for each cgroup of each rule: the mount point is looked for once, and kept as long as it is one.
    static thread_local std::string root;
    if (root.empty() || !is_root(root)) {
        const auto mount = cgroup2_mount();
        if (!mount || !is_root(*mount)) return false;
        root = *mount;
    }
    struct stat info {};
    if (stat((root + cgroup.path).c_str(), &info) != 0) return errno == ENOENT;
    return info.st_ino != cgroup.id;
}

Result<Cgroup> find_cgroup(const std::string& text, const char* flag)
{
    HW_TRY(const auto mount, cgroup2_mount());
    const fs::path root(mount);
    const auto directory = find_directory(root, text);
    struct stat info {};
    if (!is_below(root, directory) || stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
        return fail(
            ErrorKind::not_found,
            "{} {}: no such cgroup below {}: write its path there, as in /proc/PID/cgroup (the line that starts with 0::)",
            flag, text, mount);
    const auto relative = directory.lexically_relative(root);
    Cgroup found;
    found.path = relative == "." ? "/" : "/" + relative.string();
    found.id = info.st_ino;  // kernfs: the inode number is the cgroup id
    found.level = depth(found.path);
    return found;
}

Result<std::string> own_cgroup_path()
{
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::")) return line.substr(3);
    return fail(ErrorKind::unsupported, "this process is in no cgroup2 cgroup (/proc/self/cgroup has no line 0::)");
}

Result<CommandCgroup> CommandCgroup::create()
{
    HW_TRY(const auto mount, cgroup2_mount());
    HW_TRY(const auto own, own_cgroup_path());
    for (int number = getpid();; ++number) {
        const std::string path = fmt::format("{}/{}{}", own == "/" ? "" : own, command_prefix, number);
        const std::string directory = mount + path;
        if (mkdir(directory.c_str(), 0755) != 0) {
            if (errno == EEXIST) continue;  // a command with the same number in another PID namespace
            auto failure = fail_errno(errno, "create cgroup " + directory);
            if (failure.value().kind == ErrorKind::permission) failure.value().message += privileges_needed;
            return failure;
        }
        auto lock = lock_cgroup(directory);
        struct stat held {
        }, named{};
        const bool ours = lock && fstat(lock.get(), &held) == 0 && stat(directory.c_str(), &named) == 0 &&
                          held.st_ino == named.st_ino;
        if (ours) return CommandCgroup(path, directory, std::move(lock));  // else it was removed before the lock
    }
}

CommandCgroup::CommandCgroup(std::string path, std::string directory, Fd lock)
    : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock))
{
}

CommandCgroup::~CommandCgroup()
{
    if (lock_) remove_cgroup(directory_);
}

void sweep_command_cgroup(const std::string& path)
{
    const auto mount = cgroup2_mount();
    if (!mount || !is_command_cgroup(path)) return;
    const auto directory = *mount + path;
    for (int attempt = 0; attempt < 10 && access(directory.c_str(), F_OK) == 0; ++attempt) {  // another sweep has it
        if (const auto lock = lock_cgroup(directory)) return remove_cgroup(directory);
        usleep(20'000);
    }
}

void sweep_command_cgroups(Sweep which)
{
    const auto mount = cgroup2_mount();
    if (!mount) return;
    std::error_code error;
    std::vector<std::string> found;
    auto entry = fs::recursive_directory_iterator(*mount, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        if (!is_command_cgroup(entry->path()) || (which == Sweep::empty && is_populated(entry->path()))) continue;
        found.push_back(entry->path().string());
    }
    for (const auto& directory : found)
        if (const auto lock = lock_cgroup(directory)) remove_cgroup(directory);
}

}  // namespace headwind
