// SPDX-License-Identifier: MIT
// The fq of lo, which holds packets there: what leaves lo by another device loses its route and its connection. lo has
// it while a rule with a delay or a rate is at lo. All of lo's traffic passes it then; what no rule holds, at once.
#pragma once

#include "datapath/instance.h"
#include "host/netlink.h"
#include "util/result.h"

namespace headwind {

// Makes lo's fq, and has lo receive a flow on one CPU. A root qdisc that is not ours is refused.
Status hold_on_loopback(Instance& instance, bool by_flow);
// Whether that is so, if it has to be.
Result<bool> is_loopback_intact(const Instance& instance, const std::vector<netlink::Qdisc>& qdiscs);
// Takes it away. Packets in it are lost. Without `instance` what a killed command left goes, too.
Status release_loopback(Instance* instance);
// The counters of lo's fq; nullopt: there is none of ours.
Result<std::optional<netlink::QdiscStats>> loopback_stats();
std::optional<netlink::QdiscStats> loopback_stats(const std::vector<netlink::Qdisc>& qdiscs);

}  // namespace headwind
