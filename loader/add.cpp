// headwind add
#include <nlohmann/json.hpp>

#include "cli.h"

namespace headwind {
namespace {

struct Options {
    CommonOptions common;
    AddWords words;
};

template <class T>
Result<std::uint64_t> parse_option(const char* flag, const std::string& text, T parse)
{
    if (text.empty()) return std::uint64_t{0};
    auto value = parse(text);
    if (!value) return fail(ErrorKind::usage, "{} {}: {}", flag, text, value.error().message);
    if (*value == 0) return fail(ErrorKind::usage, "{} {}: must be above 0", flag, text);
    return value;
}

Result<int> add(const Options& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(const auto place, find_place(options.words, options.common));
    HW_TRY(const auto request, add_request(options.words, place));
    if (place) HW_CHECK(enter(*place));
    HW_TRY(const auto view, add_rule(request));
    if (options.common.json) {
        auto json = to_json(view);
        if (place) json["placement"] = place->reason;
        fmt::print("{}\n", json.dump(2));
        return 0;
    }
    fmt::print("{}: {}\n", view.record.rule.name, rule_sentence(view));
    if (view.state == RuleState::waiting)
        fmt::print(
            "{}: no such device is there yet: one that comes is taken at once where `headwind agent` runs, else "
            "with the next command that changes something\n",
            view.record.rule.name);
    if (place) fmt::print("{}: it sits {}\n", view.record.rule.name, place->reason);
    return 0;
}

void add_party_flags(CLI::App* command, PartyWords& words)
{
    constexpr const char* group = "Which packets";
    auto* container =
        command->add_option("--container", words.container, "of this container: id, 6 digits of it, name");
    auto* pod = command->add_option("--pod", words.pod, "of this pod, or of one of its containers");
    auto* pid = command->add_option("--pid", words.pid, "of this process and all of its cgroup");
    auto* at = command->add_option("--at", words.at,
                                   "where the rule sits: in the pod's network namespace, or at the host side of its "
                                   "veth; by default as is best");
    container->type_name("ID|NAME")->group(group);
    pod->type_name("NAMESPACE/NAME[/CONTAINER]")->group(group)->excludes(container);
    pid->type_name("N")->group(group)->excludes(container)->excludes(pod);
    at->type_name("pod|host")->group(group);
}

}  // namespace

Result<std::uint64_t> parse_time_option(const char* flag, const std::string& text)
{
    return parse_option(flag, text, parse_duration);
}

Result<std::optional<Place>> find_place(const AddWords& words, const CommonOptions& options)
{
    if (!words.party.given()) {
        if (!words.party.at.empty())
            return fail(ErrorKind::usage, "--at {}: it places a rule for --container, --pod or --pid: add one of them",
                        words.party.at);
        return std::nullopt;
    }
    HW_TRY(auto place, find_place(words.party, options.host_root));
    return place;
}

Result<AddRequest> add_request(const AddWords& words, const std::optional<Place>& place)
{
    AddRequest request;
    auto text = words.text;
    if (place) HW_CHECK(select_party(*place, text));
    HW_TRY(request.rule, make_rule(text));
    HW_TRY(request.duration, parse_time_option("--for", words.duration));
    HW_TRY(request.max_held, parse_option("--max-held", words.max_held, parse_size));
    request.max_rules = words.max_rules;
    request.replace = words.replace;
    request.owner = invoking_user();
    return request;
}

void add_flags(CLI::App* command, AddWords& words)
{
    command->add_option("--name", words.text.name, "what list, stats and del call the rule")->required();
    add_rule_flags(command, words.text);
    add_party_flags(command, words.party);
    command->add_option("--for", words.duration, "the rule ends by itself after this time: 10m")->type_name("TIME");
    command->add_flag("--replace", words.replace, "take the place of the rule of this name, in one instant");
    command
        ->add_option("--max-held", words.max_held,
                     "bytes that all held packets of this namespace may take: 256MiB by default")
        ->type_name("SIZE");
    command
        ->add_option("--max-rules", words.max_rules,
                     "room for so many rules, said with the first one of a namespace: 4096 by default")
        ->check(CLI::Range(1, +HW_MAX_RULES))
        ->type_name("N");
}

void register_add(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("add", "impair some packets of this host");
    add_flags(command, options->words);
    add_common_options(command, options->common, true);
    command->footer(
        "Examples:\n"
        "  headwind add --name slow-db --remote-port 5432 --delay 50ms --loss 1% --for 10m\n"
        "  headwind add --name thin --cgroup /system.slice/backup.service --rate 1mbit --queue 50ms\n"
        "  headwind add --name mobile --dev eth0 --delay 80ms --jitter 20ms --reorder 1% --duplicate 0.1%\n"
        "  headwind add --name refused --remote-port 5432 --reject rst --for 1m\n"
        "  headwind add --name as-in-tc --netem \"delay 100ms 20ms distribution normal loss 1%\"\n"
        "  headwind add --name split --remote 10.0.2.0/24 --partition --for 30s\n"
        "  headwind add --name spare-ssh --port 22 --pass --priority 100\n"
        "  headwind add --name slow-shop --pod default/shop/web --delay 50ms --for 10m\n"
        "  headwind add --name lossy --container web --loss 5% --remote-port 5432\n\n"
        "A packet gets at most one rule: the highest --priority, then the most specific, then the oldest.\n"
        "ARP, IPv6 neighbour discovery and DHCP are left alone unless --proto names them.");
    command->callback([options, &cli] { cli.chosen = [options] { return add(*options); }; });
}

}  // namespace headwind
