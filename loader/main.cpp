// SPDX-License-Identifier: MIT
// Runs the command that the command line names, prints the error it returns, and ends with its exit code.
#include <algorithm>
#include <exception>
#include <sstream>

#include "commands/audit.h"
#include "commands/cli.h"
#include "commands/whereabouts.h"
#include "datapath/programs.h"
#include "rule/comcast.h"
#include "util/output.h"
#include "util/text.h"

namespace {

// With `run`, moves the words behind the first -- into cli.command: our options end there, whatever comes after.
void take_command(std::vector<std::string>& words, headwind::Cli& cli)
{
    const auto end = std::find(words.begin(), words.end(), "--");
    if (words.empty() || words.front() != "run" || end == words.end()) return;
    cli.command.assign(end + 1, words.end());
    words.erase(end, words.end());
}

// Whether the words name a network namespace.
bool is_somewhere(const CLI::App& app)
{
    const auto* command = app.get_subcommands().front();
    for (const char* name : {"--netns", "--container", "--pod", "--pid", "--everywhere"})
        if (const auto* option = command->get_option_no_throw(name); option && option->count() != 0) return true;
    return false;
}

// The exit code of the process: `code`, or a failure if not all output could be written.
int finish(int code)
{
    if (headwind::is_output_written()) return code;
    headwind::end_like_a_pipe();
    headwind::say("headwind: not all output could be written\n");
    return code == 0 ? headwind::exit_code(headwind::ErrorKind::failed) : code;
}

int run(int argc, char** argv)
{
    using namespace headwind;
    CLI::App app;
    Cli cli;
    register_all(app, cli);
    app.set_version_flag("--version", HEADWIND_VERSION);
    const std::vector<std::string> typed(argv + 1, argv + argc);
    try {
        auto words = with_double_dashes(typed);
        take_command(words, cli);
        parse_words(app, std::move(words));
    } catch (const CLI::ParseError& error) {
        std::ostringstream out, err;
        const int code = app.exit(error, out, err);
        put("{}", out.str());
        say("{}", err.str());
        return finish(code == 0 ? 0 : app.got_subcommand("run") ? 125 : exit_code(ErrorKind::usage));
    }
    // The agent has a log of its own, and verify changes only namespaces that it makes.
    const auto command = app.get_subcommands().front()->get_name();
    if (command != "agent" && command != "verify")
        observe_changes([command](const Changed& changed) { audit(command, changed); });
    collect_libbpf_words();
    auto result = cli.chosen();
    if (!result && !is_somewhere(app)) tell_whereabouts(result.error(), typed);
    if (!result) say("headwind: {}\n", result.error().message);
    return finish(result ? *result : exit_code(result.error().kind));
}

}  // namespace

int main(int argc, char** argv)
{
    headwind::prepare_output();
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {  // out of memory and the like: nothing of ours throws
        headwind::say("headwind: {}\n", error.what());
        return headwind::exit_code(headwind::ErrorKind::failed);
    }
}
