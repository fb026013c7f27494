// SPDX-License-Identifier: MIT
// Makes a veth pair between two network namespaces, for traffic of our own, and tells the ids that namespaces have.
// rtnetlink knows network namespaces by an id that each has for the others.
#include <net/if.h>  // before the kernel's, which give way to it

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "host/netlink.h"
#include "host/netlink_request.h"

namespace headwind::netlink {
namespace {

void put_end(nlmsghdr* message, const std::string& name)
{
    mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
    mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
}

Status add_address(unsigned index, const std::string& name, const std::string& address, std::uint8_t prefix)
{
    const bool v6 = address.find(':') != std::string::npos;
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1)
        return fail(ErrorKind::usage, "{}: '{}' is no address", name, address);
    Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    auto& header = request.header<ifaddrmsg>();
    header.ifa_family = v6 ? AF_INET6 : AF_INET;
    header.ifa_prefixlen = prefix;
    header.ifa_flags = v6 ? IFA_F_NODAD : 0;
    header.ifa_index = index;
    mnl_attr_put(request.message(), IFA_LOCAL, v6 ? 16 : 4, bytes.data());
    mnl_attr_put(request.message(), IFA_ADDRESS, v6 ? 16 : 4, bytes.data());
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: add address {}", name, address));
    return {};
}

}  // namespace

Status create_veth_into(const std::string& name0, const std::string& name1, int netns)
{
    Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    request.header<ifinfomsg>();
    nlmsghdr* message = request.message();
    put_end(message, name0);
    nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
    put_end(message, name1);
    mnl_attr_put_u32(message, IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns));
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("create the veth pair {} and {}", name0, name1));
    return {};
}

Status bring_up(const std::string& name, const std::string& address, std::uint8_t prefix)
{
    const unsigned index = if_nametoindex(name.c_str());
    if (index == 0) return fail_errno(errno, fmt::format("{}: look up its index", name));
    HW_CHECK(add_address(index, name, address, prefix));
    Request request(RTM_SETLINK, 0);
    auto& header = request.header<ifinfomsg>();
    header.ifi_index = static_cast<int>(index);
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: set it up", name));
    return {};
}

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
