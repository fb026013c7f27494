// The BPF file system that holds the pins, and directories in it in which only root can put things. A host has one that
// counts: that of process 1 of the caller's PID namespace, wherever the caller's own mounts lead (`ip netns exec`,
// `unshare -m`, a unit with private mounts).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "util/fd.h"
#include "util/result.h"

namespace headwind {

constexpr const char* bpffs_mount = "/sys/fs/bpf";
// All pins are below this directory, one directory per network namespace.
constexpr const char* root_name = "headwind";
constexpr const char* pin_root = "/sys/fs/bpf/headwind";

// read: takes CAP_BPF and read access to the pins, no more.
enum class Access { change, read };

// Where this process reaches the one that counts: bpffs_mount or, where its own mounts lead elsewhere, a path below
// /proc/1/root. nullopt: there is none. Refused, with what to do: where it is out of reach, and in a container that
// shares the host's network but not its processes, where pins would die with the container and nobody else see them.
Result<std::optional<std::string>> find_bpffs();
// Mounts it where it is missing (systemd does at boot; small images do not).
Result<std::string> ensure_bpffs();

// A directory in that file system, held open: work in it is work in this directory, wherever its name leads meanwhile.
// What leads elsewhere (symbolic links), belongs to others than root or can be written to by others is refused by path,
// owner and mode. Names are single components.
class PinDirectory {
public:
    PinDirectory() = default;

    // The mount itself, where others may have put anything. nullopt: not mounted.
    static Result<std::optional<PinDirectory>> open_mount(Access access);
    // Mounted, if it is not.
    static Result<PinDirectory> make_mount();
    // nullopt: there is none.
    Result<std::optional<PinDirectory>> open(const std::string& name, Access access = Access::change) const;
    // Mode 0700, if there is none.
    Result<PinDirectory> make(const std::string& name) const;

    const std::string& path() const { return path_; }  // for people
    std::string path_of(const std::string& name) const { return path_ + "/" + name; }
    // A path for the kernel that leads to `name` in this very directory: bpf(2) knows no openat() before Linux 6.5.
    std::string anchored(const std::string& name) const;

    // Something bears this name.
    Result<bool> has(const std::string& name, Access access = Access::change) const;
    Result<std::vector<std::string>> names() const;
    // Owner and mode for an error, "(owner: user 65534, mode 0777)"; and what it is, if it is no file: "a directory".
    struct Found {
        std::string kind, owner;
    };
    Result<std::optional<Found>> look_at(const std::string& name, Access access) const;
    // A file or a symbolic link, not what it leads to; or an empty directory (an error says what else is in it).
    // Nothing of that name is no error.
    Status remove(const std::string& name) const;
    Status remove_directory(const std::string& name) const;
    // `to` is the old file or the new one at any instant.
    Status rename(const std::string& from, const std::string& to) const;
    Result<PinDirectory> duplicate() const;
    // Opened once more, for flock(2).
    Result<Fd> reopen() const;
    // It still bears its name in `parent`.
    bool is_in(const PinDirectory& parent, const std::string& name) const;

private:
    PinDirectory(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Fd fd_;  // O_PATH
    std::string path_;
};

Result<std::optional<PinDirectory>> open_pin_root(Access access = Access::change);
Result<PinDirectory> make_pin_root();
Status remove_pin_root();  // which is empty

// `error`: of a pin.
tl::unexpected<Error> denied_or_failed(int error, const std::string& what, Access access);

// A lock on a directory of the pin root, which root alone can open: made, if it is not there, and given back when the
// value is destroyed or the process dies. (flock(2); a BPF file system takes no regular files.) Who removes the
// directory holds it: others then make it anew.
class PinLock {
public:
    // Waits as long as it changes hands. One holder is waited for up to 5 s: then ErrorKind::busy says who it is.
    static Result<PinLock> take(const std::string& name);
    // Nothing, if it is held. Does not make the directory.
    static std::optional<PinLock> try_take(const PinDirectory& root, const std::string& name);
    // Some process has it now.
    static bool is_held(const std::string& name);
    const PinDirectory& root() const { return root_; }

private:
    PinLock(PinDirectory root, Fd lock) : root_(std::move(root)), lock_(std::move(lock)) {}
    PinDirectory root_;
    Fd lock_;
};

// A directory that is one process's until it ends, however it ends; made, if it is not there, and removed by the
// destructor.
class Claim {
public:
    // `name`: in the mount. `what`: half a sentence for ErrorKind::busy, which goes on with who has it.
    static Result<Claim> take(const std::string& name, const std::string& what);
    // Some process has it now.
    static bool is_taken(const std::string& name);
    Claim(Claim&& other) noexcept = default;
    Claim& operator=(Claim&&) = delete;
    ~Claim();

private:
    Claim(Fd lock, PinDirectory mount, std::string name)
        : lock_(std::move(lock)), mount_(std::move(mount)), name_(std::move(name))
    {
    }
    Fd lock_;
    PinDirectory mount_;
    std::string name_;
};

}  // namespace headwind
