// SPDX-License-Identifier: MIT
// Adds the flags of rules to commands, and parses the lines of rule files, which have the same flags.
#include <algorithm>

#include "commands/cli.h"
#include "commands/rule_line.h"
#include "rule/flags.h"
#include "rule/protect.h"
#include "util/text.h"

namespace headwind {
namespace {

CLI::Option* add_flag(CLI::App* command, const Flag& flag, RuleSpec& text)
{
    const auto names = fmt::format("{}{}{}", flag.name, flag.aliases.empty() ? "" : ",", flag.aliases);
    const std::string type(flag.type), help(flag.help);
    if (const auto* member = std::get_if<Switch>(&flag.member)) return command->add_flag(names, text.**member, help);
    if (const auto* word = std::get_if<Word>(&flag.member))
        return command->add_option(names, text.**word, help)->type_name(type);
    // A flag takes one text at a time: else `run --port 80 -- bash -c ...` would lose its "--".
    auto& list = text.*std::get<List>(flag.member);
    return command->add_option(names, list, help)->type_name(type)->take_all()->allow_extra_args(false);
}

void add_subject_flags(CLI::App* command, SubjectArgs& words)
{
    const std::string group(rule_flag("--dev").group);
    auto* container =
        command->add_option("--container", words.container, "of this container: id, 6 digits of it, name");
    auto* pod = command->add_option("--pod", words.pod, "of this pod, or of one of its containers");
    auto* pid = command->add_option("--pid", words.pid, "of this process and all of its cgroup");
    auto* at = command->add_option(
        "--at", words.at,
        "where the rule sits: in the pod's network namespace, or at the host side of its veth; by default as is best");
    container->type_name("ID|NAME")->group(group);
    pod->type_name("NAMESPACE/NAME[/CONTAINER]")->group(group)->excludes(container);
    pid->type_name("N")->group(group)->excludes(container)->excludes(pod);
    at->type_name("pod|host")->group(group);
}

}  // namespace

void add_rule_flags(CLI::App* command, RuleSpec& text)
{
    for (const Flag& flag : rule_flags()) add_flag(command, flag, text)->group(std::string(flag.group));
}

void add_protect_flag(CLI::App* command, std::vector<std::string>& texts)
{
    command
        ->add_option(
            "--protect", texts,
            "let no rule of this namespace impair what comes from or goes to these addresses, ports or cgroups (a path): until `headwind del protect-...`, or the last rule goes")
        ->type_name("CIDR|PORT|CGROUP,...")
        ->take_all()
        ->allow_extra_args(false);
}

void add_owner_flag(CLI::App* command, std::string& owner, const char* help)
{
    command->add_option("--owner", owner, help)->type_name("NAME")->envname("HEADWIND_OWNER");
}

void add_flags(CLI::App* command, AddArgs& words)
{
    command->add_option("--name", words.text.name, "what list, stats and del call the rule")->required();
    add_rule_flags(command, words.text);
    add_subject_flags(command, words.subject);
    command->add_option("--for", words.duration, "the rule ends by itself after this time: 10m; ever: it does not")
        ->type_name("TIME|ever");
    command
        ->add_option("--lease", words.lease,
                     "the rule ends unless it is renewed within this time: by --hold, or by `headwind renew`")
        ->type_name("TIME");
    add_protect_flag(command, words.protect);
    add_owner_flag(command, words.owner, "who this rule is of (default: the user)");
    command->add_flag("--replace", words.replace, "take the place of the rule of this name, in one instant");
    command
        ->add_option("--max-held", words.max_held,
                     "bytes that all held packets of this namespace may take: 256MiB by default")
        ->type_name("SIZE");
    command
        ->add_option("--max-rules", words.max_rules,
                     "room for so many rules, said with the first one of a namespace: 4096 by default")
        ->check(CLI::Range(1U, most_rules))
        ->type_name("N");
}

bool is_switch(std::string_view word)
{
    return std::ranges::any_of(rule_flags(), [word](const Flag& flag) {
        return flag.name == word && std::holds_alternative<Switch>(flag.member);
    });
}

void change_flags(CLI::App* command, ChangeArgs& words)
{
    command->add_option("name", words.names, "names, as `headwind list` shows them")->required();
    add_rule_flags(command, words.text);
    command->add_option("--for", words.duration, "from now until the rule ends; off or ever: it does not end")
        ->type_name("TIME|off|ever");
    // parse_words() makes it of --pass off.
    command->add_option("--off", words.text.off)->group("")->take_all()->allow_extra_args(false);
    command->add_flag("--go-on", words.go_on, "start it again after its --max-share or --stop-if has stopped it");
    add_protect_flag(command, words.protect);
}

RuleLine::RuleLine() : app_("batch")
{
    app_.set_help_flag();
    app_.require_subcommand(1);
    add_ = app_.add_subcommand("add");
    add_flags(add_, words_.add);
    change_ = app_.add_subcommand("change");
    change_flags(change_, words_.change);
    app_.add_subcommand("del")->add_option("name", words_.remove)->required();
}

Result<LineArgs> RuleLine::parse(const std::string& line)
{
    words_ = {};
    try {
        HW_TRY(auto words, split_words(line));
        parse_words(app_, std::move(words));
    } catch (const CLI::Error& error) {
        return fail(ErrorKind::usage, "{}: write a line as `headwind add`, `change` or `del` have it, without headwind",
                    error.what());
    }
    words_.adds = add_->parsed();
    words_.changes = change_->parsed();
    return words_;
}

}  // namespace headwind
