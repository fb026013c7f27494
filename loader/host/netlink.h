// SPDX-License-Identifier: MIT
// The few rtnetlink and ethtool requests that Headwind makes, by libmnl, in the calling thread's network namespace. All
// errors name the device and the request; the kernel's extended-ack text is included where there is one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "util/result.h"

namespace headwind::netlink {

struct Link {
    int index = 0;
    std::string name;
    std::string kind;         // IFLA_INFO_KIND: "veth", "vlan", "bridge", "bond", "vrf", …; empty for hardware and lo
    std::string alias;        // IFLA_IFALIAS
    std::string qdisc;        // kind of the root qdisc (IFLA_QDISC); noqueue, noop: it has none
    unsigned short type = 0;  // ARPHRD_*
    unsigned flags = 0;       // IFF_*
    int parent = 0;           // IFLA_LINK when it names a device of this namespace (vlan, macvlan, …); else 0
    // The peer of a veth: its index (IFLA_LINK), and this namespace's id of the namespace it is in (IFLA_LINK_NETNSID;
    // -1: this one).
    int peer = 0, peer_netns = -1;
    bool parent_elsewhere = false;  // IFLA_LINK_NETNSID: it stands on a device or tunnel socket of another namespace
    int master = 0;                 // IFLA_MASTER (bridge, bond, vrf); else 0
    // A bridge, and a port of one, that sends every packet on, as create_bridge() makes them: without spanning tree and
    // VLANs, and with flooding.
    bool floods = true;
    bool metadata_tunnel = false;  // vxlan/geneve/gre in external (collect metadata) mode
    std::uint32_t mtu = 0;
    std::uint32_t tx_queues = 1;
    std::uint32_t xdp_program = 0;  // id of an XDP program on it, ours or another's; 0: none
};

Result<std::vector<Link>> list_links();

// What the device has sent and received since it was made.
struct PacketCounts {
    std::uint64_t sent = 0, received = 0;
};
Result<PacketCounts> packet_counts(int index);

// The id by which the thread's namespace knows the one that `netns` is open on; -1: it has none.
Result<int> id_of_netns(int netns);

// The same, and gives it one if it has none.
Result<int> give_id_to_netns(int netns);

// The veth pair `name0`/`name1` that create_veth() makes for the line: MTU as given, alias as given, no IPv6 address
// generation (addrgenmode none), NOARP, both ends up, each with `queues` queues to send and to receive. IPv6 is
// disabled on both through /proc/sys before they come up. Fails with EEXIST text if either name is taken.
struct VethOptions {
    std::string name0, name1, alias;
    std::uint32_t mtu = 65535;
    std::uint32_t queues = 1;
};
struct Veth {
    int index0 = 0, index1 = 0;
};
Result<Veth> create_veth(const VethOptions& options);
// Makes a bridge for the line, with the device `port` as its only port: no spanning tree, no multicast snooping, no
// IPv6, alias as given. It is operational when this returns.
Result<int> create_bridge(const std::string& name, const std::string& alias, int port);
// Gives both the options again that they then had, as far as Link::floods tells of them. The port is operational.
Status reset_bridge(int bridge, int port);
Status set_mtu(int index, std::uint32_t mtu);
Status bring_up(int index);
// Waits until the device, which is up, is operational. When two ends come up one after the other, the first drops what
// is sent, and a bridge's port refuses its options (ENETDOWN), until the kernel's link watch has noted, asynchronously,
// that the other end is there too.
Status wait_until_operational(int index);
Status delete_link(int index);  // a device that is already gone is no error

// Makes a veth pair of one queue each, down, with its second end in the network namespace that `netns` is open on.
Status create_veth_into(const std::string& name0, const std::string& name1, int netns);
// Gives a device an address (v4 or v6, without duplicate address detection) and sets it up.
Status bring_up(const std::string& name, const std::string& address, std::uint8_t prefix);

// Turns segmentation and transmit checksum offloads of `name` off, so that the kernel makes wire packets of what is
// sent through it: TSO (all kinds), UDP segmentation, GSO partial and tunnels, tx checksum. Verifies that they are off.
Status disable_transmit_offloads(const std::string& name);
// Whether any of them is on.
Result<bool> has_transmit_offloads(const std::string& name);
// The name of the device's driver ("virtio_net", "veth"); empty: it tells none.
std::string driver_of(const std::string& name);
// Sets the largest GSO packet that the device accepts whole (IFLA_GSO_MAX_SIZE, _SEGS, and the IPv4 one where the
// kernel has it).
Status set_gso_max(int index, std::uint32_t bytes, std::uint32_t segments);

// The fq that set_fq() puts in the place of what is there: limit, flow_limit, horizon (µs; packets beyond are dropped),
// timer_slack 1 ns, buckets (of all queues together), orphan_mask, nopacing.
struct FqOptions {
    std::uint32_t limit_packets = 10'000'000;
    std::uint32_t flow_limit_packets = 10'000'000;
    std::uint32_t horizon_us = 4'294'967'295U;
    std::uint32_t timer_slack_ns = 1;
    std::uint32_t buckets_log = 14;
    std::uint32_t orphan_mask = 0xffffffff;
    std::uint32_t handle = 0;  // of the root qdisc of a device with one queue; 0: the kernel chooses
};
// A device with one queue gets fq as its root qdisc; one with several gets mq, and an fq for each queue.
Status set_fq(int index, std::uint32_t queues, const FqOptions& options);
struct QdiscStats {
    std::string kind;
    std::uint32_t handle = 0;
    std::uint64_t bytes = 0, packets = 0;  // sent
    std::uint32_t backlog_bytes = 0, backlog_packets = 0, drops = 0;
};
struct Qdisc {
    int device = 0;            // index
    std::uint32_t parent = 0;  // TC_H_ROOT, TC_H_CLSACT, or the class of another qdisc
    QdiscStats stats;
    std::optional<FqOptions> fq;  // if it is an fq with nopacing: its options, without buckets_log and handle
};
// Those of all devices: the kernel dumps them together. (A request for a single one is answered to every listener on
// the host.)
Result<std::vector<Qdisc>> list_qdiscs();
// The root qdisc of the device; nullopt if it has none (noqueue shows as kind "noqueue" or nothing).
std::optional<QdiscStats> root_qdisc_stats(const std::vector<Qdisc>& qdiscs, int index);
Result<std::optional<QdiscStats>> root_qdisc_stats(int index);
// Whether the device has fq as set_fq() makes it, with these options.
bool has_fq(const std::vector<Qdisc>& qdiscs, int index, std::uint32_t queues, const FqOptions& options);
// Removes the root qdisc; the device gets its default one. No error if it has none of its own.
Status delete_root_qdisc(int index);

struct LinkStats {
    std::uint64_t rx_packets = 0, tx_packets = 0, rx_dropped = 0, tx_dropped = 0;
};
Result<LinkStats> link_stats(int index);

// create_clsact(): true = made now, false = it was there already. delete_clsact(): one that is gone is no error.
Result<bool> create_clsact(int index);
Status delete_clsact(int index);
// The number of tc filters of any kind on clsact's ingress and egress: nobody may be using what we are about to remove.
Result<unsigned> count_clsact_filters(int index);

// Whether this kernel can make an fq qdisc (loads the module if need be). A short-lived child process tries it on the
// lo of a network namespace of its own: nothing of the caller's namespace is touched.
Result<bool> kernel_has_fq();

}  // namespace headwind::netlink
