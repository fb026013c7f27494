// SPDX-License-Identifier: MIT
// The command `headwind upgrade`: puts this version's programs in the place of another's.
#include <set>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "datapath/instance.h"
#include "engine/takeover.h"
#include "host/host.h"
#include "util/output.h"

namespace headwind {
namespace {

struct UpgradeOptions {
    CommonOptions common;
    bool everywhere = false, dry_run = false;
};

std::string in_words(const TakenOver& done, bool dry_run)
{
    if (!done.exists) return "no rules here";
    if (!done.replaced) return "the programs are this version's";
    return fmt::format("programs {} on {}; rules and counters stay", dry_run ? "would be replaced" : "replaced",
                       fmt::join(done.devices, ", "));
}

nlohmann::json in_json(const TakenOver& done, bool dry_run)
{
    nlohmann::json out{{"rules_here", done.exists}, {"replaced", done.replaced}, {"devices", done.devices}};
    if (dry_run) out["dry_run"] = true;
    return out;
}

// What take_over() would do.
Result<TakenOver> rehearse()
{
    HW_TRY(const auto all, take_snapshot());
    TakenOver out;
    out.exists = all.exists;
    out.replaced = all.exists && !all.own_programs;
    std::set<std::string> devices;
    for (const auto& view : all.rules) devices.insert(view.devices.begin(), view.devices.end());
    if (out.replaced) out.devices.assign(devices.begin(), devices.end());
    return out;
}

// Upgrades every network namespace that it can; the first failure is the result.
Result<int> upgrade_everywhere(const UpgradeOptions& options)
{
    auto namespaces = nlohmann::json::array();
    Status first;
    HW_TRY(const auto paths, instance_netns_paths());
    for (const auto& path : paths) {
        if (!enter_netns(path)) continue;  // it ended meanwhile
        auto done = options.dry_run ? rehearse() : take_over();
        if (!done) {
            if (first) first = fail(done.error().kind, "in {}: {}", printable(path), done.error().message);
            continue;
        }
        namespaces.push_back(in_json(*done, options.dry_run));
        namespaces.back()["netns"] = path;
        if (!options.common.json) put("in {}: {}\n", printable(path), in_words(*done, options.dry_run));
    }
    if (options.dry_run) tell_dry_run();
    if (options.common.json)
        print_json(nlohmann::json{{"namespaces", namespaces}});
    else if (namespaces.empty() && first)
        put("no rules on this host\n");
    HW_CHECK(first);
    return 0;
}

Result<int> upgrade(const UpgradeOptions& options)
{
    HW_CHECK(enter(options.common));
    if (options.everywhere) return upgrade_everywhere(options);
    HW_TRY(const auto done, options.dry_run ? rehearse() : take_over());
    if (options.dry_run) tell_dry_run();
    if (options.common.json)
        print_json(in_json(done, options.dry_run));
    else
        put("{}\n", in_words(done, options.dry_run));
    return 0;
}

}  // namespace

void register_upgrade(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<UpgradeOptions>();
    auto* command = app.add_subcommand(
        "upgrade", "after another version was installed: its programs take the place of those that run");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    add_dry_run_flag(command, options->dry_run);
    command->add_flag("--all", options->everywhere, "of every network namespace that has rules");
    command->footer(
        "Rules, counters and held packets stay, and no packet goes unimpaired. The agent does it when it starts; all\n"
        "other commands leave the programs that run alone. Both ways: whose `upgrade` ran last, whose programs run.\n"
        "Programs of another ABI are refused, with what to do (exit code 5).\n\n"
        "Examples:\n  headwind upgrade --all\n  headwind upgrade --netns blue --json");
    command->callback([options, &cli] { cli.chosen = [options] { return upgrade(*options); }; });
}

}  // namespace headwind
