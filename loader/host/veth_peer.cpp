// SPDX-License-Identifier: MIT
// Pairs the veth devices of two network namespaces by their indices and the namespaces' ids.
#include "host/veth_peer.h"

#include <fcntl.h>

#include <algorithm>

#include "host/host.h"
#include "util/fd.h"

namespace headwind {

std::vector<netlink::Link> other_ends(const std::vector<netlink::Link>& here, int id_of_there,
                                      const std::vector<netlink::Link>& there, int id_of_here)
{
    std::vector<netlink::Link> out;
    if (id_of_there < 0 || id_of_here < 0) return out;
    for (const auto& near : here) {
        if (near.kind != "veth" || near.peer_netns != id_of_there) continue;
        const bool paired = std::any_of(there.begin(), there.end(), [&](const auto& far) {
            return far.kind == "veth" && far.index == near.peer && far.peer == near.index &&
                   far.peer_netns == id_of_here;
        });
        if (paired) out.push_back(near);
    }
    return out;
}

Result<std::vector<netlink::Link>> host_sides(int pod_netns)
{
    const Fd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!own) return fail_errno(errno, "open /proc/thread-self/ns/net");
    std::vector<netlink::Link> there;
    int id_of_here = -1;
    HW_CHECK(in_netns(pod_netns, [&]() -> Status {
        HW_TRY(there, netlink::list_links());  // first: this makes the kernel give the ids
        HW_TRY(id_of_here, netlink::id_of_netns(own.get()));
        return {};
    }));
    HW_TRY(const auto here, netlink::list_links());
    HW_TRY(const int id_of_there, netlink::id_of_netns(pod_netns));
    return other_ends(here, id_of_there, there, id_of_here);
}

}  // namespace headwind
