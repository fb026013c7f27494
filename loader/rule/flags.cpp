// SPDX-License-Identifier: MIT
// Holds the table of flags, and looks flags up in it.
#include "rule/flags.h"

#include <algorithm>
#include <charconv>

#include "util/text.h"
#include "util/typed.h"

namespace headwind {
namespace {

Result<std::uint64_t> parse_nth(std::string_view text)
{
    constexpr std::uint64_t most = 1'000'000'000;
    std::uint64_t value = 0;
    const auto digits = trimmed(text);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size() && value >= 2 && value <= most) return value;
    return fail(ErrorKind::usage, "write a whole number of packets from 2 to {}", most);
}

Result<std::uint64_t> parse_seed(std::string_view text)
{
    std::uint64_t value = 0;
    const auto digits = trimmed(text);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size() && value != 0) return value;
    return fail(ErrorKind::usage, "write a whole number from 1 to {}", ~std::uint64_t{0});
}

std::string format_whole(std::uint64_t value)
{
    return fmt::format("{}", value);
}

constexpr Amount time_at(std::uint64_t Impairment::*at)
{
    return {at, parse_duration, format_duration, "ns"};
}

constexpr Amount count_at(std::uint64_t Impairment::*at)
{
    return {at, parse_nth, format_whole, ""};
}

constexpr Amount seed_at(std::uint64_t Impairment::*at)
{
    return {at, parse_seed, format_whole, ""};
}

constexpr Amount rate_at(std::uint64_t Impairment::*at)
{
    return {at, parse_rate, format_rate, "bit"};
}

// A namespace for the table's own names: other files of this folder have the same ones.
namespace table {

using enum FlagKind;

constexpr std::string_view packets = "Which packets", effects = "What happens to them",
                           stops = "When it stops by itself", hours = "When, in the host's local time",
                           hook = "Where it is decided";

// The reasons why `verify` refuses a flag: it would call right unseen what it does not measure.
constexpr std::string_view selecting = "verify sends its own traffic: nothing can be selected",
                           lasting = "verify measures what stays as it is: give it single values, at all times",
                           stopping = "verify measures what an impairment does, not when it stops",
                           queueing = "verify measures the rate, not the queue in front of it",
                           receiving = "verify measures what is sent, and XDP sees what comes in",
                           passing = "verify measures impairments: it has none",
                           listing = "verify sends packets of its own before those that it counts",
                           otherwise = "verify measures what was asked, and netem does something else",
                           reordering = "verify judges the reordering of packets that are early one by one";

// clang-format off
constexpr Flag rows[] = {
    {.name = "--dev", .aliases = "-i", .member = &RuleSpec::devices, .kind = selector, .group = packets,
     .type = "NAME,...",
     .help = "through these devices; tap*: all that match, now or later (else: the lowest that are up)",
     .off = "any", .json = "devices", .unmeasured = selecting},
    {.name = "--loopback", .member = &RuleSpec::loopback, .kind = selector, .group = packets,
     .help = "through lo, too: else left out for containers, pods, processes and cgroups (without --remote 127.0.0.1)",
     .json = "loopback", .unmeasured = selecting},
    {.name = "--cgroup", .member = &RuleSpec::cgroups, .kind = selector, .group = packets, .type = "PATH",
     .help = "of sockets in this cgroup or below it", .off = "any", .json = "cgroups", .unmeasured = selecting},
    {.name = "--proto", .member = &RuleSpec::protocols, .kind = selector, .group = packets,
     .type = "NAME|NUMBER,...",
     .help = "tcp, 17, icmp, ...; lldp, lacp, mpls, pppoe, ptp, eapol, llc, 0x88cc; arp, nd and dhcp only if named",
     .off = "any", .json = "protocols", .unmeasured = selecting},
    {.name = "--port", .member = &RuleSpec::ports, .kind = selector, .group = packets, .type = "PORTS",
     .help = "at either end: 22,80,8000-8080 (or 8000:8080)", .off = "any", .json = "ports", .unmeasured = selecting},
    {.name = "--local-port", .aliases = "--src-port", .member = &RuleSpec::local_ports, .kind = selector,
     .group = packets, .type = "PORTS", .help = "at this end",
     .off = "any", .json = "local_ports", .unmeasured = selecting},
    {.name = "--remote-port", .aliases = "--dst-port", .member = &RuleSpec::remote_ports, .kind = selector,
     .group = packets, .type = "PORTS", .help = "at the other end",
     .off = "any", .json = "remote_ports", .unmeasured = selecting},
    {.name = "--local", .aliases = "--src-network", .member = &RuleSpec::locals, .kind = selector,
     .group = packets, .type = "CIDR,...", .help = "address of this end, v4 or v6",
     .off = "any", .json = "locals", .unmeasured = selecting},
    {.name = "--remote", .aliases = "--network", .member = &RuleSpec::remotes, .kind = selector,
     .group = packets, .type = "CIDR,...", .help = "address of the other end",
     .off = "any", .json = "remotes", .unmeasured = selecting},
    {.name = "--flows", .member = &RuleSpec::flows, .kind = selector, .group = packets, .type = "PERCENT",
     .help = "only of this share of the flows (5-tuples), the same ones always: 5%",
     .off = "any", .unmeasured = selecting},
    {.name = "--flow-seed", .member = &RuleSpec::flow_seed, .kind = selector, .group = packets, .type = "N",
     .help = "another choice of --flows (default 0)",
     .needs = &RuleSpec::flows, .needs_why = "only with --flows, whose choice it changes", .leaves_with_needs = true,
     .unmeasured = selecting},
    {.name = "--direction", .member = &RuleSpec::direction, .kind = selector, .group = packets,
     .type = "out|in|both", .help = "out by default; both with --partition, --pass and --reject alone",
     .unmeasured = selecting},
    {.name = "--priority", .member = &RuleSpec::priority, .kind = selector, .group = packets, .type = "N",
     .help = "-1000 .. 1000, default 0: the highest matching rule wins", .unmeasured = selecting},

    {.name = "--delay", .aliases = "--latency", .member = &RuleSpec::delay, .kind = impairment, .group = effects,
     .type = "TIME", .help = "hold each packet this long: 250ms, 1.5s",
     .off = "off", .value = time_at(&Impairment::delay), .json = "delay_ns"},
    {.name = "--jitter", .aliases = "--delay-distro", .member = &RuleSpec::jitter, .kind = impairment, .group = effects,
     .type = "TIME", .help = "more or less than --delay by up to this, at random: 20ms", .off = "off",
     .needs = &RuleSpec::delay, .needs_why = "it varies the delay: add --delay 50ms, or leave it out",
     .value = time_at(&Impairment::jitter), .json = "jitter_ns"},
    {.name = "--distribution", .aliases = "--delay-distribution", .member = &RuleSpec::distribution, .kind = impairment,
     .group = effects, .type = "LAW",
     .help = "uniform (default); --jitter is the standard deviation of normal, pareto, paretonormal, exponential, lognormal; table:FILE (of iproute2); samples:FILE (measured delays, or what ping printed: needs no --delay)",
     .off = "off",
     .needs = &RuleSpec::jitter, .needs_why = "it is the distribution of the jitter: add --jitter 10ms, or leave it out",
     .leaves_with_needs = true, .json = "distribution"},
    {.name = "--delay-correlation", .member = &RuleSpec::delay_correlation, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "of each packet's delay with the next one's; the law stays: 25%", .off = "off",
     .needs = &RuleSpec::jitter, .needs_why = "delays that are all the same are not correlated: add --jitter 10ms, or leave it out",
     .leaves_with_needs = true, .value = Chance{&Impairment::delay_correlation}, .json = "delay_correlation"},
    {.name = "--keep-order", .member = &RuleSpec::keep_order, .kind = impairment, .group = effects,
     .help = "with --jitter, no packet of a flow leaves before its predecessor; the law stays (see --correlation-time)",
     .needs = &RuleSpec::jitter,
     .needs_why = "without --jitter packets keep their order: add --jitter 10ms, or leave it out",
     .leaves_with_needs = true, .json = "keep_order"},
    {.name = "--correlation-time", .member = &RuleSpec::correlation_time, .kind = impairment, .group = effects,
     .type = "TIME",
     .help = "how long the delay takes to become another one, with --keep-order: 50ms (default, or the shortest that keeps the order)",
     .off = "off",
     .needs = &RuleSpec::jitter, .needs_why = "delays that are all the same keep the order: add --jitter 10ms, or leave it out",
     .leaves_with_needs = true, .value = time_at(&Impairment::correlation_time), .json = "correlation_time_ns"},
    {.name = "--loss", .aliases = "--packet-loss", .member = &RuleSpec::loss, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "drop each wire packet with this probability: 10%",
     .off = "off", .value = Chance{&Impairment::loss}, .json = "loss"},
    {.name = "--loss-correlation", .member = &RuleSpec::loss_correlation, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "of each loss with the next packet's; the share that is lost stays: 25%", .off = "off",
     .needs = &RuleSpec::loss, .needs_why = "it is the correlation of the losses: add --loss 1%, or leave it out",
     .leaves_with_needs = true, .value = Chance{&Impairment::loss_correlation}, .json = "loss_correlation"},
    {.name = "--loss-burst", .member = &RuleSpec::loss_burst, .kind = impairment, .group = effects,
     .type = "PACKETS", .help = "the losses come in bursts of so many packets on average; the share stays: 3",
     .off = "off", .needs = &RuleSpec::loss,
     .needs_why = "it says how the losses come together: add --loss 1%, or leave it out", .leaves_with_needs = true},
    {.name = "--loss-model", .member = &RuleSpec::loss_model, .kind = impairment, .group = effects,
     .type = "WORDS",
     .help = "in netem's words: \"gemodel 1% 10%\" (P [R [1-H [1-K]]]) or \"state 1% 30%\" (P13 [P31 [P32 [P23 [P14]]]])",
     .off = "off", .json = "loss_model"},
    {.name = "--loss-nth", .member = &RuleSpec::loss_nth, .kind = impairment, .group = effects,
     .type = "N", .help = "drop each N-th wire packet, and no other: 7",
     .off = "off", .value = count_at(&Impairment::loss_nth), .json = "loss_nth"},
    {.name = "--loss-pattern", .member = &RuleSpec::loss_pattern, .kind = impairment, .group = effects,
     .type = "FILE",
     .help = "drop the wire packets whose numbers, counted from the rule's begin, the file lists, and no other: 7, 10-12",
     .off = "off", .json = "loss_pattern", .unmeasured = listing},
    {.name = "--corrupt", .member = &RuleSpec::corrupt, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "flip a bit of a wire packet with this probability: 0.1%",
     .off = "off", .value = Chance{&Impairment::corrupt}, .json = "corrupt"},
    {.name = "--corrupt-correlation", .member = &RuleSpec::corrupt_correlation, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "as --loss-correlation", .off = "off", .needs = &RuleSpec::corrupt,
     .needs_why = "it is the correlation of the corruption: add --corrupt 0.1%, or leave it out", .leaves_with_needs = true,
     .value = Chance{&Impairment::corrupt_correlation}, .json = "corrupt_correlation"},
    {.name = "--duplicate", .member = &RuleSpec::duplicate, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "send a wire packet twice with this probability: 1%",
     .off = "off", .value = Chance{&Impairment::duplicate}, .json = "duplicate"},
    {.name = "--duplicate-correlation", .member = &RuleSpec::duplicate_correlation, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "as --loss-correlation", .off = "off", .needs = &RuleSpec::duplicate,
     .needs_why = "it is the correlation of the duplication: add --duplicate 1%, or leave it out", .leaves_with_needs = true,
     .value = Chance{&Impairment::duplicate_correlation}, .json = "duplicate_correlation"},
    {.name = "--reorder", .aliases = "--reordering", .member = &RuleSpec::reorder, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "send a packet without its --delay with this probability: 25%", .off = "off",
     .needs = &RuleSpec::delay,
     .needs_why = "these packets go without delay, before the delayed ones: add --delay 50ms, or leave it out",
     .value = Chance{&Impairment::reorder}, .json = "reorder"},
    {.name = "--reorder-correlation", .member = &RuleSpec::reorder_correlation, .kind = impairment, .group = effects,
     .type = "PERCENT", .help = "as --loss-correlation", .off = "off", .needs = &RuleSpec::reorder,
     .needs_why = "it is the correlation of the reordering: add --reorder 25%, or leave it out",
     .leaves_with_needs = true, .value = Chance{&Impairment::reorder_correlation}, .json = "reorder_correlation",
     .unmeasured = reordering},
    {.name = "--reorder-gap", .member = &RuleSpec::reorder_gap, .kind = impairment, .group = effects,
     .type = "N", .help = "only every N-th packet may be reordered (default 1)", .off = "off",
     .needs = &RuleSpec::reorder, .needs_why = "it spaces out reordered packets: add --reorder 25%, or leave it out",
     .leaves_with_needs = true},
    {.name = "--rate", .member = &RuleSpec::rate, .kind = impairment, .group = effects, .type = "RATE",
     .help = "send no faster: 1mbit, 512kbit (frames without FCS)",
     .off = "off", .value = rate_at(&Impairment::rate), .json = "rate_bit_per_s"},
    {.name = "--queue", .member = &RuleSpec::queue, .kind = impairment, .group = effects,
     .type = "SIZE|TIME", .help = "longest queue in front of --rate: 64kb, 50ms (default 200ms)", .off = "off",
     .needs = &RuleSpec::rate, .needs_why = "it is the queue in front of --rate: add --rate 10mbit, or leave it out",
     .leaves_with_needs = true, .unmeasured = queueing},
    {.name = "--rate-last", .member = &RuleSpec::rate_last, .kind = impairment, .group = effects,
     .help = "the link of --rate comes behind the delay, as in netem: a queue, so --jitter reorders nothing",
     .needs = &RuleSpec::rate, .needs_why = "it is where --rate has its place: add --rate 10mbit, or leave it out",
     .leaves_with_needs = true, .json = "rate_last"},
    {.name = "--partition", .member = &RuleSpec::partition, .kind = exclusive, .group = effects,
     .help = "drop every packet, both directions", .json = "partition"},
    {.name = "--reject", .member = &RuleSpec::reject, .kind = impairment, .group = effects,
     .type = "rst|icmp",
     .help = "drop with an answer: what --loss takes, else every packet; rst: TCP with RST, the rest as icmp",
     .off = "off", .json = "reject"},
    {.name = "--seed", .member = &RuleSpec::seed, .kind = impairment, .group = effects, .type = "N",
     .help = "chance decides the same of the n-th packet each time; `headwind fate` shows what: 7",
     .off = "off", .value = seed_at(&Impairment::seed), .json = "seed"},
    {.name = "--netem", .member = &RuleSpec::netem, .kind = exclusive, .group = effects, .type = "WORDS",
     .help = "all of this in the words of tc's netem: \"delay 100ms 20ms loss 1%\""},
    {.name = "--netem-compatible", .member = &RuleSpec::netem_compatible, .kind = impairment, .group = effects,
     .help = "netem's arithmetic where that is another one: its correlations, its tables of laws, loss beside duplication",
     .json = "netem_compatible", .unmeasured = otherwise},
    {.name = "--flap", .member = &RuleSpec::flap, .kind = other, .group = effects,
     .type = "up=TIME,down=TIME",
     .help = "by turns, in the kernel: up=30s,down=5s leaves them alone for 30 s, then does this (alone: drops all) for 5 s",
     .off = "off", .unmeasured = lasting},
    {.name = "--ramp", .member = &RuleSpec::ramp, .kind = timeline, .group = effects,
     .type = "WHAT=FROM..TO,...,over=TIME",
     .help = "changes evenly, in the kernel, and then stays: delay=0ms..200ms,over=60s; also jitter, loss, corrupt, duplicate, rate",
     .off = "off", .unmeasured = lasting},
    {.name = "--trace", .member = &RuleSpec::trace, .kind = timeline, .group = effects, .type = "FILE",
     .help = "follow a CSV file, in the kernel: a line time,delay,loss,rate (some of them; also jitter, corrupt, duplicate), then rows like 0s,20ms,1%,5mbit; -: as before",
     .off = "off", .unmeasured = lasting},
    {.name = "--repeat", .member = &RuleSpec::repeat, .kind = timeline, .group = effects,
     .help = "start --ramp or --trace over when it has ended", .unmeasured = lasting},
    {.name = "--max-share", .member = &RuleSpec::max_share, .kind = other, .group = stops,
     .type = "PERCENT",
     .help = "once it has matched more than this share of what passed a hook in a minute: 20%",
     .off = "off", .unmeasured = stopping},
    {.name = "--stop-if", .member = &RuleSpec::stop_if, .kind = other, .group = stops, .type = "COMMAND",
     .help = "once this shell command fails, which `headwind agent` runs every 5 s: 'curl -fsS localhost/health'",
     .off = "off", .unmeasured = stopping},
    {.name = "--pass", .member = &RuleSpec::pass, .kind = exclusive, .group = effects,
     .help = "leave these alone (an exclusion: give it a higher --priority)", .json = "pass", .unmeasured = passing},
    {.name = "--between", .member = &RuleSpec::between, .kind = other, .group = hours,
     .type = "HH:MM-HH:MM",
     .help = "only in these hours: 09:00-17:00; over midnight, 22:00-06:00, they belong to the day they begin on",
     .off = "off", .unmeasured = lasting},
    {.name = "--days", .member = &RuleSpec::days, .kind = other, .group = hours, .type = "DAY,...",
     .help = "only on these days: mon-fri; sat,sun; fri-mon", .off = "off", .unmeasured = lasting},
    {.name = "--xdp", .member = &RuleSpec::xdp, .kind = other, .group = hook,
     .type = "auto|native|generic|off",
     .help = "decide loss and partition of what comes in in XDP, before tc; auto (default): where the driver hands XDP metadata on, never on veth",
     .unmeasured = receiving},
};
// clang-format on

}  // namespace table

bool is_said(bool value)
{
    return value;
}

bool is_said(const std::optional<std::string>& value)
{
    return value.has_value();
}

bool is_said(const std::vector<std::string>& values)
{
    return !values.empty();
}

}  // namespace

std::span<const Flag> rule_flags()
{
    return table::rows;
}

const Flag& rule_flag(std::string_view name)
{
    return *std::ranges::find(table::rows, name, &Flag::name);
}

bool is_given(const Flag& flag, const RuleSpec& text)
{
    return std::visit([&text](auto member) { return is_said(text.*member); }, flag.member);
}

const std::string& said(const Flag& flag, const RuleSpec& text)
{
    return *(text.*std::get<Word>(flag.member));
}

tl::unexpected<Error> refuse_flag(const Flag& flag, const RuleSpec& text, std::string_view why)
{
    if (std::holds_alternative<Word>(flag.member)) return refuse(flag.name, said(flag, text), why);
    return fail(ErrorKind::usage, "{}: {}", flag.name, why);
}

bool lacks_company(const Flag& flag, const RuleSpec& text)
{
    return flag.needs != nullptr && !(text.*flag.needs) && is_given(flag, text);
}

}  // namespace headwind
