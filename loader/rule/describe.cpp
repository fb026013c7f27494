// SPDX-License-Identifier: MIT
// Describes rules in English, on one line.
#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include <headwind/abi.h>
#include "chance/chain.h"
#include "chance/packet_list.h"
#include "rule/rule.h"

namespace headwind {
namespace {

constexpr std::size_t short_id_length = 12;  // characters of a container's id, as engines show it

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// "1m30s" -> "1 m 30 s"
std::string spaced(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        const bool number = is_digit(c) || c == '.';
        if (!result.empty() && number != (is_digit(result.back()) || result.back() == '.')) result += ' ';
        result += c;
    }
    return result;
}

// "a", "a and b", "a, b and c"
std::string listed(const std::vector<std::string>& words, std::string_view last)
{
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i != 0) text += i + 1 == words.size() ? fmt::format(" {} ", last) : ", ";
        text += words[i];
    }
    return text;
}

std::string alternatives(const std::vector<std::string>& words)
{
    return listed(words, "or");
}

std::string protocol_title(Protocol protocol)
{
    if (protocol == HW_PROTO_ND) return "neighbour discovery";
    if (protocol == 58) return "ICMPv6";
    if (protocol == HW_PROTO_LLC) return "802.3 LLC";
    if (protocol == HW_PROTO_PPPOE) return "PPPoE";
    std::string title = format_protocol(protocol);
    if (is_digit(title.front())) return (is_ethernet(protocol) ? "EtherType " : "IP protocol ") + title;
    for (char& c : title) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return title;
}

// "port 80", "ports 22, 80 or 8000-8080"
std::string port_words(const std::vector<PortRange>& ports)
{
    std::vector<std::string> words;
    for (const PortRange& range : ports) words.push_back(format_ports({range}));
    const bool one = ports.size() == 1 && ports.front().first == ports.front().last;
    return (one ? "port " : "ports ") + alternatives(words);
}

std::string address_words(const std::vector<Cidr>& addresses)
{
    std::vector<std::string> words;
    for (const Cidr& address : addresses) words.push_back(format_cidr(address));
    return alternatives(words);
}

// One end of the packets: "port 80 of 10.0.0.0/8", "local address 192.0.2.1"; empty: any. `side` is "local ",
// "remote " or nothing.
std::string end_words(std::string_view side, const std::vector<PortRange>& ports, const std::vector<Cidr>& addresses)
{
    if (ports.empty() && addresses.empty()) return {};
    std::string words(side);
    if (!ports.empty()) words += port_words(ports);
    if (!ports.empty() && !addresses.empty()) words += " of ";
    if (ports.empty() && !side.empty()) words += addresses.size() == 1 ? "address " : "addresses ";
    return words + address_words(addresses);
}

void append(std::string& text, std::string_view preposition, std::string_view words)
{
    if (!words.empty()) text += fmt::format(" {} {}", preposition, words);
}

// " to 10.0.0.0/8 from local port 22"
std::string ends(const Selector& selector, Direction direction)
{
    const bool both = direction == Direction::both;
    const std::string remote = end_words(both ? "remote " : "", selector.remote_ports, selector.remotes);
    const std::string local = end_words("local ", selector.local_ports, selector.locals);
    std::string text;
    switch (direction) {
        case Direction::out:
            append(text, "to", remote);
            append(text, "from", local);
            break;
        case Direction::in:
            append(text, "from", remote);
            append(text, "at", local);
            break;
        case Direction::both:
            append(text, "with", remote);
            append(text, remote.empty() ? "with" : "and", local);
            break;
    }
    if (selector.ports.empty()) return text;
    if (text.empty()) return " to or from " + port_words(selector.ports);
    return text + ", with " + port_words(selector.ports) + " at either end,";
}

// " of 5% of the flows (seed 7)"
std::string share_words(const Selector& selector)
{
    if (!selector.flows) return {};
    std::string words = fmt::format(" of {} of the flows", format_probability(*selector.flows));
    if (selector.flow_seed != 0) words += fmt::format(" (seed {})", selector.flow_seed);
    return words;
}

std::string subject(const Selector& selector)
{
    if (!selector.protocols.empty()) {
        std::vector<std::string> titles;
        for (const Protocol protocol : selector.protocols) titles.push_back(protocol_title(protocol));
        const bool frames = std::all_of(selector.protocols.begin(), selector.protocols.end(), is_ethernet);
        return alternatives(titles) + (frames ? " frames" : " packets") + share_words(selector);
    }
    const bool any = selector.cgroups.empty() && selector.ports.empty() && selector.local_ports.empty() &&
                     selector.remote_ports.empty() && selector.locals.empty() && selector.remotes.empty();
    return (any && !selector.flows ? "all frames but ARP, neighbour discovery and DHCP" : "packets") +
           share_words(selector);
}

// "cgroup /a/b", "container web (…) of pod default/shop", "process 4711 and all of its cgroup /user.slice/x"
std::string senders(const Rule& rule)
{
    const auto& cgroups = rule.selector.cgroups;
    std::string words = cgroups.empty() ? "" : (cgroups.size() > 1 ? "cgroups " : "cgroup ") + alternatives(cgroups);
    if (!rule.subject) return words;
    if (rule.subject->process == 0) return describe(*rule.subject);
    return describe(*rule.subject) + " and all of its " + words;
}

std::string_view verb(Direction direction)
{
    switch (direction) {
        case Direction::out: return "sent";
        case Direction::in: return "received";
        case Direction::both: return "sent and received";
    }
    return "sent";
}

std::string places(const Rule& rule, const DescribeContext& context)
{
    const auto& devices = context.devices.empty() ? rule.selector.devices : context.devices;
    const auto* const rest = is_at_peer(rule) ? " (host side)" : spares_loopback(rule) ? ", not lo" : "";
    if (devices.empty()) return fmt::format("through every lowest device that is up{}", rest);
    return fmt::format("through {}{}", fmt::join(devices, ", "), rest);
}

// " (normal, correlation 25%, 0.62% without delay)"
std::string law_words(const Impairment& impairment)
{
    std::vector<std::string> words;
    if (impairment.distribution != Distribution::uniform) words.push_back(format_distribution(impairment));
    if (impairment.delay_correlation)
        words.push_back(fmt::format("correlation {}", format_probability(*impairment.delay_correlation)));
    if (impairment.correlation_time != 0)
        words.push_back(
            fmt::format("in order, correlation time {}", spaced(format_duration(impairment.correlation_time))));
    if (const double cut = share_without_delay(impairment); cut > 1e-4)
        words.push_back(fmt::format("{:.2g}% without delay", 100 * cut));
    return words.empty() ? "" : fmt::format(" ({})", fmt::join(words, ", "));
}

// `law`: whether there is one: the jitter may vary by itself, and be told elsewhere.
std::string delay_words(const Impairment& impairment, bool law)
{
    std::string words = "delay " + spaced(format_duration(impairment.delay));
    if (impairment.jitter != 0) words += " ± " + spaced(format_duration(impairment.jitter));
    return law ? words + law_words(impairment) : words;
}

// Whether the link of `rate` is.
bool is_behind_delay(const Impairment& impairment)
{
    return impairment.rate_last && impairment.delay != 0;
}

std::string rate_words(const Impairment& impairment)
{
    std::string words = "rate " + spaced(format_rate(impairment.rate));
    if (is_behind_delay(impairment)) words += " behind the delay";
    if (!impairment.queue) return words;
    const QueueLimit& queue = *impairment.queue;
    const std::string limit = queue.bytes != 0 ? format_size(queue.bytes) : format_duration(queue.nanoseconds);
    return words + fmt::format(" (queue {})", spaced(limit));
}

void add_chance(std::vector<std::string>& words, std::string_view event, const std::optional<Probability>& probability,
                const std::optional<Probability>& correlation)
{
    if (!probability) return;
    words.push_back(fmt::format("{} {}", event, format_probability(*probability)));
    if (correlation) words.back() += fmt::format(" (correlation {})", format_probability(*correlation));
}

// "loss 1% in bursts of 3 packets", "loss of 1 in 7 packets, evenly", "loss by gemodel 1% 10% 100% 0% (9.09%, in bursts
// of 10 packets)"; bursts are mean lengths
void add_loss(std::vector<std::string>& words, const Impairment& impairment)
{
    if (impairment.loss_nth != 0) {
        words.push_back(fmt::format("loss of 1 in {} packets, evenly", impairment.loss_nth));
    } else if (!impairment.lost_packets.empty()) {
        words.push_back(fmt::format("loss of {} of the first {} packets ({})", count_of(impairment.lost_packets),
                                    impairment.lost_packets.back().second, impairment.loss_pattern));
    } else if (!impairment.loss_model.empty() && impairment.loss) {
        const auto facts = facts_of(loss_chain(impairment));
        words.push_back(fmt::format("loss by {} ({:.3g}%", impairment.loss_model, 100 * facts.share));
        words.back() += std::isfinite(facts.mean_burst) && facts.share > 0
                            ? fmt::format(", in bursts of {:.3g} packets)", facts.mean_burst)
                            : ")";
    } else {
        add_chance(words, "loss", impairment.loss, impairment.loss_correlation);
        if (impairment.loss && impairment.loss_burst != 0)
            words.back() += fmt::format(" in bursts of {} packets", static_cast<double>(impairment.loss_burst) / 1000);
    }
}

// The impairments that are constant: all of them with an empty timeline.
std::vector<std::string> impairment_words(Impairment impairment, const Timeline& timeline)
{
    std::vector<std::string> words;
    if (partitions(impairment)) words.emplace_back("partition");
    if (varies(timeline, Quantity::loss)) impairment.loss.reset();
    if (varies(timeline, Quantity::duplicate)) impairment.duplicate.reset();
    if (varies(timeline, Quantity::corrupt)) impairment.corrupt.reset();
    if (impairment.delay != 0 && !varies(timeline, Quantity::delay)) {
        const bool law = impairment.jitter != 0;
        if (varies(timeline, Quantity::jitter)) impairment.jitter = 0;
        words.push_back(delay_words(impairment, law));
    } else if (impairment.jitter != 0 && !varies(timeline, Quantity::jitter)) {
        words.push_back("jitter " + spaced(format_duration(impairment.jitter)) + law_words(impairment));
    } else if (impairment.jitter != 0 && !law_words(impairment).empty()) {
        words.push_back("delays" + law_words(impairment));
    }
    add_loss(words, impairment);
    add_chance(words, "duplicate", impairment.duplicate, impairment.duplicate_correlation);
    add_chance(words, "corrupt", impairment.corrupt, impairment.corrupt_correlation);
    add_chance(words, "reorder", impairment.reorder, impairment.reorder_correlation);
    if (impairment.reorder && impairment.reorder_gap != 1)
        words.back() += fmt::format(" (gap {})", impairment.reorder_gap);
    if (impairment.rate != 0) words.push_back(rate_words(impairment));
    if (words.empty() && timeline.varying.empty()) words.push_back(delay_words(impairment, false));  // of 0
    if (varies(timeline, Quantity::rate)) {  // only its queue may be constant
        const auto queue = words.back().find('(');
        words.back() =
            queue == std::string::npos ? "" : words.back().substr(queue + 1, words.back().size() - queue - 2);
        if (words.back().empty()) words.pop_back();
        if (is_behind_delay(impairment)) words.emplace_back("rate behind the delay");
    }
    if (impairment.netem_compatible) words.emplace_back("computed as netem does");
    if (impairment.seed != 0) words.push_back(fmt::format("seed {}", impairment.seed));
    if (impairment.reject == Reject::rst) words.emplace_back("reject with RST");
    if (impairment.reject == Reject::icmp) words.emplace_back("reject with ICMP");
    return words;
}

// 10000 -> "10,000"
std::string grouped(std::uint32_t number)
{
    auto digits = fmt::format("{}", number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), ",");
    return digits;
}

// "delay 0 s to 200 ms"
std::vector<std::string> varying_words(const Timeline& timeline)
{
    std::vector<std::string> words;
    for (const auto& [quantity, from, to] : timeline.varying) {
        const auto shown = [which = quantity](std::uint64_t value) {
            const auto text = format_quantity(which, value);
            return text.ends_with('%') ? text : spaced(text);
        };
        words.push_back(fmt::format("{} {} to {}", name_of(quantity), shown(from), shown(to)));
    }
    return words;
}

// "delay 0 s to 200 ms over 1 m" / "trace lte.csv: 10,000 steps over 16 m 40 s, rate 1 mbit to 9 mbit"
std::string timeline_words(const Timeline& timeline)
{
    const auto varying = fmt::format("{}", fmt::join(varying_words(timeline), ", "));
    const auto length = spaced(format_duration(timeline.length));
    const std::string_view again = timeline.repeat ? ", again and again" : "";
    if (timeline.file.empty()) return fmt::format("{} over {}{}", varying, length, again);
    return fmt::format("trace {}: {} steps over {}{}, {}", timeline.file, grouped(timeline.phases), length, again,
                       varying);
}

constexpr std::string_view day_titles[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                           "Friday", "Saturday", "Sunday"};

// "Monday to Friday", "Monday, Wednesday and Sunday"
std::string day_words(std::uint8_t days)
{
    std::vector<std::string> words;
    for (const auto& [first, last] : day_ranges(days)) {
        words.emplace_back(day_titles[first]);
        if (last == (first + 1) % 7)
            words.emplace_back(day_titles[last]);
        else if (last != first)
            words.back() += fmt::format(" to {}", day_titles[last]);
    }
    return listed(words, "and");
}

// "between 09:00 and 17:00 (Europe/Berlin), Monday to Friday"
std::string hours_words(const Hours& hours, const std::string& zone)
{
    const auto whose = zone.empty() ? "local time" : zone;
    const bool all_day = hours.from == 0 && hours.to == Hours{}.to;
    if (all_day) return fmt::format("{} ({})", day_words(hours.days), whose);
    const auto times = format_between(hours);
    const auto dash = times.find('-');
    auto words = fmt::format("between {} and {} ({})", times.substr(0, dash), times.substr(dash + 1), whose);
    if (hours.days == every_day) return words;
    return words + fmt::format(", {}{}", is_overnight(hours) ? "beginning on " : "", day_words(hours.days));
}

}  // namespace

std::string describe(const Impairment& impairment)
{
    if (impairment.pass) return "pass";
    return fmt::format("{}", fmt::join(impairment_words(impairment, {}), ", "));
}

std::string describe(const Subject& subject)
{
    if (subject.process != 0) return fmt::format("process {}", subject.process);
    if (subject.id.empty()) return "pod " + subject.pod;
    const std::string id = subject.id.substr(0, short_id_length);
    std::string text = "container " + (subject.container.empty() ? id : fmt::format("{} ({})", subject.container, id));
    append(text, "of pod", subject.pod);
    return text;
}

std::string describe_rule(const Rule& rule, const DescribeContext& context)
{
    const Selector& selector = rule.selector;
    std::string text = fmt::format("{} {}", subject(selector), verb(rule.direction));
    append(text, "by", senders(rule));
    text += ends(selector, rule.direction);
    if (rule.timeline) {
        auto words = impairment_words(rule.impairment, *rule.timeline);
        words.push_back(timeline_words(*rule.timeline));
        text += fmt::format(" {}: {}", places(rule, context), fmt::join(words, ", "));
    } else {
        text += fmt::format(" {}: {}", places(rule, context), describe(rule.impairment));
        if (rule.suspended) text += fmt::format(" in place of {}", describe(*rule.suspended));
    }
    if (rule.flap)
        text += fmt::format(", for {} after every {} without", spaced(format_duration(rule.flap->down)),
                            spaced(format_duration(rule.flap->up)));
    if (rule.hours) text += ", " + hours_words(*rule.hours, context.zone);
    if (rule.priority != default_priority) text += fmt::format(", priority {}", rule.priority);
    if (rule.max_share)
        text += fmt::format(", as long as that is at most {} of a hook's packets in a minute",
                            format_probability(*rule.max_share));
    if (!rule.stop_if.empty()) text += fmt::format(", as long as `{}` succeeds", rule.stop_if);
    if (!context.until.empty()) text += fmt::format(", until {}", context.until);
    if (context.lease != 0 && rule.stop_if.empty())
        text += fmt::format(", while its lease of {} is renewed", spaced(format_duration(context.lease)));
    return text;
}

}  // namespace headwind
