// SPDX-License-Identifier: MIT
// The host-side devices of a pod: the ends, in the network namespace of the calling thread, of veth pairs whose other
// ends are in the pod's namespace.
#pragma once

#include <string>
#include <vector>

#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// The veth devices of `here` whose peers are in `there`. Each end must name the other: indices alone say nothing, since
// each namespace counts its own. Pure.
//   here, there: the devices of the two namespaces
//   id_of_there: the id by which `here` knows `there`; id_of_here: the other way round (netlink::id_of_netns)
std::vector<netlink::Link> other_ends(const std::vector<netlink::Link>& here, int id_of_there,
                                      const std::vector<netlink::Link>& there, int id_of_here);

// The host-side devices of the pod whose namespace `pod_netns` is open on; none if it is this one, or if its devices
// are of another kind.
Result<std::vector<netlink::Link>> host_sides(int pod_netns);

}  // namespace headwind
