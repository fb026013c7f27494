// SPDX-License-Identifier: MIT
// Finds the rule that a packet would get, and for each other rule why it is not that one.
#include <arpa/inet.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <cstring>
#include <map>

#include <headwind/model.h>

#include "engine/engine.h"
#include "engine/panic_state.h"
#include "engine/view.h"
#include "engine/write_session.h"
#include "host/cgroup.h"
#include "host/clock.h"
#include "precedence/explain.h"
#include "precedence/overlap.h"

namespace headwind {
namespace {

constexpr Protocol no_protocol = 255;  // reserved: no packet has it

// The packet as a record, whose selectors are single values.
struct Packet {
    RuleRecord record;
    std::uint16_t slot = HW_MAX_DEVICES;  // of hw_control.devices; HW_MAX_DEVICES: no rule is at its device
    __u32 device_flags = 0;
};

const Selector& selector_of(const Packet& packet)
{
    return packet.record.rule.selector;
}

Result<Packet> resolve(const Instance& instance, const Rule& rule, const std::vector<netlink::Link>& links)
{
    Packet out;
    out.record.rule = rule;
    const auto& name = rule.selector.devices.front();
    const auto link = std::ranges::find(links, name, &netlink::Link::name);
    if (link == links.end()) return fail(ErrorKind::not_found, "--dev {}: there is no such device here", name);
    for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
        const auto& device = instance.control->devices[slot];
        if (device.ifindex != static_cast<__u32>(link->index)) continue;
        out.slot = slot;
        out.device_flags = device.flags;
        out.record.devices.push_back({name, link->index, slot});
    }
    for (const auto& path : rule.selector.cgroups) {
        HW_TRY(auto cgroup, find_cgroup(path));
        out.record.cgroups.push_back(std::move(cgroup));
    }
    return out;
}

// The same packet as it is for who is at the device's peer, or receives it on lo.
Packet seen_from_there(const Packet& packet)
{
    auto out = packet;
    auto& rule = out.record.rule;
    rule.direction = rule.direction == Direction::out ? Direction::in : Direction::out;
    std::swap(rule.selector.locals, rule.selector.remotes);
    std::swap(rule.selector.local_ports, rule.selector.remote_ports);
    if (packet.device_flags & HW_DEVICE_PEER) rule.subject.emplace().at_host = true;
    rule.selector.cgroups.clear();  // it is of the other end's socket
    out.record.cgroups.clear();
    return out;
}

void put_addresses(const Selector& selector, hw_question& question)
{
    const auto is_v6 = [](const std::vector<Cidr>& cidrs) { return !cidrs.empty() && !cidrs.front().v4; };
    question.ipv4 = is_v6(selector.locals) || is_v6(selector.remotes) ? 0 : 1;
    const auto put = [&](const std::vector<Cidr>& cidrs, __u64(&to)[2]) {
        Cidr address;  // "::", if none is given
        if (question.ipv4) address.address[10] = address.address[11] = 0xff;
        if (!cidrs.empty()) address = cidrs.front();
        std::memcpy(&to, address.address.data(), sizeof(to));
    };
    put(selector.locals, question.key.local);
    put(selector.remotes, question.key.remote);
}

void put_protocol(const Selector& selector, hw_question& question)
{
    const auto protocol = selector.protocols.empty() ? no_protocol : selector.protocols.front();
    if (protocol < 256) {
        question.key.protocol = static_cast<__u8>(protocol);
        return;
    }
    question.packet_class = protocol == HW_PROTO_ARP    ? HW_ARP
                            : protocol == HW_PROTO_ND   ? HW_ND
                            : protocol == HW_PROTO_DHCP ? HW_DHCP
                                                        : HW_FRAME;
    if (protocol == HW_PROTO_ND) question.ipv4 = 0;
    if (protocol == HW_PROTO_ND) question.key.protocol = IPPROTO_ICMPV6;
    if (protocol == HW_PROTO_DHCP) question.key.protocol = IPPROTO_UDP;
    if (question.packet_class != HW_FRAME && question.packet_class != HW_ARP) return;
    question.ipv4 = 0;
    std::memset(&question.key.local, 0, sizeof(question.key.local));
    std::memset(&question.key.remote, 0, sizeof(question.key.remote));
    if (question.packet_class == HW_ARP) return;
    const auto type = protocol == HW_PROTO_LLC     ? HW_ETHERTYPE_LLC
                      : protocol == HW_PROTO_MPLS  ? ETH_P_MPLS_UC
                      : protocol == HW_PROTO_PPPOE ? ETH_P_PPP_SES
                                                   : protocol;
    question.key.local_port = htons(static_cast<std::uint16_t>(type));
}

// Id by level of the cgroup and its ancestors.
void put_cgroups(const std::vector<Cgroup>& cgroups, hw_question& question)
{
    if (cgroups.empty()) return;
    auto path = cgroups.front().path;
    for (auto level = std::min<unsigned>(cgroups.front().level, HW_QUESTION_LEVELS - 1);; --level) {
        if (const auto found = find_cgroup(path.empty() ? "/" : path)) question.cgroups[level] = found->id;
        if (level == 0) return;
        path.resize(path.rfind('/'));
    }
}

hw_question question_of(const Packet& packet, bool there)
{
    hw_question out{};
    const auto& selector = selector_of(packet);
    put_addresses(selector, out);
    const auto port = [](const std::vector<PortRange>& ports) -> __u16 {
        return ports.empty() ? 0 : htons(ports.front().first);
    };
    out.key.local_port = port(selector.local_ports);
    out.key.remote_port = port(selector.remote_ports);
    put_protocol(selector, out);
    put_cgroups(packet.record.cgroups, out);
    out.device = packet.slot;
    out.key.device = static_cast<__u16>(packet.slot + 1);
    out.direction = packet.record.rule.direction == Direction::in ? HW_IN : HW_OUT;
    out.peer = there && (packet.device_flags & HW_DEVICE_PEER) ? 1 : 0;
    return out;
}

// What decides whether the rule selects the packet and is not known of it; nullptr: nothing. They are not apart.
const char* lacking(const Selector& rule, const Packet& packet)
{
    const auto& given = selector_of(packet);
    if (!rule.cgroups.empty() && given.cgroups.empty()) return "--cgroup";
    if (!rule.protocols.empty() && given.protocols.empty()) return "--proto";
    if (!rule.remotes.empty() && given.remotes.empty()) return "--remote";
    if (!rule.locals.empty() && given.locals.empty()) return "--local";
    if (!rule.remote_ports.empty() && given.remote_ports.empty()) return "--remote-port";
    if (!rule.local_ports.empty() && given.local_ports.empty()) return "--local-port";
    const auto has = [&rule](const std::vector<PortRange>& port) {
        return !port.empty() && std::ranges::any_of(rule.ports, [&](const PortRange& range) {
            return range.first <= port.front().first && port.front().first <= range.last;
        });
    };
    if (rule.ports.empty() || has(given.local_ports) || has(given.remote_ports)) return nullptr;
    return given.local_ports.empty() ? "--local-port" : "--remote-port";
}

// What of the packet's flow is not known; nullptr: nothing.
const char* lacking_of_flow(const Selector& given)
{
    if (given.protocols.empty()) return "--proto";
    const auto protocol = given.protocols.front();
    if (protocol == HW_PROTO_ARP || is_ethernet(protocol)) return nullptr;
    if (given.remotes.empty()) return "--remote";
    if (given.locals.empty()) return "--local";
    if (!carries_ports(protocol)) return nullptr;
    if (given.remote_ports.empty()) return "--remote-port";
    return given.local_ports.empty() ? "--local-port" : nullptr;
}

bool is_in_one(const std::vector<Cgroup>& own, const std::vector<Cgroup>& cgroups)
{
    return std::ranges::any_of(cgroups, [&own](const Cgroup& cgroup) { return is_within(own.front(), cgroup); });
}

// How a rule stands to a packet on one of its sides, as far as it selects it.
struct Match {
    const char* apart = nullptr;    // the flag by which it does not
    const char* lacking = nullptr;  // the flag on which it depends
    bool selects() const { return apart == nullptr && lacking == nullptr; }
};

constexpr const char* not_in_sample = "--flows: this one is not in its sample";

Match match(const RuleRecord& rule, const Packet& packet, std::span<const hw_device> devices)
{
    Match out;
    out.apart = apart_by(rule, packet.record, devices);
    const auto& own = packet.record.cgroups;
    if (out.apart == nullptr && !own.empty() && !rule.cgroups.empty() && !is_in_one(own, rule.cgroups))
        out.apart = "--cgroup";
    if (out.apart != nullptr) return out;
    const auto& selector = rule.rule.selector;
    out.lacking = lacking(selector, packet);
    if (out.lacking != nullptr || !selector.flows) return out;
    out.lacking = lacking_of_flow(selector_of(packet));
    if (out.lacking != nullptr) return out;
    const auto question = question_of(packet, false);
    if (hw_flow_number(&question.key, selector.flow_seed) >= selector.flows->threshold) out.apart = not_in_sample;
    return out;
}

// A rule in force, and how it stands to the packet on both sides of its device: the near one is asked first.
struct Candidate {
    const RankedRecord* rule;
    RuleState state;
    bool is_due;  // it is not off by --flap or --between
    Match near, far;
};

// The rule that a packet gets, and on which side.
struct Winner {
    std::uint32_t id = 0;  // 0: none
    bool far = false;
};

Result<Winner> winner_of(const Explainer& explainer, const Packet& near, const std::optional<Packet>& far)
{
    Winner out;
    HW_TRY(out.id, explainer.winner(question_of(near, false)));
    if (out.id != 0 || !far) return out;
    HW_TRY(out.id, explainer.winner(question_of(*far, true)));
    out.far = out.id != 0;
    return out;
}

// The rule that a packet gets, among all.
struct Best {
    const Candidate* candidate = nullptr;  // null: none
    bool far = false;
};

// Of the rules that select the packet whatever is not given.
Best best_of(const std::vector<Candidate>& candidates)
{
    for (const bool far : {false, true})
        for (const auto& one : candidates)
            if ((far ? one.far : one.near).selects() && one.state == RuleState::live && one.is_due) return {&one, far};
    return {};
}

bool is_above(const Candidate& one, bool far, const Best& best)
{
    if (best.candidate == nullptr) return true;
    return far == best.far ? one.rule->rank > best.candidate->rule->rank : !far;
}

const char* why_below(const Candidate& one, bool far, const Best& best)
{
    const auto &rule = *one.rule, &winner = *best.candidate->rule;
    if (far != best.far) return "rules of the side that sends, or of this namespace, come first at that device";
    switch (decisive_part(rule.rank, winner.rank)) {
        case RankPart::priority: return "it is of lower priority";
        case RankPart::specificity: return "it is less specific";
        case RankPart::age: break;
    }
    return "it is as specific, and younger";
}

Explained explain_one(const Candidate& one, const Best& best)
{
    Explained out;
    const auto& rule = one.rule->record.rule;
    out.name = rule.name;
    out.sentence = describe_rule(rule);
    if (best.candidate == &one) {
        out.verdict = Verdict::wins;
        return out;
    }
    const bool near = one.near.apart == nullptr, far = one.far.apart == nullptr;
    if (!near && !far) {
        out.why = one.near.apart == not_in_sample ? not_in_sample : fmt::format("{} is another", one.near.apart);
        return out;
    }
    if (one.state != RuleState::live || !one.is_due) {
        out.verdict = Verdict::idle;
        out.why = one.state != RuleState::live ? format_state(one.state)
                  : rule.flap                  ? "it is off at this moment (--flap)"
                                               : "it is off at this hour";
        return out;
    }
    const auto* lacking = near && one.near.lacking != nullptr ? one.near.lacking : far ? one.far.lacking : nullptr;
    const auto depends = [&lacking] { return fmt::format("it depends on {}, which is not given", lacking); };
    const bool is_near = near && (one.near.lacking != nullptr || !far);
    if (lacking != nullptr && is_above(one, !is_near, best)) {
        out.verdict = Verdict::open;
        out.why = depends();
    } else if (one.near.selects() || one.far.selects()) {
        out.verdict = Verdict::loses;
        out.why = why_below(one, !one.near.selects(), best);
    } else {
        out.why = fmt::format("{}, and {}", depends(), why_below(one, !is_near, best));
    }
    return out;
}

// The packet on the two sides of its device.
struct Sides {
    Packet near;
    std::optional<Packet> far;
};

Result<Sides> sides_of(const Instance& instance, const Rule& rule)
{
    HW_TRY(const auto links, netlink::list_links());
    Sides out;
    HW_TRY(out.near, resolve(instance, rule, links));
    if (out.near.device_flags & (HW_DEVICE_LOOPBACK | HW_DEVICE_PEER)) out.far = seen_from_there(out.near);
    // On lo a packet is met once, as its sender's.
    if ((out.near.device_flags & HW_DEVICE_LOOPBACK) && rule.direction == Direction::in) std::swap(out.near, *out.far);
    return out;
}

Result<std::vector<Candidate>> candidates_of(const Instance& instance, const std::vector<RankedRecord>& records,
                                             const Sides& sides)
{
    std::vector<Candidate> out;
    for (const auto& one : records) {
        const auto& record = one.record;
        HW_TRY(const auto state, read_state(instance, record));
        HW_TRY(const auto rule, instance.rules.find(record.id));
        Candidate candidate{&one, state, rule.has_value(), {}, {"--dev", nullptr}};
        if (rule && rule->flap_period != 0 && !hw_in_phase(&*rule, boottime_ns())) candidate.is_due = false;
        if (rule && rule->hours.days != 0 && !hw_in_hours(&rule->hours, tai_ns())) candidate.is_due = false;
        candidate.near = match(record, sides.near, instance.control->devices);
        if (sides.far) candidate.far = match(record, *sides.far, instance.control->devices);
        if (sides.near.slot == HW_MAX_DEVICES) candidate.near.apart = "--dev";  // nothing of ours is there
        out.push_back(candidate);
    }
    return out;
}

// The rule that the datapath names, or, where that depends on what is not given, the one that selects the packet in any
// case.
Result<Best> find_best(const Instance& instance, const std::vector<Candidate>& candidates, const Sides& sides)
{
    if (sides.near.slot == HW_MAX_DEVICES) return Best{};
    HW_TRY(const auto explainer, Explainer::load(instance));
    HW_TRY(const auto winner, winner_of(explainer, sides.near, sides.far));
    const auto found = std::ranges::find(candidates, winner.id, [](const auto& one) { return one.rule->record.id; });
    if (found == candidates.end()) return Best{};
    return (winner.far ? found->far : found->near).lacking == nullptr ? Best{&*found, winner.far} : best_of(candidates);
}

Result<Explanation> explain_in(const Instance& instance, const Rule& rule)
{
    HW_TRY(const auto sides, sides_of(instance, rule));
    HW_TRY(auto records, load_records(instance));
    std::erase_if(records, [](const auto& one) { return one.record.former; });
    std::ranges::sort(records, std::greater(), &RankedRecord::rank);
    HW_TRY(const auto candidates, candidates_of(instance, records, sides));
    HW_TRY(const auto best, find_best(instance, candidates, sides));
    Explanation out;
    for (const auto& one : candidates) out.rules.push_back(explain_one(one, best));
    return out;
}

}  // namespace

Result<Explanation> explain(const Rule& packet)
{
    HW_TRY(const bool panic, is_panic_on());
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance(Access::read));
        if (!instance) return Explanation{.panic = panic, .rules = {}};
        const auto version = instance->control->version;
        auto out = explain_in(*instance, packet);
        if (out) out->panic = panic;
        const auto after = find_control(Access::read);
        if (looks == 100 || (after && (*after)->version == version)) return out;
    }
}

}  // namespace headwind
