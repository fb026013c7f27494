// SPDX-License-Identifier: MIT
// Writes completions of the words after `headwind` for bash, zsh and fish.
#include <fmt/ranges.h>

#include "manual/manual.h"

namespace headwind {
namespace {

// The text in single quotes, as all three shells take it; `quote` stands for a single quote in it.
std::string quoted(std::string_view text, std::string_view quote)
{
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'')
            out += quote;
        else
            out += c == '\n' ? ' ' : c;
    }
    return out + "'";
}

// bash and zsh end the quotes for a quote, fish escapes it.
constexpr std::string_view posix_quote = "'\\''", fish_quote = "\\'";

std::vector<std::string> names_of(const std::vector<const CLI::App*>& commands)
{
    std::vector<std::string> names;
    for (const auto* command : commands) names.push_back(command->get_name());
    return names;
}

// ---- bash ----

// A branch of the `case` on the word before: completes the values of an option.
std::string bash_values(const Entry& entry)
{
    const auto choices = choices_of(entry);
    std::string reply = "return";
    if (!choices.empty())
        reply = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return", fmt::join(choices, " "));
    if (names_file(entry)) reply = "COMPREPLY=($(compgen -f -- \"$cur\")); return";
    return fmt::format("                {}) {} ;;\n", fmt::join(entry.names, "|"), reply);
}

std::string bash_command(const CLI::App& command)
{
    std::vector<std::string> words;
    std::string values;
    bool files = false;
    for (const Entry& entry : entries_of(command)) {
        words.insert(words.end(), entry.names.begin(), entry.names.end());
        if (entry.is_option() && !entry.type.empty()) values += bash_values(entry);
        files = files || (!entry.is_option() && names_file(entry));
    }
    if (!values.empty()) values = fmt::format("            case $prev in\n{}            esac\n", values);
    return fmt::format("        {})\n{}            words='{}'\n{}            ;;\n", command.get_name(), values,
                       fmt::join(words, " "), files ? "            [[ $cur != -* ]] && other=-f\n" : "");
}

// ---- zsh ----

// Text escaped for a specification of _arguments.
std::string zsh_text(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

// The value in a specification: ":TIME:", ":out|in|both:(out in both)", ":FILE:_files".
std::string zsh_value(const Entry& entry)
{
    const auto choices = choices_of(entry);
    const auto action = names_file(entry) ? "_files"
                        : choices.empty() ? ""
                                          : fmt::format("({})", fmt::join(choices, " "));
    return fmt::format(":{}:{}", zsh_text(entry.is_option() ? entry.type : entry.positional), action);
}

// The sign for how a value follows its flag: after a blank or "=", after a single letter also at once.
std::string_view zsh_sign(const Entry& entry, std::string_view name)
{
    return entry.type.empty() ? "" : name.starts_with("--") ? "=" : "+";
}

std::string zsh_line(std::string_view specification)
{
    return fmt::format(" \\\n                {}", quoted(specification, posix_quote));
}

std::string zsh_option(const Entry& entry)
{
    std::string text;
    const auto others = entry.repeats ? "*" : fmt::format("({})", fmt::join(entry.names, " "));
    const auto value = entry.type.empty() ? "" : zsh_value(entry);
    for (const auto& name : entry.names)
        text += zsh_line(fmt::format("{}{}{}[{}]{}", others, name, zsh_sign(entry, name), zsh_text(entry.help), value));
    return text;
}

std::string zsh_command(const CLI::App& command)
{
    std::string specifications;
    for (const Entry& entry : entries_of(command))
        specifications += entry.is_option() ? zsh_option(entry) : zsh_line("*" + zsh_value(entry));
    if (command.get_name() == "run")
        specifications += zsh_line("(-)1:command:_command_names -e") + zsh_line("*::arguments:_normal");
    return fmt::format("        {})\n            _arguments -S{}\n            ;;\n", command.get_name(),
                       specifications);
}

// ---- fish ----

std::string fish_option(const std::string& command, const Entry& entry)
{
    std::string text = fmt::format("complete -c headwind -n '__fish_seen_subcommand_from {}'", command);
    for (const auto& name : entry.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    const auto choices = choices_of(entry);
    if (names_file(entry))
        text += " -r -F";
    else if (!entry.type.empty())
        text += choices.empty() ? " -x" : fmt::format(" -x -a '{}'", fmt::join(choices, " "));
    return fmt::format("{} -d {}\n", text, quoted(entry.help, fish_quote));
}

std::string fish_command(const CLI::App& command)
{
    const auto& name = command.get_name();
    std::string text = fmt::format("complete -c headwind -n __fish_use_subcommand -a {} -d {}\n", name,
                                   quoted(command.get_description(), fish_quote));
    for (const Entry& entry : entries_of(command)) {
        if (entry.is_option())
            text += fish_option(name, entry);
        else if (names_file(entry))
            text += fmt::format("complete -c headwind -n '__fish_seen_subcommand_from {}' -F\n", name);
    }
    if (name == "run")
        text +=
            "complete -c headwind -n '__fish_seen_subcommand_from run; and contains -- -- (commandline -opc)' -a '(__fish_complete_command)'\n";
    return text;
}

}  // namespace

std::string bash_completion(const CLI::App& app)
{
    const auto commands = commands_of(app);
    std::string branches;
    for (const auto* command : commands) branches += bash_command(*command);
    return fmt::format(
        "# bash completion for headwind\n"
        "_headwind()\n{{\n"
        "    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words other=\n"
        "    if ((COMP_CWORD == 1)); then\n"
        "        COMPREPLY=($(compgen -W '{} --help --version' -- \"$cur\"))\n"
        "        return\n"
        "    fi\n"
        "    if [[ ${{COMP_WORDS[1]}} == run && \" ${{COMP_WORDS[*]:2:COMP_CWORD-2}} \" == *' -- '* ]]; then\n"
        "        COMPREPLY=($(compgen -c -f -- \"$cur\"))\n"
        "        return\n"
        "    fi\n"
        "    case ${{COMP_WORDS[1]}} in\n{}        *) return ;;\n    esac\n"
        "    COMPREPLY=($(compgen $other -W \"$words\" -- \"$cur\"))\n"
        "}}\n"
        "complete -F _headwind headwind\n",
        fmt::join(names_of(commands), " "), branches);
}

std::string zsh_completion(const CLI::App& app)
{
    std::string names, branches;
    for (const auto* command : commands_of(app)) {
        names += fmt::format(" \\\n            {}",
                             quoted(command->get_name() + ":" + command->get_description(), posix_quote));
        branches += zsh_command(*command);
    }
    return fmt::format(
        "#compdef headwind\n"
        "_headwind()\n{{\n"
        "    local -a commands\n"
        "    if ((CURRENT == 2)); then\n"
        "        commands=({})\n"
        "        _describe command commands\n"
        "        return\n"
        "    fi\n"
        "    shift words\n"
        "    ((CURRENT--))\n"
        "    case $words[1] in\n{}    esac\n"
        "}}\n"
        "_headwind \"$@\"\n",
        names, branches);
}

std::string fish_completion(const CLI::App& app)
{
    std::string text = "# fish completion for headwind\ncomplete -c headwind -f\n";
    for (const auto* command : commands_of(app)) text += fish_command(*command);
    return text;
}

}  // namespace headwind
