// SPDX-License-Identifier: MIT
// Tells kinds of devices apart, and matches names and patterns.
#include "host/devices.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/ranges.h>
#include <fnmatch.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace headwind {
namespace {

using netlink::Link;
using Links = std::vector<Link>;

template <std::size_t N>
bool is_one_of(std::string_view kind, const std::array<std::string_view, N>& kinds)
{
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

// Kinds of devices that are an end of a cable: IFLA_LINK is the other end, not a device below.
constexpr std::array<std::string_view, 3> cable_kinds{"veth", "netkit", "vxcan"};
constexpr std::array<std::string_view, 7> gathering_kinds{"bridge",      "bond", "team",  "vrf",
                                                          "openvswitch", "hsr",  "batadv"};
// Kinds whose packets leave once more through the device that their socket sends with, whether IFLA_LINK names it or
// not.
constexpr std::array<std::string_view, 6> tunnel_kinds{"vxlan", "geneve", "gretap", "ip6gretap", "erspan", "ip6erspan"};

bool stands_on_another(const Link& link)
{
    if (link.kind == "ifb") return true;  // it only carries what tc redirects from other devices
    if (is_one_of(link.kind, cable_kinds)) return false;
    return link.parent != 0 || (is_one_of(link.kind, tunnel_kinds) && !link.parent_elsewhere);
}

// Whether the device gathers others. Hardware that is itself a master (hv_netvsc over its VF, net_failover over virtio)
// does not: its packets also come past the device below, or do not, as the hypervisor likes. There the master has the
// hook.
bool gathers_others(const Link& link, const Links& links)
{
    if (link.kind.empty()) return false;
    return is_one_of(link.kind, gathering_kinds) ||
           std::any_of(links.begin(), links.end(), [&](const Link& other) { return other.master == link.index; });
}

bool has_hardware_master(const Link& link, const Links& links)
{
    return link.master != 0 && std::any_of(links.begin(), links.end(), [&](const Link& other) {
               return other.index == link.master && other.kind.empty();
           });
}

bool is_lowest(const Link& link, const Links& links)
{
    return !stands_on_another(link) && !gathers_others(link, links) && !has_hardware_master(link, links);
}

std::string names_to_choose_from(const Links& links)
{
    std::vector<std::string> names;
    for (const Link& link : links) {
        if (!is_line_device(link) && why_unsupported(link).empty()) names.push_back(link.name);
    }
    return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

Result<Link> named_device(const Links& links, const std::string& name)
{
    const auto found = std::find_if(links.begin(), links.end(), [&](const Link& link) { return link.name == name; });
    const std::string choice = names_to_choose_from(links);
    if (found == links.end()) {
        return fail(ErrorKind::not_found, "--dev {}: no such device in this network namespace; there are: {}", name,
                    choice);
    }
    if (is_line_device(*found)) {
        return fail(ErrorKind::usage, "--dev {}: {} is Headwind's own line; there are: {}", name, name, choice);
    }
    if (const std::string reason = why_unsupported(*found); !reason.empty()) {
        return fail(ErrorKind::unsupported, "--dev {}: {}; there are: {}", name, reason, choice);
    }
    return *found;
}

}  // namespace

bool is_line_name(std::string_view name)
{
    return is_one_of(name, line_names);
}

bool is_line_device(const Link& link)
{
    if (link.kind != "veth" && link.kind != "bridge") return false;
    // A command may have been killed before it gave the device its alias, which comes before it is set up.
    const bool unfinished = is_line_name(link.name) && link.alias.empty() && (link.flags & IFF_UP) == 0;
    return link.alias == line_alias || unfinished;
}

std::vector<Link> default_devices(const Links& links)
{
    Links chosen;
    for (const Link& link : links) {
        const bool up = (link.flags & IFF_UP) != 0;
        if (up && !is_line_device(link) && why_unsupported(link).empty() && is_lowest(link, links))
            chosen.push_back(link);
    }
    return chosen;
}

bool has_loopback(const Links& links)
{
    return std::any_of(links.begin(), links.end(), [](const Link& link) { return (link.flags & IFF_LOOPBACK) != 0; });
}

std::string why_unsupported(const Link& link)
{
    if (link.kind == "vrf") {
        return fmt::format("{} is a vrf, whose routing the line would lose (name the devices in it)", link.name);
    }
    if (link.kind == "xfrm" || link.kind == "vti" || link.kind == "vti6") {
        return fmt::format("{} is an IPsec interface ({}), whose state the line would lose", link.name, link.kind);
    }
    if (link.metadata_tunnel) {
        return fmt::format("{} is a tunnel in external (metadata) mode, whose metadata the line would lose", link.name);
    }
    if (link.type != ARPHRD_ETHER && link.type != ARPHRD_LOOPBACK) {
        return fmt::format("{} has no Ethernet header", link.name);
    }
    return {};
}

bool is_pattern(std::string_view name)
{
    return name.find_first_of("*?[") != std::string_view::npos;
}

std::vector<Link> present_devices(const Links& links, const std::vector<std::string>& names)
{
    Links chosen;
    for (const Link& link : links) {
        const bool named = std::any_of(names.begin(), names.end(), [&link](const std::string& name) {
            return link.name == name || (is_pattern(name) && fnmatch(name.c_str(), link.name.c_str(), 0) == 0);
        });
        if (named && !is_line_device(link) && why_unsupported(link).empty()) chosen.push_back(link);
    }
    return chosen;
}

Result<std::vector<Link>> named_devices(const Links& links, const std::vector<std::string>& names)
{
    for (const std::string& name : names)
        if (!is_pattern(name)) HW_CHECK(named_device(links, name));
    return present_devices(links, names);
}

}  // namespace headwind
