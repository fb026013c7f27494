#include "datapath/hooks.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace headwind {
namespace {

// Not in the 6.1 headers that Debian 12 builds with (Linux 6.6, uapi/linux/bpf.h).
constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46);
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);
constexpr __u32 before_all = 1U << 3;  // BPF_F_BEFORE without a relative: first

constexpr __u32 filter_handle = 0x4857;  // "HW"
constexpr __u32 filter_priority = 1;

constexpr std::array<std::string_view, 3> hook_names{"egress", "ingress", "xdp"};

std::string link_name(int ifindex, hw_direction direction)
{
    return headwind::link_name(ifindex, direction == HW_OUT ? "egress" : "ingress");
}

Status attach_tcx(const Instance& instance, int ifindex, hw_direction direction, const Fd& program)
{
    const auto name = link_name(ifindex, direction);
    if (is_link_attached(instance.links, name)) return {};
    HW_CHECK(instance.links.remove(name));  // of a killed command
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

Result<std::uint16_t> find_slot(Instance& instance, int ifindex)
{
    auto& devices = instance.control->devices;
    const auto wanted = static_cast<__u32>(ifindex);
    int free_slot = -1;
    for (unsigned i = 0; i < HW_DEVICE_PROBES; ++i) {
        const unsigned slot = (wanted + i) % HW_MAX_DEVICES;
        if (devices[slot].ifindex == wanted) return static_cast<std::uint16_t>(slot);
        if (devices[slot].ifindex == 0 && free_slot < 0) free_slot = static_cast<int>(slot);
    }
    if (free_slot < 0)
        return fail(ErrorKind::failed, "no room for another device: {} are attached at most", +HW_MAX_DEVICES);
    return static_cast<std::uint16_t>(free_slot);
}

// `program` is of this hook, or not open: then any of ours will do. A filter that an instance left whose pins are gone
// is not this one's.
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
        return direction == HW_OUT ? programs.cut : programs.pace_out;
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
    // The kernel takes a link without a pin off at some later time; the program could not be attached again until then.
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
    // Nobody may open a link to read only: for whom may not change it, it is there. And without memory.
    const auto link = find_link_pin(links, name);
    return !link || (*link && bpf_obj_get_info_by_fd((*link)->get(), &info, &size) == 0 && info.ifindex != 0);
}

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

Result<bool> replace_link(const PinDirectory& links, const std::string& name, int program)
{
    HW_TRY(const auto link, find_link_pin(links, name));
    if (!link) return false;
    if (bpf_link_update(link->get(), program, nullptr) == 0) return true;
    if (errno == ENOLINK) return false;  // its device is gone, or somebody detached it
    return fail_errno(errno, "update " + links.path_of(name));
}

// A filter of the same handle and priority takes the place of the other in the list that packets walk (cls_bpf_change).
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

Result<std::uint16_t> attach_device(Instance& instance, const netlink::Link& link, __u32 flags)
{
    HW_TRY(const auto slot, find_slot(instance, link.index));
    auto& device = instance.control->devices[slot];
    if (link.flags & IFF_LOOPBACK)
        flags = (flags & ~static_cast<__u32>(HW_DEVICE_INGRESS)) | HW_DEVICE_LOOPBACK | HW_DEVICE_EGRESS;
    if (flags & HW_DEVICE_FAR) device.far_netns = link.peer_netns;
    device.flags |= flags & ~static_cast<__u32>(HW_DEVICE_CLSACT);
    std::atomic_ref(device.ifindex).store(static_cast<__u32>(link.index));
    if (instance.control->tcx == 0) {
        // Said before it is made: a clsact of ours without a note would stay for ever, one noted but not made is found
        // out by its filters.
        HW_TRY(const unsigned filters, netlink::count_clsact_filters(link.index));
        const bool noted = device.flags & HW_DEVICE_CLSACT;
        if (!noted && filters == 0) device.flags |= HW_DEVICE_CLSACT;
        HW_TRY(const bool created, netlink::create_clsact(link.index));
        if (!created && !noted) device.flags &= ~static_cast<__u32>(HW_DEVICE_CLSACT);
    }
    if (flags & HW_DEVICE_EGRESS) HW_CHECK(attach(instance, link.index, HW_OUT, instance.programs.egress));
    if (flags & HW_DEVICE_INGRESS) HW_CHECK(attach(instance, link.index, HW_IN, instance.programs.ingress));
    return slot;
}

Status detach_device(Instance& instance, std::uint16_t slot)
{
    auto& device = instance.control->devices[slot];
    const int ifindex = static_cast<int>(device.ifindex);
    HW_CHECK(detach_link(instance.links, link_name(ifindex, "xdp")));  // first: tc is behind it as long as it is there
    HW_CHECK(detach(instance, ifindex, HW_OUT));
    HW_CHECK(detach(instance, ifindex, HW_IN));
    if (device.flags & HW_DEVICE_CLSACT) {
        const auto filters = netlink::count_clsact_filters(ifindex);
        if (filters && *filters == 0) HW_CHECK(netlink::delete_clsact(ifindex));
        device.flags &= ~static_cast<__u32>(HW_DEVICE_CLSACT);
    }
    device.flags &= ~static_cast<__u32>(HW_DEVICE_EGRESS | HW_DEVICE_INGRESS | HW_DEVICE_XDP | HW_DEVICE_GENERIC);
    return {};
}

void release_device(Instance& instance, std::uint16_t slot)
{
    auto& device = instance.control->devices[slot];
    std::atomic_ref(device.ifindex).store(0);
    device.flags = 0;
}

}  // namespace headwind
