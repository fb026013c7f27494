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
#include "host/cgroup.h"
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

bool has_all_of_its_flow(const Selector& given)
{
    return !given.protocols.empty() && !given.remotes.empty() && !given.locals.empty() &&
           (given.protocols.front() >= 256 || given.protocols.front() == IPPROTO_ICMP ||
            (!given.local_ports.empty() && !given.remote_ports.empty()));
}

// How a rule stands to a packet, as far as it selects it.
struct Match {
    bool far = false;               // as the packet is on its other side
    const char* apart = nullptr;    // the flag by which it does not
    const char* lacking = nullptr;  // the flag on which it depends
    bool sampled_out = false;       // its --flows leave out the packet's
};

Match match(const RuleRecord& rule, const Packet& packet, std::span<const hw_device> devices)
{
    Match out;
    out.apart = apart_by(rule, packet.record, devices);
    if (out.apart != nullptr) return out;
    const auto& selector = rule.rule.selector;
    out.lacking = lacking(selector, packet);
    if (out.lacking != nullptr || !selector.flows) return out;
    if (!has_all_of_its_flow(selector_of(packet))) {
        out.lacking = "--flows";
        return out;
    }
    const auto question = question_of(packet, false);
    out.sampled_out = hw_flow_number(&question.key, selector.flow_seed) >= selector.flows->threshold;
    return out;
}

// On which side the rule gets the packet: the near one is asked first.
Match match_any(const RuleRecord& rule, const Packet& near, const std::optional<Packet>& far,
                std::span<const hw_device> devices)
{
    const auto first = match(rule, near, devices);
    if (!far || (first.apart == nullptr && first.lacking == nullptr)) return first;
    auto second = match(rule, *far, devices);
    second.far = true;
    const bool better = second.apart == nullptr && (first.apart != nullptr || second.lacking == nullptr);
    return better ? second : first;
}

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
    const RankedRecord* rule = nullptr;  // null: none
    bool far = false;
};

bool is_above(const RankedRecord& rule, bool far, const Best& best)
{
    if (best.rule == nullptr) return true;
    return far == best.far ? rule.rank > best.rule->rank : !far;
}

const char* why_below(const RankedRecord& rule, bool far, const Best& best)
{
    if (far != best.far) return "rules of the side that sends, or of this namespace, come first at that device";
    if (rule.record.priority() != best.rule->record.priority()) return "it is of lower priority";
    return rule.rank >> 32 != best.rule->rank >> 32 ? "it is less specific" : "it is as specific, and younger";
}

Explained explain_one(const RankedRecord& rule, const Best& best, const Match& match, RuleState state)
{
    Explained out;
    out.name = rule.record.rule.name;
    out.sentence = describe_rule(rule.record.rule);
    const bool wins = best.rule == &rule, above = wins || is_above(rule, match.far, best);
    if (wins && match.lacking == nullptr) {
        out.verdict = Verdict::wins;
    } else if (match.apart != nullptr && !wins) {
        out.why = fmt::format("{} is another", match.apart);
    } else if (match.sampled_out) {
        out.why = "--flows: this one is not in its sample";
    } else if (state != RuleState::live) {
        out.verdict = Verdict::idle;
        out.why = format_state(state);
    } else if (match.lacking != nullptr) {
        out.verdict = above ? Verdict::open : Verdict::apart;
        out.why = fmt::format("it depends on {}, which is not given", match.lacking) +
                  (above ? "" : fmt::format(", and {}", why_below(rule, match.far, best)));
    } else if (!above) {
        out.verdict = Verdict::loses;
        out.why = why_below(rule, match.far, best);
    } else {
        out.verdict = Verdict::idle;
        out.why = rule.record.rule.flap    ? "it is off at this moment (--flap)"
                  : rule.record.rule.hours ? "it is off at this hour"
                                           : "it is not in force at this moment";
    }
    return out;
}

Result<Explanation> explain_in(const Instance& instance, const Rule& rule)
{
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(auto near, resolve(instance, rule, links));
    HW_TRY(auto records, load_records(instance));
    std::erase_if(records, [](const auto& one) { return one.record.former; });
    std::ranges::sort(records, std::greater(), &RankedRecord::rank);
    std::optional<Packet> far;
    if (near.device_flags & (HW_DEVICE_LOOPBACK | HW_DEVICE_PEER)) far = seen_from_there(near);
    // On lo a packet is met once, as its sender's.
    if ((near.device_flags & HW_DEVICE_LOOPBACK) && rule.direction == Direction::in) std::swap(near, *far);
    Winner winner;
    const bool is_met = near.slot != HW_MAX_DEVICES;
    if (is_met) {
        HW_TRY(const auto explainer, Explainer::load(instance));
        HW_TRY(winner, winner_of(explainer, near, far));
    }
    const auto found = std::ranges::find(records, winner.id, [](const auto& one) { return one.record.id; });
    const Best best{found == records.end() ? nullptr : &*found, winner.far};
    Explanation out;
    for (const auto& one : records) {
        HW_TRY(const auto state, read_state(instance, one.record));
        auto match = match_any(one.record, near, far, instance.control->devices);
        if (!is_met) match.apart = "--dev";
        out.rules.push_back(explain_one(one, best, match, state));
    }
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
