#include "cli.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "bpffs.h"
#include "host.h"
#include "local_time.h"
#include "output.h"
#include "text.h"

namespace headwind {
namespace {

// Of the host; read once for all the rules of a list.
const std::string& zone_name()
{
    static const std::string name = host_zone().value_or(Zone{}).name;
    return name;
}

}  // namespace

// "14:05" today, "2026-11-24 14:05" otherwise; "14:05:07" if it is less than ten minutes away.
namespace {

constexpr const char* no_value = "has no value (a variable that is not set?): leave it out, or give it one";

// "--hold", "-y"; not "-", and no negative number.
bool looks_like_option(const std::string& word)
{
    return word.size() > 1 && word[0] == '-' &&
           (word[1] == '-' || std::isalpha(static_cast<unsigned char>(word[1])) != 0);
}

void refuse_missing_values(const CLI::App& app)
{
    for (const auto* option : app.get_options()) {
        if (option->count() == 0) continue;
        for (const auto& value : option->results()) {
            if (value.empty()) throw CLI::ValidationError(option->get_name(), no_value);
            if (looks_like_option(value) && option->nonpositional())
                throw CLI::ValidationError(option->get_name(), "has no value: " + printable(value) + " follows");
        }
    }
    for (const auto* command : app.get_subcommands()) refuse_missing_values(*command);
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

void parse_words(CLI::App& app, std::vector<std::string> words)
{
    for (const auto& word : words)
        if (word.starts_with("--") && word.find('=') + 1 == word.size())
            throw CLI::ValidationError(word.substr(0, word.size() - 1), no_value);
    std::reverse(words.begin(), words.end());  // CLI11 takes the last one first
    app.parse(std::move(words));
    refuse_missing_values(app);
}

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
        ->transform([](const std::string& path) {
            const auto end = path.find_last_not_of('/') + 1;
            return end == 0 && !path.empty() ? "/." : path.substr(0, end);  // /./proc: an empty one is none
        });
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

CLI::Option* add_everywhere_flag(CLI::App* command, bool& everywhere, const std::string& names)
{
    auto* flag = command->add_flag(names, everywhere, "in every network namespace of the host");
    for (const char* one : {"--netns", "--container", "--pod", "--pid"}) flag->excludes(command->get_option(one));
    return flag;
}

Status enter(const CommonOptions& options)
{
    use_host_root(options.host_root);
    HW_CHECK(find_bpffs());
    if (options.party.given()) return enter_netns_of(options.party, options.host_root);
    if (options.netns.empty()) return {};
    return enter_netns(options.netns);
}

Progress drain_progress()
{
    return [](std::uint32_t left) {
        if (isatty(STDERR_FILENO)) say("headwind: waiting for {} packets in the line ...\n", left);
    };
}

std::string owner_in_environment()
{
    const char* owner = std::getenv("HEADWIND_OWNER");
    return owner != nullptr ? owner : "";
}

std::string invoking_user()
{
    if (const char* user = std::getenv("SUDO_USER"); user != nullptr && *user != '\0') return printable(user);
    static const std::string name = [] {  // a file of rules asks for each line
        const passwd* entry = getpwuid(getuid());
        return entry != nullptr ? entry->pw_name : std::to_string(getuid());
    }();
    return name;
}

std::string rule_sentence(const RuleView& view)
{
    SentenceContext context;
    context.devices = view.devices;
    if (view.record.until != 0) context.until = clock_text(view.record.until);
    context.lease = view.record.lease;
    if (view.record.rule.hours) context.zone = zone_name();
    if (view.record.everywhere) context.devices = {"every device"};
    return sentence(view.record.rule, context) + (view.record.guard == Guard::protect ? ", whatever rules say" : "");
}

std::string opening_words(const RuleView& view)
{
    if (view.state != RuleState::off_hours) return "";
    constexpr std::string_view days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    const auto second = view.opening.second_of_week;
    return fmt::format("off until {} {}", days[second / HW_DAY % 7], format_time_of_day(second % HW_DAY));
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
        case RuleState::broken: return "not effective";
        case RuleState::stopped: return "stopped";
        case RuleState::undone: return "undone";
        case RuleState::off_hours: return "off hours";
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
            {"passed_undelayed_packets", counters.unstampable},
            {"passed_shared_packets", counters.shared}};
}

nlohmann::json to_json(const RuleView& view)
{
    auto out = to_json(view.record.rule);
    out["id"] = view.record.id;
    out["state"] = format_state(view.state);
    if (!view.trouble.empty()) out["trouble"] = view.trouble;
    if (view.state == RuleState::off_hours) {
        out["off_until"] = opening_words(view).substr(std::string_view("off until ").size());
        out["off_until_unix_s"] = view.opening.at;
    }
    out["sentence"] = rule_sentence(view);
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

}  // namespace headwind
