// Which devices of a namespace a rule is attached to. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

constexpr std::array<std::string_view, 3> line_names{"headwind0", "headwind1", "headwind2"};  // see line.h
constexpr const char* line_alias = "headwind";                                                // their IFLA_IFALIAS
bool is_line_name(std::string_view name);
bool is_line_device(const netlink::Link& link);

// The lowest devices that are up, lo included: what leaves the namespace passes exactly one of them. A device that
// stands on another device of this namespace (vlan on its parent, macvlan) or gathers others (bridge, bond, team, vrf)
// is left out, so that no packet meets two hooks; so are our own line and devices that cannot be impaired
// (why_unsupported).
std::vector<netlink::Link> default_devices(const std::vector<netlink::Link>& links);

bool has_loopback(const std::vector<netlink::Link>& links);

// Why this device cannot be impaired, as half a sentence ("wg0 has no Ethernet header"); empty: it can. Devices
// without an Ethernet header (tun, wireguard, ipip, sit, gre), metadata tunnels (the line would drop their metadata),
// vrf, vti, xfrm.
std::string why_unsupported(const netlink::Link& link);

// A name with * ? or [...] stands for all devices that match, also those to come; any other for the one called so.
bool is_pattern(std::string_view name);

// Those of the devices named that are there and can be impaired, each once. Our line is none of them.
std::vector<netlink::Link> present_devices(const std::vector<netlink::Link>& links,
                                           const std::vector<std::string>& names);

// The same for names just typed: one that is no pattern must be there, supported and not our line. Errors name --dev
// and list what there is.
Result<std::vector<netlink::Link>> named_devices(const std::vector<netlink::Link>& links,
                                                 const std::vector<std::string>& names);

}  // namespace headwind
