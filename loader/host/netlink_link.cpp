// SPDX-License-Identifier: MIT
// Lists links, makes the line's veth pair and bridge, sets GSO limits, and reads statistics.
#include <array>
#include <chrono>
#include <thread>

#include <net/if.h>  // before the kernel's, which give way to it

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "host/host.h"
#include "host/netlink.h"
#include "host/netlink_request.h"

namespace headwind::netlink {
namespace {

constexpr std::uint16_t ifla_gso_ipv4_max_size = 63;     // since 6.3; Debian 12's headers are of 6.1
constexpr std::uint16_t ifla_xfrm_collect_metadata = 3;  // IFLA_XFRM_COLLECT_METADATA

constexpr std::size_t alias_limit = 255;  // IFALIASZ - 1
constexpr int operational_tries = 5000;   // 1 ms each

const nlattr* link_attribute(const Message& message, unsigned type)
{
    return find_attribute(message.get(), sizeof(ifinfomsg), type);
}

struct MetadataAttribute {
    std::string_view kind;
    unsigned type;
};
constexpr std::array<MetadataAttribute, 12> metadata_attributes{{
    {"vxlan", IFLA_VXLAN_COLLECT_METADATA},
    {"geneve", IFLA_GENEVE_COLLECT_METADATA},
    {"gre", IFLA_GRE_COLLECT_METADATA},
    {"gretap", IFLA_GRE_COLLECT_METADATA},
    {"erspan", IFLA_GRE_COLLECT_METADATA},
    {"ip6gre", IFLA_GRE_COLLECT_METADATA},
    {"ip6gretap", IFLA_GRE_COLLECT_METADATA},
    {"ip6erspan", IFLA_GRE_COLLECT_METADATA},
    {"ipip", IFLA_IPTUN_COLLECT_METADATA},
    {"sit", IFLA_IPTUN_COLLECT_METADATA},
    {"ip6tnl", IFLA_IPTUN_COLLECT_METADATA},
    {"xfrm", ifla_xfrm_collect_metadata},
}};

// vxlan says 0 or 1, the others have a flag without a value.
bool is_set(const nlattr* attribute)
{
    if (attribute == nullptr) return false;
    return mnl_attr_get_payload_len(attribute) == 0 || value_of<std::uint8_t>(attribute) != 0;
}

bool collects_metadata(std::string_view kind, const nlattr* info_data)
{
    if (kind == "bareudp") return true;  // it knows no other mode
    for (const MetadataAttribute& attribute : metadata_attributes) {
        if (attribute.kind == kind) return is_set(find_attribute(info_data, attribute.type));
    }
    return false;
}

// The id of the device's XDP program. One program for each mode is possible; the kernel gives PROG_ID if there is only
// one.
std::uint32_t xdp_program(const nlattr* xdp)
{
    for (const unsigned type : {IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID})
        if (const auto id = value_of<std::uint32_t>(find_attribute(xdp, type)); id != 0) return id;
    return 0;
}

// `options`: IFLA_INFO_DATA of a bridge, or IFLA_INFO_SLAVE_DATA of its port.
bool bridge_floods(const nlattr* options)
{
    return value_of<std::uint32_t>(find_attribute(options, IFLA_BR_STP_STATE)) == 0 &&
           value_of<std::uint8_t>(find_attribute(options, IFLA_BR_VLAN_FILTERING)) == 0;
}

bool port_floods(const nlattr* options)
{
    const auto is = [options](unsigned type, std::uint8_t wanted) {
        const auto* found = find_attribute(options, type);
        return found == nullptr || value_of<std::uint8_t>(found) == wanted;
    };
    return is(IFLA_BRPORT_STATE, BR_STATE_FORWARDING) && is(IFLA_BRPORT_UNICAST_FLOOD, 1) &&
           is(IFLA_BRPORT_MCAST_FLOOD, 1) && is(IFLA_BRPORT_BCAST_FLOOD, 1) && is(IFLA_BRPORT_NEIGH_SUPPRESS, 0) &&
           is(IFLA_BRPORT_VLAN_TUNNEL, 0);
}

Link parse_link(const Message& message)
{
    const auto header = message.header<ifinfomsg>();
    const nlattr* info = link_attribute(message, IFLA_LINKINFO);
    Link link;
    link.index = header.ifi_index;
    link.type = header.ifi_type;
    link.flags = header.ifi_flags;
    link.name = text_of(link_attribute(message, IFLA_IFNAME));
    link.alias = text_of(link_attribute(message, IFLA_IFALIAS));
    link.kind = text_of(find_attribute(info, IFLA_INFO_KIND));
    link.qdisc = text_of(link_attribute(message, IFLA_QDISC));
    link.mtu = value_of<std::uint32_t>(link_attribute(message, IFLA_MTU));
    link.tx_queues = value_of<std::uint32_t>(link_attribute(message, IFLA_NUM_TX_QUEUES));
    link.master = value_of<int>(link_attribute(message, IFLA_MASTER));
    link.metadata_tunnel = collects_metadata(link.kind, find_attribute(info, IFLA_INFO_DATA));
    if (link.kind == "bridge") link.floods = bridge_floods(find_attribute(info, IFLA_INFO_DATA));
    if (text_of(find_attribute(info, IFLA_INFO_SLAVE_KIND)) == "bridge")
        link.floods = link.floods && port_floods(find_attribute(info, IFLA_INFO_SLAVE_DATA));
    link.xdp_program = xdp_program(link_attribute(message, IFLA_XDP));
    link.parent_elsewhere = link_attribute(message, IFLA_LINK_NETNSID) != nullptr;
    const int parent = value_of<int>(link_attribute(message, IFLA_LINK));
    link.peer = parent;
    if (link.parent_elsewhere) link.peer_netns = value_of<int>(link_attribute(message, IFLA_LINK_NETNSID));
    if (!link.parent_elsewhere && parent != link.index) link.parent = parent;
    return link;
}

Status check_veth_options(const VethOptions& options)
{
    for (const std::string& name : {options.name0, options.name1}) {
        // The kernel replaces "%d" by a number, and makes up a name where there is none.
        const bool fits = !name.empty() && name.size() < IFNAMSIZ && name.find('%') == std::string::npos;
        if (!fits) return fail(ErrorKind::usage, "create veth: '{}' is no device name", name);
    }
    if (options.alias.size() > alias_limit) {
        return fail(ErrorKind::usage, "create {}: the alias exceeds {} bytes", options.name0, alias_limit);
    }
    return {};
}

void put_veth_end(nlmsghdr* message, const std::string& name, const VethOptions& options)
{
    mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
    mnl_attr_put_u32(message, IFLA_MTU, options.mtu);
    mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, options.queues);
    mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, options.queues);
}

Status add_veth(const VethOptions& options)
{
    Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    request.header<ifinfomsg>();
    nlmsghdr* message = request.message();
    put_veth_end(message, options.name0, options);
    nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
    put_veth_end(message, options.name1, options);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, info);

    const auto answer = send(request);
    if (answer) return {};
    const std::string what = fmt::format("create the veth pair {} and {}", options.name0, options.name1);
    if (answer.error().error == EOPNOTSUPP) {
        return fail(ErrorKind::unsupported, "{}: this kernel has no veth (CONFIG_VETH)", what);
    }
    return refused(answer.error(), what);
}

Result<int> index_of(const std::string& name)
{
    const unsigned index = if_nametoindex(name.c_str());
    if (index == 0) return fail_errno(errno, fmt::format("{}: look up its index", name));
    return static_cast<int>(index);
}

Status set_flags(int index, const std::string& name, unsigned flags)
{
    Request request(RTM_SETLINK, 0);
    auto& header = request.header<ifinfomsg>();
    header.ifi_index = index;
    header.ifi_flags = flags;
    header.ifi_change = flags;
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: set flags 0x{:x}", name, flags));
    return {};
}

Status set_alias(int index, const std::string& name, const std::string& alias)
{
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    mnl_attr_put_str(request.message(), IFLA_IFALIAS, alias.c_str());
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: set alias '{}'", name, alias));
    return {};
}

// Makes sure that no link-local address is made up, whoever turns IPv6 on again. A host without IPv6 answers
// EAFNOSUPPORT.
Status set_no_address_generation(int index, const std::string& name)
{
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    nlmsghdr* message = request.message();
    nlattr* families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
    nlattr* ipv6 = mnl_attr_nest_start(message, AF_INET6);
    mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(message, ipv6);
    mnl_attr_nest_end(message, families);
    const auto answer = send(request);
    if (answer || answer.error().error == EAFNOSUPPORT) return {};
    return refused(answer.error(), fmt::format("{}: set addrgenmode none", name));
}

// Disables IPv6 on a device. The file is missing on a host without IPv6.
Status disable_ipv6(const std::string& name)
{
    const std::string path = sysctl_file(fmt::format("net/ipv6/conf/{}/disable_ipv6", name));
    const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file && errno == ENOENT) return {};
    if (!file || write(file.get(), "1", 1) != 1) return fail_errno(errno, fmt::format("write {}", path));
    return {};
}

Status keep_quiet(int index, const std::string& name, const std::string& alias)
{
    HW_CHECK(set_alias(index, name, alias));
    HW_CHECK(set_no_address_generation(index, name));
    HW_CHECK(disable_ipv6(name));
    return set_flags(index, name, IFF_NOARP);
}

Result<Veth> configure_veth(const VethOptions& options)
{
    Veth veth;
    HW_TRY(veth.index0, index_of(options.name0));
    HW_TRY(veth.index1, index_of(options.name1));
    HW_CHECK(keep_quiet(veth.index0, options.name0, options.alias));
    HW_CHECK(keep_quiet(veth.index1, options.name1, options.alias));
    HW_CHECK(set_flags(veth.index0, options.name0, IFF_UP));
    HW_CHECK(set_flags(veth.index1, options.name1, IFF_UP));
    HW_CHECK(wait_until_operational(veth.index0));
    HW_CHECK(wait_until_operational(veth.index1));
    return veth;
}

void put_bridge_options(nlmsghdr* message)
{
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u32(message, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u8(message, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_nest_end(message, data);
}

void put_no_vlans(nlmsghdr* message)
{
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u8(message, IFLA_BR_VLAN_FILTERING, 0);
    mnl_attr_nest_end(message, data);
}

// Those that a new port has.
void put_port_options(nlmsghdr* message)
{
    nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(message, IFLA_BRPORT_STATE, BR_STATE_FORWARDING);
    for (const unsigned short flood : {IFLA_BRPORT_UNICAST_FLOOD, IFLA_BRPORT_MCAST_FLOOD, IFLA_BRPORT_BCAST_FLOOD})
        mnl_attr_put_u8(message, flood, 1);
    for (const unsigned short other : {IFLA_BRPORT_NEIGH_SUPPRESS, IFLA_BRPORT_VLAN_TUNNEL})
        mnl_attr_put_u8(message, other, 0);
    mnl_attr_nest_end(message, data);
}

Status add_bridge(const std::string& name)
{
    Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    request.header<ifinfomsg>();
    nlmsghdr* message = request.message();
    mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
    nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
    put_bridge_options(message);
    mnl_attr_nest_end(message, info);
    const auto answer = send(request);
    if (answer) return {};
    const std::string what = fmt::format("create the bridge {}", name);
    if (answer.error().error != EOPNOTSUPP) return refused(answer.error(), what);
    return fail(ErrorKind::unsupported, "{}: this kernel has no bridges (CONFIG_BRIDGE)", what);
}

Status add_port(int bridge, int port)
{
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = port;
    mnl_attr_put_u32(request.message(), IFLA_MASTER, static_cast<std::uint32_t>(bridge));
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: put it into a bridge", device_label(port)));
    return {};
}

Result<int> configure_bridge(const std::string& name, const std::string& alias, int port)
{
    HW_TRY(const int bridge, index_of(name));
    HW_CHECK(keep_quiet(bridge, name, alias));
    HW_CHECK(add_port(bridge, port));
    HW_CHECK(set_flags(bridge, name, IFF_UP));
    HW_CHECK(wait_until_operational(bridge));
    return bridge;
}

}  // namespace

Result<std::vector<Link>> list_links()
{
    Request request(RTM_GETLINK, 0);
    request.header<ifinfomsg>();
    mnl_attr_put_u32(request.message(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    const auto answer = dump(request);
    if (!answer) return refused(answer.error(), "list network devices");
    std::vector<Link> links;
    for (const Message& message : *answer) {
        if (message.get()->nlmsg_type == RTM_NEWLINK) links.push_back(parse_link(message));
    }
    return links;
}

Result<PacketCounts> packet_counts(int index)
{
    Request request(RTM_GETSTATS, 0);
    auto& header = request.header<if_stats_msg>();
    header.ifindex = static_cast<__u32>(index);
    header.filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
    const auto answer = send(request);
    if (!answer) return refused(answer.error(), fmt::format("device {}: read its counters", index));
    if (answer->empty()) return fail(ErrorKind::failed, "device {}: the kernel tells no counters", index);
    const auto counts =
        value_of<rtnl_link_stats64>(find_attribute(answer->front().get(), sizeof(if_stats_msg), IFLA_STATS_LINK_64));
    return PacketCounts{counts.tx_packets, counts.rx_packets};
}

Result<Veth> create_veth(const VethOptions& options)
{
    HW_CHECK(check_veth_options(options));
    HW_CHECK(add_veth(options));
    auto veth = configure_veth(options);
    if (veth) return veth;
    if (const auto index = index_of(options.name0)) {
        if (const auto removed = delete_link(*index); !removed) {
            veth.error().message += fmt::format("\n{}", removed.error().message);
        }
    }
    return veth;
}

Result<int> create_bridge(const std::string& name, const std::string& alias, int port)
{
    HW_CHECK(add_bridge(name));
    auto bridge = configure_bridge(name, alias, port);
    if (bridge) return bridge;
    if (const auto index = index_of(name)) static_cast<void>(delete_link(*index));
    return bridge;
}

Status reset_bridge(int bridge, int port)
{
    const auto set = [](int index, unsigned short kind, void (*put)(nlmsghdr*)) {
        Request request(RTM_NEWLINK, 0);
        request.header<ifinfomsg>().ifi_index = index;
        nlattr* info = mnl_attr_nest_start(request.message(), IFLA_LINKINFO);
        mnl_attr_put_strz(request.message(), kind, "bridge");
        put(request.message());
        mnl_attr_nest_end(request.message(), info);
        return send(request);
    };
    auto answer = set(bridge, IFLA_INFO_KIND, put_bridge_options);
    if (answer) answer = set(bridge, IFLA_INFO_KIND, put_no_vlans);
    const bool without_vlans = !answer && answer.error().error == EOPNOTSUPP;  // CONFIG_BRIDGE_VLAN_FILTERING
    // At last: with spanning tree the port would not obey.
    if (answer || without_vlans) answer = set(port, IFLA_INFO_SLAVE_KIND, put_port_options);
    if (!answer) return refused(answer.error(), fmt::format("{}: set its options as a bridge", device_label(bridge)));
    return {};
}

Status set_mtu(int index, std::uint32_t mtu)
{
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    mnl_attr_put_u32(request.message(), IFLA_MTU, mtu);
    if (const auto answer = send(request); !answer)
        return refused(answer.error(), fmt::format("{}: set MTU {}", device_label(index), mtu));
    return {};
}

Status bring_up(int index)
{
    return set_flags(index, device_label(index), IFF_UP);
}

Status wait_until_operational(int index)
{
    for (int tries = 0; tries < operational_tries; ++tries) {
        Request request(RTM_GETLINK, 0);
        request.header<ifinfomsg>().ifi_index = index;
        const auto answer = send(request);
        if (!answer) return refused(answer.error(), fmt::format("{}: read its state", device_label(index)));
        const bool told = !answer->empty();
        if (told && value_of<std::uint8_t>(link_attribute(answer->front(), IFLA_OPERSTATE)) == IF_OPER_UP) return {};
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return fail(ErrorKind::failed, "{}: it is up, but not operational after {} s", device_label(index),
                operational_tries / 1000);
}

Status delete_link(int index)
{
    const std::string name = device_label(index);
    Request request(RTM_DELLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    const auto answer = send(request);
    if (answer || answer.error().error == ENODEV) return {};
    return refused(answer.error(), fmt::format("{}: delete", name));
}

Status set_gso_max(int index, std::uint32_t bytes, std::uint32_t segments)
{
    Request request(RTM_SETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    mnl_attr_put_u32(request.message(), IFLA_GSO_MAX_SIZE, bytes);
    mnl_attr_put_u32(request.message(), IFLA_GSO_MAX_SEGS, segments);
    const std::string what =
        fmt::format("{}: set gso_max_size {} and gso_max_segs {}", device_label(index), bytes, segments);
    if (const auto answer = send(request); !answer) return refused(answer.error(), what);

    // Linux before 6.3 has one size for both families.
    Request ipv4(RTM_SETLINK, 0);
    ipv4.header<ifinfomsg>().ifi_index = index;
    mnl_attr_put_u32(ipv4.message(), ifla_gso_ipv4_max_size, bytes);
    const auto answer = send(ipv4);
    if (answer || answer.error().error == EINVAL || answer.error().error == EOPNOTSUPP) return {};
    return refused(answer.error(), what + " for IPv4");
}

Result<LinkStats> link_stats(int index)
{
    Request request(RTM_GETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    const auto answer = send(request);
    const auto what = [index] { return fmt::format("{}: read statistics", device_label(index)); };
    if (!answer) return refused(answer.error(), what());
    if (answer->empty()) return fail(ErrorKind::failed, "{}: the kernel gave none", what());
    const auto stats = value_of<rtnl_link_stats64>(link_attribute(answer->front(), IFLA_STATS64));
    return LinkStats{stats.rx_packets, stats.tx_packets, stats.rx_dropped, stats.tx_dropped};
}

}  // namespace headwind::netlink
