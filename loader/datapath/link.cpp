// SPDX-License-Identifier: MIT
// Names pinned links, tells whether they have their device, detaches and updates them.
#include "datapath/link.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <bpf/bpf.h>
#include <fmt/format.h>

namespace headwind {
namespace {

constexpr std::array<std::string_view, 3> hook_names{"egress", "ingress", "xdp"};

}  // namespace

bool kernel_has_tcx()
{
    // The kernel knows the attach type if it complains of the device (ENODEV), not of the type.
    bpf_prog_load_opts load{};
    load.sz = sizeof(load);
    bpf_insn code[2] = {};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 0
    code[1].code = BPF_JMP | BPF_EXIT;
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "hw_probe", "GPL", code, 2, &load));
    if (!program) return false;
    bpf_link_create_opts options{};
    options.sz = sizeof(options);
    const Fd link(bpf_link_create(program.get(), 0x7fffffff, tcx_egress, &options));
    return errno == ENODEV;
}

std::string link_name(int ifindex, std::string_view hook)
{
    return fmt::format("{}-{}", ifindex, hook);
}

bool is_link_name(std::string_view name)
{
    const auto dash = name.find('-');
    return dash != 0 && dash != std::string_view::npos && name.find_first_not_of("0123456789") == dash &&
           std::ranges::find(hook_names, name.substr(dash + 1)) != hook_names.end();
}

Status detach_link(const PinDirectory& links, const std::string& name)
{
    // The kernel takes a link without a pin off its hook only some time later; until then the program could not be
    // attached again.
    HW_TRY(const auto link, find_link_pin(links, name));
    if (link) bpf_link_detach(link->get());
    return links.remove(name);
}

bool is_link_attached(const PinDirectory& links, const std::string& name)
{
    struct {  // struct bpf_link_info of Linux 6.6: tcx is not in the 6.1 headers
        __u32 type, id, program, pad, ifindex, attach_type, more[8];
    } info{};
    __u32 size = sizeof(info);
    // Nobody may open a link to read only: for a caller that may not change the link, it is there. So it is if memory
    // is short.
    const auto link = find_link_pin(links, name);
    return !link || (*link && bpf_obj_get_info_by_fd((*link)->get(), &info, &size) == 0 && info.ifindex != 0);
}

Result<bool> replace_link(const PinDirectory& links, const std::string& name, int program)
{
    HW_TRY(const auto link, find_link_pin(links, name));
    if (!link) return false;
    if (bpf_link_update(link->get(), program, nullptr) == 0) return true;
    if (errno == ENOLINK) return false;  // its device is gone, or somebody detached it
    return fail_errno(errno, "update " + links.path_of(name));
}

}  // namespace headwind
