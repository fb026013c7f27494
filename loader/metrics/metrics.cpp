// SPDX-License-Identifier: MIT
// The pure half of `headwind exporter`: snapshot to metrics, --listen to an address.
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "metrics/metrics.h"
#include "util/text.h"

namespace headwind {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using Rules = std::vector<const RuleView*>;

constexpr const char* panic_metric = "headwind_panic";

MetricFamily make_family(const char* name, MetricType type, const char* help)
{
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    return family;
}

void add_sample(MetricFamily& family, Labels labels, double value)
{
    ClientMetric metric;
    metric.label = std::move(labels);
    (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family.metric.push_back(std::move(metric));
}

MetricFamily single(const char* name, MetricType type, const char* help, double value)
{
    auto family = make_family(name, type, help);
    add_sample(family, {}, value);
    return family;
}

// While a rule is replaced, a snapshot may hold the old and the new one, and Prometheus refuses a scrape that has a
// series twice. The old one stays until it is gone, so that its counters end only once.
Rules one_per_name(const Snapshot& all)
{
    std::map<std::string_view, std::uint32_t> oldest;
    for (const auto& rule : all.rules) {
        const auto id = rule.record.id;
        const auto [place, is_new] = oldest.try_emplace(rule.record.rule.name, id);
        if (!is_new) place->second = std::min(place->second, id);
    }
    Rules out;
    for (const auto& rule : all.rules)
        if (oldest[rule.record.rule.name] == rule.record.id) out.push_back(&rule);
    return out;
}

Labels labels_of(const RuleView& rule, Direction direction)
{
    return {{"rule", rule.record.rule.name}, {"direction", std::string(format_direction(direction))}};
}

MetricFamily per_direction(const Rules& rules, const char* name, const char* help, std::uint64_t Counters::*field)
{
    auto family = make_family(name, MetricType::Counter, help);
    for (const auto* rule : rules)
        for (const auto& [direction, counters] : rule->counters)
            add_sample(family, labels_of(*rule, direction), static_cast<double>(counters.*field));
    return family;
}

constexpr std::array<const char*, drop_reasons> drop_names{"loss", "partition", "queue", "held", "line", "reject"};
constexpr std::array<const char*, exemptions> exemption_names{"undelayed", "shared", "ipsec", "ktls", "line"};

template <std::size_t N>
MetricFamily by_cause(const Rules& rules, const char* name, const char* help, const std::array<const char*, N>& causes,
                      std::array<std::uint64_t, N> Counters::*field)
{
    auto family = make_family(name, MetricType::Counter, help);
    for (const auto* rule : rules) {
        for (const auto& [direction, counters] : rule->counters) {
            for (std::size_t cause = 0; cause < N; ++cause) {
                auto labels = labels_of(*rule, direction);
                labels.push_back({"cause", causes[cause]});
                add_sample(family, std::move(labels), static_cast<double>((counters.*field)[cause]));
            }
        }
    }
    return family;
}

MetricFamily liveness(const Rules& rules)
{
    auto family = make_family("headwind_rule_live", MetricType::Gauge,
                              "1: the rule has an effect; 0: it has none, and state says why");
    for (const auto* rule : rules)
        add_sample(family, {{"rule", rule->record.rule.name}, {"state", std::string(format_state(rule->state))}},
                   rule->state == RuleState::live ? 1 : 0);
    return family;
}

MetricFamily subjects(const Rules& rules)
{
    auto family = make_family("headwind_rule_info", MetricType::Gauge,
                              "1; whose rule it is, and the pod and container it is for, as it was named");
    for (const auto* rule : rules) {
        Labels labels{{"rule", rule->record.rule.name}, {"owner", harmless(rule->record.owner)}};
        if (const auto& subject = rule->record.rule.subject) {
            labels.push_back({"pod", harmless(subject->pod)});
            labels.push_back({"container", harmless(subject->container.empty() ? subject->id : subject->container)});
        }
        add_sample(family, std::move(labels), 1);
    }
    return family;
}

}  // namespace

std::vector<MetricFamily> metric_families(const Snapshot& all)
{
    const auto rules = one_per_name(all);
    const auto& line = all.line;
    return {
        per_direction(rules, "headwind_packets_total", "Wire packets the rule matched", &Counters::packets),
        per_direction(rules, "headwind_bytes_total", "Bytes the rule matched (frames without FCS)", &Counters::bytes),
        by_cause(
            rules, "headwind_dropped_packets_total",
            "Wire packets dropped: loss (--loss), partition, queue (full in front of --rate, or of the rate that fq gives a socket), held (--max-held reached), line (refused by the pacer), reject (answered: --reject)",
            drop_names, &Counters::dropped),
        per_direction(rules, "headwind_corrupted_packets_total", "Wire packets with a bit flipped (--corrupt)",
                      &Counters::corrupted),
        per_direction(rules, "headwind_duplicated_packets_total", "Copies made of wire packets (--duplicate)",
                      &Counters::duplicated),
        per_direction(rules, "headwind_delayed_packets_total", "Wire packets handed to the pacer", &Counters::delayed),
        per_direction(rules, "headwind_reordered_packets_total",
                      "Wire packets handed to the pacer without their delay (--reorder)", &Counters::reordered),
        by_cause(
            rules, "headwind_exempt_packets_total",
            "Wire packets passed that the rule should have delayed or changed: undelayed (the kernel sees no IP: another protocol, a second VLAN tag), shared (their sender keeps them: pktgen, NC-SI), ipsec, ktls (their notes would be lost), line (somebody had taken a part of it away); all but the first are subject to loss and partition",
            exemption_names, &Counters::exempt),
        liveness(rules),
        subjects(rules),
        single("headwind_line_held_packets", MetricType::Gauge, "Packets in the line now", line.held_packets),
        single("headwind_line_held_bytes", MetricType::Gauge, "Bytes in the line now, as counted against --max-held",
               static_cast<double>(line.held_bytes)),
        single("headwind_line_max_held_bytes", MetricType::Gauge, "--max-held: what the line may hold",
               static_cast<double>(all.max_held)),
        single("headwind_line_dropped_packets_total", MetricType::Counter, "Packets the line itself lost",
               static_cast<double>(line.dropped_packets)),
        single(panic_metric, MetricType::Gauge, "1: headwind panic is on, no rule has an effect", all.panic ? 1 : 0),
    };
}

std::vector<MetricFamily> metric_families(const std::vector<NamedSnapshot>& namespaces)
{
    auto out = metric_families(Snapshot{});
    for (auto& family : out)
        if (family.name != panic_metric) family.metric.clear();
    for (const auto& [netns, all] : namespaces) {
        auto families = metric_families(all);
        for (std::size_t i = 0; i < families.size(); ++i) {
            if (families[i].name == panic_metric) {
                out[i].metric = families[i].metric;
                continue;
            }
            for (auto& metric : families[i].metric) {
                metric.label.insert(metric.label.begin(), {"netns", harmless(netns)});
                out[i].metric.push_back(std::move(metric));
            }
        }
    }
    return out;
}

MetricFamily scrape_errors_family(std::uint64_t errors)
{
    return single("headwind_scrape_errors_total", MetricType::Counter,
                  "Scrapes that failed: they give no other metric of headwind", static_cast<double>(errors));
}

Result<ListenAddress> parse_listen(std::string_view text)
{
    const auto refuse = [text](std::string_view why) {
        return fail(ErrorKind::usage, "--listen {}: {}: write HOST:PORT, as in 127.0.0.1:9431", text, why);
    };
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return refuse("there is no port");
    const auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    if (host.find_first_of(":[]") != std::string_view::npos) return refuse("the web server has no IPv6");
    if (host.empty()) return refuse("there is no host (0.0.0.0: every address of this machine)");
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size() || number == 0)
        return refuse("the port is a number from 1 to 65535");
    return ListenAddress{std::string(host), std::to_string(number)};
}

}  // namespace headwind
