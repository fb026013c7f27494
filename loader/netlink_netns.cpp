// Network namespaces as rtnetlink knows them: by an id that each namespace has for the others.
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "netlink.h"
#include "netlink_request.h"

namespace headwind::netlink {

Result<int> id_of_netns(int netns)
{
    Request request(RTM_GETNSID, 0);
    request.header<rtgenmsg>();
    mnl_attr_put_u32(request.message(), NETNSA_FD, static_cast<std::uint32_t>(netns));
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), "ask for the id of a network namespace");
    if (answer->empty()) return NETNSA_NSID_NOT_ASSIGNED;
    // rtgenmsg is one byte; attributes start at the next multiple of four.
    const auto* attribute = find_attribute(answer->front().get(), sizeof(rtgenmsg), NETNSA_NSID);
    return attribute == nullptr ? NETNSA_NSID_NOT_ASSIGNED : value_of<int>(attribute);
}

}  // namespace headwind::netlink
