// SPDX-License-Identifier: MIT
// Describes rules, and prints them as text and JSON.
#include "commands/print.h"

#include <time.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "host/clock.h"
#include "host/host.h"
#include "util/output.h"

namespace headwind {
namespace {

constexpr std::uint32_t seconds_per_day = 86'400;

// The name of the host's time zone, read once for all the rules of a list.
const std::string& zone_name()
{
    static const std::string name = host_zone().value_or(Zone{}).name;
    return name;
}

// Why the rule has no effect, or what else may be amiss.
std::string effect_words(const RuleView& view)
{
    switch (view.state) {
        case RuleState::waiting:
            return "no such device is there yet: one that comes is taken at once where `headwind agent` runs, else with the next command that changes something";
        case RuleState::expired: return "it has no effect: it has expired; --for would begin it anew";
        case RuleState::unleased: return "it has no effect: its lease ended";
        case RuleState::orphaned: return "it has no effect: what it is for is gone";
        default: return view.trouble;
    }
}

}  // namespace

std::string clock_text(std::int64_t until)
{
    const time_t then = until, now = wall_seconds();
    tm local{}, today{};
    localtime_r(&then, &local);
    localtime_r(&now, &today);
    const bool same_day = local.tm_year == today.tm_year && local.tm_yday == today.tm_yday;
    const char* format = !same_day ? "%Y-%m-%d %H:%M" : until - now < 600 ? "%H:%M:%S" : "%H:%M";
    char text[32];
    strftime(text, sizeof(text), format, &local);
    return text;
}

std::string describe_rule(const RuleView& view)
{
    DescribeContext context;
    context.devices = view.devices;
    if (view.record.until != 0) context.until = clock_text(view.record.until);
    context.lease = view.record.lease;
    if (view.record.rule.hours) context.zone = zone_name();
    if (view.record.everywhere) context.devices = {"every device"};
    return describe_rule(view.record.rule, context) +
           (view.record.guard == Guard::protect ? ", whatever rules say" : "");
}

std::string opening_words(const RuleView& view)
{
    if (view.state != RuleState::off_hours) return "";
    constexpr std::string_view days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    const auto second = view.opening.second_of_week;
    return fmt::format("off until {} {}", days[second / seconds_per_day % 7],
                       format_time_of_day(second % seconds_per_day));
}

std::string ingress_words(const RuleView& view)
{
    std::string text;
    for (const auto& [device, xdp, other] : view.ingress) {
        if (!text.empty()) text += ", ";
        text += xdp == Xdp::off ? fmt::format("at tc on {}", device)
                                : fmt::format("in XDP ({}) on {}", format_xdp(xdp), device);
        if (other != 0) text += fmt::format(" (another XDP program, id {}, is there)", other);
    }
    const bool usual = std::all_of(view.ingress.begin(), view.ingress.end(),
                                   [](const auto& hook) { return hook.xdp == Xdp::off && hook.other == 0; });
    return usual ? "" : "what comes in is decided " + text;
}

std::vector<std::string> exemption_words(const Counters& counters)
{
    static constexpr std::array<const char*, exemptions> words{
        "passed undelayed: not IP to the kernel (or behind a second VLAN tag)",
        "were only subject to loss and partition: their sender keeps them (pktgen, NC-SI)",
        "were only subject to loss and partition: IPsec has noted on them what must not be lost",
        "were only subject to loss and partition: the device is to encrypt them (kernel TLS)",
        "were only subject to loss and partition: somebody had taken the line apart"};
    std::vector<std::string> out;
    for (std::size_t why = 0; why < words.size(); ++why)
        if (counters.exempt[why] != 0) out.push_back(fmt::format("{} packets {}", counters.exempt[why], words[why]));
    return out;
}

nlohmann::json to_json(const Counters& counters)
{
    return {{"packets", counters.packets},
            {"bytes", counters.bytes},
            {"dropped_packets",
             {{"loss", counters.dropped_by(DropReason::loss)},
              {"partition", counters.dropped_by(DropReason::partition)},
              {"queue", counters.dropped_by(DropReason::queue)},
              {"held", counters.dropped_by(DropReason::held)},
              {"line", counters.dropped_by(DropReason::line)},
              {"reject", counters.dropped_by(DropReason::reject)}}},
            {"corrupted_packets", counters.corrupted},
            {"duplicated_packets", counters.duplicated},
            {"delayed_packets", counters.delayed},
            {"reordered_packets", counters.reordered},
            {"passed_undelayed_packets", counters.exempt_by(Exemption::unstampable)},
            {"passed_shared_packets", counters.exempt_by(Exemption::shared)},
            {"passed_ipsec_packets", counters.exempt_by(Exemption::ipsec)},
            {"passed_ktls_packets", counters.exempt_by(Exemption::ktls)},
            {"passed_without_line_packets", counters.exempt_by(Exemption::line)}};
}

nlohmann::json to_json(const RuleView& view)
{
    auto out = to_json(view.record.rule);
    out["id"] = view.record.id;
    out["state"] = format_state(view.state);
    if (!view.trouble.empty()) out["trouble"] = view.trouble;
    if (!view.hidden_by.empty()) out["hidden_by"] = view.hidden_by;
    if (!view.loses_to.empty()) out["loses_to"] = view.loses_to;
    if (view.state == RuleState::off_hours) {
        out["off_until"] = opening_words(view).substr(std::string_view("off until ").size());
        out["off_until_unix_s"] = view.opening.at;
    }
    out["sentence"] = describe_rule(view);
    out["attached_to"] = view.devices;
    for (const auto& [device, xdp, other] : view.ingress) {
        out["ingress_hooks"].push_back(
            {{"device", device}, {"hook", xdp == Xdp::off ? "tc" : fmt::format("xdp-{}", format_xdp(xdp))}});
        if (other != 0) out["ingress_hooks"].back()["other_xdp_program_id"] = other;
    }
    out["owner"] = view.record.owner;
    if (view.record.guard != Guard::no) out["guard"] = view.record.guard == Guard::ssh ? "ssh" : "protect";
    out["created_unix_s"] = view.record.created;
    if (view.record.until != 0) out["until_unix_s"] = view.record.until;
    if (view.record.pending != 0) out["unconfirmed"] = true;
    if (view.record.lease != 0) out["lease_ns"] = view.record.lease;
    for (const auto& [direction, counters] : view.counters)
        out["counters"][std::string(format_direction(direction))] = to_json(counters);
    return out;
}

void report_guards(std::vector<RuleView>& views)
{
    for (const auto& view : views)
        if (view.record.guard != Guard::no)
            say("headwind: {}: {}\n", view.record.guard == Guard::ssh ? "spared" : view.record.rule.name,
                describe_rule(view));
    std::erase_if(views, [](const RuleView& view) { return view.record.guard != Guard::no; });
}

void report_effects(const std::vector<RuleView>& views)
{
    for (const auto& view : views)
        if (const auto words = effect_words(view); !words.empty())
            say("headwind: {}: {}\n", view.record.rule.name, words);
}

void report_removed(const Removed& removed, std::string_view nothing)
{
    for (const auto& name : removed.rules) put("removed {}\n", name);
    if (removed.rules.empty() && !nothing.empty()) put("{}\n", nothing);
    if (removed.packets_lost != 0)
        say("headwind: {} packets are lost: they were to be held for longer than {} s, or than any rule asked for\n",
            removed.packets_lost, default_drain.count());
}

}  // namespace headwind
