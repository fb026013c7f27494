// SPDX-License-Identifier: MIT
// Compares the line with how it was made.
#include "line/damage.h"

#include <net/if.h>

#include <algorithm>

#include <headwind/testing.h>

#include "datapath/attached.h"
#include "datapath/hooks.h"
#include "datapath/note_device.h"
#include "datapath/workarounds.h"
#include "host/backlog.h"
#include "host/devices.h"
#include "host/host.h"
#include "line/loopback.h"
#include "line/pacer.h"

namespace headwind {
namespace {

// What is wrong with the devices themselves, as line_damage().
std::string device_damage(const LineDevices& devices)
{
    const std::pair<std::string_view, const std::optional<netlink::Link>*> all[] = {
        {line_names[0], &devices.returns}, {line_names[1], &devices.pacer}, {line_names[2], &devices.segmenter}};
    for (const auto& [name, device] : all)
        if (!*device) return fmt::format("{} is gone", name);
    if (!is_whole(devices))
        return fmt::format("{} is no longer between {} and {}", line_names[0], line_names[1], line_names[2]);
    for (const auto& [name, device] : all)
        if (((*device)->flags & IFF_UP) == 0) return fmt::format("{} is down", name);
    for (const auto& [name, device] : all)
        if ((*device)->mtu != line_mtu()) return fmt::format("{} has an MTU of {}", name, (*device)->mtu);
    if (!lets_all_through(devices)) return fmt::format("the bridge {} has other options", line_names[2]);
    return "";
}

// headwind0 and headwind2 have none.
std::string qdisc_damage(const LineDevices& devices)
{
    for (const auto* device : {&*devices.returns, &*devices.segmenter})
        if (device->qdisc != "noqueue" && device->qdisc != "noop")
            return fmt::format("{} has a qdisc, {}", device->name, device->qdisc);
    return "";
}

// What is wrong with the fqs of headwind1 and lo.
Result<std::string> fq_damage(const Instance& instance, const LineDevices& devices)
{
    const auto& control = *instance.control;
    if (control.line_pace == 0 && control.loopback_pace == 0) return "";
    HW_TRY(const auto qdiscs, netlink::list_qdiscs());
    if (control.line_pace != 0 && !is_pacer(qdiscs, devices.pacer->index, devices.pacer->tx_queues))
        return fmt::format("the fq of {} is gone, or has other options", line_names[1]);
    HW_TRY(const bool loopback, is_loopback_intact(instance, qdiscs));
    return loopback ? "" : "the fq of lo is gone, or has other options, or lo receives a flow on several CPUs";
}

// Those that the line changed.
Result<std::string> sysctl_damage(const hw_control& control)
{
    const std::pair<const char*, const hw_saved*> all[] = {{route_localnet, &control.route_localnet},
                                                           {accept_local, &control.accept_local}};
    for (const auto& [path, saved] : all) {
        if (saved->changed == 0) continue;
        HW_TRY(const auto value, read_sysctl(path));
        if (value != 1) return fmt::format("{} is {} again", path, value);
    }
    return "";
}

// Where all looks as it was made, but the datapath, which decides whether packets are sent there, finds it otherwise.
Result<std::string> damage_for_datapath(const Instance& instance, const std::vector<netlink::Link>& links)
{
    // Where lo is down nothing passes there, and nobody minds.
    const bool loopback = std::ranges::any_of(
        links, [](const auto& link) { return link.index == loopback_index && (link.flags & IFF_UP) != 0; });

    const auto looked = look_at_line(instance);
    if (!looked && looked.error().kind == ErrorKind::permission) return "";
    HW_TRY(const auto parts, looked);
    const auto& control = *instance.control;
    const std::tuple<std::uint32_t, unsigned, std::string_view> all[] = {
        {control.line_segment, HW_LINE_SEGMENTS, line_names[2]},
        {control.line_pace, HW_LINE_PACES, line_names[1]},
        {loopback ? control.loopback_pace : 0, HW_LOOPBACK_PACES, "lo"}};
    for (const auto& [needed, part, device] : all)
        if (needed != 0 && (parts & part) == 0) return fmt::format("the datapath finds {} out of order", device);
    return "";
}

}  // namespace

LineDevices line_devices(const hw_control& control, const std::vector<netlink::Link>& links)
{
    const auto find = [&links](__u32 index, std::string_view name) {
        std::optional<netlink::Link> out;
        for (const auto& link : links)
            if (is_line_device(link) && (index == 0 ? link.name == name : link.index == static_cast<int>(index)))
                out = link;
        return out;
    };
    LineDevices out;
    out.returns = find(control.line_return, line_names[0]);
    out.segmenter = find(control.line_segment, line_names[2]);
    const bool known = control.line_pace == 0 && out.returns && out.returns->peer_netns < 0;
    out.pacer = find(known ? static_cast<__u32>(out.returns->peer) : control.line_pace, line_names[1]);
    return out;
}

bool is_whole(const LineDevices& devices)
{
    const auto& [returns, pacer, segmenter] = devices;
    return returns && pacer && segmenter && returns->peer == pacer->index && returns->master == segmenter->index;
}

bool lets_all_through(const LineDevices& devices)
{
    return devices.returns->floods && devices.segmenter->floods;
}

std::uint32_t line_mtu()
{
    return is_on(HW_WORKAROUND_MTU) ? 65535 : 1500;
}

bool comes_from_several_cpus()
{
    return online_cpus() > 1 && is_on(HW_WORKAROUND_RPS);
}

Result<bool> is_steering(const hw_control& control, const LineDevices& devices)
{
    if (control.steers == 0) return control.line_pace == 0 || !comes_from_several_cpus();
    return receives_by_flow(devices.returns->name, devices.pacer->tx_queues);
}

Result<std::string> line_damage(const Instance& instance, const std::vector<netlink::Link>& links)
{
    const auto& control = *instance.control;
    if (control.line_segment == 0) return "";
    const auto devices = line_devices(control, links);
    if (auto damage = device_damage(devices); !damage.empty()) return damage;
    for (const auto direction : {HW_OUT, HW_IN})
        if (!is_attached(instance, devices.returns->index, direction))
            return fmt::format("somebody took Headwind's program off {}", line_names[0]);
    if (auto damage = qdisc_damage(devices); !damage.empty()) return damage;
    // An error: it has another name by now, or is gone. The next look tells.
    if (const auto offloads = netlink::has_transmit_offloads(devices.segmenter->name); offloads && *offloads)
        return fmt::format("{} has offloads (ethtool -k)", line_names[2]);
    HW_TRY(const bool steering, is_steering(control, devices));
    if (!steering) return fmt::format("{} receives a flow on several CPUs (rps_cpus)", line_names[0]);
    HW_TRY(auto fq, fq_damage(instance, devices));
    if (!fq.empty()) return fq;
    HW_TRY(auto sysctl, sysctl_damage(control));
    return sysctl.empty() ? damage_for_datapath(instance, links) : std::move(sysctl);
}

Result<std::vector<std::string>> line_guests(const Instance& instance, const std::vector<netlink::Link>& links)
{
    const auto& control = *instance.control;
    if (control.line_segment == 0) return std::vector<std::string>{};
    const auto devices = line_devices(control, links);
    std::vector<netlink::Link> there;
    for (const auto* device : {&devices.returns, &devices.pacer, &devices.segmenter})
        if (*device) there.push_back(**device);
    return devices_with_others(there);
}

}  // namespace headwind
