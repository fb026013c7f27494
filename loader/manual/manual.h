// SPDX-License-Identifier: MIT
// headwind(8) and the completions of three shells, made from the command line itself and the table of flags. Pure.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace headwind {

// An option or a positional argument as --help shows it.
struct Entry {
    std::vector<std::string> names;  // with their dashes; empty: a positional argument
    std::string positional;          // the argument's name
    std::string type, help, group;   // type: the value's; empty: it takes none
    bool repeats = false;            // it may be given several times

    bool is_option() const { return !names.empty(); }
};
// The options and arguments of a command, but for those that --help hides.
std::vector<Entry> entries_of(const CLI::App& command);
std::vector<const CLI::App*> commands_of(const CLI::App& app);

// The choices that a type lists: "out", "in" and "both" for "out|in|both"; empty: it lists none.
std::vector<std::string> choices_of(const Entry& entry);
bool names_file(const Entry& entry);

std::string man_page(const CLI::App& app, const std::string& version);
std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
std::string fish_completion(const CLI::App& app);

}  // namespace headwind
