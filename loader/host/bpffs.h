// SPDX-License-Identifier: MIT
// The BPF file system that holds the pins, and directories in it in which only root can put things. A host has one such
// file system that counts: that of process 1 of the caller's PID namespace, wherever the caller's own mounts lead (a
// unit with private mounts, `ip netns exec`, `unshare -m`).
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

// The path by which this process reaches the BPF file system that counts: bpffs_mount or, where its own mounts lead
// elsewhere, a path below /proc/1/root. nullopt: there is none. Refused, with what to do, where it is out of reach, and
// in a container that shares the host's network but not its processes, where pins would die with the container and
// nobody else see them.
Result<std::optional<std::string>> find_bpffs();
// The same path. Mounts the file system where it is missing (systemd does at boot; small images do not).
Result<std::string> ensure_bpffs();

// A directory in the BPF file system, held open: work in it is work in this directory, wherever its name leads
// meanwhile. A name that leads elsewhere (a symbolic link), or a directory that belongs to others than root or can be
// written to by others, is refused by path, owner and mode. Names are single components.
class PinDirectory {
public:
    PinDirectory() = default;

    // The mount itself, where others may have put anything. nullopt: not mounted.
    static Result<std::optional<PinDirectory>> open_mount(Access access);
    // The same. Mounts it, if it is not mounted.
    static Result<PinDirectory> make_mount();
    // The directory of this name. nullopt: there is none.
    Result<std::optional<PinDirectory>> open(const std::string& name, Access access = Access::change) const;
    // The same. Makes it with mode 0700, if there is none.
    Result<PinDirectory> make(const std::string& name) const;

    const std::string& path() const { return path_; }  // for people
    std::string path_of(const std::string& name) const { return path_ + "/" + name; }
    // A path for the kernel that leads to `name` in this very directory: bpf(2) knows no openat() before Linux 6.5.
    std::string anchored(const std::string& name) const;

    // Whether something bears this name.
    Result<bool> has(const std::string& name, Access access = Access::change) const;
    Result<std::vector<std::string>> names() const;
    // `owner`: owner and mode for an error, "(owner: user 65534, mode 0777)". `kind`: "a directory" or "a symbolic
    // link"; empty: a file.
    struct Found {
        std::string kind, owner;
    };
    Result<std::optional<Found>> look_at(const std::string& name, Access access) const;
    // These remove a file or a symbolic link, not what it leads to, and an empty directory (an error says what is left
    // in it). A name that nothing bears is no error.
    Status remove(const std::string& name) const;
    Status remove_directory(const std::string& name) const;
    // `to` is the old file or the new one at any instant.
    Status rename(const std::string& from, const std::string& to) const;
    Result<PinDirectory> duplicate() const;
    // Opens the directory once more, for reading and for flock(2).
    Result<Fd> reopen() const;
    // Whether this directory still bears `name` in `parent`.
    bool is_in(const PinDirectory& parent, const std::string& name) const;

private:
    PinDirectory(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Fd fd_;  // O_PATH
    std::string path_;
};

Result<std::optional<PinDirectory>> open_pin_root(Access access = Access::change);
Result<PinDirectory> make_pin_root();
Status remove_pin_root();  // it must be empty

// The Error for the errno `error` about a pin; one for lack of privileges says what `access` needs.
tl::unexpected<Error> denied_or_failed(int error, const std::string& what, Access access);

// A lock on a directory of the pin root, which root alone can open (flock(2); a BPF file system takes no regular
// files). The directory is made if it is not there, and the lock is given back when the value is destroyed or the
// process dies. Only a holder removes the directory: others then make it anew.
class PinLock {
public:
    // Waits as long as the lock changes hands. One holder is waited for up to 5 s: then ErrorKind::busy says who it is.
    static Result<PinLock> take(const std::string& name);
    // nullopt: the lock is held, or cannot be taken. Does not make the directory.
    static std::optional<PinLock> try_take(const PinDirectory& root, const std::string& name);
    // Whether some process holds the lock now.
    static bool is_held(const std::string& name);
    const PinDirectory& root() const { return root_; }

private:
    PinLock(PinDirectory root, Fd lock) : root_(std::move(root)), lock_(std::move(lock)) {}
    PinDirectory root_;
    Fd lock_;
};

// A directory that is one process's until the process ends, however it ends. It is made if it is not there, and removed
// by the destructor.
class Claim {
public:
    // `name`: of the directory, in the mount. `what`: half a sentence for ErrorKind::busy, which goes on with who has
    // it.
    static Result<Claim> take(const std::string& name, const std::string& what);
    // Whether some process has the directory now.
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
