// SPDX-License-Identifier: MIT
// Makes, mends, drains and removes the devices of the line, and changes the sysctls they need.
#include "line/line.h"

#include <net/if.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <thread>

#include <fmt/ranges.h>

#include <headwind/testing.h>

#include "datapath/hooks.h"
#include "datapath/note_device.h"
#include "datapath/workarounds.h"
#include "host/backlog.h"
#include "host/devices.h"
#include "line/damage.h"
#include "line/loopback.h"
#include "line/pacer.h"

namespace headwind {

class LineWriter {
public:
    static hw_control& of(const Control& control) { return control.writable(); }
};

namespace {

const std::string return_name(line_names[0]);  // segment() at its egress, pace_out() at its ingress
const std::string pace_name(line_names[1]);
const std::string bridge_name(line_names[2]);
constexpr std::chrono::milliseconds late{200};   // a packet may leave the line behind its time, on a busy machine
constexpr std::chrono::milliseconds softirq{2};  // packets are on their way through headwind0 so long
// CPUs that send at once shall seldom wait for each other at one qdisc's lock.
constexpr std::uint32_t most_queues = 16;  // HW_LINE_QUEUES of bpf/held.h
constexpr std::uint32_t gso_max_bytes = 65536, gso_max_segments = 65535;

// Sets a sysctl to 1. The old value is written down before.
Status set_sysctl(const char* path, hw_saved& saved)
{
    HW_TRY(const auto before, read_sysctl(path));
    if (before == 1) return {};
    if (saved.changed == 0) saved.before = before;
    std::atomic_ref(saved.changed).store(1);
    return write_sysctl(path, 1);
}

Status restore_sysctl(const char* path, hw_saved& saved)
{
    if (saved.changed == 0) return {};
    HW_CHECK(write_sysctl(path, saved.before));
    saved.changed = 0;
    return {};
}

// Removes the line's devices, also where only a part of them is left, whatever they are called now.
Status remove_devices()
{
    HW_TRY(const auto links, netlink::list_links());
    for (const auto& link : links)
        if (is_line_device(link)) HW_CHECK(netlink::delete_link(link.index));
    return {};
}

Status check_names_free()
{
    HW_TRY(const auto links, netlink::list_links());
    for (const auto& link : links)
        if (is_line_name(link.name))
            return fail(ErrorKind::failed, "a device called {} exists that is not Headwind's: rename or remove it",
                        link.name);
    return {};
}

Status make_line(Instance& instance)
{
    HW_CHECK(remove_devices());  // left by a command that was killed here
    HW_CHECK(check_names_free());
    netlink::VethOptions options;
    options.name0 = return_name;
    options.name1 = pace_name;
    options.alias = line_alias;
    options.queues = std::min(std::bit_floor(online_cpus()), most_queues);
    options.mtu = line_mtu();
    HW_TRY(const auto veth, netlink::create_veth(options));
    HW_CHECK(netlink::set_gso_max(veth.index1, gso_max_bytes, gso_max_segments));
    HW_TRY(const int bridge, netlink::create_bridge(bridge_name, line_alias, veth.index0));
    auto& control = LineWriter::of(instance.control);
    control.line_return = static_cast<__u32>(veth.index0);
    control.line_segment = static_cast<__u32>(bridge);
    return {};
}

// Attaches the line's programs. A program that is there stays.
Status attach_programs(const Instance& instance)
{
    const int device = static_cast<int>(instance.control->line_return);
    if (instance.control->tcx == 0) HW_CHECK(netlink::create_clsact(device));
    HW_CHECK(attach(instance, device, HW_OUT, instance.programs.segment));
    return attach(instance, device, HW_IN, instance.programs.pace_out);
}

Result<bool> exist(std::initializer_list<std::uint32_t> devices)
{
    HW_TRY(const auto links, netlink::list_links());
    return std::all_of(devices.begin(), devices.end(), [&links](std::uint32_t ifindex) {
        return std::any_of(links.begin(), links.end(),
                           [ifindex](const auto& link) { return link.index == static_cast<int>(ifindex); });
    });
}

// Makes headwind0 receive the packets of a flow in order. Rules that hold packets cannot do without.
Status make_steering(hw_control& control, const LineDevices& devices, bool must)
{
    if (control.steers == 0 && !comes_from_several_cpus()) return {};
    const auto status = receive_by_flow(devices.returns->name, devices.pacer->tx_queues);
    control.steers = status ? 1 : 0;
    return must ? status : Status{};
}

Result<LineDevices> find_devices(const hw_control& control)
{
    HW_TRY(const auto links, netlink::list_links());
    return line_devices(control, links);
}

// Removes what is left of a line of whose devices somebody removed or moved one, or whose removal was cut short by a
// kill. Returns whether it is to be made anew. Until it is, line_segment stays: line_damage() tells that it is gone.
Result<bool> remove_lost_line(Instance& instance)
{
    auto& control = LineWriter::of(instance.control);
    if (control.line_segment == 0) return true;
    HW_TRY(const auto devices, find_devices(control));
    if (is_whole(devices)) return false;
    for (const auto direction : {HW_OUT, HW_IN})
        HW_CHECK(detach(instance, static_cast<int>(control.line_return), direction));
    HW_CHECK(remove_devices());
    control.line_return = control.line_pace = control.steers = 0;
    return true;
}

// Sets up what somebody has set down, with the MTU and options that it was made with. All of it is operational then.
Status bring_up(const LineDevices& devices)
{
    for (const auto* device : {&*devices.returns, &*devices.pacer, &*devices.segmenter}) {
        if (device->mtu != line_mtu()) HW_CHECK(netlink::set_mtu(device->index, line_mtu()));
        if ((device->flags & IFF_UP) == 0) HW_CHECK(netlink::bring_up(device->index));
    }
    if (!lets_all_through(devices)) {
        HW_CHECK(netlink::wait_until_operational(devices.returns->index));
        HW_CHECK(netlink::reset_bridge(devices.segmenter->index, devices.returns->index));
    }
    for (const auto* device : {&*devices.returns, &*devices.pacer, &*devices.segmenter})
        HW_CHECK(netlink::wait_until_operational(device->index));
    return {};
}

// Has the datapath look at the line as it is now. To be called after each change of it.
Status note_devices(const Instance& instance)
{
    const auto& control = *instance.control;
    for (const auto device : {control.line_return, control.line_segment, control.line_pace, control.loopback_pace})
        if (device != 0) HW_CHECK(note_device(instance, device));
    return {};
}

Result<netlink::Link> find_pace()
{
    HW_TRY(auto devices, find_devices(hw_control{}));
    if (devices.pacer) return std::move(*devices.pacer);
    return fail(ErrorKind::not_found, "there is no {}", pace_name);
}

// Waits for the fq of headwind1, whose index is `pace`, and that of lo, as drain_line() does.
Result<std::uint32_t> drain(int pace, std::chrono::nanoseconds limit,
                            const std::function<void(std::uint32_t left)>& progress)
{
    using namespace std::chrono_literals;
    const auto end = std::chrono::steady_clock::now() + limit;
    for (auto next_word = std::chrono::steady_clock::now() + 200ms;;) {
        HW_TRY(const auto qdiscs, netlink::list_qdiscs());
        const auto stats = netlink::root_qdisc_stats(qdiscs, pace);
        const auto loopback = loopback_stats(qdiscs);
        const auto left = (stats ? stats->backlog_packets : 0) + (loopback ? loopback->backlog_packets : 0);
        const auto now = std::chrono::steady_clock::now();
        if (left == 0 || now >= end) {
            std::this_thread::sleep_for(softirq);
            return left;
        }
        if (now >= next_word) {
            progress(left);
            next_word += 200ms;
        }
        std::this_thread::sleep_for(5ms);
    }
}

void add(const std::optional<netlink::QdiscStats>& qdisc, LineStats& out)
{
    if (!qdisc) return;
    out.held_packets += qdisc->backlog_packets;
    out.held_bytes += qdisc->backlog_bytes + std::int64_t{qdisc->backlog_packets} * HW_HELD_OVERHEAD;
    out.dropped_packets += qdisc->drops;
}

Result<LineStats> read_devices(const hw_control& control)
{
    LineStats out;
    if (control.loopback_pace != 0 || control.line_pace != 0) {
        HW_TRY(const auto qdiscs, netlink::list_qdiscs());
        if (control.loopback_pace != 0) add(loopback_stats(qdiscs), out);
        if (control.line_pace != 0) add(netlink::root_qdisc_stats(qdiscs, static_cast<int>(control.line_pace)), out);
    }
    HW_TRY(const auto bridge, netlink::link_stats(static_cast<int>(control.line_segment)));
    HW_TRY(const auto back, netlink::link_stats(static_cast<int>(control.line_return)));
    out.dropped_packets += bridge.tx_dropped + back.tx_dropped + back.rx_dropped;
    return out;
}

}  // namespace

Status ensure_line(Instance& instance, const LineNeeds& needs)
{
    auto& control = LineWriter::of(instance.control);
    HW_TRY(const bool none, remove_lost_line(instance));
    if (is_on(HW_WORKAROUND_BACKLOG) && is_backlog_low()) {
        HW_TRY(const auto lock, lock_host());
        raise_backlog(*instance.host);
    }
    if (none) HW_CHECK(make_line(instance));
    HW_TRY(const auto devices, find_devices(control));
    if (!is_whole(devices))
        return fail(ErrorKind::failed, "somebody takes the line's devices away ({}): try again",
                    fmt::join(line_names, ", "));
    HW_CHECK(bring_up(devices));
    HW_CHECK(netlink::disable_transmit_offloads(devices.segmenter->name));
    for (const auto* device : {&*devices.returns, &*devices.segmenter})
        HW_CHECK(netlink::delete_root_qdisc(device->index));
    HW_CHECK(attach_programs(instance));
    const auto& pace = *devices.pacer;
    HW_TRY(const bool steering, is_steering(control, devices));
    if (!steering || control.steers == 0) HW_CHECK(make_steering(control, devices, needs.time));
    if (needs.time) {
        HW_TRY(const auto qdiscs, netlink::list_qdiscs());
        if (!is_pacer(qdiscs, pace.index, pace.tx_queues)) HW_CHECK(make_pacer(pace.index, pace.tx_queues));
        control.line_pace = static_cast<__u32>(pace.index);
    }
    if (needs.loopback_time) HW_CHECK(hold_on_loopback(instance, comes_from_several_cpus()));
    if (needs.loopback_segment && is_on(HW_WORKAROUND_LOOPBACK)) {
        HW_CHECK(set_sysctl(route_localnet, control.route_localnet));
        HW_CHECK(set_sysctl(accept_local, control.accept_local));
    }
    return note_devices(instance);
}

Status trim_line(Instance& instance, bool loopback_time)
{
    if (loopback_time || instance.control->loopback_pace == 0) return {};
    HW_TRY(const auto stats, loopback_stats());
    return stats && stats->backlog_packets != 0 ? Status{} : release_loopback(&instance);
}

Result<std::uint32_t> drain_line(const Instance& instance, std::chrono::nanoseconds limit,
                                 const std::function<void(std::uint32_t left)>& progress)
{
    const auto& control = *instance.control;
    if (control.line_pace == 0) {
        if (control.steers != 0) std::this_thread::sleep_for(softirq);
        return 0U;
    }
    HW_TRY(const bool there, exist({control.line_pace}));
    if (!there) return 0U;
    const auto last = std::chrono::nanoseconds(control.longest_hold) + late;
    return drain(static_cast<int>(control.line_pace), std::min<std::chrono::nanoseconds>(limit, last), progress);
}

Result<std::uint32_t> drain_and_remove_line(std::chrono::nanoseconds limit,
                                            const std::function<void(std::uint32_t left)>& progress)
{
    std::uint32_t lost = 0;
    if (const auto pace = find_pace()) {
        HW_TRY(lost, drain(pace->index, limit, progress));
    }
    HW_CHECK(remove_devices());
    HW_CHECK(release_loopback(nullptr));
    return lost;
}

Status restore_sysctls(const Control& of)
{
    auto& control = LineWriter::of(of);
    HW_CHECK(restore_sysctl(route_localnet, control.route_localnet));
    return restore_sysctl(accept_local, control.accept_local);
}

Status remove_line(Instance* instance)
{
    HW_CHECK(remove_devices());
    HW_CHECK(release_loopback(instance));
    if (instance == nullptr) return {};
    auto& control = LineWriter::of(instance->control);
    control.line_segment = control.line_return = control.line_pace = control.steers = 0;
    return restore_sysctls(instance->control);
}

Result<LineStats> line_stats(const Instance& instance)
{
    if (instance.control->line_segment == 0) return LineStats{};
    HW_TRY(const auto links, netlink::list_links());
    return line_stats(instance, links);
}

Result<LineStats> line_stats(const Instance& instance, const std::vector<netlink::Link>& links)
{
    const auto& control = *instance.control;
    if (control.line_segment == 0 || !is_whole(line_devices(control, links))) return LineStats{};
    auto out = read_devices(control);
    if (!out && out.error().kind == ErrorKind::not_found) return LineStats{};  // the line goes at this very moment
    return out;
}

}  // namespace headwind
