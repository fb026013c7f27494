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

__u8 sight(const hw_device& device, hw_direction side)
{
    return std::atomic_ref(const_cast<__u8&>(device.sight[side])).load();
}

// The hooks that are there, and that no packet has come to.
__u32 unseeing_hooks(const hw_device& device)
{
    __u32 hooks = 0;
    for (const auto& [side, hook] : hooks_of_device)
        if ((device.flags & hook) && sight(device, side) == HW_UNSEEN) hooks |= hook;
    return device.ifindex == 0 ? 0 : hooks;
}

std::uint64_t passed(const netlink::PacketCounts& counts, hw_direction side)
{
    return side == HW_OUT ? counts.sent : counts.received;
}

// Whether it has sent or received so many since it is watched. Counters that went back count from now on.
bool have_passed_by(const hw_device& device, hw_direction side, std::uint64_t now)
{
    return now >= device.passed[side] && now - device.passed[side] >= enough;
}

void watch_on(hw_device& device, hw_direction side, std::uint64_t now, bool all)
{
    const std::atomic_ref sight(device.sight[side]);
    __u8 seen = HW_SEEN, seen_before = HW_SEEN_BEFORE;
    if (all && sight.compare_exchange_strong(seen, HW_SEEN_BEFORE)) return;
    if (sight.load() == HW_SEEN || (sight.load() == HW_UNSEEN && have_passed_by(device, side, now))) return;
    device.passed[side] = now;
    sight.compare_exchange_strong(seen_before, HW_UNSEEN);
}

}  // namespace

void watch_hooks(Instance& instance, std::uint16_t slot, int ifindex, __u32 hooks)
{
    if ((hooks & (HW_DEVICE_EGRESS | HW_DEVICE_INGRESS)) == 0) return;
    const auto counts = netlink::packet_counts(ifindex);
    auto& device = SightWriter::devices(instance)[slot];
    for (const auto& [side, hook] : hooks_of_device) {
        if ((hooks & hook) == 0) continue;
        device.passed[side] = counts ? passed(*counts, side) : 0;
        std::atomic_ref(device.sight[side]).store(counts ? HW_UNSEEN : HW_SEEN_BEFORE);
    }
}

void watch_on(const Instance& instance, bool all)
{
    for (auto& device : SightWriter::devices(instance)) {
        const auto ifindex = device.ifindex;
        if (ifindex == 0) continue;
        const auto counts = netlink::packet_counts(static_cast<int>(ifindex));
        if (!counts || device.ifindex != ifindex) continue;  // it is gone
        for (const auto& [side, hook] : hooks_of_device)
            if (device.flags & hook) watch_on(device, side, passed(*counts, side), all);
    }
}

BlindHooks suspect_hooks(const Instance& instance)
{
    BlindHooks out;
    for (const auto& device : instance.control->devices) {
        const auto hooks = unseeing_hooks(device);
        if (hooks == 0) continue;
        const auto counts = netlink::packet_counts(static_cast<int>(device.ifindex));
        for (const auto& [side, hook] : hooks_of_device)
            if (counts && (hooks & hook) && have_passed_by(device, side, passed(*counts, side)))
                out[device.ifindex] |= hook;
    }
    return out;
}

BlindHooks find_blind_hooks(const Instance& instance)
{
    auto out = suspect_hooks(instance);
    if (out.empty()) return out;
    std::this_thread::sleep_for(on_their_way);
    const auto still = suspect_hooks(instance);
    for (auto& [ifindex, hooks] : out) {
        const auto found = still.find(ifindex);
        hooks &= found == still.end() ? 0 : found->second;
    }
    std::erase_if(out, [](const auto& one) { return one.second == 0; });
    return out;
}

}  // namespace headwind
