// SPDX-License-Identifier: MIT
// Makes fq and clsact, removes clsact, and reads what qdiscs and filters are there.
#include <algorithm>
#include <bit>
#include <optional>
#include <tuple>

#include <fcntl.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/wait.h>

#include "host/netlink.h"
#include "host/netlink_request.h"

namespace headwind::netlink {
namespace {

const nlattr* tc_attribute(const Message& message, unsigned type)
{
    return find_attribute(message.get(), sizeof(tcmsg), type);
}

tcmsg& put_tc_header(Request& request, int index, std::uint32_t parent)
{
    auto& header = request.header<tcmsg>();
    header.tcm_family = AF_UNSPEC;
    header.tcm_ifindex = index;
    header.tcm_parent = parent;
    return header;
}

// The qdisc of a device at TC_H_ROOT or TC_H_CLSACT; nullopt: there is none.
std::optional<QdiscStats> stats_at(const std::vector<Qdisc>& qdiscs, int index, std::uint32_t parent)
{
    for (const auto& qdisc : qdiscs)
        if (qdisc.device == index && qdisc.parent == parent) return qdisc.stats;
    return std::nullopt;
}

std::string kind_of(const Message& qdisc)
{
    return text_of(tc_attribute(qdisc, TCA_KIND));
}

// The kind of the qdisc in the place of clsact: "clsact", "ingress" (they share it), or "".
Result<std::string> ingress_qdisc_kind(int index)
{
    HW_TRY(const auto qdiscs, list_qdiscs());
    const auto qdisc = stats_at(qdiscs, index, TC_H_CLSACT);
    return qdisc ? qdisc->kind : std::string();
}

constexpr std::uint32_t mq_handle = 1U << 16;  // "1:", whose classes 1:1, 1:2, ... are the queues

tl::expected<void, Refusal> replace_root_by_mq(int index)
{
    Request request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
    put_tc_header(request, index, TC_H_ROOT).tcm_handle = mq_handle;
    mnl_attr_put_strz(request.message(), TCA_KIND, "mq");
    auto answer = send(request);
    if (!answer) return tl::unexpected(std::move(answer.error()));
    return {};
}

tl::expected<void, Refusal> replace_by_fq(int index, std::uint32_t parent, const FqOptions& options)
{
    Request request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
    put_tc_header(request, index, parent).tcm_handle = parent == TC_H_ROOT ? options.handle : 0;
    nlmsghdr* message = request.message();
    mnl_attr_put_strz(message, TCA_KIND, "fq");
    nlattr* nest = mnl_attr_nest_start(message, TCA_OPTIONS);
    mnl_attr_put_u32(message, TCA_FQ_PLIMIT, options.limit_packets);
    mnl_attr_put_u32(message, TCA_FQ_FLOW_PLIMIT, options.flow_limit_packets);
    mnl_attr_put_u32(message, TCA_FQ_BUCKETS_LOG, options.buckets_log);
    mnl_attr_put_u32(message, TCA_FQ_ORPHAN_MASK, options.orphan_mask);
    mnl_attr_put_u32(message, TCA_FQ_RATE_ENABLE, 0);  // nopacing: SO_MAX_PACING_RATE is not ours to apply
    mnl_attr_put_u32(message, TCA_FQ_TIMER_SLACK, options.timer_slack_ns);
    mnl_attr_put_u32(message, TCA_FQ_HORIZON, options.horizon_us);
    mnl_attr_put_u8(message, TCA_FQ_HORIZON_DROP, 1);
    mnl_attr_nest_end(message, nest);
    auto answer = send(request);
    if (!answer) return tl::unexpected(std::move(answer.error()));
    return {};
}

// The errno for a qdisc kind that the kernel neither has nor can load.
constexpr int unknown_kind = ENOENT;

// The finding of kernel_has_fq()'s child.
struct FqProbe {
    bool in_namespace = false;
    int error = 0;  // errno, that of unshare if !in_namespace
};

FqProbe probe_fq()
{
    if (unshare(CLONE_NEWNET) != 0) return {false, errno};
    constexpr int lo = 1;  // its index in every namespace
    const auto made = replace_by_fq(lo, TC_H_ROOT, FqOptions{});
    return {true, made ? 0 : made.error().error};
}

std::optional<FqProbe> probe_fq_in_child()
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
    const Fd reader(ends[0]);
    Fd writer(ends[1]);
    const pid_t child = fork();
    if (child < 0) return std::nullopt;
    if (child == 0) {
        const FqProbe probe = probe_fq();
        const bool written = write(writer.get(), &probe, sizeof(probe)) == sizeof(probe);
        _exit(written ? 0 : 1);
    }
    writer = Fd();  // else the end would never be read
    FqProbe probe;
    ssize_t length = 0;
    do length = read(reader.get(), &probe, sizeof(probe));
    while (length < 0 && errno == EINTR);
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (length != sizeof(probe)) return std::nullopt;
    return probe;
}

QdiscStats parse_stats(const Message& message)
{
    const nlattr* stats = tc_attribute(message, TCA_STATS2);
    const auto basic = value_of<gnet_stats_basic>(find_attribute(stats, TCA_STATS_BASIC));
    const auto queue = value_of<gnet_stats_queue>(find_attribute(stats, TCA_STATS_QUEUE));
    // This attribute is only there once the number exceeds 32 bits.
    const nlattr* packets = find_attribute(stats, TCA_STATS_PKT64);
    QdiscStats result;
    result.kind = kind_of(message);
    result.handle = message.header<tcmsg>().tcm_handle;
    result.bytes = basic.bytes;
    result.packets = packets != nullptr ? value_of<std::uint64_t>(packets) : basic.packets;
    result.backlog_bytes = queue.backlog;
    result.backlog_packets = queue.qlen;
    result.drops = queue.drops;
    return result;
}

std::optional<FqOptions> parse_fq(const Message& qdisc)
{
    const nlattr* nest = tc_attribute(qdisc, TCA_OPTIONS);
    const auto value = [nest](unsigned type) { return value_of<std::uint32_t>(find_attribute(nest, type)); };
    if (kind_of(qdisc) != "fq" || value(TCA_FQ_RATE_ENABLE) != 0) return std::nullopt;
    FqOptions out;
    out.limit_packets = value(TCA_FQ_PLIMIT);
    out.flow_limit_packets = value(TCA_FQ_FLOW_PLIMIT);
    out.horizon_us = value(TCA_FQ_HORIZON);
    out.timer_slack_ns = value(TCA_FQ_TIMER_SLACK);
    out.orphan_mask = value(TCA_FQ_ORPHAN_MASK);
    return out;
}

Qdisc parse_qdisc(const Message& message)
{
    const auto header = message.header<tcmsg>();
    return {header.tcm_ifindex, header.tcm_parent, parse_stats(message), parse_fq(message)};
}

bool is_fq_of(const Qdisc& qdisc, const FqOptions& options)
{
    const auto seen = [](const FqOptions& of) {
        return std::tuple(of.limit_packets, of.flow_limit_packets, of.horizon_us, of.timer_slack_ns, of.orphan_mask);
    };
    return qdisc.fq && seen(*qdisc.fq) == seen(options);
}

// The number of filters in a dump. A message without handle announces a classifier; its filters follow, if it has any
// (u32 tells its hash tables as if they were filters).
unsigned count_filters(const std::vector<Message>& messages)
{
    unsigned count = 0;
    bool announced = false;
    for (const Message& message : messages) {
        const bool filter = message.header<tcmsg>().tcm_handle != 0;
        if (filter || announced) ++count;
        announced = !filter;
    }
    return announced ? count + 1 : count;
}

Result<unsigned> count_filters_at(int index, std::uint32_t minor)
{
    Request request(RTM_GETTFILTER, 0);
    put_tc_header(request, index, TC_H_MAKE(TC_H_CLSACT, minor));
    const auto answer = dump(request);
    if (!answer) return refused(answer.error(), fmt::format("{}: list tc filters", device_label(index)));
    return count_filters(*answer);
}

}  // namespace

Status set_fq(int index, std::uint32_t queues, const FqOptions& options)
{
    auto one = options;
    one.buckets_log -= static_cast<std::uint32_t>(std::bit_width(queues)) - 1;
    auto made = queues == 1 ? replace_by_fq(index, TC_H_ROOT, options) : replace_root_by_mq(index);
    for (std::uint32_t queue = 1; queues > 1 && made && queue <= queues; ++queue)
        made = replace_by_fq(index, mq_handle | queue, one);
    if (made) return {};
    const std::string what = fmt::format("{}: set qdisc fq", device_label(index));
    if (made.error().error == unknown_kind) {
        return fail(ErrorKind::unsupported, "{}: this kernel has no fq (module sch_fq, CONFIG_NET_SCH_FQ)", what);
    }
    return refused(made.error(), what);
}

Result<std::vector<Qdisc>> list_qdiscs()
{
    Request request(RTM_GETQDISC, 0);
    put_tc_header(request, 0, 0);
    const auto answer = dump(request);
    if (!answer) return refused(answer.error(), "list qdiscs");
    std::vector<Qdisc> out;
    for (const Message& message : *answer) out.push_back(parse_qdisc(message));
    return out;
}

bool has_fq(const std::vector<Qdisc>& qdiscs, int index, std::uint32_t queues, const FqOptions& options)
{
    std::uint32_t paced = 0;
    bool several = false;
    for (const auto& qdisc : qdiscs) {
        if (qdisc.device != index) continue;
        if (qdisc.parent == TC_H_ROOT) several = qdisc.stats.kind == "mq";
        if ((qdisc.parent == TC_H_ROOT || qdisc.parent >> 16 == mq_handle >> 16) && is_fq_of(qdisc, options)) ++paced;
    }
    return several == (queues > 1) && paced == queues;
}

std::optional<QdiscStats> root_qdisc_stats(const std::vector<Qdisc>& qdiscs, int index)
{
    return stats_at(qdiscs, index, TC_H_ROOT);
}

Result<std::optional<QdiscStats>> root_qdisc_stats(int index)
{
    HW_TRY(const auto qdiscs, list_qdiscs());
    return root_qdisc_stats(qdiscs, index);
}

Status delete_root_qdisc(int index)
{
    Request request(RTM_DELQDISC, 0);
    put_tc_header(request, index, TC_H_ROOT);
    const auto answer = send(request);
    if (answer || answer.error().error == ENOENT || answer.error().error == EINVAL || answer.error().error == ENODEV)
        return {};
    return refused(answer.error(), fmt::format("{}: remove the root qdisc", device_label(index)));
}

Result<bool> create_clsact(int index)
{
    Request request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
    put_tc_header(request, index, TC_H_CLSACT).tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    mnl_attr_put_strz(request.message(), TCA_KIND, "clsact");
    const auto answer = send(request);
    if (answer) return true;
    const std::string what = fmt::format("{}: create clsact", device_label(index));
    if (answer.error().error == unknown_kind) {
        return fail(ErrorKind::unsupported, "{}: this kernel has none (CONFIG_NET_SCH_INGRESS)", what);
    }
    if (answer.error().error != EEXIST) return refused(answer.error(), what);

    HW_TRY(const std::string kind, ingress_qdisc_kind(index));
    if (kind == "clsact") return false;
    return fail(ErrorKind::failed, "{}: its place is taken by the qdisc '{}'; remove that one first", what, kind);
}

Status delete_clsact(int index)
{
    Request request(RTM_DELQDISC, 0);
    put_tc_header(request, index, TC_H_CLSACT).tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    mnl_attr_put_strz(request.message(), TCA_KIND, "clsact");  // the kernel then refuses to remove "ingress"
    const std::string what = fmt::format("{}: remove clsact", device_label(index));
    const auto answer = send(request);
    if (answer || answer.error().error == ENODEV) return {};

    // A clsact that is gone is answered with ENOENT, or with EINVAL if there has been one before.
    HW_TRY(const std::string kind, ingress_qdisc_kind(index));
    if (kind != "clsact") return {};
    return refused(answer.error(), what);
}

Result<unsigned> count_clsact_filters(int index)
{
    HW_TRY(const unsigned ingress, count_filters_at(index, TC_H_MIN_INGRESS));
    HW_TRY(const unsigned egress, count_filters_at(index, TC_H_MIN_EGRESS));
    return ingress + egress;
}

Result<bool> kernel_has_fq()
{
    const std::string what = "find out if this kernel has the fq qdisc";
    const auto probe = probe_fq_in_child();
    if (!probe) return fail(ErrorKind::failed, "{}: the child process that tries it gave no answer", what);
    if (!probe->in_namespace) return fail_errno(probe->error, what + ": unshare a network namespace");
    if (probe->error == 0) return true;
    if (probe->error == unknown_kind) return false;
    return fail_errno(probe->error, what);
}

}  // namespace headwind::netlink
