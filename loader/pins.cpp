#include "pins.h"

#include <sys/stat.h>

#include <filesystem>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "hooks.h"

namespace headwind {
namespace {

namespace fs = std::filesystem;

enum class Kind { map, program, link };

constexpr const char* name_of(Kind kind)
{
    return kind == Kind::map ? "a BPF map" : kind == Kind::program ? "a BPF program" : "a BPF link";
}

// The kernel tells the kind of an object nowhere else: bpf_obj_get_info_by_fd() writes whatever it is.
Result<Kind> kind_of(const Fd& object)
{
    std::error_code error;
    const auto target = fs::read_symlink(fmt::format("/proc/self/fd/{}", object.get()), error).string();
    if (error) return fail_errno(error.value(), "read /proc/self/fd");
    if (target.find("bpf-map") != std::string::npos) return Kind::map;
    return target.find("bpf-prog") != std::string::npos ? Kind::program : Kind::link;
}

// `is`: "a directory", where something else is expected.
tl::unexpected<Error> refuse(const std::string& path, const std::string& is, const std::string& expected)
{
    const auto directory = fs::path(path).parent_path().string();
    return fail(ErrorKind::failed, "{} is {}, not {} of Headwind's: somebody put it there. {}", path, is, expected,
                removal_by_hand(directory));
}

Result<Fd> open_pin(const std::string& path, const char* expected, Access access)
{
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0 && errno == ENOENT)
        return fail(ErrorKind::failed, "{} is not there: somebody removed it. {}", path,
                    removal_by_hand(fs::path(path).parent_path().string()));
    if (S_ISLNK(info.st_mode)) return refuse(path, "a symbolic link", expected);
    if (S_ISDIR(info.st_mode)) return refuse(path, "a directory", expected);
    struct bpf_obj_get_opts options {};
    options.sz = sizeof(options);
    options.file_flags = access == Access::read ? BPF_F_RDONLY : 0;
    Fd fd(bpf_obj_get_opts(path.c_str(), &options));
    if (!fd && errno == EINVAL) return refuse(path, name_of(Kind::link), expected);  // not to be had to read only
    if (!fd) return denied_or_failed(errno, "open " + path, access);
    return fd;
}

std::string in_words(const MapShape& shape)
{
    return fmt::format("type {}, {} byte keys, {} byte values", static_cast<unsigned>(shape.type), shape.key_size,
                       shape.value_size);
}

}  // namespace

tl::unexpected<Error> denied_or_failed(int error, const std::string& what, Access access)
{
    auto failure = fail_errno(error, what);
    if (failure.value().kind == ErrorKind::permission)
        failure.value().message +=
            access == Access::read ? " (needs root, or CAP_BPF and read access to that)" : privileges_needed;
    return failure;
}

Result<bool> is_pinned(const std::string& path, Access access)
{
    struct stat info {};  // access(2) would not heed capabilities
    if (lstat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT) return false;
    return denied_or_failed(errno, "look for " + path, access);
}

Result<bool> is_safe_directory(const std::string& path, Access access)
{
    struct stat info {};
    HW_TRY(const bool there, is_pinned(path, access));
    if (!there || (lstat(path.c_str(), &info) != 0 && errno == ENOENT)) return false;
    if (!S_ISDIR(info.st_mode))
        return fail(ErrorKind::failed,
                    "{} is {}, and Headwind keeps its rules in a directory of that name: see whose it is (ls -ld {}), "
                    "then rm {}",
                    path, S_ISLNK(info.st_mode) ? "a symbolic link" : "no directory", path, path);
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return fail(ErrorKind::failed,
                    "{} belongs to user {}, not to root{}: what is in it may be anything. See what it is (ls -lR {}), "
                    "then rm -r {}, or chown it",
                    path, info.st_uid, geteuid() == 0 ? "" : " or you", path, path);
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(ErrorKind::failed,
                    "{} can be written to by others than its owner (mode {:04o}): what is in it may be anything. See "
                    "what it is (ls -lR {}), then rm -r {}, or chmod go-w {}",
                    path, info.st_mode & 07777, path, path, path);
    return true;
}

Result<Fd> open_map_pin(const std::string& path, const MapShape& shape, Access access)
{
    HW_TRY(auto fd, open_pin(path, "a map", access));
    HW_TRY(const auto kind, kind_of(fd));
    if (kind != Kind::map) return refuse(path, name_of(kind), "a map");
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(errno, "inspect " + path);
    const MapShape found{static_cast<bpf_map_type>(info.type), info.key_size, info.value_size};
    if (found.type != shape.type || found.key_size != shape.key_size ||
        (shape.value_size != 0 && found.value_size != shape.value_size))
        return refuse(path, fmt::format("a map of another shape ({})", in_words(found)),
                      fmt::format("that ({})", in_words(shape)));
    return fd;
}

Result<Fd> open_program_pin(const std::string& path)
{
    HW_TRY(auto fd, open_pin(path, "a program", Access::change));
    HW_TRY(const auto kind, kind_of(fd));
    if (kind != Kind::program) return refuse(path, name_of(kind), "a program");
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(errno, "inspect " + path);
    if (info.type != BPF_PROG_TYPE_SCHED_CLS)
        return refuse(path, fmt::format("a program of another type ({})", info.type), "that");
    return fd;
}

Status reuse_pin(bpf_map* map, const std::string& path)
{
    const MapShape shape{bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map)};
    HW_TRY(const auto fd, open_map_pin(path, shape));
    if (bpf_map__reuse_fd(map, fd.get()) != 0) return fail_errno(errno, "reuse " + path);
    return {};
}

bool is_link(const Fd& object)
{
    const auto kind = object ? kind_of(object) : Result<Kind>(Kind::map);
    return kind && *kind == Kind::link;
}

std::string removal_by_hand(const std::string& directory)
{
    return fmt::format("To remove all of it, as root: rm -r {} && ip link del headwind0; ip link del headwind2{}",
                       directory,
                       kernel_has_tcx() ? "" : "; tc qdisc del dev DEVICE clsact, for each device that a rule was at");
}

}  // namespace headwind
