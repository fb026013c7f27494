// headwind batch
#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>

#include "agree.h"
#include "cli.h"
#include "text.h"

namespace headwind {
namespace {

struct BatchOptions {
    CommonOptions common;
    std::string file;
    bool yes = false;
};

// A batch changes one network namespace.
Result<AddRequest> request_here(const AddWords& words, const CommonOptions& common)
{
    HW_TRY(const auto place, find_place(words, common));
    if (place && place->netns)
        return fail(ErrorKind::usage,
                    "the rule would sit {}, and a batch changes one namespace only: name it before the file (headwind "
                    "batch --netns {}), or add --at host to the line",
                    place->reason, place->netns_path);
    return add_request(words, place);
}

Status append_line(const std::string& line, const CommonOptions& common, Changes& changes)
{
    AddWords added;
    ChangeWords changed;
    std::vector<std::string> deleted;
    CLI::App app("batch");
    app.set_help_flag();
    app.require_subcommand(1);
    auto* add = app.add_subcommand("add");
    add_flags(add, added);
    auto* change = app.add_subcommand("change");
    change_flags(change, changed);
    app.add_subcommand("del")->add_option("name", deleted)->required();
    try {
        app.parse(line);
    } catch (const CLI::ParseError& error) {
        return fail(ErrorKind::usage, "{}: write a line as `headwind add`, `change` or `del` have it, without headwind",
                    error.what());
    }
    if (add->parsed()) {
        HW_TRY(auto request, request_here(added, common));
        changes.add.push_back(std::move(request));
    } else if (change->parsed()) {
        HW_TRY(const auto requests, change_requests(changed));
        changes.change.insert(changes.change.end(), requests.begin(), requests.end());
    }
    changes.remove.insert(changes.remove.end(), deleted.begin(), deleted.end());
    return {};
}

Result<Changes> read_changes(std::istream& input, const std::string& name, const CommonOptions& common)
{
    Changes changes;
    std::string line;
    for (int number = 1; std::getline(input, line); ++number) {
        const auto words = std::string(trimmed(line));
        if (words.empty() || words.front() == '#') continue;
        if (const auto status = append_line(words, common, changes); !status)
            return fail(status.error().kind, "{}:{}: {}", name, number, status.error().message);
    }
    return changes;
}

Result<int> batch(const BatchOptions& options)
{
    HW_CHECK(enter(options.common));
    Changes changes;
    if (options.file == "-") {
        HW_TRY(changes, read_changes(std::cin, "standard input", options.common));
    } else {
        std::ifstream file(options.file);
        if (!file) return fail_errno(errno, "open " + options.file);
        HW_TRY(changes, read_changes(file, options.file, options.common));
    }
    HW_CHECK(agree(changes, options.yes));
    HW_TRY(auto views, apply_changes(changes));
    report_guards(views);
    if (options.common.json) {
        auto json = nlohmann::json::array();
        for (const auto& view : views) json.push_back(to_json(view));
        fmt::print("{}\n", nlohmann::json{{"rules", json}, {"removed", changes.remove}}.dump(2));
        return 0;
    }
    for (const auto& view : views) fmt::print("{}: {}\n", view.record.rule.name, rule_sentence(view));
    for (const auto& name : changes.remove) fmt::print("removed {}\n", name);
    return 0;
}

}  // namespace

void register_batch(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<BatchOptions>();
    auto* command = app.add_subcommand("batch", "add, change and del many rules in one instant, or none of them");
    command
        ->add_option("file", options->file, "a line for each, as on the command line; # starts a comment; - is stdin")
        ->required();
    add_yes_flag(command, options->yes);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "A packet sees the rules before the batch or after it, never a mixture. A line that is refused is named, and\n"
        "nothing is changed.\n\n"
        "Example:\n"
        "  printf '%s\\n' 'change api --delay 80ms' 'del old' 'add --name new --port 80 --loss 1%' | headwind batch -");
    command->callback([options, &cli] { cli.chosen = [options] { return batch(*options); }; });
}

}  // namespace headwind
