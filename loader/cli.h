// The command line: each subcommand registers itself with CLI11 and leaves what is to be done in Cli::chosen.
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "engine.h"
#include "result.h"
#include "rule.h"

namespace headwind {

struct Cli {
    std::function<Result<int>()> chosen;  // returns the exit code
};

void register_add(CLI::App& app, Cli& cli);
void register_del(CLI::App& app, Cli& cli);
void register_list(CLI::App& app, Cli& cli);
void register_stats(CLI::App& app, Cli& cli);
void register_clear(CLI::App& app, Cli& cli);
void register_panic(CLI::App& app, Cli& cli);
void register_run(CLI::App& app, Cli& cli);
void register_doctor(CLI::App& app, Cli& cli);
void register_exporter(CLI::App& app, Cli& cli);
void register_verify(CLI::App& app, Cli& cli);

// ---- shared by several subcommands ----

struct CommonOptions {
    std::string netns;
    bool json = false;
};
// --netns, and --json where the command prints something.
void add_common_options(CLI::App* command, CommonOptions& options, bool json);
// Enters --netns if it was given.
Status enter(const CommonOptions& options);

// The flags that describe a rule (all but --name), for `add` and `run`.
void add_rule_flags(CLI::App* command, RuleText& text);

// "headwind: waiting for 120 packets in the line ..." on stderr, if it is a terminal.
Progress drain_progress();

// The user who is responsible: $SUDO_USER, else the name of the real user id.
std::string invoking_user();

// The rule as everyone sees it: sentence, state, counters.
std::string rule_sentence(const RuleView& view);
std::string_view format_state(RuleState state);
nlohmann::json to_json(const RuleView& view);
nlohmann::json to_json(const hw_counters& counters);

}  // namespace headwind
