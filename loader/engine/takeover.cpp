// SPDX-License-Identifier: MIT
// Replaces an instance's programs by ours, in the pins and at the hooks, against the way of a packet.
#include "engine/takeover.h"

#include <net/if.h>

#include <bpf/bpf.h>

#include <fmt/ranges.h>

#include "datapath/hooks.h"
#include "datapath/programs.h"
#include "engine/changed.h"
#include "engine/write_session.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

// Loads our programs over the instance's maps, with the nonce by which the programs before know its packets.
Result<Skeleton> load_over(const Instance& instance)
{
    ProgramConstants constants;
    constants.nonce = static_cast<std::uint16_t>(instance.control->nonce);
    constants.tcx = instance.control->tcx != 0;
    HW_TRY(auto skeleton, open_programs(constants));
    for (const auto& [map, name] : pinned_maps(*skeleton)) HW_CHECK(reuse_pin(map, instance.directory, name));
    HW_CHECK(reuse_pin(skeleton->maps.hw_host, instance.root, host_pin));
    HW_CHECK(load_programs(*skeleton));
    return skeleton;
}

// Replaces a pin, which is the old program or the new one at any instant. (The suffix has no dot: bpffs keeps dots for
// itself.)
Status replace_pin(const Instance& instance, const bpf_program* program, const std::string& name)
{
    const auto fresh = name + fresh_suffix;
    HW_CHECK(instance.directory.remove(fresh));  // left by a killed take-over
    HW_CHECK(pin(instance.directory, bpf_program__fd(program), fresh));
    return instance.directory.rename(fresh, name);
}

std::string name_of(std::uint32_t ifindex)
{
    char name[IF_NAMESIZE];
    return if_indextoname(ifindex, name) != nullptr ? name : fmt::format("device {}", ifindex);
}

// Replaces our programs at these hooks (hw_device_flags) of the device; true: one was there. (reconcile() puts a
// missing one back.)
Result<bool> replace_at(const Instance& instance, std::uint32_t ifindex, __u32 hooks)
{
    bool any = false;
    const auto at = [&](hw_direction side, const Fd& program) -> Status {
        HW_TRY(const bool replaced, replace(instance, static_cast<int>(ifindex), side, program));
        any = any || replaced;
        return {};
    };
    // A packet that comes back from the line at ingress was marked at egress: the reader goes first.
    if (hooks & HW_DEVICE_INGRESS) HW_CHECK(at(HW_IN, instance.programs.ingress));
    if (hooks & HW_DEVICE_EGRESS) HW_CHECK(at(HW_OUT, instance.programs.egress));
    return any;
}

Status replace_on_line(const Instance& instance, std::vector<std::string>& names)
{
    const auto device = static_cast<int>(instance.control->line_return);
    if (device == 0) return {};
    HW_TRY(const bool out, replace(instance, device, HW_IN, instance.programs.pace_out));
    HW_TRY(const bool segment, replace(instance, device, HW_OUT, instance.programs.segment));
    if (out || segment) names.push_back(name_of(instance.control->line_return));
    return {};
}

// Replaces programs against the way of a packet, as bpf/headwind.bpf.c draws it: pace_out, segment, the devices' hooks,
// XDP. So new programs always read what a new one writes on a packet or into a map. New ones also read what old ones
// wrote: the ABI says so, and packets on their way need it in any order.
Status replace_hooks(Instance& instance, std::vector<std::string>& names)
{
    std::vector<std::string> line;
    HW_CHECK(replace_on_line(instance, line));
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = instance.control->devices[slot];
        if (device.ifindex == 0) continue;
        HW_TRY(bool replaced, replace_at(instance, device.ifindex, device.flags));
        if (device.flags & HW_DEVICE_XDP) {
            HW_TRY(const bool xdp, replace_xdp(instance, slot));
            replaced = replaced || xdp;
        }
        if (replaced) names.push_back(name_of(device.ifindex));
    }
    names.insert(names.end(), line.begin(), line.end());
    return {};
}

// Replaces all pins; then `instance` has the programs that are pinned.
Status replace_pins(Instance& instance, headwind_bpf& ours)
{
    for (const auto& [program, name] : pinned_programs(ours)) HW_CHECK(replace_pin(instance, program, name));
    return open_pinned_programs(instance);
}

}  // namespace

Result<TakenOver> take_over()
{
    TakenOver out;
    HW_TRY(auto session, open_for_change());
    out.exists = session.instance.has_value();
    if (!out.exists || runs_own_programs(*session.instance)) return out;
    auto& instance = *session.instance;
    HW_TRY(const auto ours, load_over(instance));  // before anything changes: this can fail
    note_programs(instance, 0);                    // 0: of both versions, if this is killed from here on
    HW_CHECK(replace_pins(instance, *ours));
    HW_CHECK(replace_hooks(instance, out.devices));
    note_programs(instance, own_programs());
    out.replaced = true;
    Changed changed;
    changed.event = "upgraded";
    changed.words = fmt::format("programs replaced on {}", fmt::join(out.devices, ", "));
    tell(changed);
    return out;
}

}  // namespace headwind
