// headwind del, headwind clear
#include <nlohmann/json.hpp>

#include "cli.h"

namespace headwind {
namespace {

struct Options {
    CommonOptions common;
    std::vector<std::string> names;
    bool if_exists = false;
};

int report(const Removed& removed, bool json)
{
    if (json) {
        fmt::print("{}\n", nlohmann::json{{"removed", removed.rules},
                                          {"packets_lost", removed.packets_lost},
                                          {"instance_gone", removed.instance_gone}}
                               .dump(2));
        return 0;
    }
    for (const auto& name : removed.rules) fmt::print("removed {}\n", name);
    if (removed.rules.empty()) fmt::print("no rules to remove\n");
    if (removed.packets_lost != 0)
        fmt::print(stderr, "headwind: {} packets were still held after {} s and are lost\n", removed.packets_lost,
                   default_drain.count());
    return 0;
}

Result<int> del(const Options& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(const auto removed, delete_rules(options.names, options.if_exists, drain_progress()));
    return report(removed, options.common.json);
}

Result<int> clear_all(const Options& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(const auto removed, clear(drain_progress()));
    return report(removed, options.common.json);
}

}  // namespace

void register_del(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("del", "remove rules by name; packets they hold are still delivered");
    command->add_option("name", options->names, "names, as `headwind list` shows them")->required();
    command->add_flag("--if-exists", options->if_exists, "a name that is not there is no error");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer("Examples:\n  headwind del slow-db\n  headwind del --if-exists a b c");
    command->callback([options, &cli] { cli.chosen = [options] { return del(*options); }; });
}

void register_clear(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command =
        app.add_subcommand("clear", "remove every rule and everything else of Headwind's in this namespace");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "Also cleans up after commands that were killed.\n\n"
        "Examples:\n  headwind clear\n  headwind clear --netns blue");
    command->callback([options, &cli] { cli.chosen = [options] { return clear_all(*options); }; });
}

}  // namespace headwind
