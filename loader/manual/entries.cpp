// SPDX-License-Identifier: MIT
// Lists the options of a command as --help shows them.
#include <algorithm>

#include "manual/manual.h"

namespace headwind {
namespace {

bool is_lower(const std::string& word)
{
    return !word.empty() && std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; });
}

Entry entry_of(const CLI::Option& option)
{
    Entry entry;
    for (const auto& name : option.get_snames()) entry.names.push_back("-" + name);
    for (const auto& name : option.get_lnames()) entry.names.push_back("--" + name);
    if (!entry.is_option()) entry.positional = option.get_name();
    if (option.get_items_expected_max() != 0) entry.type = option.get_type_name();
    entry.help = option.get_description();
    entry.group = option.get_group();
    entry.repeats = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
    return entry;
}

}  // namespace

std::vector<Entry> entries_of(const CLI::App& command)
{
    std::vector<Entry> entries;
    for (const auto* option : command.get_options())
        if (!option->get_group().empty()) entries.push_back(entry_of(*option));
    return entries;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app)
{
    return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

std::vector<std::string> choices_of(const Entry& entry)
{
    std::vector<std::string> choices;
    std::string_view rest = entry.type;
    for (bool more = true; more;) {
        const auto bar = rest.find('|');
        choices.emplace_back(rest.substr(0, bar));
        more = bar != std::string_view::npos;
        if (more) rest.remove_prefix(bar + 1);
    }
    const bool words = choices.size() > 1 && std::ranges::all_of(choices, is_lower);
    return words ? choices : std::vector<std::string>{};
}

bool names_file(const Entry& entry)
{
    return entry.type == "FILE" || entry.type == "PATH" || entry.positional == "file";
}

}  // namespace headwind
