// SPDX-License-Identifier: MIT
// The command `headwind change`: changes rules while packets flow.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/print.h"
#include "rule/files.h"
#include "rule/protect.h"
#include "util/output.h"

namespace headwind {
namespace {

struct ChangeOptions {
    CommonOptions common;
    ChangeArgs words;
    std::string confirm;
    bool yes = false, dry_run = false;
};

Result<int> change(const ChangeOptions& options)
{
    Changes changes;
    HW_TRY(changes.change, change_requests(options.words));
    HW_TRY(changes.confirm, parse_confirm(options.confirm));
    HW_TRY(changes.protect, make_protections(options.words.protect));
    HW_CHECK(enter(options.common));
    HW_TRY(auto views, change_or_rehearse(changes, options.yes, options.dry_run));
    report_guards(views);
    report_effects(views);
    if (!options.dry_run) tell_confirm(changes.confirm);
    if (std::ranges::any_of(views, [](const auto& view) { return view.state == RuleState::panicked; }))
        say("headwind: panic is on: no rule has an effect until `headwind panic --off`\n");
    if (options.common.json) {
        auto json = nlohmann::json::array();
        for (const auto& view : views) {
            json.push_back(to_json(view));
            if (options.dry_run) json.back()["dry_run"] = true;
        }
        print_json(json);
        return 0;
    }
    for (const auto& view : views) {
        put("{}: {}\n", view.record.rule.name, describe_rule(view));
        for (const auto& words : {opening_words(view), ingress_words(view)})
            if (!words.empty()) put("{}: {}\n", view.record.rule.name, words);
    }
    return 0;
}

}  // namespace

Result<std::vector<ChangeRequest>> change_requests(const ChangeArgs& words)
{
    std::optional<std::uint64_t> duration;
    if (!words.duration.empty()) {
        HW_TRY(duration, words.duration == "off" || words.duration == for_ever
                             ? Result<std::uint64_t>(0)
                             : parse_time_option("--for", words.duration));
    }
    for (const auto& name : words.text.off)
        if (!is_switch("--" + name)) return fail(ErrorKind::usage, "--off {}: unknown", printable(name));
    auto read = words.text;
    HW_CHECK(load_files(read));
    std::vector<ChangeRequest> requests;
    for (const auto& name : words.names) {
        const auto edit = [text = read, name](const Rule& before) -> Result<Rule> {
            auto rule = change_rule(before, text);
            if (!rule) return fail(rule.error().kind, "{}: {}", name, rule.error().message);
            return rule;
        };
        requests.push_back({name, edit, duration, words.go_on, words.duration == for_ever});
    }
    return requests;
}

void register_change(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ChangeOptions>();
    auto* command = app.add_subcommand("change", "change rules while packets flow; what is not named stays");
    change_flags(command, options->words);
    add_yes_flag(command, options->yes);
    add_dry_run_flag(command, options->dry_run);
    add_confirm_flag(command, options->confirm);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "Counters and the state of the rate live on. Each packet meets a rule as it was or as it is, never a mixture;\n"
        "several rules change in the same instant. `off` takes an impairment away, `any` a selector: --loss off,\n"
        "--flap off, --between off, --days off, --ramp off, --trace off, --port any, --flows any; after --pass and --partition\n"
        "it leads back to what they took the place of (but a ramp or a trace). 0 is a value: --loss 0%. A trace that stays is not read again.\n\n"
        "Examples:\n"
        "  headwind change slow-db --delay 80ms\n"
        "  headwind change slow-db --loss off --for 10m\n"
        "  headwind change slow-db --pass; headwind change slow-db --pass off\n"
        "  headwind change a b c --rate 1mbit --queue 50ms");
    command->callback([options, &cli] { cli.chosen = [options] { return change(*options); }; });
}

}  // namespace headwind
