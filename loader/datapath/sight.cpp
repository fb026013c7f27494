// SPDX-License-Identifier: MIT
// Compares what our programs have met with what their devices have sent and received.
#include "datapath/sight.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "host/netlink.h"

namespace headwind {

class SightWriter {
public:
    static auto& devices(const Instance& instance) { return instance.control.writable().devices; }
};

namespace {

constexpr std::uint64_t enough = 100;  // packets
constexpr std::chrono::milliseconds on_their_way{50};

constexpr std::pair<hw_direction, __u32> hooks_of_device[] = {{HW_OUT, HW_DEVICE_EGRESS}, {HW_IN, HW_DEVICE_INGRESS}};

bool has_seen(const hw_device& device, hw_direction side)
{
    return std::atomic_ref(const_cast<__u8&>(device.seen[side])).load() != 0;
}

// That are there, and that no packet has come to.
__u32 unseeing_hooks(const hw_device& device)
{
    __u32 hooks = 0;
    for (const auto& [side, hook] : hooks_of_device)
        if ((device.flags & hook) && !has_seen(device, side)) hooks |= hook;
    return device.ifindex == 0 ? 0 : hooks;
}

std::uint64_t passed(const netlink::PacketCounts& counts, hw_direction side)
{
    return side == HW_OUT ? counts.sent : counts.received;
}

}  // namespace

Status watch_hooks(Instance& instance, std::uint16_t slot, int ifindex, __u32 hooks)
{
    if ((hooks & (HW_DEVICE_EGRESS | HW_DEVICE_INGRESS)) == 0) return {};
    HW_TRY(const auto counts, netlink::packet_counts(ifindex));
    auto& device = SightWriter::devices(instance)[slot];
    for (const auto& [side, hook] : hooks_of_device) {
        if ((hooks & hook) == 0) continue;
        device.passed[side] = passed(counts, side);
        std::atomic_ref(device.seen[side]).store(0);
    }
    return {};
}

void watch_hooks_anew(const Instance& instance)
{
    for (auto& device : SightWriter::devices(instance)) {
        if (device.ifindex == 0) continue;
        const auto counts = netlink::packet_counts(static_cast<int>(device.ifindex));
        if (!counts) continue;  // it is gone
        for (const auto& [side, hook] : hooks_of_device) {
            if (!has_seen(device, side)) continue;
            device.passed[side] = passed(*counts, side);
            std::atomic_ref(device.seen[side]).store(0);
        }
    }
}

BlindHooks find_blind_hooks(const Instance& instance)
{
    BlindHooks out;
    const auto& devices = instance.control->devices;
    for (const auto& device : devices) {
        const auto hooks = unseeing_hooks(device);
        if (hooks == 0) continue;
        const auto counts = netlink::packet_counts(static_cast<int>(device.ifindex));
        for (const auto& [side, hook] : hooks_of_device)
            if (counts && (hooks & hook) && passed(*counts, side) >= device.passed[side] + enough)
                out[device.ifindex] |= hook;
    }
    if (out.empty()) return out;
    std::this_thread::sleep_for(on_their_way);
    for (const auto& device : devices)
        if (const auto found = out.find(device.ifindex); found != out.end()) found->second &= unseeing_hooks(device);
    std::erase_if(out, [](const auto& one) { return one.second == 0; });
    return out;
}

}  // namespace headwind
