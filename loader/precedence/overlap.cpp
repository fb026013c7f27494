// SPDX-License-Identifier: MIT
// Compares two rules selector by selector: a packet is in both if each selector has something in common.
#include "precedence/overlap.h"

#include <algorithm>
#include <vector>

namespace headwind {
namespace {

bool have_common_direction(const Rule& one, const Rule& other)
{
    return one.direction == other.direction || one.direction == Direction::both || other.direction == Direction::both;
}

// `by_default` is at default devices.
bool is_at_default_too(const RuleRecord& by_default, const RuleRecord& named, std::span<const hw_device> devices)
{
    return std::ranges::any_of(named.devices, [&](const AttachedDevice& device) {
        const auto flags = devices[device.slot].flags;
        return (flags & HW_DEVICE_DEFAULT) != 0 && ((flags & HW_DEVICE_LOOPBACK) == 0 || by_default.is_at_loopback());
    });
}

bool have_common_device(const RuleRecord& one, const RuleRecord& other, std::span<const hw_device> devices)
{
    if (one.everywhere || other.everywhere) return true;
    if (is_at_peer(one.rule) != is_at_peer(other.rule)) return false;
    if (one.is_at_default_devices() && other.is_at_default_devices()) return true;
    if (one.is_at_default_devices()) return is_at_default_too(one, other, devices);
    if (other.is_at_default_devices()) return is_at_default_too(other, one, devices);
    return std::ranges::any_of(one.devices, [&](const AttachedDevice& device) {
        return std::ranges::find(other.devices, device.slot, &AttachedDevice::slot) != other.devices.end();
    });
}

bool have_common_cgroup(const RuleRecord& one, const RuleRecord& other)
{
    if (one.cgroups.empty() || other.cgroups.empty()) return true;
    for (const auto& a : one.cgroups)
        for (const auto& b : other.cgroups)
            if (is_within(a, b) || is_within(b, a)) return true;
    return false;
}

bool has_ports(const Selector& selector)
{
    return !selector.ports.empty() || !selector.local_ports.empty() || !selector.remote_ports.empty();
}

bool is_left_alone(Protocol protocol)
{
    return protocol == HW_PROTO_ARP || protocol == HW_PROTO_ND || protocol == HW_PROTO_DHCP;
}

// Whether packets of this protocol are in the rule, if it names no protocols.
bool is_in_any(Protocol protocol, const Selector& selector)
{
    if (is_left_alone(protocol)) return false;
    return !is_ethernet(protocol) || (selector.locals.empty() && selector.remotes.empty());
}

bool have_common_protocol(const Selector& one, const Selector& other)
{
    if (one.protocols.empty() && other.protocols.empty()) return true;
    const auto& named = one.protocols.empty() ? other : one;
    const auto& second = one.protocols.empty() ? one : other;
    const bool ports = has_ports(one) || has_ports(other);
    return std::ranges::any_of(named.protocols, [&](Protocol protocol) {
        if (ports && !carries_ports(protocol)) return false;
        return second.protocols.empty() ? is_in_any(protocol, second)
                                        : std::ranges::find(second.protocols, protocol) != second.protocols.end();
    });
}

// Whether the prefixes have a common address of this IP version. An empty list has any.
bool have_common_address(const std::vector<Cidr>& one, const std::vector<Cidr>& other, bool v4)
{
    const auto is_possible = [v4](const Cidr& cidr) { return v4 ? cidr.v4 : !cidr.v4; };
    if (one.empty() && other.empty()) return true;
    if (one.empty() || other.empty()) return std::ranges::any_of(one.empty() ? other : one, is_possible);
    const auto agree = [&](const Cidr& a, const Cidr& b) {
        for (int bit = 0; bit < std::min(a.prefix, b.prefix); ++bit)
            if ((a.address[static_cast<std::size_t>(bit / 8)] ^ b.address[static_cast<std::size_t>(bit / 8)]) >>
                    (7 - bit % 8) &
                1)
                return false;
        return is_possible(a) && is_possible(b);
    };
    return std::ranges::any_of(
        one, [&](const Cidr& a) { return std::ranges::any_of(other, [&](const Cidr& b) { return agree(a, b); }); });
}

using Ports = std::vector<PortRange>;

bool have_common_port(const Ports& one, const Ports& other)
{
    if (one.empty() || other.empty()) return true;
    return std::ranges::any_of(one, [&](const PortRange& a) {
        return std::ranges::any_of(other, [&](const PortRange& b) { return a.first <= b.last && b.first <= a.last; });
    });
}

// The ports of the two ends. What `ports` says of either end it may say of the local one, or of the remote one.
struct Ends {
    const Ports &local, &remote;
};
std::vector<Ends> readings_of(const Selector& selector)
{
    static const Ports any;
    if (selector.ports.empty()) return {{selector.local_ports, selector.remote_ports}};
    return {{selector.ports, any}, {any, selector.ports}};
}

bool have_common_ports(const Selector& one, const Selector& other)
{
    for (const auto& a : readings_of(one))
        for (const auto& b : readings_of(other))
            if (have_common_port(a.local, b.local) && have_common_port(a.remote, b.remote)) return true;
    return false;
}

bool have_common_addresses(const Selector& one, const Selector& other)
{
    for (const bool v4 : {true, false})
        if (have_common_address(one.locals, other.locals, v4) && have_common_address(one.remotes, other.remotes, v4))
            return true;
    return false;
}

}  // namespace

bool is_within(const Cgroup& inner, const Cgroup& outer)
{
    if (outer.level == 0) return true;
    return inner.path == outer.path || inner.path.starts_with(outer.path + "/");
}

const char* apart_by(const RuleRecord& one, const RuleRecord& other, std::span<const hw_device> devices)
{
    const auto &a = one.rule.selector, &b = other.rule.selector;
    if (!have_common_direction(one.rule, other.rule)) return "--direction";
    if (!have_common_device(one, other, devices)) return "--dev";
    if (!have_common_cgroup(one, other)) return "--cgroup";
    if (!have_common_protocol(a, b)) return "--proto";
    if (!have_common_address(a.remotes, b.remotes, true) && !have_common_address(a.remotes, b.remotes, false))
        return "--remote";
    if (!have_common_addresses(a, b)) return "--local";
    if (have_common_ports(a, b)) return nullptr;
    if (!have_common_port(a.remote_ports, b.remote_ports)) return "--remote-port";
    return have_common_port(a.local_ports, b.local_ports) ? "--port" : "--local-port";
}

}  // namespace headwind
