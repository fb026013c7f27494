// SPDX-License-Identifier: MIT
// Gives devices their slots, and attaches and detaches our programs there.
#include "datapath/device_table.h"

#include <net/if.h>

#include <atomic>
#include <tuple>

#include "datapath/hooks.h"
#include "datapath/link.h"
#include "datapath/sight.h"

namespace headwind {

class DeviceWriter {
public:
    static auto& devices(Instance& instance) { return instance.control.writable().devices; }
};

namespace {

Result<std::uint16_t> find_slot(const Instance& instance, int ifindex)
{
    const auto& devices = instance.control->devices;
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

void set_name(hw_device& device, const std::string& name)
{
    const auto end = name.copy(device.name, sizeof(device.name) - 1);
    device.name[end] = 0;
}

// Packets read them meanwhile.
void add_flags(hw_device& device, __u32 flags)
{
    std::atomic_ref(device.flags).fetch_or(static_cast<__u16>(flags));
}
void remove_flags(hw_device& device, __u32 flags)
{
    std::atomic_ref(device.flags).fetch_and(static_cast<__u16>(~flags));
}

// The other end of a veth or netkit, or the parent of a macvlan, may be moved to another network namespace at any time.
void note_border(hw_device& device, const netlink::Link& link)
{
    if (link.parent_elsewhere)
        add_flags(device, HW_DEVICE_BORDER);
    else
        remove_flags(device, HW_DEVICE_BORDER);
}

}  // namespace

Result<std::uint16_t> attach_device(Instance& instance, const netlink::Link& link, __u32 flags)
{
    HW_TRY(const auto slot, find_slot(instance, link.index));
    auto& device = DeviceWriter::devices(instance)[slot];
    if (link.flags & IFF_LOOPBACK)
        flags = (flags & ~static_cast<__u32>(HW_DEVICE_INGRESS)) | HW_DEVICE_LOOPBACK | HW_DEVICE_EGRESS;
    if (flags & HW_DEVICE_PEER) device.peer_netns = link.peer_netns;
    add_flags(device, flags & ~static_cast<__u32>(HW_DEVICE_CLSACT));
    note_border(device, link);
    if (device.ifindex == 0) set_name(device, link.name);
    std::atomic_ref(device.ifindex).store(static_cast<__u32>(link.index));
    if (instance.control->tcx == 0) {
        // The note is written before the clsact is made: a clsact of ours without a note would stay for ever, while one
        // that is noted but not made is found out by its filters.
        HW_TRY(const unsigned filters, netlink::count_clsact_filters(link.index));
        const bool noted = device.flags & HW_DEVICE_CLSACT;
        if (!noted && filters == 0) add_flags(device, HW_DEVICE_CLSACT);
        HW_TRY(const bool created, netlink::create_clsact(link.index));
        if (!created && !noted) remove_flags(device, HW_DEVICE_CLSACT);
    }
    for (const auto& [hook, side, program] : {std::tuple{__u32{HW_DEVICE_EGRESS}, HW_OUT, &instance.programs.egress},
                                              {HW_DEVICE_INGRESS, HW_IN, &instance.programs.ingress}}) {
        if ((flags & hook) == 0 || is_attached(instance, link.index, side)) continue;
        watch_hooks(instance, slot, link.index, hook);
        HW_CHECK(attach(instance, link.index, side, *program));
    }
    return slot;
}

void note_links(Instance& instance, const std::vector<netlink::Link>& links)
{
    for (const auto& link : links) {
        const auto slot = find_slot(instance, link.index);
        if (!slot || instance.control->devices[*slot].ifindex == 0) continue;
        auto& device = DeviceWriter::devices(instance)[*slot];
        set_name(device, link.name);
        note_border(device, link);
    }
}

Status detach_device(Instance& instance, std::uint16_t slot)
{
    auto& device = DeviceWriter::devices(instance)[slot];
    const int ifindex = static_cast<int>(device.ifindex);
    HW_CHECK(detach_link(instance.links, link_name(ifindex, "xdp")));  // first: tc comes after XDP while XDP is there
    HW_CHECK(detach(instance, ifindex, HW_OUT));
    HW_CHECK(detach(instance, ifindex, HW_IN));
    if (device.flags & HW_DEVICE_CLSACT) {
        const auto filters = netlink::count_clsact_filters(ifindex);
        if (filters && *filters == 0) HW_CHECK(netlink::delete_clsact(ifindex));
        remove_flags(device, HW_DEVICE_CLSACT);
    }
    remove_flags(device, HW_DEVICE_EGRESS | HW_DEVICE_INGRESS | HW_DEVICE_XDP | HW_DEVICE_GENERIC);
    return {};
}

void release_device(Instance& instance, std::uint16_t slot)
{
    auto& device = DeviceWriter::devices(instance)[slot];
    std::atomic_ref(device.ifindex).store(0);
    device.flags = 0;
    device.name[0] = 0;
}

void set_device_flags(Instance& instance, std::uint16_t slot, __u32 flags)
{
    add_flags(DeviceWriter::devices(instance)[slot], flags);
}

void clear_device_flags(Instance& instance, std::uint16_t slot, __u32 flags)
{
    remove_flags(DeviceWriter::devices(instance)[slot], flags);
}

}  // namespace headwind
