// SPDX-License-Identifier: MIT
// Asks the kernel which programs are attached at tcx, at XDP and in Headwind's filters, and detaches them.
#include "datapath/attached.h"

#include <linux/pkt_sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include <bpf/bpf.h>
#include <fmt/ranges.h>

#include "datapath/hooks.h"
#include "host/bpffs.h"

namespace headwind {
namespace {

constexpr std::string_view own_prefix = "headwind_";  // all programs in bpf/ have it

std::string program_name(std::uint32_t id)
{
    const Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    return program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 ? info.name : "";
}

AttachedProgram describe_program(const netlink::Link& link, std::string hook, std::uint32_t id)
{
    AttachedProgram out;
    out.ifindex = link.index;
    out.device = link.name;
    out.hook = std::move(hook);
    out.id = id;
    out.name = program_name(id);
    out.ours = out.name.starts_with(own_prefix);
    return out;
}

struct TcxQuery {  // BPF_PROG_QUERY's part of union bpf_attr since Linux 6.6; Debian 12's headers are of 6.1
    __u32 ifindex, attach_type, query_flags, attach_flags;
    __u64 program_ids;
    __u32 count, pad;
    __u64 program_flags, link_ids, link_flags, revision;
};

Status add_tcx(std::vector<AttachedProgram>& out, const netlink::Link& link)
{
    constexpr std::pair<const char*, __u32> hooks[] = {{"egress", 47}, {"ingress", 46}};
    for (const auto& [hook, type] : hooks) {
        std::array<__u32, 64> programs{}, links{};
        TcxQuery query{};
        query.ifindex = static_cast<__u32>(link.index);
        query.attach_type = type;
        query.program_ids = reinterpret_cast<__u64>(programs.data());
        query.link_ids = reinterpret_cast<__u64>(links.data());
        query.count = programs.size();
        const bool failed = syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof(query)) != 0;
        if (failed && (errno == ENOENT || errno == EINVAL || errno == E2BIG))
            continue;                              // no program is there, or the kernel knows no tcx
        if (failed && errno == ENODEV) return {};  // the device went after it was listed
        if (failed && errno != ENOSPC)
            return denied_or_failed(errno, fmt::format("list the programs on {} {}", link.name, hook), Access::change);
        for (std::size_t i = 0; i < std::min<std::size_t>(query.count, programs.size()); ++i) {
            out.push_back(describe_program(link, hook, programs[i]));
            out.back().link = links[i];
        }
    }
    return {};
}

// The link by which an XDP program is attached to the one device it was loaded for.
std::uint32_t xdp_link_of(std::uint32_t program)
{
    std::uint32_t id = 0;
    while (bpf_link_get_next_id(id, &id) == 0) {
        const Fd link(bpf_link_get_fd_by_id(id));
        bpf_link_info info{};
        __u32 size = sizeof(info);
        if (link && bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0 && info.type == BPF_LINK_TYPE_XDP &&
            info.prog_id == program)
            return id;
    }
    return 0;
}

}  // namespace

Result<std::vector<AttachedProgram>> programs_at(const std::vector<netlink::Link>& links)
{
    std::vector<AttachedProgram> out;
    for (const auto& link : links) {
        HW_CHECK(add_tcx(out, link));
        for (const auto& [hook, direction] : {std::pair{"egress", HW_OUT}, {"ingress", HW_IN}})
            if (const auto program = own_filter(link.index, direction); program != 0) {
                auto found = describe_program(link, hook, program);
                if (found.ours) out.push_back(std::move(found));  // if not, others have a filter of this handle
            }
        if (link.xdp_program == 0) continue;
        auto xdp = describe_program(link, "xdp", link.xdp_program);
        if (xdp.ours) xdp.link = xdp_link_of(xdp.id);
        out.push_back(std::move(xdp));
    }
    return out;
}

Result<unsigned> count_foreign_filters(const netlink::Link& link, const std::vector<AttachedProgram>& programs)
{
    HW_TRY(const unsigned all, netlink::count_clsact_filters(link.index));
    const auto own = static_cast<unsigned>(std::count_if(programs.begin(), programs.end(), [&](const auto& program) {
        return program.ifindex == link.index && program.ours && program.link == 0 && program.hook != "xdp";
    }));
    return all - std::min(all, own);
}

Result<std::vector<std::string>> devices_with_others(const std::vector<netlink::Link>& links)
{
    std::vector<std::string> out;
    HW_TRY(const auto qdiscs, netlink::list_qdiscs());
    for (const auto& link : links) {
        std::vector<AttachedProgram> programs;
        HW_CHECK(add_tcx(programs, link));
        bool any = std::ranges::any_of(programs, [](const auto& program) { return !program.ours; });
        // Only clsact and ingress have filters, both in the same place.
        const bool filters = std::ranges::any_of(
            qdiscs, [&link](const auto& qdisc) { return qdisc.device == link.index && qdisc.parent == TC_H_CLSACT; });
        if (!any && filters) {
            HW_TRY(programs, programs_at({link}));
            HW_TRY(const unsigned others, count_foreign_filters(link, programs));
            any = others != 0;
        }
        if (any) out.push_back(link.name);
    }
    return out;
}

Result<std::vector<AttachedProgram>> own_programs_here()
{
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(auto out, programs_at(links));
    std::erase_if(out, [](const auto& program) { return !program.ours; });
    return out;
}

std::string describe(const std::vector<AttachedProgram>& programs)
{
    std::vector<std::string> out;
    for (auto one = programs.begin(); one != programs.end();) {
        std::vector<std::string> hooks;
        const auto device = one;
        for (; one != programs.end() && one->ifindex == device->ifindex; ++one) hooks.push_back(one->hook);
        out.push_back(fmt::format("{} ({})", device->device, fmt::join(hooks, ", ")));
    }
    return fmt::format("{}", fmt::join(out, ", "));
}

Status take_off(const AttachedProgram& program)
{
    if (program.link == 0 && program.hook != "xdp")
        return remove_filter(program.ifindex, program.hook == "egress" ? HW_OUT : HW_IN);
    const Fd link(bpf_link_get_fd_by_id(program.link));
    if (!link && errno == ENOENT) return {};
    if (!link || (bpf_link_detach(link.get()) != 0 && errno != ENOLINK))
        return fail_errno(errno, fmt::format("take the program off {} {}", program.device, program.hook));
    return {};
}

std::size_t count_loaded_instances()
{
    std::size_t count = 0;
    std::uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0)
        if (program_name(id) == "headwind_egress") ++count;
    return count;
}

Fd map_of_program(std::uint32_t id, std::string_view name_end, std::uint32_t value_size)
{
    const Fd program(bpf_prog_get_fd_by_id(id));
    std::array<__u32, 64> maps{};
    bpf_prog_info info{};
    info.nr_map_ids = maps.size();
    info.map_ids = reinterpret_cast<__u64>(maps.data());
    __u32 size = sizeof(info);
    if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return {};
    for (std::size_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, maps.size()); ++i) {
        Fd map(bpf_map_get_fd_by_id(maps[i]));
        bpf_map_info found{};
        __u32 found_size = sizeof(found);
        if (map && bpf_obj_get_info_by_fd(map.get(), &found, &found_size) == 0 &&
            std::string_view(found.name).ends_with(name_end) && found.value_size == value_size &&
            found.type == BPF_MAP_TYPE_ARRAY)
            return map;
    }
    return {};
}

}  // namespace headwind
