#include "cli.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "host.h"

namespace headwind {
namespace {

// "14:05" today, "2026-11-24 14:05" otherwise; "14:05:07" if it is less than ten minutes away.
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

void add_value(CLI::App* command, const char* group, const char* flag, std::optional<std::string>& to, const char* type,
               const char* help)
{
    command->add_option(flag, to, help)->type_name(type)->group(group);
}

void add_selector_flags(CLI::App* command, RuleText& text)
{
    constexpr const char* group = "Which packets";
    const auto list = [command](const char* flag, std::vector<std::string>& to, const char* type, const char* help) {
        command->add_option(flag, to, help)->type_name(type)->group(group)->take_all();
    };
    list("--dev,-i", text.devices, "NAME,...",
         "through these devices; tap*: all that match, now or later (else: the lowest that are up, lo included)");
    list("--cgroup", text.cgroups, "PATH", "of sockets in this cgroup or below it");
    list("--proto", text.protocols, "NAME|NUMBER,...", "tcp, udp, icmp, ...; arp, nd and dhcp only if named");
    list("--port", text.ports, "PORTS", "at either end: 22,80,8000-8080 (or 8000:8080)");
    list("--local-port,--src-port", text.local_ports, "PORTS", "at this end");
    list("--remote-port,--dst-port", text.remote_ports, "PORTS", "at the other end");
    list("--local,--src-network", text.locals, "CIDR,...", "address of this end, v4 or v6");
    list("--remote,--network", text.remotes, "CIDR,...", "address of the other end");
    add_value(command, group, "--flows", text.flows, "PERCENT",
              "only of this share of the flows (5-tuples), the same ones always: 5%");
    add_value(command, group, "--flow-seed", text.flow_seed, "N", "another choice of --flows (default 0)");
    add_value(command, group, "--direction", text.direction, "out|in|both",
              "out by default; both with --partition, --pass and --reject alone");
    add_value(command, group, "--priority", text.priority, "N",
              "-1000 .. 1000, default 0: the highest matching rule wins");
}

void add_hook_flags(CLI::App* command, RuleText& text)
{
    add_value(
        command, "Where it is decided", "--xdp", text.xdp, "auto|native|generic|off",
        "decide loss and partition of what comes in in XDP, before tc; auto (default): where the driver hands XDP "
        "metadata on, never on veth");
}

void add_impairment_flags(CLI::App* command, RuleText& text)
{
    constexpr const char* group = "What happens to them";
    const auto value = [command](const char* flag, std::optional<std::string>& to, const char* type, const char* help) {
        add_value(command, group, flag, to, type, help);
    };
    value("--delay,--latency", text.delay, "TIME", "hold each packet this long: 250ms, 1.5s");
    value("--jitter,--delay-distro", text.jitter, "TIME", "more or less than --delay by up to this, at random: 20ms");
    value("--distribution,--delay-distribution", text.distribution, "uniform|normal",
          "of the jitter; normal: --jitter is the standard deviation (default uniform)");
    value("--loss,--packet-loss", text.loss, "PERCENT", "drop each wire packet with this probability: 10%");
    value("--corrupt", text.corrupt, "PERCENT", "flip a bit of a wire packet with this probability: 0.1%");
    value("--duplicate", text.duplicate, "PERCENT", "send a wire packet twice with this probability: 1%");
    value("--reorder,--reordering", text.reorder, "PERCENT",
          "send a packet without its --delay with this probability: 25%");
    value("--reorder-gap", text.reorder_gap, "N", "only every N-th packet may be reordered (default 1)");
    value("--rate", text.rate, "RATE", "send no faster: 1mbit, 512kbit (frames without FCS)");
    value("--queue", text.queue, "SIZE|TIME", "longest queue in front of --rate: 64kb, 50ms (default 200ms)");
    command->add_flag("--partition", text.partition, "drop every packet, both directions")->group(group);
    value("--reject", text.reject, "rst|icmp",
          "drop with an answer: what --loss takes, else every packet; rst: TCP with RST, the rest as icmp");
    value("--netem", text.netem, "WORDS", "all of this in the words of tc's netem: \"delay 100ms 20ms loss 1%\"");
    value("--flap", text.flap, "up=TIME,down=TIME",
          "by turns, in the kernel: up=30s,down=5s leaves them alone for 30 s, then does this (alone: drops all) for 5 "
          "s");
    command->add_flag("--pass", text.pass, "leave these alone (an exclusion: give it a higher --priority)")
        ->group(group);
}

}  // namespace

void add_common_options(CLI::App* command, CommonOptions& options, bool json)
{
    command
        ->add_option("--netns", options.netns, "network namespace: a name of `ip netns list`, a process id, or a path")
        ->type_name("NAME|PID|PATH");
    command
        ->add_option(
            "--host-root", options.host_root,
            "in a container: where the host's / is mounted, as /host; /proc, /run, /sys/fs/cgroup and /var/lib "
            "are read there")
        ->type_name("PATH")
        ->envname("HEADWIND_HOST_ROOT")
        ->transform([](const std::string& path) { return path.substr(0, path.find_last_not_of('/') + 1); });
    if (json) command->add_flag("--json", options.json, "print JSON");
}

void add_namespace_options(CLI::App* command, CommonOptions& options)
{
    constexpr const char* group = "The network namespace of";
    auto* netns = command->get_option("--netns");
    auto* container =
        command->add_option("--container", options.party.container, "a container: id, 6 digits of it, name");
    auto* pod = command->add_option("--pod", options.party.pod, "a pod");
    auto* pid = command->add_option("--pid", options.party.pid, "a process");
    container->type_name("ID|NAME")->group(group)->excludes(netns);
    pod->type_name("NAMESPACE/NAME")->group(group)->excludes(netns)->excludes(container);
    pid->type_name("N")->group(group)->excludes(netns)->excludes(container)->excludes(pod);
}

Status enter(const CommonOptions& options)
{
    use_host_root(options.host_root);
    HW_CHECK(check_bpffs_is_hosts(options.host_root));
    if (options.party.given()) return enter_netns_of(options.party, options.host_root);
    if (options.netns.empty()) return {};
    return enter_netns(options.netns);
}

void add_rule_flags(CLI::App* command, RuleText& text)
{
    add_selector_flags(command, text);
    add_impairment_flags(command, text);
    add_hook_flags(command, text);
}

Progress drain_progress()
{
    return [](std::uint32_t left) {
        if (isatty(STDERR_FILENO)) fmt::print(stderr, "headwind: waiting for {} packets in the line ...\n", left);
    };
}

std::string invoking_user()
{
    if (const char* user = std::getenv("SUDO_USER"); user != nullptr && *user != '\0') return user;
    const passwd* entry = getpwuid(getuid());
    return entry != nullptr ? entry->pw_name : std::to_string(getuid());
}

std::string rule_sentence(const RuleView& view)
{
    SentenceContext context;
    context.devices = view.devices;
    if (view.record.until != 0) context.until = clock_text(view.record.until);
    context.lease = view.record.lease;
    return sentence(view.record.rule, context);
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

std::string_view format_state(RuleState state)
{
    switch (state) {
        case RuleState::live: return "live";
        case RuleState::expired: return "expired";
        case RuleState::unleased: return "lease ended";
        case RuleState::panicked: return "off (panic)";
        case RuleState::orphaned: return "gone";
        case RuleState::waiting: return "no device";
    }
    return "?";
}

nlohmann::json to_json(const hw_counters& counters)
{
    return {{"packets", counters.packets},
            {"bytes", counters.bytes},
            {"dropped_packets",
             {{"loss", counters.dropped[HW_CAUSE_LOSS]},
              {"partition", counters.dropped[HW_CAUSE_PARTITION]},
              {"queue", counters.dropped[HW_CAUSE_QUEUE]},
              {"held", counters.dropped[HW_CAUSE_HELD]},
              {"line", counters.dropped[HW_CAUSE_LINE]},
              {"reject", counters.dropped[HW_CAUSE_REJECT]}}},
            {"corrupted_packets", counters.corrupted},
            {"duplicated_packets", counters.duplicated},
            {"delayed_packets", counters.delayed},
            {"reordered_packets", counters.reordered},
            {"passed_undelayed_packets", counters.unstampable}};
}

nlohmann::json to_json(const RuleView& view)
{
    auto out = to_json(view.record.rule);
    out["id"] = view.record.id;
    out["state"] = format_state(view.state);
    out["sentence"] = rule_sentence(view);
    out["attached_to"] = view.devices;
    for (const auto& [device, xdp, other] : view.ingress) {
        out["ingress_hooks"].push_back(
            {{"device", device}, {"hook", xdp == Xdp::off ? "tc" : fmt::format("xdp-{}", format_xdp(xdp))}});
        if (other != 0) out["ingress_hooks"].back()["other_xdp_program_id"] = other;
    }
    out["owner"] = view.record.owner;
    if (view.record.guard) out["guard"] = true;
    out["created_unix_s"] = view.record.created;
    if (view.record.until != 0) out["until_unix_s"] = view.record.until;
    if (view.record.lease != 0) out["lease_ns"] = view.record.lease;
    for (const auto& [direction, counters] : view.counters)
        out["counters"][std::string(format_direction(direction))] = to_json(counters);
    return out;
}

}  // namespace headwind
