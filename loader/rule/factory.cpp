// SPDX-License-Identifier: MIT
// Makes rules, with every check that a rule must pass. (impairment.cpp has the impairment's, parse.cpp the words'.)
#include "rule/factory.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <fmt/ranges.h>

#include <headwind/abi.h>
#include "rule/flags.h"
#include "util/text.h"
#include "util/typed.h"

namespace headwind {
namespace {

constexpr std::size_t max_device_length = 15;    // IFNAMSIZ without the NUL
constexpr std::size_t max_cgroup_length = 4095;  // PATH_MAX without the NUL

// ---- lists ----

// The entries of the lists, parsed, each value once, in the order typed.
template <class T>
Result<std::vector<T>> parse_list(std::string_view flag, const std::vector<std::string>& values,
                                  Result<T> (*parse)(std::string_view))
{
    HW_TRY(const auto entries, split(flag, values));
    std::vector<T> list;
    for (const std::string_view entry : entries) {
        HW_TRY(T value, named(flag, entry, parse(entry)));
        if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(std::move(value));
    }
    return list;
}

Result<std::vector<PortRange>> parse_port_list(std::string_view flag, const std::vector<std::string>& values)
{
    if (values.empty()) return std::vector<PortRange>{};
    for (const std::string& value : values) HW_CHECK(named(flag, value, parse_ports(value)));
    return parse_ports(fmt::format("{}", fmt::join(values, ",")));
}

// ---- single words ----

bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

Result<std::string> parse_name(std::string_view text)
{
    if (text.empty()) return fail(ErrorKind::usage, "--name: missing: give the rule a name, like --name slow-db");
    if (!std::all_of(text.begin(), text.end(), is_name_character) || text.front() == '-' || text.front() == '.') {
        return refuse("--name", text, "use letters, digits, '-', '_' and '.', not starting with '-' or '.'");
    }
    if (text.size() > max_name_length) {
        return refuse("--name", text, fmt::format("{} characters: use at most {}", text.size(), max_name_length));
    }
    return std::string(text);
}

// Accepts names that the kernel's dev_valid_name accepts and that are readable.
Result<std::string> parse_device(std::string_view text)
{
    const bool valid =
        is_plain_text(text) && text.find_first_of("/: ") == std::string_view::npos && text != "." && text != "..";
    if (!valid) return fail(ErrorKind::usage, "no network device's name: write it as 'ip link' shows it, like eth0");
    if (text.size() > max_device_length) {
        return fail(ErrorKind::usage, "longer than a device name can be ({} bytes): write it as 'ip link' shows it",
                    max_device_length);
    }
    return std::string(text);
}

Result<std::string> parse_cgroup(std::string_view text)
{
    if (!is_plain_text(text)) {
        return fail(ErrorKind::usage, "not plain UTF-8 text: write a path like /system.slice/postgresql.service");
    }
    if (text.size() > max_cgroup_length) {
        return fail(ErrorKind::usage, "longer than a path can be ({} bytes): write it relative to the cgroup2 mount",
                    max_cgroup_length);
    }
    return std::string(text);
}

Result<Direction> parse_direction(std::string_view text)
{
    for (const Direction direction : {Direction::out, Direction::in, Direction::both}) {
        if (trimmed(text) == format_direction(direction)) return direction;
    }
    return fail(ErrorKind::usage, "unknown direction: write out, in or both");
}

Result<int> parse_priority(std::string_view text)
{
    std::string_view digits = trimmed(text);
    const bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    int value = 0;
    bool valid = !digits.empty();
    for (const char c : digits) {
        valid = valid && c >= '0' && c <= '9';
        if (valid) value = std::min(value * 10 + (c - '0'), max_priority + 1);
    }
    if (!valid || value > max_priority) {
        return fail(ErrorKind::usage, "write a whole number from -{0} to {0} (the highest wins)", max_priority);
    }
    return negative ? -value : value;
}

// ---- the selector as a whole ----

enum Families : unsigned { no_family = 0, ipv4 = 1, ipv6 = 2, any_family = 3 };

// The kinds of addresses that packets of this protocol have. (The datapath does not look into ARP.)
unsigned families(Protocol protocol)
{
    if (is_ethernet(protocol)) return no_family;
    switch (protocol) {
        case 1:  // ICMP
        case 2:  // IGMP
            return ipv4;
        case 58:  // ICMPv6
        case HW_PROTO_ND: return ipv6;
        case HW_PROTO_ARP: return no_family;
        default: return any_family;
    }
}

unsigned families(const Cidr& cidr)
{
    return cidr.v4 ? ipv4 : ipv6;
}

// An empty list restricts nothing.
template <class T>
unsigned families(const std::vector<T>& list)
{
    unsigned result = list.empty() ? any_family : no_family;
    for (const T& element : list) result |= families(element);
    return result;
}

std::string typed_ports(const RuleSpec& text)
{
    std::string words;
    if (!text.ports.empty()) append_word(words, typed("--port", text.ports));
    if (!text.local_ports.empty()) append_word(words, typed("--local-port", text.local_ports));
    if (!text.remote_ports.empty()) append_word(words, typed("--remote-port", text.remote_ports));
    return words;
}

std::string typed_addresses(const RuleSpec& text)
{
    std::string words;
    if (!text.protocols.empty()) append_word(words, typed("--proto", text.protocols));
    if (!text.locals.empty()) append_word(words, typed("--local", text.locals));
    if (!text.remotes.empty()) append_word(words, typed("--remote", text.remotes));
    return words;
}

// Refuses ports and addresses for protocols that are not IP's, also beside others: they would select nothing of these.
Status check_ethernet(const Selector& selector, const RuleSpec& text)
{
    const auto& protocols = selector.protocols;
    const auto found = std::find_if(protocols.begin(), protocols.end(), is_ethernet);
    if (found == protocols.end()) return {};
    const bool by_address = !selector.locals.empty() || !selector.remotes.empty();
    const bool by_port = !selector.ports.empty() || !selector.local_ports.empty() || !selector.remote_ports.empty();
    if (!by_address && !by_port) return {};
    std::string words = typed_addresses(text);
    if (by_port) append_word(words, typed_ports(text));
    return fail(ErrorKind::usage, "{}: {} is not IP, and has no {}: make a rule of its own for it", words,
                format_protocol(*found),
                by_address && by_port ? "addresses and ports"
                : by_port             ? "ports"
                                      : "addresses");
}

Status check_ports(const Selector& selector, const RuleSpec& text)
{
    const bool one_sided = !selector.local_ports.empty() || !selector.remote_ports.empty();
    if (!selector.ports.empty() && one_sided) {
        return fail(ErrorKind::usage,
                    "{}: --port means either end: use --port alone, or --local-port and --remote-port",
                    typed_ports(text));
    }
    const auto& protocols = selector.protocols;
    const bool portless = !protocols.empty() && std::none_of(protocols.begin(), protocols.end(), carries_ports);
    if (portless && (one_sided || !selector.ports.empty())) {
        return fail(ErrorKind::usage, "{} {}: no such protocol has ports: use --proto tcp, udp or sctp",
                    typed("--proto", text.protocols), typed_ports(text));
    }
    return {};
}

Status check_families(const Selector& selector, const RuleSpec& text)
{
    if (selector.locals.empty() && selector.remotes.empty()) return {};
    if (families(selector.protocols) == no_family) {
        return fail(ErrorKind::usage, "{}: ARP is not selected by address: leave --local and --remote out",
                    typed_addresses(text));
    }
    if (families(selector.protocols) & families(selector.locals) & families(selector.remotes)) return {};
    return fail(
        ErrorKind::usage,
        "{}: no packet can match: use only IPv4 (addresses like 10.0.0.0/8, icmp) or only IPv6 (addresses like 2001:db8::/32, icmpv6, nd)",
        typed_addresses(text));
}

Status put_flows(const RuleSpec& text, Selector& selector)
{
    for (const Flag& flag : rule_flags())
        if (flag.kind == FlagKind::selector && lacks_company(flag, text))
            return refuse_flag(flag, text, flag.needs_why);
    if (!text.flows) return {};
    HW_TRY(selector.flows, named("--flows", *text.flows, parse_probability(*text.flows)));
    if (selector.flows->threshold == 0)
        return refuse("--flows", *text.flows, "no flow at all: write a share above 0%, like 5%");
    if (!text.flow_seed) return {};
    const std::string_view digits = trimmed(*text.flow_seed);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), selector.flow_seed);
    if (error != std::errc{} || end != digits.data() + digits.size())
        return refuse("--flow-seed", *text.flow_seed, "write a whole number from 0 to 4294967295");
    return {};
}

Result<Selector> make_selector(const RuleSpec& text)
{
    Selector selector;
    HW_TRY(selector.devices, parse_list("--dev", text.devices, parse_device));
    selector.loopback = text.loopback;
    HW_TRY(selector.cgroups, parse_list("--cgroup", text.cgroups, parse_cgroup));
    HW_TRY(selector.protocols, parse_list("--proto", text.protocols, parse_protocol));
    HW_TRY(selector.ports, parse_port_list("--port", text.ports));
    HW_TRY(selector.local_ports, parse_port_list("--local-port", text.local_ports));
    HW_TRY(selector.remote_ports, parse_port_list("--remote-port", text.remote_ports));
    HW_TRY(selector.locals, parse_list("--local", text.locals, parse_cidr));
    HW_TRY(selector.remotes, parse_list("--remote", text.remotes, parse_cidr));
    HW_CHECK(check_ethernet(selector, text));
    HW_CHECK(check_ports(selector, text));
    HW_CHECK(check_families(selector, text));
    HW_CHECK(put_flows(text, selector));
    return selector;
}

Result<Direction> make_direction(const RuleSpec& text, const Impairment& impairment)
{
    const bool both_ways = partitions(impairment) || impairment.pass;
    if (!text.direction) return both_ways ? Direction::both : Direction::out;
    return named("--direction", *text.direction, parse_direction(*text.direction));
}

// Refuses to hold what the kernel cannot, where a rule is for nothing else.
Status check_holding(const Rule& rule, const RuleSpec& text)
{
    const auto& protocols = rule.selector.protocols;
    const bool ip = protocols.empty() || !std::all_of(protocols.begin(), protocols.end(), is_ethernet);
    if (ip || (rule.impairment.delay == 0 && rule.impairment.rate == 0)) return {};
    return fail(
        ErrorKind::usage,
        "{}: the kernel can hold only IP: leave delay and rate out (loss, corruption, duplication and partition work)",
        typed("--proto", text.protocols));
}

// Refuses events that depend on each other where their share changes.
Status check_sequence(const Timeline& timeline, const Impairment& impairment)
{
    const bool changing = varies(timeline, Quantity::loss) || varies(timeline, Quantity::corrupt) ||
                          varies(timeline, Quantity::duplicate);
    if (!changing || !has_sequence(impairment)) return {};
    return fail(
        ErrorKind::usage,
        "{}: how packets follow each other (correlations, --loss-burst, --loss-model, --loss-nth, --loss-pattern, --seed) goes with shares that stay: leave it out, or what varies them",
        timeline.file.empty() ? "--ramp" : "--trace");
}

// Refuses to vary what a law's shape is made of.
Status check_law(const Timeline& timeline, const Impairment& impairment)
{
    const bool changing = varies(timeline, Quantity::delay) || varies(timeline, Quantity::jitter);
    if (!changing || impairment.distribution != Distribution::lognormal) return {};
    return refuse("--distribution", "lognormal",
                  fmt::format("its shape comes from --jitter / --delay, which {} varies: use normal or exponential",
                              timeline.file.empty() ? "--ramp" : "--trace"));
}

Result<Xdp> parse_xdp(std::string_view text)
{
    for (const Xdp xdp : {Xdp::automatic, Xdp::native, Xdp::generic, Xdp::off}) {
        if (trimmed(text) == format_xdp(xdp)) return xdp;
    }
    return fail(ErrorKind::usage, "unknown mode: write auto, native, generic or off");
}

// Whether the rule is loss or partition of incoming packets, whoever receives them, and nothing else.
bool can_xdp_decide(const Rule& rule)
{
    Impairment rest = rule.impairment;
    rest.loss.reset();
    rest.partition = false;
    return rule.direction != Direction::out && rule.selector.cgroups.empty() && !is_at_peer(rule) &&
           rest == Impairment{} && !rule.timeline && !rule.max_share && rule.impairment != rest;
}

Status check_loopback(const Rule& rule)
{
    if (rule.selector.loopback && !rule.selector.devices.empty())
        return fail(ErrorKind::usage,
                    "--loopback: it adds lo to the devices that a rule without --dev is at: say --dev {},lo",
                    fmt::join(rule.selector.devices, ","));
    if (!is_at_peer(rule)) return {};
    if (rule.selector.loopback)
        return fail(ErrorKind::usage,
                    "--loopback: the pod's lo is not at the host's side: use --at pod, not --at host");
    const auto& remotes = rule.selector.remotes;
    const auto found = std::find_if(remotes.begin(), remotes.end(), is_loopback);
    if (found == remotes.end()) return {};
    return refuse("--remote", format_cidr(*found), "what goes there never leaves the pod: use --at pod, not --at host");
}

Status check_xdp(const Rule& rule)
{
    if (rule.xdp == Xdp::automatic || rule.xdp == Xdp::off) return {};
    const auto mode = format_xdp(rule.xdp);
    if (rule.selector.devices.empty())
        return refuse("--xdp", mode, "say on which devices, with --dev (auto and off need none)");
    if (can_xdp_decide(rule)) return {};
    return refuse(
        "--xdp", mode,
        "XDP decides only --loss or --partition of what comes in, for all cgroups: add --direction in or both, and leave out --cgroup, --container, --pod, --max-share and every other impairment; or use --xdp auto");
}

}  // namespace

bool is_at_peer(const Rule& rule)
{
    return rule.subject && rule.subject->at_host;
}

bool is_loopback(const Cidr& cidr)
{
    constexpr std::array<std::uint8_t, 16> ipv6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (cidr.v4) return cidr.prefix >= 104 && cidr.address[12] == 127;  // 127.0.0.0/8 and parts of it
    return cidr.prefix == 128 && cidr.address == ipv6;
}

bool spares_loopback(const Rule& rule)
{
    const auto& selector = rule.selector;
    if (selector.loopback || !selector.devices.empty()) return false;
    if (!rule.subject && selector.cgroups.empty()) return false;
    return std::none_of(selector.remotes.begin(), selector.remotes.end(), is_loopback);
}

bool is_for_xdp(const Rule& rule)
{
    return rule.xdp != Xdp::off && can_xdp_decide(rule);
}

std::string_view format_xdp(Xdp xdp)
{
    switch (xdp) {
        case Xdp::automatic: return "auto";
        case Xdp::native: return "native";
        case Xdp::generic: return "generic";
        case Xdp::off: return "off";
    }
    return "auto";
}

Result<Rule> make_rule(const RuleSpec& text)
{
    Rule rule;
    HW_TRY(rule.name, parse_name(text.name));
    HW_TRY(rule.selector, make_selector(text));
    HW_TRY(RuleSpec flags, spell_out(text));
    HW_TRY(rule.timeline, make_timeline(flags));
    if (rule.timeline) HW_CHECK(put_worst(*rule.timeline, flags));
    auto impairment = make_impairment(flags);
    if (text.netem) impairment = named("--netem", *text.netem, std::move(impairment));
    HW_TRY(rule.impairment, std::move(impairment));
    if (rule.timeline) {
        HW_CHECK(check_sequence(*rule.timeline, rule.impairment));
        HW_CHECK(check_law(*rule.timeline, rule.impairment));
    }
    HW_CHECK(check_holding(rule, text));
    rule.subject = text.subject;
    if (rule.impairment.pass || rule.impairment.partition) rule.suspended = text.suspended;
    HW_TRY(rule.direction, make_direction(flags, rule.impairment));
    if (text.priority) {
        HW_TRY(rule.priority, named("--priority", *text.priority, parse_priority(*text.priority)));
    }
    if (text.flap) {
        HW_TRY(rule.flap, named("--flap", *text.flap, parse_flap(*text.flap)));
    }
    HW_TRY(rule.hours, make_hours(text));
    if (text.xdp) {
        HW_TRY(rule.xdp, named("--xdp", *text.xdp, parse_xdp(*text.xdp)));
    }
    HW_CHECK(put_stops(text, rule));
    HW_CHECK(check_xdp(rule));
    HW_CHECK(check_loopback(rule));
    return rule;
}

}  // namespace headwind
