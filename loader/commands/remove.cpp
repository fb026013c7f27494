// SPDX-License-Identifier: MIT
// The commands `headwind del` and `headwind clear`: remove rules by name, or by owner.
#include <nlohmann/json.hpp>

#include <functional>
#include <set>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/print.h"
#include "commands/whereabouts.h"
#include "host/host.h"
#include "line/reclaim.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

struct RemoveOptions {
    CommonOptions common;
    std::vector<std::string> names;
    std::string owner, confirm;
    bool if_exists = false, anyone = false, all = false, everywhere = false, dry_run = false;
};

std::vector<std::string> names_of(const std::vector<LeftRule>& rules)
{
    std::vector<std::string> names;
    for (const auto& rule : rules) names.push_back(rule.name);
    return names;
}

nlohmann::json to_json(const Removed& removed)
{
    auto programs = nlohmann::json::array();
    for (const auto& program : removed.programs)
        programs.push_back({{"device", program.device}, {"hook", program.hook}, {"id", program.id}});
    nlohmann::json out{{"removed", removed.rules},
                       {"packets_lost", removed.packets_lost},
                       {"instance_gone", removed.instance_gone},
                       {"programs_taken_off", programs}};
    if (removed.left) out["left"] = names_of(*removed.left);
    return out;
}

// `dry_run`: of what would be removed.
int report(const Removed& removed, bool as_json, bool dry_run = false)
{
    if (as_json) {
        auto json = to_json(removed);
        if (dry_run) json["dry_run"] = true;
        print_json(json);
        return 0;
    }
    if (dry_run) {
        for (const auto& name : removed.rules) put("would remove {}\n", name);
        if (!removed.programs.empty()) put("would take programs without rules off {}\n", describe(removed.programs));
        if (removed.rules.empty() && removed.programs.empty()) put("no rules to remove\n");
        return 0;
    }
    report_removed(removed, removed.programs.empty() ? "no rules to remove" : "");
    if (!removed.programs.empty()) put("took programs without rules off {}\n", describe(removed.programs));
    return 0;
}

int report_here(const Removed& removed, const RemoveOptions& options)
{
    if (options.dry_run) tell_dry_run();
    return report(removed, options.common.json, options.dry_run);
}

// The rules that `clear` would remove: the guards go with everyone's.
std::vector<std::string> names_to_clear(const std::vector<RuleInfo>& found, bool everyone)
{
    std::vector<std::string> names;
    for (const auto& record : found)
        if (everyone || record.guard == Guard::no) names.push_back(record.rule.name);
    return names;
}

// Removes rules that come back unless their removal is confirmed.
Result<Removed> remove_for_a_while(const RuleFilter& filter, std::uint64_t confirm,
                                   const std::function<std::vector<std::string>(const std::vector<RuleInfo>&)>& wanted,
                                   bool if_exists, bool dry_run)
{
    Removed out;
    const auto decide = [&](const std::vector<RuleInfo>& chosen) -> Result<Changes> {
        Changes changes;
        changes.remove = out.rules = wanted(chosen);
        changes.if_exists = if_exists;
        changes.confirm = confirm;
        return changes;
    };
    HW_TRY(const auto views, dry_run ? rehearse_changes(filter, decide) : change_rules(filter, decide));
    static_cast<void>(views);
    if (!out.rules.empty() && !dry_run) tell_confirm(confirm);
    return out;
}

struct Netns {
    NetnsName name;
    Fd open;
    std::vector<std::string> rules;  // those of the wanted names that are there
};
struct FoundEverywhere {
    std::vector<Netns> namespaces;
    int code = 0;  // of the last one that could not be looked at, which was told
};

FoundEverywhere find_in(const std::vector<std::string>& paths, const std::vector<std::string>& names)
{
    FoundEverywhere out;
    RuleFilter filter;
    filter.names = names;
    for (const auto& path : paths) {
        auto netns = open_netns(path);
        if (!netns) continue;  // it ended meanwhile
        const auto status = in_netns(netns->get(), [&]() -> Status {
            HW_TRY(const auto rules, find_rules(filter));
            HW_TRY(const auto here, rules_here(filter));
            std::set<std::string> found;
            for (const auto& rule : rules) found.insert(rule.rule.name);
            if (!found.empty())
                out.namespaces.push_back(
                    {name_netns(path, here.subject), std::move(*netns), {found.begin(), found.end()}});
            return {};
        });
        if (status) continue;
        say("headwind: in {}: {}\n", printable(path), status.error().message);
        out.code = exit_code(status.error().kind);
    }
    return out;
}

// The names that are in none of the namespaces.
std::set<std::string> missing_in(const std::vector<Netns>& namespaces, const std::vector<std::string>& names)
{
    std::set<std::string> out(names.begin(), names.end());
    for (const auto& one : namespaces)
        for (const auto& name : one.rules) out.erase(name);
    return out;
}

nlohmann::json in_namespaces(nlohmann::json json, bool dry_run)
{
    nlohmann::json out{{"namespaces", std::move(json)}};
    if (dry_run) out["dry_run"] = true;
    return out;
}

// Goes through the network namespaces one after the other: the errors of one are told, and the rest goes on. A name
// that is in none of them is an error, and then nothing is removed.
Result<int> del_everywhere(const RemoveOptions& options)
{
    HW_TRY(const auto paths, namespaces_in_use(false));
    auto [namespaces, code] = find_in(paths, options.names);
    const auto missing = missing_in(namespaces, options.names);
    if (!missing.empty() && !options.if_exists && code == 0)
        return fail(ErrorKind::not_found,
                    "no rule is called {} in any network namespace: see `headwind list --everywhere`",
                    *missing.begin());
    auto json = nlohmann::json::array();
    for (const auto& one : namespaces) {
        Result<Removed> removed;
        const auto status = in_netns(one.open.get(), [&]() -> Status {
            HW_TRY(removed, options.dry_run ? rehearse_removal(one.rules, true)
                                            : delete_rules(one.rules, true, drain_progress()));
            return {};
        });
        if (!status) {
            say("headwind: in {}: {}\n", one.name.place, status.error().message);
            code = exit_code(status.error().kind);
            continue;
        }
        if (options.common.json) {
            json.push_back(to_json(*removed));
            json.back()["netns"] = one.name.path;
            json.back()["place"] = one.name.place;
            continue;
        }
        put("in {}:\n", one.name.place);
        report(*removed, false, options.dry_run);
    }
    if (options.dry_run) tell_dry_run();
    if (options.common.json)
        print_json(in_namespaces(std::move(json), options.dry_run));
    else if (namespaces.empty())
        put("no rules to remove\n");
    return code;
}

Result<int> del(const RemoveOptions& options)
{
    HW_CHECK(enter(options.common));
    if (options.everywhere) return del_everywhere(options);
    HW_TRY(const auto confirm, parse_confirm(options.confirm));
    const auto wanted = [&options](const auto&) { return options.names; };
    if (confirm != 0) {
        HW_TRY(const auto gone, remove_for_a_while({}, confirm, wanted, options.if_exists, options.dry_run));
        return report_here(gone, options);
    }
    HW_TRY(const auto removed, options.dry_run ? rehearse_removal(options.names, options.if_exists)
                                               : delete_rules(options.names, options.if_exists, drain_progress()));
    return report_here(removed, options);
}

void say_what_stays(const Removed& removed)
{
    for (const auto& rule : removed.left.value_or(std::vector<LeftRule>{}))
        say("headwind: {} stays, it is of {} (clear --owner {}, or --anyone)\n", rule.name, rule.owner, rule.owner);
}

// Clears the network namespaces one after the other, each to its end: the errors of one are told, and the rest goes on.
Result<int> clear_everywhere(const std::optional<std::string>& owner, bool as_json, bool dry_run)
{
    HW_TRY(const auto paths, namespaces_in_use(!owner));
    auto json = nlohmann::json::array();
    int code = 0;
    for (const auto& path : paths) {
        if (!enter_netns(path)) continue;  // it ended meanwhile
        const auto before = rules_here(RuleFilter());
        const auto netns = name_netns(path, before ? before->subject : std::nullopt);
        const auto removed = dry_run ? rehearse_clear(owner) : clear(owner, drain_progress());
        if (!removed) {
            say("headwind: in {}: {}\n", netns.place, removed.error().message);
            code = exit_code(removed.error().kind);
            continue;
        }
        if (as_json) {
            json.push_back(to_json(*removed));
            json.back()["netns"] = path;
            json.back()["place"] = netns.place;
            continue;
        }
        put("in {} ({}):\n", netns.place, printable(path));
        say_what_stays(*removed);
        report(*removed, false, dry_run);
    }
    if (dry_run) tell_dry_run();
    if (as_json)
        print_json(in_namespaces(std::move(json), dry_run));
    else if (paths.empty())
        put("no rules to remove\n");
    return code;
}

// The command again, without a network namespace.
std::string words_of(const RemoveOptions& options)
{
    if (options.all) return "clear --all";
    if (options.anyone) return "clear --anyone";
    return options.owner.empty() ? "clear" : "clear --owner " + shell_word(options.owner);
}

Result<int> clear_rules(const RemoveOptions& options)
{
    std::optional<std::string> owner;
    if (!options.all && !options.anyone) {
        HW_TRY(owner, owner_or_user(options.owner.empty() ? owner_in_environment() : options.owner));
    }
    HW_CHECK(enter(options.common));
    if (options.everywhere) return clear_everywhere(owner, options.common.json, options.dry_run);
    HW_TRY(const auto confirm, parse_confirm(options.confirm));
    if (confirm != 0) {
        const auto wanted = [&owner](const std::vector<RuleInfo>& chosen) { return names_to_clear(chosen, !owner); };
        HW_TRY(const auto gone, remove_for_a_while({{}, owner, !owner}, confirm, wanted, false, options.dry_run));
        return report_here(gone, options);
    }
    HW_TRY(const auto removed, options.dry_run ? rehearse_clear(owner) : clear(owner, drain_progress()));
    if (!options.common.json) say_what_stays(removed);
    const int code = report_here(removed, options);
    if (removed.rules.empty() && !options.common.json && !is_somewhere(options.common))
        put("{}", elsewhere_words(find_elsewhere({{}, owner, !owner}), words_of(options)));
    return code;
}

}  // namespace

void register_del(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<RemoveOptions>();
    auto* command = app.add_subcommand("del", "remove rules by name; packets they hold are still delivered");
    command->add_option("name", options->names, "names, as `headwind list` shows them")->required();
    command->add_flag("--if-exists", options->if_exists, "a name that is not there is no error");
    add_confirm_flag(command, options->confirm);
    add_dry_run_flag(command, options->dry_run);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    add_everywhere_flag(command, options->everywhere)->excludes(command->get_option("--confirm"));
    command->footer(
        "Examples:\n  headwind del slow-db\n  headwind del --if-exists a b c\n  headwind del slow --pod default/shop\n"
        "  headwind del slow --everywhere");
    command->callback([options, &cli] { cli.chosen = [options] { return del(*options); }; });
}

void register_clear(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<RemoveOptions>();
    auto* command = app.add_subcommand(
        "clear", "remove your rules of this namespace; with the last one, everything Headwind has there");
    add_common_options(command, options->common, true);
    // $HEADWIND_OWNER is asked for later: it must not keep --all and --anyone from what they are for.
    add_owner_flag(command, options->owner, "whose rules (default: $HEADWIND_OWNER, or the user's)");
    command->get_option("--owner")->envname("");
    command->add_flag("--anyone", options->anyone, "everyone's rules")->excludes(command->get_option("--owner"));
    command
        ->add_flag("--all", options->all, "everyone's rules, and all else of Headwind's, also where its pins are gone")
        ->excludes(command->get_option("--owner"));
    add_namespace_options(command, options->common);
    add_confirm_flag(command, options->confirm);
    add_dry_run_flag(command, options->dry_run);
    add_everywhere_flag(command, options->everywhere)->excludes(command->get_option("--confirm"));
    command->footer(
        "Also cleans up after commands that were killed.\n\n"
        "Examples:\n  headwind clear\n  headwind clear --owner ci-1234\n  headwind clear --all --netns blue\n"
        "  headwind clear --everywhere --anyone");
    command->callback([options, &cli] { cli.chosen = [options] { return clear_rules(*options); }; });
}

}  // namespace headwind
