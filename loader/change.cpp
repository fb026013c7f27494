// headwind change
#include <nlohmann/json.hpp>

#include "agree.h"
#include "cli.h"

namespace headwind {
namespace {

struct ChangeOptions {
    CommonOptions common;
    ChangeWords words;
    bool yes = false;
};

Result<int> change(const ChangeOptions& options)
{
    Changes changes;
    HW_TRY(changes.change, change_requests(options.words));
    HW_CHECK(enter(options.common));
    HW_CHECK(agree(changes, options.yes));
    HW_TRY(auto views, apply_changes(changes));
    report_guards(views);
    if (options.common.json) {
        auto json = nlohmann::json::array();
        for (const auto& view : views) json.push_back(to_json(view));
        fmt::print("{}\n", json.dump(2));
        return 0;
    }
    for (const auto& view : views) {
        fmt::print("{}: {}\n", view.record.rule.name, rule_sentence(view));
        if (const auto words = ingress_words(view); !words.empty())
            fmt::print("{}: {}\n", view.record.rule.name, words);
    }
    return 0;
}

}  // namespace

Result<std::vector<ChangeRequest>> change_requests(const ChangeWords& words)
{
    std::optional<std::uint64_t> duration;
    if (!words.duration.empty()) {
        HW_TRY(duration,
               words.duration == "off" ? Result<std::uint64_t>(0) : parse_time_option("--for", words.duration));
    }
    std::vector<ChangeRequest> requests;
    for (const auto& name : words.names) {
        const auto edit = [text = words.text, name](const Rule& before) -> Result<Rule> {
            auto rule = change_rule(before, text);
            if (!rule) return fail(rule.error().kind, "{}: {}", name, rule.error().message);
            return rule;
        };
        requests.push_back({name, edit, duration});
    }
    return requests;
}

void change_flags(CLI::App* command, ChangeWords& words)
{
    command->add_option("name", words.names, "names, as `headwind list` shows them")->required();
    add_rule_flags(command, words.text);
    command->add_option("--for", words.duration, "from now until the rule ends; off: it does not end")
        ->type_name("TIME|off");
}

void register_change(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ChangeOptions>();
    auto* command = app.add_subcommand("change", "change rules while packets flow; what is not named stays");
    change_flags(command, options->words);
    add_yes_flag(command, options->yes);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "Counters and the state of the rate live on. Each packet meets a rule as it was or as it is, never a mixture;\n"
        "several rules change in the same instant. `off` takes an impairment away, `any` a selector: --loss off,\n"
        "--flap off, --port any, --flows any.\n\n"
        "Examples:\n"
        "  headwind change slow-db --delay 80ms\n"
        "  headwind change slow-db --loss off --for 10m\n"
        "  headwind change a b c --rate 1mbit --queue 50ms");
    command->callback([options, &cli] { cli.chosen = [options] { return change(*options); }; });
}

}  // namespace headwind
