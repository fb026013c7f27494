// SPDX-License-Identifier: MIT
// Loads the XDP program, and attaches it to devices in the mode that rules want.
#include "xdp/xdp.h"

#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <headwind/index.h>
#include <headwind/testing.h>

#include "datapath/device_table.h"
#include "datapath/link.h"
#include "datapath/workarounds.h"
#include "xdp.skel.h"

namespace headwind {
namespace {

using netlink::Link;

struct SkeletonDelete {
    void operator()(xdp_bpf* skeleton) const { xdp_bpf__destroy(skeleton); }
};

using Skeleton = std::unique_ptr<xdp_bpf, SkeletonDelete>;

// Loads the XDP program over the instance's maps. Native mode takes frames in several buffers (jumbo). Generic mode
// must not: for a program that does, Linux (6.18) copies the packet and forgets skb->mac_len, and tc finds no Ethernet
// header. For one that does not, it makes the packet linear.
Result<Skeleton> load(const Instance& instance, Xdp mode)
{
    Skeleton skeleton(xdp_bpf__open());
    if (!skeleton) return fail_errno(errno, "open the XDP object");
    const std::array<std::pair<bpf_map*, const char*>, 11> shared{{{skeleton->maps.data_control, "control"},
                                                                   {skeleton->maps.data_held, "held"},
                                                                   {skeleton->maps.hw_entries, "entries"},
                                                                   {skeleton->maps.hw_rules, "rules"},
                                                                   {skeleton->maps.hw_leases, "leases"},
                                                                   {skeleton->maps.hw_stops, "stops"},
                                                                   {skeleton->maps.hw_states, "states"},
                                                                   {skeleton->maps.hw_cpu_states, "cpu_states"},
                                                                   {skeleton->maps.hw_fragments, "fragments"},
                                                                   {skeleton->maps.bss, port_classes_pin},
                                                                   {skeleton->maps.hw_texts, "texts"}}};
    for (const auto& [map, name] : shared) HW_CHECK(reuse_pin(map, instance.directory, name));
    HW_CHECK(reuse_pin(skeleton->maps.hw_host, instance.root, host_pin));
    bpf_map__set_autocreate(skeleton->maps.hw_segment_ctxs, false);
    bpf_program__set_flags(skeleton->progs.headwind_xdp, mode == Xdp::native ? BPF_F_XDP_HAS_FRAGS : 0);
    skeleton->rodata->hw_workarounds_off = workarounds_off();
    if (const int error = xdp_bpf__load(skeleton.get()); error != 0) return fail_errno(-error, "load the XDP program");
    return skeleton;
}

// In generic mode, packets that we inject at ingress are counted on their way (hw_device.on_return). Packets that are
// on their way, uncounted, when counting begins have arrived long before this time has passed.
constexpr useconds_t settling_us = 20'000;

bool applies_at(const Instance& instance, const RuleRef& rule, std::uint16_t slot)
{
    if (rule->flags & HW_INDEX_NAMED) return is_at(rule, slot);
    return instance.control->devices[slot].flags & HW_DEVICE_DEFAULT;
}

// The mode that rules want at this device: native or generic if one of them says so, else automatic; off: none has a
// use for it. `rules`: the rules that XDP may decide.
Result<Xdp> wish_at(const Instance& instance, std::uint16_t slot, const Entries& rules)
{
    Xdp wish = Xdp::off;
    const RuleRef* by = nullptr;
    for (const auto& rule : rules) {
        const auto xdp = static_cast<Xdp>(rule->xdp);
        if (!applies_at(instance, rule, slot)) continue;
        if (xdp == Xdp::automatic) {
            if (wish == Xdp::off) wish = Xdp::automatic;
        } else if (by != nullptr && (*by)->xdp != rule->xdp) {
            return fail(
                ErrorKind::usage,
                "--xdp {}: {} wants --xdp {} on the same device, which has one XDP program: use that, or change {} first",
                format_xdp(xdp), rule_name(*by), format_xdp(static_cast<Xdp>((*by)->xdp)), rule_name(*by));
        } else {
            wish = xdp;
            by = &rule;
        }
    }
    return wish;
}

Status check_forced(const Link& link, Xdp mode, bool loopback)
{
    const auto flag = format_xdp(mode);
    if (loopback)
        return fail(ErrorKind::usage,
                    "--xdp {}: on {} a packet is decided when it is sent, not when it comes in: use --xdp off", flag,
                    link.name);
    if (link.xdp_program != 0)
        return fail(
            ErrorKind::unsupported,
            "--xdp {}: another XDP program (id {}) is on {}: use --xdp auto, which leaves it there and decides at tc",
            flag, link.xdp_program, link.name);
    const auto driver = mode == Xdp::native ? netlink::driver_of(link.name) : "";
    if (mode == Xdp::native && !hands_metadata_on(driver))
        return fail(
            ErrorKind::unsupported,
            "--xdp native: the driver of {}, {}, is not known to hand XDP metadata on: use --xdp off or generic",
            link.name, driver.empty() ? "which tells no name" : driver);
    return {};
}

Status attach_xdp(Instance& instance, std::uint16_t slot, const Link& link, Xdp mode)
{
    HW_TRY(const auto skeleton, load(instance, mode));  // the link keeps the program
    set_device_flags(instance, slot, HW_DEVICE_XDP);
    if (mode == Xdp::generic) {
        set_device_flags(instance, slot, HW_DEVICE_GENERIC);
        usleep(settling_us);
    }
    const auto name = link_name(link.index, "xdp");
    HW_CHECK(instance.links.remove(name));  // one that lost its device
    bpf_link_create_opts options{};
    options.sz = sizeof(options);
    options.flags = mode == Xdp::generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
    const Fd made(bpf_link_create(bpf_program__fd(skeleton->progs.headwind_xdp), link.index, BPF_XDP, &options));
    if (!made)
        return fail_errno(errno,
                          fmt::format("--xdp {}: attach to {} (--xdp off decides at tc)", format_xdp(mode), link.name));
    return pin(instance.links, made.get(), name);
}

Status detach_xdp(Instance& instance, std::uint16_t slot)
{
    const auto ifindex = static_cast<int>(instance.control->devices[slot].ifindex);
    HW_CHECK(detach_link(instance.links, link_name(ifindex, "xdp")));
    clear_device_flags(instance, slot, HW_DEVICE_XDP | HW_DEVICE_GENERIC);
    return {};
}

// Puts the device into the mode `wish`, which is not off.
Status settle_xdp_at(Instance& instance, std::uint16_t slot, const Link& link, Xdp wish)
{
    const bool loopback = instance.control->devices[slot].flags & HW_DEVICE_LOOPBACK;
    const bool automatic = wish == Xdp::automatic;
    const Xdp now = xdp_mode_at(instance, slot);
    if (automatic) wish = !loopback && is_for_auto(netlink::driver_of(link.name)) ? Xdp::native : Xdp::off;
    const bool attached_once = instance.control->devices[slot].flags & HW_DEVICE_XDP;
    if (now == wish && (now != Xdp::off || !attached_once)) return {};
    if (attached_once) HW_CHECK(detach_xdp(instance, slot));  // or somebody has done so
    if (wish == Xdp::off || (automatic && link.xdp_program != 0)) return {};
    Link bare = link;
    if (now != Xdp::off) bare.xdp_program = 0;  // the program was ours
    if (!automatic) HW_CHECK(check_forced(bare, wish, loopback));
    auto attached = attach_xdp(instance, slot, link, wish);
    if (attached) return {};
    HW_CHECK(detach_xdp(instance, slot));
    return automatic ? Status{} : attached;  // the driver will not (MTU, queues): tc decides
}

}  // namespace

bool hands_metadata_on(std::string_view driver)
{
    return driver == "veth" || is_for_auto(driver);
}

bool is_for_auto(std::string_view driver)
{
    constexpr std::array<std::string_view, 8> drivers{"i40e",  "ice",       "igb", "igc",
                                                      "ixgbe", "mlx5_core", "nfp", "virtio_net"};
    return std::find(drivers.begin(), drivers.end(), driver) != drivers.end();
}

Status settle_xdp(Instance& instance, const Entries& rules)
{
    const auto wanting = rules.with(HW_INDEX_XDP);
    std::vector<Link> links;
    if (!wanting.empty()) {
        HW_TRY(links, netlink::list_links());
    }
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = instance.control->devices[slot];
        if (device.ifindex == 0) continue;
        HW_TRY(const auto wish, wish_at(instance, slot, wanting));
        const auto link = std::find_if(links.begin(), links.end(), [&device](const auto& one) {
            return static_cast<__u32>(one.index) == device.ifindex;
        });
        if (wish != Xdp::off && link != links.end())
            HW_CHECK(settle_xdp_at(instance, slot, *link, wish));
        else if (device.flags & HW_DEVICE_XDP)
            HW_CHECK(detach_xdp(instance, slot));
    }
    return {};
}

Result<bool> replace_xdp(Instance& instance, std::uint16_t slot)
{
    const auto mode = xdp_mode_at(instance, slot);
    if (mode == Xdp::off) return false;
    HW_TRY(const auto skeleton, load(instance, mode));
    const auto name = link_name(static_cast<int>(instance.control->devices[slot].ifindex), "xdp");
    return replace_link(instance.links, name, bpf_program__fd(skeleton->progs.headwind_xdp));
}

Xdp xdp_mode_at(const Instance& instance, std::uint16_t slot)
{
    const auto& device = instance.control->devices[slot];
    if (!(device.flags & HW_DEVICE_XDP)) return Xdp::off;
    if (!is_link_attached(instance.links, link_name(static_cast<int>(device.ifindex), "xdp"))) return Xdp::off;
    return device.flags & HW_DEVICE_GENERIC ? Xdp::generic : Xdp::native;
}

}  // namespace headwind
