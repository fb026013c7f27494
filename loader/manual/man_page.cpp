// SPDX-License-Identifier: MIT
// Writes headwind(8) in roff.
#include <algorithm>

#include <fmt/ranges.h>

#include "commands/cli.h"
#include "manual/manual.h"
#include "rule/flags.h"

namespace headwind {
namespace {

// Text as roff takes it: no escapes, hyphens that can be copied, and no line that is a request.
std::string roff(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool begins_line = i == 0 || text[i - 1] == '\n';
        if (begins_line && (text[i] == '.' || text[i] == '\'')) out += "\\&";
        if (text[i] == '\\')
            out += "\\e";
        else if (text[i] == '-')
            out += "\\-";
        else
            out += text[i];
    }
    return out;
}

std::string bold(std::string_view text)
{
    return "\\fB" + roff(text) + "\\fR";
}

// A list item: "-i, --dev NAME,..." and its help.
std::string item(const Entry& entry)
{
    std::vector<std::string> names;
    for (const auto& name : entry.names) names.push_back(bold(name));
    if (!entry.is_option()) names.push_back("\\fI" + roff(entry.positional) + "\\fR");
    const auto type = entry.is_option() && !entry.type.empty() ? " \\fI" + roff(entry.type) + "\\fR" : "";
    return fmt::format(".TP\n{}{}\n{}\n", fmt::join(names, ", "), type, roff(entry.help));
}

const Flag* flag_of(const Entry& entry)
{
    const auto flags = rule_flags();
    const auto found = std::ranges::find_if(flags, [&entry](const Flag& flag) {
        return std::ranges::find(entry.names, flag.name) != entry.names.end() && flag.help == entry.help;
    });
    return found == flags.end() ? nullptr : &*found;
}

// A sentence on the flags of a rule that the entries have (they have a section of their own); empty: they have none.
std::string shared_words(const std::vector<Entry>& entries)
{
    std::vector<std::string> missing;
    for (const Flag& flag : rule_flags()) {
        const bool has = std::ranges::any_of(entries, [&flag](const Entry& entry) { return flag_of(entry) == &flag; });
        if (!has) missing.push_back(bold(flag.name));
    }
    if (missing.size() == rule_flags().size()) return {};
    if (missing.empty()) return ".PP\nIt has all flags of a rule (see FLAGS OF A RULE).\n";
    return fmt::format(".PP\nIt has the flags of a rule (see FLAGS OF A RULE), but for {}.\n",
                       fmt::join(missing, ", "));
}

std::string preformatted(const std::string& text)
{
    return text.empty() ? "" : fmt::format(".PP\n.nf\n{}\n.fi\n", roff(text));
}

std::string section_of(const CLI::App& command)
{
    const auto entries = entries_of(command);
    std::string text = fmt::format(".SS headwind {}\n{}.\n{}", roff(command.get_name()),
                                   roff(command.get_description()), shared_words(entries));
    for (const Entry& entry : entries)
        if (flag_of(entry) == nullptr) text += item(entry);
    return text + preformatted(command.get_footer());
}

std::string rule_section()
{
    std::string text = ".SH FLAGS OF A RULE\n";
    std::vector<std::string_view> groups;
    for (const Flag& flag : rule_flags())
        if (std::ranges::find(groups, flag.group) == groups.end()) groups.push_back(flag.group);
    CLI::App app;
    RuleSpec words;
    add_rule_flags(&app, words);
    const auto entries = entries_of(app);
    for (const auto group : groups) {
        text += fmt::format(".SS {}\n", roff(group));
        for (const Entry& entry : entries)
            if (entry.group == group) text += item(entry);
    }
    return text;
}

}  // namespace

std::string man_page(const CLI::App& app, const std::string& version)
{
    const auto description = app.get_description();
    std::string text = fmt::format(
        ".TH HEADWIND 8 \"\" \"headwind {}\" \"System Manager's Manual\"\n.SH NAME\nheadwind \\- {}\n"
        ".SH SYNOPSIS\n.B headwind\n.I COMMAND\n[\\fIOPTION\\fR]...\n.SH COMMANDS\n",
        version, roff(description.substr(description.find(": ") + 2)));
    for (const auto* command : commands_of(app)) text += section_of(*command);
    return text + rule_section() + ".SH EXIT STATUS\n.nf\n" + roff(app.get_footer()) + "\n.fi\n";
}

}  // namespace headwind
