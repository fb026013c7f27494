// SPDX-License-Identifier: MIT
// The command line: each subcommand registers itself with CLI11 and leaves what is to be done in Cli::chosen.
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "container/placement.h"
#include "engine/engine.h"
#include "rule/rule.h"
#include "util/result.h"

namespace headwind {

struct Cli {
    std::function<Result<int>()> chosen;  // returns the exit code
    std::vector<std::string> command;     // `run`'s: the words behind the first --
};

// Parses the words of a command line. Also throws CLI::ValidationError where a variable that is not set left no value:
// an empty word, `--owner=`, or the next option in a value's place.
void parse_words(CLI::App& app, std::vector<std::string> words);

// Registers every command: the whole command line but for --version.
void register_all(CLI::App& app, Cli& cli);
void register_add(CLI::App& app, Cli& cli);
void register_del(CLI::App& app, Cli& cli);
void register_list(CLI::App& app, Cli& cli);
void register_stats(CLI::App& app, Cli& cli);
void register_clear(CLI::App& app, Cli& cli);
void register_confirm(CLI::App& app, Cli& cli);
void register_panic(CLI::App& app, Cli& cli);
void register_run(CLI::App& app, Cli& cli);
void register_doctor(CLI::App& app, Cli& cli);
void register_exporter(CLI::App& app, Cli& cli);
void register_agent(CLI::App& app, Cli& cli);
void register_change(CLI::App& app, Cli& cli);
void register_batch(CLI::App& app, Cli& cli);
void register_comcast(CLI::App& app, Cli& cli);
void register_verify(CLI::App& app, Cli& cli);
void register_renew(CLI::App& app, Cli& cli);
void register_upgrade(CLI::App& app, Cli& cli);
void register_apply(CLI::App& app, Cli& cli);
void register_fate(CLI::App& app, Cli& cli);
void register_explain(CLI::App& app, Cli& cli);
void register_events(CLI::App& app, Cli& cli);

// ---- shared by several subcommands ----

struct CommonOptions {
    std::string netns, host_root;
    SubjectArgs subject;  // the command works in its network namespace
    bool json = false;
};
// Adds --netns and --host-root, and --json where the command prints something.
void add_common_options(CLI::App* command, CommonOptions& options, bool json);
// Adds --container, --pod and --pid, beside --netns: for commands on the rules of a network namespace.
void add_namespace_options(CLI::App* command, CommonOptions& options);
// Adds --everywhere, beside add_namespace_options().
CLI::Option* add_everywhere_flag(CLI::App* command, bool& everywhere, const std::string& names = "--everywhere");
// Whether a network namespace is named, other than that the command is typed in.
bool is_somewhere(const CommonOptions& options);
// Enters the network namespace named, if any. With --host-root the BPF file system must be the host's.
Status enter(const CommonOptions& options);

// Adds the flags that describe a rule (all but --name), for `add`, `change`, `run` and `verify`.
void add_rule_flags(CLI::App* command, RuleSpec& text);

// The arguments of `add` and `change`, on the command line or in a line of a batch.
struct AddArgs {
    RuleSpec text;
    SubjectArgs subject;
    std::string duration, lease, max_held, owner;
    std::uint32_t max_rules = 0;
    std::vector<std::string> protect;
    bool replace = false;
};
struct ChangeArgs {
    std::vector<std::string> names;
    RuleSpec text;
    std::string duration;
    bool go_on = false;
    std::vector<std::string> protect;
};
void add_flags(CLI::App* command, AddArgs& words);
void change_flags(CLI::App* command, ChangeArgs& words);
// Whether this is a flag of rules that has no value.
bool is_switch(std::string_view word);
// `place`: of the subject that the words name, if they name one.
Result<AddRequest> add_request(const AddArgs& words, const std::optional<Place>& place);
Result<std::optional<Place>> find_place(const AddArgs& words, const CommonOptions& options);
Result<std::vector<ChangeRequest>> change_requests(const ChangeArgs& words);
// The --for of a rule that is to have no end.
constexpr std::string_view for_ever = "ever";
// The time that a flag has: above 0, or 0 for an empty text. The error names the flag.
Result<std::uint64_t> parse_time_option(const char* flag, const std::string& text);

// Prints "headwind: waiting for 120 packets in the line ..." on stderr, if it is a terminal.
Progress drain_progress();

// Adds --protect (protect.h).
void add_protect_flag(CLI::App* command, std::vector<std::string>& texts);

// Adds --yes, with which nobody is asked (prompt.h).
void add_yes_flag(CLI::App* command, bool& yes);
// --confirm: the flag, its time (0 if it was not given), and the line on stderr once such a command has done its work.
void add_confirm_flag(CLI::App* command, std::string& confirm);
Result<std::uint64_t> parse_confirm(const std::string& text);
void tell_confirm(std::uint64_t confirm);

// The user who is responsible: $SUDO_USER, else the name of the real user id.
std::string invoking_user();
std::string owner_in_environment();  // $HEADWIND_OWNER; empty: none
// Adds --owner, by default $HEADWIND_OWNER, and gives its value, by default the user.
void add_owner_flag(CLI::App* command, std::string& owner, const char* help);
Result<std::string> owner_or_user(const std::string& owner);

}  // namespace headwind
