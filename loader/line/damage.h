// SPDX-License-Identifier: MIT
// Whether the line is as it was made: anyone with CAP_NET_ADMIN may take its devices away, set them down or change
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// The devices of the line in this network namespace, whatever they are called now; none: it is gone.
struct LineDevices {
    std::optional<netlink::Link> returns, pacer, segmenter;  // headwind0, headwind1, headwind2
};
// Those of control.line_return, line_segment and line_pace or, where they are 0, by name.
LineDevices line_devices(const hw_control& control, const std::vector<netlink::Link>& links);
// Whether all of them are there, and belong together.
bool is_whole(const LineDevices& devices);
// Whether the bridge and its port have the options they were made with. All of them are there.
bool lets_all_through(const LineDevices& devices);

// Whether packets come to headwind0 from several CPUs.
bool comes_from_several_cpus();
// Whether headwind0 receives the packets of a flow in order, as far as it was made to. (Where only one CPU was online
// it was not. Rules that hold no packets do without where it could not be.) The line is whole.
Result<bool> is_steering(const hw_control& control, const LineDevices& devices);

constexpr const char* route_localnet = "net/ipv4/conf/lo/route_localnet";
constexpr const char* accept_local = "net/ipv4/conf/lo/accept_local";

std::uint32_t line_mtu();  // of its devices: every packet fits

// What somebody has done to the line, as half a sentence ("headwind0 is down"); empty: nothing, or there is no line.
// The datapath itself is asked, too: where it finds nothing amiss it sends packets there.
// `links`: all of this network namespace.
Result<std::string> line_damage(const Instance& instance, const std::vector<netlink::Link>& links);
// The devices of the line at whose tc hooks others have programs or filters, which may drop or change packets there.
// They are not ours to remove.
Result<std::vector<std::string>> line_guests(const Instance& instance, const std::vector<netlink::Link>& links);

}  // namespace headwind
