// SPDX-License-Identifier: MIT
// Attaches, replaces and detaches our tc programs, with tcx links or clsact filters.
#include "datapath/hooks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/link.h"

namespace headwind {
namespace {

constexpr __u32 before_all = 1U << 3;  // BPF_F_BEFORE without a relative: first

constexpr __u32 filter_handle = 0x4857;  // "HW"
constexpr __u32 filter_priority = 1;

std::string link_name(int ifindex, hw_direction direction)
{
    return headwind::link_name(ifindex, direction == HW_OUT ? "egress" : "ingress");
}

Status attach_tcx(const Instance& instance, int ifindex, hw_direction direction, const Fd& program)
{
    const auto name = link_name(ifindex, direction);
    if (is_link_attached(instance.links, name)) return {};
    HW_CHECK(instance.links.remove(name));  // left by a killed command
    bpf_link_create_opts options{};
    options.sz = sizeof(options);
    options.flags = before_all;
    const Fd link(bpf_link_create(program.get(), ifindex, direction == HW_OUT ? tcx_egress : tcx_ingress, &options));
    if (!link) return fail_errno(errno, fmt::format("attach to device {} with tcx", ifindex));
    return pin(instance.links, link.get(), name);
}

bpf_tc_hook clsact_hook(int ifindex, hw_direction direction)
{
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = ifindex;
    hook.attach_point = direction == HW_OUT ? BPF_TC_EGRESS : BPF_TC_INGRESS;
    return hook;
}

Status attach_clsact(int ifindex, hw_direction direction, const Fd& program)
{
    const auto hook = clsact_hook(ifindex, direction);
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.handle = filter_handle;
    options.priority = filter_priority;
    options.prog_fd = program.get();
    options.flags = BPF_TC_F_REPLACE;
    if (const int error = bpf_tc_attach(&hook, &options); error != 0)
        return fail_errno(-error, fmt::format("attach to device {} with clsact", ifindex));
    return {};
}

// Whether our filter at the hook holds `program`; if `program` is not open, whether it holds any program. A filter left
// by an instance whose pins are gone holds another program.
bool is_attached_clsact(int ifindex, hw_direction direction, const Fd& program)
{
    const auto filter = own_filter(ifindex, direction);
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    if (filter == 0 || !program) return filter != 0;
    return bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 && info.id == filter;
}

const Fd& program_at(const Instance& instance, int ifindex, hw_direction direction)
{
    const auto& programs = instance.programs;
    if (static_cast<__u32>(ifindex) == instance.control->line_return)
        return direction == HW_OUT ? programs.segment : programs.pace_out;
    return direction == HW_OUT ? programs.egress : programs.ingress;
}

}  // namespace

std::uint32_t own_filter(int ifindex, hw_direction direction)
{
    const auto hook = clsact_hook(ifindex, direction);
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.handle = filter_handle;
    options.priority = filter_priority;
    return bpf_tc_query(&hook, &options) == 0 ? options.prog_id : 0;
}

Status remove_filter(int ifindex, hw_direction direction)
{
    const auto hook = clsact_hook(ifindex, direction);
    bpf_tc_opts options{};
    options.sz = sizeof(options);
    options.handle = filter_handle;
    options.priority = filter_priority;
    const int error = bpf_tc_detach(&hook, &options);
    if (error != 0 && error != -ENOENT && error != -ENODEV && error != -EINVAL)
        return fail_errno(-error, fmt::format("detach from device {}", ifindex));
    return {};
}

bool is_attached(const Instance& instance, int ifindex, hw_direction direction)
{
    if (instance.control->tcx == 0)
        return is_attached_clsact(ifindex, direction, program_at(instance, ifindex, direction));
    return is_link_attached(instance.links, link_name(ifindex, direction));
}

Status attach(const Instance& instance, int ifindex, hw_direction direction, const Fd& program)
{
    if (instance.control->tcx != 0) return attach_tcx(instance, ifindex, direction, program);
    if (is_attached_clsact(ifindex, direction, program)) return {};
    return attach_clsact(ifindex, direction, program);
}

// The new filter has the same handle and priority, so it takes the place of the old one in the list that packets walk
// (cls_bpf_change).
Result<bool> replace(const Instance& instance, int ifindex, hw_direction direction, const Fd& program)
{
    if (instance.control->tcx != 0) return replace_link(instance.links, link_name(ifindex, direction), program.get());
    if (!is_attached_clsact(ifindex, direction, {})) return false;
    HW_CHECK(attach_clsact(ifindex, direction, program));
    return true;
}

Status detach(const Instance& instance, int ifindex, hw_direction direction)
{
    if (instance.control->tcx == 0) return remove_filter(ifindex, direction);
    return detach_link(instance.links, link_name(ifindex, direction));
}

}  // namespace headwind
