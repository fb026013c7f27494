// SPDX-License-Identifier: MIT
// Parses command lines, registers the commands, and has the options that several of them share.
#include "commands/cli.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "host/bpffs.h"
#include "host/clock.h"
#include "host/host.h"
#include "rule/flags.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr const char* no_value = "has no value (a variable that is not set?): leave it out, or give it one";

// Whether a word looks like an option, as "--hold" and "-y" do; "-" and negative numbers do not.
bool looks_like_option(const std::string& word)
{
    return word.size() > 1 && word[0] == '-' &&
           (word[1] == '-' || std::isalpha(static_cast<unsigned char>(word[1])) != 0);
}

constexpr const char* exit_codes =
    "Exit codes: 0 done, 1 the system refused, 2 bad input (nothing was changed), 3 not found, 4 not permitted,\n"
    "5 not possible on this kernel or host, 6 another headwind is changing rules. `run`: the command's own, or\n"
    "125 headwind failed, 126 the command cannot be run, 127 it was not found.\n\n"
    "Start with: headwind doctor; headwind run --delay 250ms --loss 10% -- curl http://example.org/";

void refuse_missing_values(const CLI::App& app)
{
    for (const auto* option : app.get_options()) {
        if (option->count() == 0) continue;
        for (const auto& value : option->results()) {
            if (value.empty()) throw CLI::ValidationError(option->get_name(), no_value);
            if (looks_like_option(value) && option->nonpositional())
                throw CLI::ValidationError(option->get_name(), "has no value: " + printable(value) + " follows");
        }
    }
    for (const auto* command : app.get_subcommands()) refuse_missing_values(*command);
}

}  // namespace

// `change x --pass off`, `--pass=off`: CLI11 has no values for flags that have none elsewhere.
void take_off(std::vector<std::string>& words)
{
    const auto command = std::ranges::find_if(words, [](const auto& word) { return !word.starts_with("-"); });
    if (command == words.end() || *command != "change") return;
    for (auto word = command; word != words.end(); ++word) {
        const auto name = word->substr(0, word->find('='));
        if (!is_switch(name)) continue;
        const bool apart = *word == name && word + 1 != words.end() && *(word + 1) == "off";
        if (!apart && *word != name + "=off") continue;
        *word = "--off=" + name.substr(2);
        if (apart) words.erase(word + 1);
    }
}

void parse_words(CLI::App& app, std::vector<std::string> words)
{
    take_off(words);
    for (const auto& word : words)
        if (word.starts_with("--") && word.find('=') + 1 == word.size())
            throw CLI::ValidationError(word.substr(0, word.size() - 1), no_value);
    std::reverse(words.begin(), words.end());  // CLI11 takes the last one first
    app.parse(std::move(words));
    refuse_missing_values(app);
}

void register_all(CLI::App& app, Cli& cli)
{
    app.name("headwind");
    app.description("headwind: exact network impairment inside the Linux kernel");
    app.require_subcommand(1);
    app.footer(exit_codes);
    for (auto* enlist :
         {register_run,     register_add,     register_del,    register_list,  register_stats,   register_clear,
          register_confirm, register_panic,   register_change, register_batch, register_doctor,  register_exporter,
          register_agent,   register_comcast, register_verify, register_renew, register_upgrade, register_apply,
          register_fate,    register_events,  register_explain})
        enlist(app, cli);
}

void add_common_options(CLI::App* command, CommonOptions& options, bool json)
{
    command
        ->add_option("--netns", options.netns, "network namespace: a name of `ip netns list`, a process id, or a path")
        ->type_name("NAME|PID|PATH");
    command
        ->add_option(
            "--host-root", options.host_root,
            "in a container: where the host's / is mounted, as /host; /proc, /run, /sys/fs/cgroup and /var/lib are read there")
        ->type_name("PATH")
        ->envname("HEADWIND_HOST_ROOT")
        ->transform([](const std::string& path) {
            const auto end = path.find_last_not_of('/') + 1;
            return end == 0 && !path.empty() ? "/." : path.substr(0, end);  // gives /./proc: an empty root is none
        });
    if (json) command->add_flag("--json", options.json, "print JSON");
}

void add_namespace_options(CLI::App* command, CommonOptions& options)
{
    constexpr const char* group = "The network namespace of";
    auto* netns = command->get_option("--netns");
    auto* container =
        command->add_option("--container", options.subject.container, "a container: id, 6 digits of it, name");
    auto* pod = command->add_option("--pod", options.subject.pod, "a pod");
    auto* pid = command->add_option("--pid", options.subject.pid, "a process");
    container->type_name("ID|NAME")->group(group)->excludes(netns);
    pod->type_name("NAMESPACE/NAME")->group(group)->excludes(netns)->excludes(container);
    pid->type_name("N")->group(group)->excludes(netns)->excludes(container)->excludes(pod);
}

CLI::Option* add_everywhere_flag(CLI::App* command, bool& everywhere, const std::string& names)
{
    auto* flag = command->add_flag(names, everywhere, "in every network namespace of the host");
    for (const char* one : {"--netns", "--container", "--pod", "--pid"}) flag->excludes(command->get_option(one));
    return flag;
}

bool is_somewhere(const CommonOptions& options)
{
    return options.subject.given() || !options.netns.empty();
}

Status enter(const CommonOptions& options)
{
    use_host_root(options.host_root);
    HW_CHECK(find_bpffs());
    if (options.subject.given()) return enter_netns_of(options.subject, options.host_root);
    if (options.netns.empty()) return {};
    return enter_netns(options.netns);
}

Progress drain_progress()
{
    return [](std::uint32_t left) {
        if (isatty(STDERR_FILENO)) say("headwind: waiting for {} packets in the line ...\n", left);
    };
}

std::string owner_in_environment()
{
    const char* owner = std::getenv("HEADWIND_OWNER");
    return owner != nullptr ? owner : "";
}

std::string invoking_user()
{
    if (const char* user = std::getenv("SUDO_USER"); user != nullptr && *user != '\0') return printable(user);
    static const std::string name = [] {  // a file of rules asks for each line
        const passwd* entry = getpwuid(getuid());
        return entry != nullptr ? entry->pw_name : std::to_string(getuid());
    }();
    return name;
}

}  // namespace headwind
