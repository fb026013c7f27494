// Network namespaces as rtnetlink knows them: by an id that each namespace has for the others.
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "host/netlink.h"
#include "host/netlink_request.h"

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

Result<int> give_id_to_netns(int netns)
{
    Request request(RTM_NEWNSID, 0);
    request.header<rtgenmsg>();
    mnl_attr_put_u32(request.message(), NETNSA_FD, static_cast<std::uint32_t>(netns));
    mnl_attr_put_u32(request.message(), NETNSA_NSID, static_cast<std::uint32_t>(NETNSA_NSID_NOT_ASSIGNED));
    const auto answer = send(request);
    if (!answer && answer.error().error != EEXIST) return refused(answer.error(), "give a network namespace an id");
    return id_of_netns(netns);
}

}  // namespace headwind::netlink
