// SPDX-License-Identifier: MIT
// Multiplies a rule's selectors out into keys with masks, and turns its impairment into fixed point.
#include "ruleset/compile.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include <headwind/model.h>

#include "util/int128.h"

namespace headwind {
namespace {

constexpr std::uint64_t ns_per_s = 1'000'000'000;
constexpr unsigned few_ports = 8;
constexpr std::uint64_t full_frame = 1514;  // bytes: Ethernet header and a 1500-byte packet

// Entries that each fill in one field of the key, and its mask, in one way.
using Alternatives = std::vector<SelectorEntry>;

// Puts b's fields into a: alternatives of different selectors never touch the same field.
SelectorEntry combine(const SelectorEntry& a, const SelectorEntry& b)
{
    SelectorEntry out = a;
    const auto merge = [](auto& to, const auto& from) {
        auto* bytes = reinterpret_cast<unsigned char*>(&to);
        const auto* more = reinterpret_cast<const unsigned char*>(&from);
        for (std::size_t i = 0; i < sizeof(to); ++i) bytes[i] = static_cast<unsigned char>(bytes[i] | more[i]);
    };
    merge(out.key, b.key);
    merge(out.shape, b.shape);
    out.ports += b.ports;
    return out;
}

// Combines every alternative so far with every alternative of the next selector (none: the field is not looked at).
Alternatives cross(const Alternatives& so_far, const Alternatives& next)
{
    if (next.empty()) return so_far;
    Alternatives out;
    out.reserve(so_far.size() * next.size());
    for (const auto& a : so_far)
        for (const auto& b : next) out.push_back(combine(a, b));
    return out;
}

Alternatives of_devices(const Resolved& resolved)
{
    Alternatives out;
    for (const auto slot : resolved.device_slots) {
        SelectorEntry entry{};
        entry.key.device = static_cast<__u16>(slot + 1);
        entry.shape.mask.device = 0xffff;
        out.push_back(entry);
    }
    if (out.empty()) {
        SelectorEntry entry{};
        entry.shape.default_devices = static_cast<__u8>(resolved.everywhere     ? HW_DEFAULTS_NO
                                                        : resolved.not_loopback ? HW_DEFAULTS_NOT_LO
                                                                                : HW_DEFAULTS_ALL);
        out.push_back(entry);
    }
    return out;
}

Alternatives of_cgroups(const Resolved& resolved)
{
    Alternatives out;
    for (const auto& cgroup : resolved.cgroups) {
        SelectorEntry entry{};
        entry.key.cgroup = cgroup.id;
        entry.shape.mask.cgroup = ~0ULL;
        entry.shape.cgroup_level = static_cast<__u8>(cgroup.level + 1);
        out.push_back(entry);
    }
    return out;
}

constexpr __u8 class_bit(hw_class packet_class)
{
    return static_cast<__u8>(1U << packet_class);
}

// The frames of a protocol that is not IP's: by class, or by EtherType.
Alternatives of_frames(Protocol protocol)
{
    const auto of_class = [](hw_class packet_class) {
        SelectorEntry entry{};
        entry.shape.classes = class_bit(packet_class);
        return entry;
    };
    const auto of_type = [&](std::uint16_t ethertype) {
        auto entry = of_class(HW_FRAME);
        entry.key.local_port = htons(ethertype);
        entry.shape.mask.local_port = 0xffff;
        entry.ports = 16 * specificity_per_bit;
        return entry;
    };
    switch (protocol) {
        case HW_PROTO_ARP: return {of_class(HW_ARP)};
        case HW_PROTO_ND: return {of_class(HW_ND)};
        case HW_PROTO_DHCP: return {of_class(HW_DHCP)};
        case HW_PROTO_LLC: return {of_type(HW_ETHERTYPE_LLC)};
        case HW_PROTO_MPLS: return {of_type(ETH_P_MPLS_UC), of_type(ETH_P_MPLS_MC)};
        case HW_PROTO_PPPOE: return {of_type(ETH_P_PPP_DISC), of_type(ETH_P_PPP_SES)};
        default: return {of_type(protocol)};
    }
}

Alternatives of_protocols(const Rule& rule)
{
    Alternatives out;
    for (const auto protocol : rule.selector.protocols) {
        if (protocol >= 256) {
            const auto frames = of_frames(protocol);
            out.insert(out.end(), frames.begin(), frames.end());
            continue;
        }
        SelectorEntry entry{};
        entry.key.protocol = static_cast<__u8>(protocol);
        entry.shape.mask.protocol = 0xff;
        out.push_back(entry);
    }
    return out;
}

// What the ports fix of a packet, in the unit of specificity().
std::uint32_t port_specificity(const std::vector<PortRange>& ports)
{
    int widest = 0;
    for (const auto& range : ports) widest = std::max(widest, range.last - range.first + 1);
    const double bits = 16 - std::log2(widest) * 15 / 16;
    return static_cast<std::uint32_t>(std::lround(bits * specificity_per_bit));
}

// One end of a packet.
struct End {
    __u16 hw_key::*port;
    hw_class_of classes;
};
constexpr End local_end{&hw_key::local_port, HW_CLASS_OF_LOCAL_PORT};
constexpr End remote_end{&hw_key::remote_port, HW_CLASS_OF_REMOTE_PORT};

// A few ports one by one, as values with a mask; else the classes that they are. Either way all share one shape.
Alternatives of_ports(const std::vector<PortRange>& ports, const End& end, PortTable classes)
{
    Alternatives out;
    if (ports.empty()) return out;
    SelectorEntry entry{};
    entry.ports = port_specificity(ports);
    if (has_classes(ports)) {
        entry.shape.port_classes = static_cast<__u8>(end.classes);
        for (const auto number : classes_of(ports, classes)) {
            entry.key.*end.port = number;
            out.push_back(entry);
        }
        return out;
    }
    entry.shape.mask.*end.port = 0xffff;
    for (const auto& range : ports)
        for (unsigned port = range.first; port <= range.last; ++port) {
            entry.key.*end.port = htons(static_cast<std::uint16_t>(port));
            out.push_back(entry);
        }
    return out;
}

Alternatives of_addresses(const std::vector<Cidr>& cidrs, __u64 (hw_key::*field)[2])
{
    Alternatives out;
    for (const auto& cidr : cidrs) {
        SelectorEntry entry{};
        std::array<std::uint8_t, 16> mask{};
        for (unsigned bit = 0; bit < cidr.prefix; ++bit)
            mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | 0x80U >> bit % 8);
        std::memcpy(&(entry.key.*field), cidr.address.data(), cidr.address.size());
        std::memcpy(&(entry.shape.mask.*field), mask.data(), mask.size());
        entry.shape.ipv6_only = !cidr.v4 && cidr.prefix < 96 ? 1 : 0;
        out.push_back(entry);
    }
    return out;
}

// The classes of a shape for which no protocol names one: IP, and what the shape looks at nothing of that it may lack.
__u8 ordinary_classes(const hw_shape& shape)
{
    const auto& mask = shape.mask;
    const bool any_transport = (mask.protocol | mask.local_port | mask.remote_port | shape.port_classes) == 0;
    const bool any_address =
        (mask.local[0] | mask.local[1] | mask.remote[0] | mask.remote[1]) == 0 && shape.ipv6_only == 0;
    unsigned classes = class_bit(HW_ORDINARY);
    if (any_transport) classes |= class_bit(HW_HEADLESS);
    if (any_transport && any_address) classes |= class_bit(HW_FRAME);
    return static_cast<__u8>(classes);
}

template <class T>
unsigned bits(const T& value)
{
    const auto* bytes = reinterpret_cast<const unsigned char*>(&value);
    unsigned sum = 0;
    for (std::size_t i = 0; i < sizeof(value); ++i) sum += static_cast<unsigned>(std::popcount(bytes[i]));
    return sum;
}

// The number of bits that the mask fixes. The 96 bits that mark a mapped IPv4 address (::ffff:0:0/96) are not the
// user's choice and do not count.
unsigned address_bits(const __u64 (&address)[2], const __u64 (&mask)[2])
{
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const unsigned fixed = bits(mask);
    return fixed >= 96 && std::memcmp(&address, mapped.data(), mapped.size()) == 0 ? fixed - 96 : fixed;
}

__u32 flags_of(const Impairment& impairment)
{
    unsigned flags = 0;
    if (impairment.pass) flags |= HW_PASS;
    if (partitions(impairment)) flags |= HW_PARTITION;
    if (impairment.reject == Reject::rst) flags |= HW_REJECT_RST;
    if (impairment.reject == Reject::icmp) flags |= HW_REJECT_ICMP;
    if (has_sequence(impairment)) flags |= HW_SEQUENCE;
    if (has_delay_series(impairment)) flags |= HW_DELAY_OF_SEQUENCE;
    if (keeps_order(impairment)) flags |= HW_KEEPS_ORDER;
    if (keeps_order(impairment) && impairment.rate != 0) flags |= HW_RATE_LAST;
    return flags;
}

// The longest wait in front of `rate`, ns. With the longest delay it is at most max_delay: fq drops packets that wait
// longer.
std::uint64_t queue_of(const Impairment& impairment)
{
    std::uint64_t wait = default_queue(impairment.rate);
    if (impairment.queue && impairment.queue->nanoseconds != 0) wait = impairment.queue->nanoseconds;
    if (impairment.queue && impairment.queue->bytes != 0) {
        const auto exact = static_cast<u128>(impairment.queue->bytes) * 8 * ns_per_s / impairment.rate;
        wait = static_cast<std::uint64_t>(std::min<u128>(exact, max_delay));
    }
    const auto longest = longest_delay(impairment);
    wait = std::min(wait, max_delay - longest);
    // Behind the delay a packet also waits for those before it whose delay is not over: that is no queue of the link.
    return keeps_order(impairment) ? wait + longest : wait;
}

}  // namespace

std::uint64_t longest_hold(const hw_impairment& impairment, const std::optional<hw_law>& law)
{
    const auto longest =
        law ? hw_by_law(impairment.delay, impairment.jitter, std::max<__s64>(0, hw_law_at(&*law, INT64_MAX)))
            : impairment.delay + impairment.jitter;
    if (impairment.ns_per_byte_q16 == 0) return longest;
    return impairment.flags & HW_RATE_LAST ? impairment.queue : longest + impairment.queue;
}

std::uint32_t held_shift(std::uint64_t longest_hold)
{
    constexpr std::uint32_t least = 16;  // 65 us
    // The slot of now is not over, and that of the last departure has begun.
    const std::uint64_t slot = longest_hold / (HW_RING_SLOTS - 2);
    return std::max(least, static_cast<std::uint32_t>(std::bit_width(slot)));
}

bool has_classes(const std::vector<PortRange>& ports)
{
    const auto count = std::accumulate(ports.begin(), ports.end(), 0U, [](unsigned sum, const PortRange& range) {
        return sum + range.last - range.first + 1;
    });
    return count > few_ports;
}

std::vector<std::vector<PortRange>> port_lists(const Selector& selector)
{
    std::vector<std::vector<PortRange>> out;
    for (const auto* ports : {&selector.ports, &selector.local_ports, &selector.remote_ports})
        if (has_classes(*ports)) out.push_back(*ports);
    return out;
}

bool has_classes(const Selector& selector)
{
    return has_classes(selector.ports) || has_classes(selector.local_ports) || has_classes(selector.remote_ports);
}

std::vector<__u16> classes_of(const std::vector<PortRange>& ports, PortTable table)
{
    std::vector<__u16> out;
    std::vector<bool> seen(HW_PORTS);
    for (const auto& range : ports)
        for (unsigned port = range.first; port <= range.last; ++port) {
            if (!seen[table[port]]) out.push_back(table[port]);
            seen[table[port]] = true;
        }
    return out;
}

Result<std::vector<SelectorEntry>> compile_selector(const Rule& rule, const Resolved& resolved, PortTable classes)
{
    const auto& selector = rule.selector;
    const auto local_ports = of_ports(selector.local_ports, local_end, classes);
    const auto remote_ports = of_ports(selector.remote_ports, remote_end, classes);
    auto either = of_ports(selector.ports, local_end, classes);
    const auto other_end = of_ports(selector.ports, remote_end, classes);
    either.insert(either.end(), other_end.begin(), other_end.end());
    const Alternatives all[] = {of_devices(resolved),
                                of_cgroups(resolved),
                                of_protocols(rule),
                                of_addresses(selector.locals, &hw_key::local),
                                of_addresses(selector.remotes, &hw_key::remote),
                                local_ports,
                                remote_ports,
                                either};
    u128 combinations = 1;  // at most 8 factors of 16 bits
    for (const auto& one : all) combinations *= std::max<std::size_t>(1, one.size());
    if (combinations > max_rule_entries)
        return fail(
            ErrorKind::usage,
            "{} stands for {} combinations of ports, addresses, protocols, cgroups and devices; at most {} are possible: use fewer or wider selectors, and port ranges that overlap those of fewer other rules",
            rule.name.empty() ? "the rule" : rule.name, static_cast<std::uint64_t>(std::min<u128>(combinations, ~0ULL)),
            max_rule_entries);
    Alternatives out{SelectorEntry{}};
    for (const auto& one : all) out = cross(out, one);
    const unsigned directions = rule.direction == Direction::both  ? 1U << HW_OUT | 1U << HW_IN
                                : rule.direction == Direction::out ? 1U << HW_OUT
                                                                   : 1U << HW_IN;
    for (auto& entry : out) {
        if (entry.shape.classes == 0) entry.shape.classes = ordinary_classes(entry.shape);
        entry.shape.directions = static_cast<__u8>(directions);
        entry.shape.peer = resolved.peer ? 1 : 0;
    }
    if (!resolved.everywhere) return out;
    const auto near = out.size();
    for (std::size_t i = 0; i < near; ++i) {
        out.push_back(out[i]);
        out.back().shape.peer = 1;
    }
    return out;
}

std::uint32_t specificity(const std::vector<SelectorEntry>& entries)
{
    std::uint32_t least = ~0U;
    for (const auto& [shape, key, ports] : entries) {
        const auto& mask = shape.mask;
        const unsigned fixed = bits(mask.cgroup) + shape.cgroup_level + address_bits(key.local, mask.local) +
                               address_bits(key.remote, mask.remote) + bits(mask.device) + bits(mask.protocol) +
                               (shape.classes & class_bit(HW_ORDINARY) ? 0 : 8);
        least = std::min(least, fixed * specificity_per_bit + ports);
    }
    return least;
}

bool looks_at_transport(const hw_shape& shape)
{
    const bool ports = (shape.classes & class_bit(HW_ORDINARY)) &&
                       (shape.mask.local_port | shape.mask.remote_port | shape.port_classes) != 0;
    const bool receivers = shape.cgroup_level != 0 && (shape.directions & 1U << HW_IN || shape.peer != 0);
    return ports || receivers || (shape.classes & class_bit(HW_DHCP));
}

constexpr int priority_above_0 = max_priority + 1;  // 1 .. 2002: 11 bits

int priority_of(std::uint64_t rank)
{
    return static_cast<int>(rank >> 52) - priority_above_0;
}

RankPart decisive_part(std::uint64_t rank, std::uint64_t other)
{
    if (rank >> 52 != other >> 52) return RankPart::priority;
    return rank >> 32 != other >> 32 ? RankPart::specificity : RankPart::age;
}

std::uint64_t rank(int priority, std::uint32_t specificity, std::uint32_t id)
{
    const auto order = static_cast<unsigned>(priority + priority_above_0);
    // Less than 1,024 bits of a packet can be fixed: 20 bits.
    return static_cast<std::uint64_t>(order) << 52 | static_cast<std::uint64_t>(specificity) << 32 |
           (~id & 0xffffffffU);
}

std::uint64_t default_queue(std::uint64_t rate)
{
    const auto ten_frames = static_cast<std::uint64_t>(10 * full_frame * 8 * ns_per_s / rate);
    return std::clamp<std::uint64_t>(ten_frames, 200'000'000, max_delay);
}

hw_hours compile_hours(const Hours& hours, const LocalClock& clock)
{
    hw_hours out{};
    out.from = hours.from;
    out.to = hours.to;
    out.days = hours.days;
    out.shift = clock.shift;
    out.shift_after = clock.shift_after;
    out.turn = clock.turn;
    return out;
}

std::uint64_t next_opening(const hw_hours& hours, std::uint64_t now)
{
    for (;;) {
        constexpr std::uint64_t day = HW_DAY;
        const auto of_day = hw_second_of_week(&hours, now) % day;
        const auto next = now + day - (of_day + day - hours.from) % day;
        now = now < hours.turn ? std::min<std::uint64_t>(next, hours.turn) : next;  // the turn may skip the begin
        if (hw_in_hours(&hours, now * ns_per_s)) return now;
    }
}

__u32 attach_flags(const Rule& rule)
{
    const bool at_peer = is_at_peer(rule);
    __u32 flags = rule.selector.devices.empty() ? HW_DEVICE_DEFAULT : 0;
    if (at_peer) flags |= HW_DEVICE_PEER;
    if (rule.direction != (at_peer ? Direction::out : Direction::in)) flags |= HW_DEVICE_EGRESS;
    if (rule.direction != (at_peer ? Direction::in : Direction::out)) flags |= HW_DEVICE_INGRESS;
    return flags;
}

bool needs_time(const Impairment& impairment)
{
    return impairment.delay != 0 || impairment.rate != 0;
}

bool needs_line(const Impairment& impairment)
{
    return needs_time(impairment) || impairment.loss || impairment.corrupt || impairment.duplicate ||
           impairment.reject != Reject::no;
}

bool needs_segmenting(const Impairment& impairment)
{
    return impairment.corrupt || impairment.reject != Reject::no;
}

hw_impairment compile_impairment(const Impairment& impairment)
{
    hw_impairment out{};
    out.events[HW_EVENT_LOSS] = compile_chance(impairment.loss);
    out.events[HW_EVENT_CORRUPT] = compile_chance(impairment.corrupt);
    out.events[HW_EVENT_DUPLICATE] = compile_chance(impairment.duplicate);
    if (impairment.reorder) out.reorder = impairment.reorder->threshold;
    out.reorder_gap = impairment.reorder_gap;
    out.delay = impairment.delay;
    out.jitter = impairment.jitter;
    out.correlation_time = impairment.jitter != 0 ? impairment.correlation_time : 0;
    if (impairment.rate != 0) {
        // A rate is at least 8 bit/s: below 2^30 ns per byte, 46 bits with the fraction; the datapath has room for 47.
        out.ns_per_byte_q16 =
            std::max<std::uint64_t>(1, ((8 * ns_per_s << 16) + impairment.rate / 2) / impairment.rate);
        out.queue = queue_of(impairment);
    }
    out.flags = flags_of(impairment);
    return out;
}

}  // namespace headwind
