// SPDX-License-Identifier: MIT
// Every option that a command shows is in the man page and in each shell's completion.
#include "manual/manual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "commands/cli.h"
#include "rule/flags.h"

namespace headwind::manual_test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class Manual : public testing::Test {
protected:
    Manual() { register_all(app_, cli_); }

    // Calls expect(command, entry, name) for each name of each option of each command.
    template <class Expect>
    void for_each_name(Expect expect)
    {
        std::size_t names = 0;
        for (const auto* command : commands_of(app_))
            for (const Entry& entry : entries_of(*command))
                for (const auto& name : entry.names) {
                    expect(command->get_name(), entry, name);
                    ++names;
                }
        EXPECT_GT(names, 4 * rule_flags().size());
    }

    CLI::App app_;
    Cli cli_;
};

// The part of `text` from the line `begin` up to `end` (exclusive), or to the end of the text.
std::string between(const std::string& text, const std::string& begin, const std::string& end)
{
    const auto from = text.find("\n" + begin + "\n");
    EXPECT_NE(from, std::string::npos) << begin;
    return from == std::string::npos ? "" : text.substr(from, text.find(end, from + begin.size()) - from);
}

std::string in_roff(const std::string& name)
{
    std::string out = "\\fB";
    for (const char c : name) out += c == '-' ? std::string("\\-") : std::string(1, c);
    return out + "\\fR";
}

TEST_F(Manual, ManPage)
{
    const auto page = man_page(app_, "1.2.3");
    EXPECT_TRUE(page.starts_with(".TH HEADWIND 8 \"\" \"headwind 1.2.3\"")) << page.substr(0, 80);
    const auto rules = between(page, ".SH FLAGS OF A RULE", "\n.SH");
    for (const Flag& flag : rule_flags()) EXPECT_THAT(rules, HasSubstr(in_roff(std::string(flag.name))));
    for_each_name([&](const std::string& command, const Entry&, const std::string& name) {
        const auto section = between(page, ".SS headwind " + command, "\n.S");
        const bool shared = section.find("flags of a rule") != std::string::npos;
        EXPECT_THAT(shared ? section + rules : section, HasSubstr(in_roff(name))) << command;
    });
    EXPECT_THAT(
        between(page, ".SS headwind run", "\n.S"),
        HasSubstr("flags of a rule (see FLAGS OF A RULE), but for \\fB\\-\\-loopback\\fR, \\fB\\-\\-cgroup\\fR."));
}

TEST_F(Manual, Bash)
{
    const auto text = bash_completion(app_);
    for_each_name([&](const std::string& command, const Entry& entry, const std::string& name) {
        const auto branch = between(text, "        " + command + ")", "\n            ;;");
        EXPECT_THAT(branch, ContainsRegex("words='[^']*" + name + "[ ']")) << command;
        EXPECT_EQ(branch.find("|" + name + ")") != std::string::npos ||
                      branch.find(" " + name + "|") != std::string::npos ||
                      branch.find(" " + name + ")") != std::string::npos,
                  !entry.type.empty())
            << command << " " << name;
    });
    EXPECT_THAT(text, HasSubstr("--direction) COMPREPLY=($(compgen -W 'out in both' -- \"$cur\")); return ;;"));
}

TEST_F(Manual, Zsh)
{
    const auto text = zsh_completion(app_);
    for_each_name([&](const std::string& command, const Entry& entry, const std::string& name) {
        const auto branch = between(text, "        " + command + ")", "\n            ;;");
        const char* sign = entry.type.empty() ? "[" : name.starts_with("--") ? "=[" : "+[";
        EXPECT_THAT(branch, HasSubstr(name + sign)) << command;
    });
    EXPECT_THAT(text, HasSubstr("]:out|in|both:(out in both)'"));
}

TEST_F(Manual, Fish)
{
    const auto text = fish_completion(app_);
    for_each_name([&](const std::string& command, const Entry&, const std::string& name) {
        const auto option = name.starts_with("--") ? "-l " + name.substr(2) : "-s " + name.substr(1);
        EXPECT_THAT(text, ContainsRegex("__fish_seen_subcommand_from " + command + "'[^'\n]* " + option + " "))
            << command;
    });
    EXPECT_THAT(text, HasSubstr(" -x -a 'out in both' -d "));
}

// verify refuses --dev, and does not show it.
TEST_F(Manual, LeavesOutWhatIsHidden)
{
    for (const Entry& entry : entries_of(*app_.get_subcommand("verify")))
        EXPECT_THAT(entry.names, Not(testing::Contains("--dev")));
}

}  // namespace
}  // namespace headwind::manual_test
