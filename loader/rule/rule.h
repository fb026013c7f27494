// SPDX-License-Identifier: MIT
// A rule: which packets, what happens to them, at which times (RuleInfo has how long it lasts). A Rule that exists is
// valid: make_rule is the only factory. Pure: knows nothing of devices, cgroups or clocks of this host, which the
// engine resolves.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "timeline/timeline.h"
#include "util/result.h"
#include "util/units.h"

namespace headwind {

struct Chain;  // chance/chain.h

// The longest rule name. A name has letters, digits, '-', '_' and '.', and does not start with '-' or '.'.
constexpr std::size_t max_name_length = 63;
constexpr int default_priority = 0;  // the highest wins; from -max_priority on
constexpr int max_priority = 1000;
constexpr std::size_t max_command_length = 512;         // longest stop_if, bytes
constexpr std::uint64_t max_delay = 4'294'000'000'000;  // ns; fq's horizon is a 32-bit count of microseconds

enum class Direction { out, in, both };

// An IP prefix. IPv4 is kept IPv4-mapped (::ffff:a.b.c.d, prefix + 96), as in the keys of the datapath.
struct Cidr {
    std::array<std::uint8_t, 16> address{};  // network byte order, host bits zero
    std::uint8_t prefix = 0;                 // 0..128 in the mapped space; 96..128 for IPv4
    bool v4 = false;
    friend bool operator==(const Cidr&, const Cidr&) = default;
};

struct PortRange {
    std::uint16_t first = 0, last = 0;  // host byte order, inclusive, first <= last, first >= 1
    friend bool operator==(const PortRange&, const PortRange&) = default;
};

// An IP protocol number, 0..255; or above that a pseudo-protocol of include/headwind/abi.h: arp, nd, dhcp, which are
// never impaired unless a rule names them, and llc, mpls, pppoe; or an EtherType, HW_FIRST_ETHERTYPE..0xffff.
using Protocol = std::uint16_t;

// The packets of a rule. An empty list stands for any. The entries of a list are alternatives; different kinds must all
// match. `ports` matches either end; it excludes local_ports and remote_ports (refused together).
struct Selector {
    std::vector<std::string> devices;  // as typed, each once; empty: the lowest devices that are up
    bool loopback = false;  // lo is among the lowest devices in any case: see spares_loopback(); only without
                            // `devices`
    std::vector<std::string> cgroups;  // paths as typed: absolute, or relative to the cgroup2 mount
    std::vector<Protocol> protocols;
    std::vector<PortRange> ports, local_ports, remote_ports;  // sorted, merged
    std::vector<Cidr> locals, remotes;
    // The share of the flows that match (TCP and UDP connections, and what else has the same addresses, ports and
    // protocol): more than 0. The same seed always chooses the same flows. Absent: all flows match.
    std::optional<Probability> flows;
    std::uint32_t flow_seed = 0;  // only with flows
    friend bool operator==(const Selector&, const Selector&) = default;
};

// A queue limit in front of `rate`: bytes, or time to drain at that rate. Exactly one is set.
struct QueueLimit {
    std::uint64_t bytes = 0;
    std::uint64_t nanoseconds = 0;
    friend bool operator==(const QueueLimit&, const QueueLimit&) = default;
};

// The law of the delays: `jitter` is half the width of the uniform one (as in netem), and the standard deviation of the
// others, whose mean is `delay`. Tails end where 1 in 294,000 is beyond, and at no delay at all. Of a table from a file
// the mean and the deviation are what it has.
enum class Distribution { uniform, normal, pareto, paretonormal, exponential, lognormal, table, samples };

// The answer to the sender of a packet that loss or partition takes, as by iptables' REJECT. rst: RST for TCP, for
// anything else as icmp. icmp: "administratively prohibited".
enum class Reject { no, rst, icmp };

// The place where loss and partition of incoming packets are decided: XDP, before the kernel has built anything around
// the packet, or tc. automatic: XDP where the driver does it well (xdp.h).
enum class Xdp { automatic, native, generic, off };

// The impairments of a rule. They act in this order: partition, loss, corrupt, duplicate, rate and queue, then delay,
// jitter and reorder.
struct Impairment {
    std::uint64_t delay = 0;   // ns; with the longest jitter and the longest wait in `queue` at most max_delay
    std::uint64_t jitter = 0;  // ns; of laws that could go below 0 at most `delay`
    Distribution distribution = Distribution::uniform;
    std::string distribution_file;        // its name as typed; only of a table and of samples, as is:
    std::vector<std::int32_t> quantiles;  // chance/law_file.h
    // Of the delays of packets that follow each other; below 100%; only with jitter.
    std::optional<Probability> delay_correlation;
    std::optional<Probability> loss, corrupt, duplicate;
    // Of each packet with the next one; below 100%; only with the event itself.
    std::optional<Probability> loss_correlation, corrupt_correlation, duplicate_correlation, reorder_correlation;
    // Of these and loss_correlation one at most.
    std::uint64_t loss_burst = 0;  // mean length of a burst of losses, in 1/1000 packets; 0: of no certain one
    std::string loss_model;        // as normal_loss_model() has it; `loss` is the share that it loses; empty: none
    std::uint64_t loss_nth = 0;    // only each n-th packet is lost, at least 2; `loss` is that share; 0: any
    std::string loss_pattern;      // the file's name as typed, of:
    // a PacketList (chance/packet_list.h): only these are lost; `loss` is their share up to the last one; empty: any
    std::vector<std::pair<std::uint32_t, std::uint32_t>> lost_packets;
    std::optional<Probability> reorder;  // a packet goes without delay (netem's meaning); only with delay
    std::uint64_t seed = 0;  // of what chance decides: the n-th packet always meets the same; 0: another each time
    // ns: the delay is a smooth function of time, so slow that packets keep their order (chance/law.h); 0: each packet
    // has its own; only with jitter, without reorder, delay_correlation and seed
    std::uint64_t correlation_time = 0;
    // Correlations, and loss beside duplication, are netem's (hw_sequence); --netem's names of laws are its tables.
    bool netem_compatible = false;
    // The link of `rate` is behind the delay, as netem's: a queue, in which packets keep their order; only with rate
    bool rate_last = false;
    std::uint32_t reorder_gap = 1;  // least distance of two such packets; 1 .. 2^31; only with reorder
    std::uint64_t rate = 0;         // bit/s of frames without FCS; 0: unlimited
    // Only with rate. Empty: the compiler takes the larger of 200 ms at that rate and 10 frames of 1514 bytes.
    std::optional<QueueLimit> queue;
    bool partition = false;  // drops everything; stands alone, or with reject
    bool pass = false;       // an exclusion: matched packets go unimpaired; stands alone
    Reject reject = Reject::no;
    friend bool operator==(const Impairment&, const Impairment&) = default;
};

// Whether all that it asks for is 0, and packets go unimpaired.
bool asks_for_nothing(const Impairment& impairment);
// Whether every packet is dropped: by --partition, or by --reject without --loss.
bool partitions(const Impairment& impairment);
// Whether the events of a packet depend on those of others.
bool has_sequence(const Impairment& impairment);
// The chain of an event; of the losses, without those of loss_nth.
Chain event_chain(const std::optional<Probability>& share, const std::optional<Probability>& correlation);
Chain loss_chain(const Impairment& impairment);
// The law of the delays (chance/law.h), until this thread's next call. There is a jitter.
const std::vector<double>& delay_law(const Impairment& impairment);
// The share of the packets whose delay would be below 0, and is 0.
double share_without_delay(const Impairment& impairment);
// Whether packets keep their order though their delays differ.
bool keeps_order(const Impairment& impairment);
// The shortest correlation_time with which packets keep their order, ns, rounded up. There is a jitter.
std::uint64_t shortest_correlation_time(const Impairment& impairment);
// What --keep-order alone stands for, where it is long enough.
constexpr std::uint64_t usual_correlation_time = 50'000'000;  // ns
// The delay with the longest jitter, without the wait in front of `rate`, in ns.
std::uint64_t longest_delay(const Impairment& impairment);

// The container, the pod or the process that a rule is for, as it was found (container.h). The rule's directions and
// ends are seen from there, and the rule goes with it. Its cgroup is in the selector; a whole pod has none.
struct Subject {
    std::string container;      // its name; empty: it has none
    std::string id;             // the container's id; empty: a whole pod, or a process
    std::string pod;            // NAMESPACE/NAME; empty: in none
    std::uint32_t process = 0;  // the process id it was named by; 0: it was named otherwise
    bool at_host = false;       // the rule sits on the host side of the pod's devices; else in the pod's namespace
    friend bool operator==(const Subject&, const Subject&) = default;
};

// Two phases that take turns: `up` ns without the impairment, then `down` ns with it. Both are more than 0.
struct Flap {
    std::uint64_t up = 0, down = 0;
    friend bool operator==(const Flap&, const Flap&) = default;
};

// The hours of the host's local time in which a rule is in force: on `days`, from `from` until before `to`. Hours that
// go over midnight belong to the day they begin on. A rule that is in force all of every day has no Hours.
constexpr std::uint8_t every_day = 0x7f;
struct Hours {
    std::uint32_t from = 0, to = 86400;  // s of the day; from < 86400, from < to < from + 86400 (or all of the day)
    std::uint8_t days = every_day;       // bit 0 is Monday; at least one
    friend bool operator==(const Hours&, const Hours&) = default;
};
constexpr bool is_overnight(const Hours& hours)
{
    return hours.to > 86400;
}

struct Rule {
    std::string name;
    Selector selector;
    Impairment impairment;  // has the worst value of what the timeline varies
    Direction direction = Direction::out;
    int priority = default_priority;
    Xdp xdp = Xdp::automatic;
    std::optional<Flap> flap;
    std::optional<Hours> hours;
    std::optional<Timeline> timeline;
    // The rule stops for good once it has matched more than this share of what passed one of its hooks in a minute.
    std::optional<Probability> max_share;  // between 0 and 100%, exclusively
    std::string stop_if;                   // shell command that the agent runs; its failure stops the rule; empty: none
    std::optional<Subject> subject;
    // What a change to `pass` or `partition` took the place of, unless that was a timeline: `--pass off` and
    // `--partition off` lead back to it.
    std::optional<Impairment> suspended;
    friend bool operator==(const Rule&, const Rule&) = default;
};

// The kinds of guards: traffic that Headwind leaves alone, besides the rules. They go with the last rule.
enum class Guard {
    no,
    ssh,      // the SSH connection that a command was typed on, unless a rule names it
    protect,  // --protect: whatever rules say
};

// A rule that was added, in force or about to be.
struct RuleInfo {
    std::uint32_t id = 0;         // a changed rule gets another one
    std::uint32_t stable_id = 0;  // the first id it had: key of its lease, state and counters, which outlive a change
    Rule rule;
    std::int64_t created = 0;    // wall clock, s
    std::uint64_t deadline = 0;  // CLOCK_BOOTTIME ns; 0: none
    std::int64_t until = 0;      // the deadline on the wall clock as it was set, s
    std::uint64_t lease = 0;     // ns that a renewal lasts; 0: no lease
    std::string owner;           // the user who added it, or --owner
    std::uint32_t timeline = 0;  // the id under which its timeline was made; 0: it has none, or not yet
    // CLOCK_BOOTTIME ns until which a change with this rule waits for `headwind confirm`; 0: none waits. The rule is as
    // the change would have it, and ends then, or, `former`, is as it was before, and begins again then.
    std::uint64_t pending = 0;
    bool former = false;
    Guard guard = Guard::no;
    bool everywhere = false;  // it is at every device that any rule is at, and needs none itself: guards (but for
                              // those that older versions made)
};

// Whether the rule's subject is at the peers of its devices: a pod, seen from the host side.
bool is_at_peer(const Rule& rule);

// Whether these are loopback addresses: 127.0.0.0/8 or a part of it, or ::1.
bool is_loopback(const Cidr& cidr);
// Whether a rule without --dev leaves lo out: what a container, a pod, a process or a cgroup says to itself or to its
// neighbours there is its own business, unless --loopback is said or --remote names a loopback address.
bool spares_loopback(const Rule& rule);

// Whether XDP can and may decide incoming packets by this rule. XDP knows no cgroup and can only drop or let pass.
bool is_for_xdp(const Rule& rule);

// A rule as typed: each field is the text of a flag (flags.h); empty or absent: not given. Lists may be given several
// times and with commas.
struct RuleSpec {
    std::string name;
    std::vector<std::string> devices, cgroups, protocols, ports, local_ports, remote_ports, locals, remotes;
    std::optional<std::string> delay, jitter, distribution, delay_correlation, loss, loss_correlation, loss_burst,
        loss_model, loss_nth, loss_pattern, correlation_time, corrupt, corrupt_correlation, duplicate,
        duplicate_correlation, reorder, reorder_correlation, reorder_gap, rate, queue, reject, seed, direction,
        priority, xdp, flows, flow_seed, flap, between, days, ramp, trace, max_share, stop_if;
    std::optional<std::string> netem;  // netem's words for the impairments (netem.h), instead of the flags for them
    bool partition = false, pass = false, repeat = false, loopback = false, keep_order = false, rate_last = false,
         netem_compatible = false;
    std::optional<Subject> subject;       // found, not typed
    std::optional<Impairment> suspended;  // as in Rule
    std::vector<std::string> off;         // in a change: flags without a value that are taken away: "pass"
    std::optional<Timeline> timeline;     // read from the file that `trace` names (files.h)
    std::vector<std::int32_t> quantiles;  // and from the one that `distribution` does
    std::vector<std::pair<std::uint32_t, std::uint32_t>> lost_packets;  // and from the one that `loss_pattern` does
};

// Makes the rule that a RuleSpec describes. Errors name the flags as on the command line (flags.h). Refuses rules that
// ask for nothing, not even for 0 of something, two of --loss, --loss-model, --loss-nth and --loss-pattern, a flag
// without the one it needs (flags.h), --jitter above --delay, --keep-order with what cannot be in order, a
// --correlation-time too short for the law,
// --pass or --partition with another impairment (--partition --reject is fine), --reject with another impairment but
// without --loss, --xdp native or generic without --dev or for what XDP cannot decide, --netem with a flag for an
// impairment, ports with a protocol list in which none has ports, EtherTypes with ports or addresses, or all alone with
// a delay or a rate, --flows 0%, v4 and v6 mixed so that nothing can match, --loopback with --dev, empty text where
// something was to be selected (--port "" must not mean every port). --reject with --loss answers what loss takes;
// without --loss it is a partition that answers. --direction defaults to out; with --partition or --pass, also by
// --reject alone, to both. A name is required. A rule without addresses, ports and protocols takes all frames but ARP,
// neighbour discovery and DHCP.
Result<Rule> make_rule(const RuleSpec& text);

// The RuleSpec that makes this rule, each value with its unit; a trace is without its rows.
RuleSpec text_of(const Rule& rule);

// The rule with the flags that `given` names; the rest stays as it was. A flag's `off` (flags.h) as its value takes it
// away. --partition, --pass and --netem take the place of all other impairments, and these theirs. given.name is not
// used. A rule with a subject refuses --cgroup and, at the host side, --dev: they are what the subject is.
Result<Rule> change_rule(const Rule& before, const RuleSpec& given);

// "tcp", "6", "udp", "icmp", "icmpv6", "sctp", "gre", "esp", "arp", "nd", "dhcp", "lldp", "0x88cc", "llc", ...
Result<Protocol> parse_protocol(std::string_view text);
std::string format_protocol(Protocol protocol);
// Whether it is told by the EtherType. Not arp.
bool is_ethernet(Protocol protocol);
bool carries_ports(Protocol protocol);           // its packets have them (bpf/packet.h), as DHCP's
Result<Cidr> parse_cidr(std::string_view text);  // "10.0.0.0/8", "192.0.2.1", "2001:db8::/32"; host bits set: refused
std::string format_cidr(const Cidr& cidr);
// "22,80,8000-8080,1000:2000": sorted and merged.
Result<std::vector<PortRange>> parse_ports(std::string_view text);
std::string format_ports(const std::vector<PortRange>& ports);
std::string_view format_direction(Direction direction);
std::string format_distribution(const Impairment& impairment);  // "normal", "samples:ping.txt"
std::string_view format_reject(Reject reject);
std::string_view format_xdp(Xdp xdp);
Result<Flap> parse_flap(std::string_view text);      // "up=30s,down=5s"
Result<Hours> parse_between(std::string_view text);  // "09:00-17:00"; every day
std::string format_between(const Hours& hours);
std::string format_time_of_day(std::uint32_t second);    // "09:00"
Result<std::uint8_t> parse_days(std::string_view text);  // "mon-fri", "sat,sun", "fri-mon": Hours::days
std::string format_days(std::uint8_t days);
// The ranges of days in a row, from the first to the last; 0 is Monday. A range may go over Sunday.
std::vector<std::pair<unsigned, unsigned>> day_ranges(std::uint8_t days);

// Things that the engine knows beyond the rule, for its description.
struct DescribeContext {
    std::vector<std::string> devices;  // where it is attached now; empty: the rule's own
    std::string until;                 // "14:05" is told as ", until 14:05"; empty: nothing is told
    std::uint64_t lease = 0;           // ns; told as ", while its lease of 3 s is renewed"; 0: nothing is told
    std::string zone = {};             // the host's time zone, for --between and --days; empty: unknown
};
// The description of a rule: "packets sent by cgroup /a/b to port 5432 through eth0, lo: delay 50 ms, loss 1%, until
// 14:05". It is one line and leaves no doubt: every selector, direction, impairment and a priority other than the
// default appear.
std::string describe_rule(const Rule& rule, const DescribeContext& context = {});
// "container web (3f2a1b4c5d6e) of pod default/shop", "pod default/shop", "process 4711"
std::string describe(const Subject& subject);
// "delay 50 ms ± 5 ms, loss 1%, rate 1 mbit (queue 100 ms)" / "partition, reject with RST" / "pass".
std::string describe(const Impairment& impairment);

// A rule as JSON, with units in the key names. `selector` and `impairment`: the keys of flags.h and flows_percent,
// flows_threshold, flow_seed, reorder_gap, queue_bytes, queue_ns. `hours`: between and days, as the flags have them.
// `subject`: container, id, pod, process, at. `max_share_percent`, `max_share_threshold`, `stop_if`. `timeline`: kind,
// file, repeat, length_ns, steps, and what varies, which `impairment` then leaves out. rule_from_json(to_json(r)) == r
// for every valid rule; this is also how rules are stored in the kernel's maps.
nlohmann::json to_json(const Rule& rule);
Result<Rule> rule_from_json(const nlohmann::json& json);

}  // namespace headwind
