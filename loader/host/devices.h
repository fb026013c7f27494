// SPDX-License-Identifier: MIT
// Chooses the devices of a namespace that a rule is attached to. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

constexpr std::array<std::string_view, 3> line_names{"headwind0", "headwind1", "headwind2"};  // see line.h
constexpr const char* line_alias = "headwind";                                                // the IFLA_IFALIAS of all
bool is_line_name(std::string_view name);
bool is_line_device(const netlink::Link& link);

// The lowest devices that are up, lo included: a packet that leaves the namespace passes exactly one of them. A device
// that stands on another device of this namespace (vlan on its parent, macvlan) or gathers others (bridge, bond, team,
// vrf) is left out, so that no packet meets two hooks; so are our own line and devices that cannot be impaired
// (why_unsupported).
std::vector<netlink::Link> default_devices(const std::vector<netlink::Link>& links);

constexpr int loopback_index = 1;  // lo's, in every network namespace
bool has_loopback(const std::vector<netlink::Link>& links);

// The reason why this device cannot be impaired, as half a sentence ("wg0 has no Ethernet header"); empty: it can.
// Devices without an Ethernet header (tun, wireguard, ipip, sit, gre) cannot, nor can metadata tunnels (the line would
// drop their metadata), vrf, vti and xfrm.
std::string why_unsupported(const netlink::Link& link);

// Whether `name` has * ? or [...]. Such a name stands for all devices that match, also those to come; any other for the
// one device called so.
bool is_pattern(std::string_view name);

// The devices with one of these names that are there and can be impaired, each once. Our line's are left out.
std::vector<netlink::Link> present_devices(const std::vector<netlink::Link>& links,
                                           const std::vector<std::string>& names);

// The same for names just typed: a device whose name is no pattern must be there, be supported and not be our line's.
// Errors name --dev and list what there is.
Result<std::vector<netlink::Link>> named_devices(const std::vector<netlink::Link>& links,
                                                 const std::vector<std::string>& names);

}  // namespace headwind
