// SPDX-License-Identifier: MIT
// Checks the kind, type and sizes of pinned objects, and refuses the wrong ones.
#include "datapath/pins.h"

#include <unistd.h>

#include <array>
#include <string_view>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace headwind {
namespace {

enum class Kind { map, program, link };

constexpr const char* name_of(Kind kind)
{
    return kind == Kind::map ? "a BPF map" : kind == Kind::program ? "a BPF program" : "a BPF link";
}

// The kind of a BPF object, from /proc/self/fd. The kernel tells it nowhere else: bpf_obj_get_info_by_fd() fills in
// whatever kind it is.
Result<Kind> kind_of(const Fd& object)
{
    std::array<char, 64> text{};  // "anon_inode:bpf-map"
    const auto size = readlink(fmt::format("/proc/self/fd/{}", object.get()).c_str(), text.data(), text.size());
    if (size < 0) return fail_errno(errno, "read /proc/self/fd");
    const std::string_view target(text.data(), static_cast<std::size_t>(size));
    if (target.find("bpf-map") != std::string_view::npos) return Kind::map;
    return target.find("bpf-prog") != std::string_view::npos ? Kind::program : Kind::link;
}

// The error for a pin that is `is` ("a directory") where something else is `expected`.
tl::unexpected<Error> refuse(const PinDirectory& directory, const std::string& name, const std::string& is,
                             const std::string& expected)
{
    const auto found = directory.look_at(name, Access::read);
    return fail(ErrorKind::permission, "{} is {}, not {} of Headwind's {}: somebody put it there. {}",
                directory.path_of(name), is, expected, found && *found ? (*found)->owner : "", way_out);
}

Result<Fd> open_pin(const PinDirectory& directory, const std::string& name, const char* expected, Access access)
{
    HW_TRY(const auto found, directory.look_at(name, access));
    if (!found)
        return fail(ErrorKind::failed, "{} is not there: somebody removed it. {}", directory.path_of(name), way_out);
    if (!found->kind.empty()) return refuse(directory, name, found->kind, expected);
    struct bpf_obj_get_opts options {};
    options.sz = sizeof(options);
    options.file_flags = access == Access::read ? BPF_F_RDONLY : 0;
    Fd fd(bpf_obj_get_opts(directory.anchored(name).c_str(), &options));
    // A link never opens to read only (EINVAL).
    if (!fd && errno == EINVAL) return refuse(directory, name, name_of(Kind::link), expected);
    if (!fd) return denied_or_failed(errno, "open " + directory.path_of(name), access);
    return fd;
}

std::string in_words(const MapShape& shape)
{
    return fmt::format("type {}, {} byte keys, {} byte values", static_cast<unsigned>(shape.type), shape.key_size,
                       shape.value_size);
}

}  // namespace

Result<Fd> open_map_pin(const PinDirectory& directory, const std::string& name, const MapShape& shape, Access access)
{
    HW_TRY(auto fd, open_pin(directory, name, "a map", access));
    HW_TRY(const auto kind, kind_of(fd));
    if (kind != Kind::map) return refuse(directory, name, name_of(kind), "a map");
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
        return fail_errno(errno, "inspect " + directory.path_of(name));
    const MapShape found{static_cast<bpf_map_type>(info.type), info.key_size, info.value_size};
    if (found.type != shape.type || found.key_size != shape.key_size ||
        (shape.value_size != 0 && found.value_size != shape.value_size))
        return refuse(directory, name, fmt::format("a map of another shape ({})", in_words(found)),
                      fmt::format("that ({})", in_words(shape)));
    return fd;
}

Result<Fd> open_program_pin(const PinDirectory& directory, const std::string& name, Access access)
{
    HW_TRY(auto fd, open_pin(directory, name, "a program", access));
    HW_TRY(const auto kind, kind_of(fd));
    if (kind != Kind::program) return refuse(directory, name, name_of(kind), "a program");
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
        return fail_errno(errno, "inspect " + directory.path_of(name));
    if (info.type != BPF_PROG_TYPE_SCHED_CLS)
        return refuse(directory, name, fmt::format("a program of another type ({})", info.type), "that");
    return fd;
}

Result<std::optional<Fd>> find_link_pin(const PinDirectory& directory, const std::string& name)
{
    HW_TRY(const auto found, directory.look_at(name, Access::change));
    if (!found || !found->kind.empty()) return std::nullopt;
    Fd fd(bpf_obj_get(directory.anchored(name).c_str()));
    if (!fd && (errno == EACCES || errno == EPERM || errno == ENOMEM))
        return fail_errno(errno, "open " + directory.path_of(name));
    if (!fd) return std::nullopt;
    HW_TRY(const auto kind, kind_of(fd));
    if (kind != Kind::link) return std::nullopt;
    return fd;
}

Status pin(const PinDirectory& directory, int object, const std::string& name)
{
    if (bpf_obj_pin(object, directory.anchored(name).c_str()) != 0)
        return fail_errno(errno, "pin " + directory.path_of(name));
    return {};
}

Status reuse_pin(bpf_map* map, const PinDirectory& directory, const std::string& name)
{
    const MapShape shape{bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map)};
    HW_TRY(const auto fd, open_map_pin(directory, name, shape));
    if (bpf_map__reuse_fd(map, fd.get()) != 0) return fail_errno(errno, "reuse " + directory.path_of(name));
    return {};
}

}  // namespace headwind
