// SPDX-License-Identifier: MIT
// The command `headwind run`: runs a command in a cgroup of its own, impaired as long as it runs.
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/lease.h"
#include "commands/print.h"
#include "host/cgroup.h"
#include "rule/files.h"
#include "rule/protect.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

// Exit codes, as those of timeout(1) and env(1).
constexpr int exit_failed = 125, exit_cannot_run = 126, exit_not_there = 127, exit_signal = 128;

struct RunOptions {
    CommonOptions common;
    RuleSpec text;
    std::string user, lease;
    std::vector<std::string> protect;
    std::vector<std::string> command;
    bool dry_run = false;
};

struct User {
    uid_t uid = 0;
    gid_t gid = 0;
    std::string name, home;
};

// The user that the command runs as; nullopt: the one that we run as.
Result<std::optional<User>> choose_user(const std::string& asked)
{
    const char* sudo = std::getenv("SUDO_USER");
    const std::string name = !asked.empty() ? asked : sudo != nullptr && geteuid() == 0 ? sudo : "";
    if (name.empty()) return std::nullopt;
    const passwd* entry = getpwnam(name.c_str());
    unsigned uid = 0;
    const auto* const end = name.data() + name.size();
    if (const auto read = std::from_chars(name.data(), end, uid);
        entry == nullptr && read.ptr == end && read.ec == std::errc())
        entry = getpwuid(uid);
    if (entry == nullptr) return fail(ErrorKind::not_found, "--user {}: no such user", printable(name));
    return User{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir};
}

bool become(const User& user)
{
    if (user.uid == geteuid() && user.gid == getegid()) return true;
    if (initgroups(user.name.c_str(), user.gid) != 0 || setgid(user.gid) != 0 || setuid(user.uid) != 0) return false;
    setenv("HOME", user.home.c_str(), 1);
    setenv("USER", user.name.c_str(), 1);
    setenv("LOGNAME", user.name.c_str(), 1);
    return true;
}

bool join_cgroup(const std::string& directory)
{
    const Fd procs(open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    return procs && write(procs.get(), "0", 1) == 1;
}

// Turns the child into the command. If that cannot be started, the child ends with an exit code that says why.
[[noreturn]] void become_command(const RunOptions& options, const std::optional<User>& user, const std::string& cgroup,
                                 const sigset_t& signals)
{
    const auto give_up = [](int code, const std::string& what) {
        say("headwind run: {}: {}\n", what, std::strerror(errno));
        _exit(code);
    };
    if (!join_cgroup(cgroup)) give_up(exit_failed, "join cgroup " + cgroup);
    if (user && !become(*user)) give_up(exit_failed, "become user " + user->name);
    sigprocmask(SIG_SETMASK, &signals, nullptr);
    restore_sigpipe();
    std::vector<char*> arguments;
    for (const auto& argument : options.command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    give_up(errno == ENOENT ? exit_not_there : exit_cannot_run, options.command.front());
    _exit(exit_failed);
}

int exit_of(int status)
{
    return WIFSIGNALED(status) ? exit_signal + WTERMSIG(status) : WEXITSTATUS(status);
}

sigset_t watched_signals()
{
    sigset_t set = hold_signals();
    sigaddset(&set, SIGCHLD);
    return set;
}

// Renews the lease until the command has ended; passes signals on.
int wait_for(pid_t child, const RuleInfo& rule, const sigset_t& watched)
{
    bool impaired = true;
    const timespec wait = renewal_interval(rule.lease);
    for (;;) {
        siginfo_t info{};
        const int signal = sigtimedwait(&watched, &info, &wait);
        int status = 0;
        if (waitpid(child, &status, WNOHANG) == child) return exit_of(status);
        // A signal that the terminal sends (SI_KERNEL) has reached the command by itself.
        if (signal > 0 && signal != SIGCHLD && info.si_code != SI_KERNEL) kill(child, signal);
        if (!impaired) continue;
        if (const auto renewed = renew_lease(rule.stable_id, rule.lease); !renewed) {
            impaired = false;
            say("headwind run: {}: the command goes on unimpaired\n", renewed.error().message);
        }
    }
}

// Says what the rule of the command would be. Its cgroup is not there yet.
Result<int> rehearse(AddRequest request, const std::vector<std::string>& command)
{
    Changes changes;
    changes.add = {std::move(request)};
    HW_TRY(auto views, rehearse_changes({}, [&changes](const auto&) { return changes; }));
    report_guards(views);
    tell_dry_run();
    auto& view = views.front();
    view.record.rule.selector.cgroups = {"of the command"};
    put("{}: {}\nwould run {}\n", view.record.rule.name, describe_rule(view), fmt::join(command, " "));
    return 0;
}

Result<int> run_in_cgroup(const RunOptions& options)
{
    HW_TRY(const auto user, choose_user(options.user));
    AddRequest request;
    auto text = options.text;
    if (text.name.empty()) text.name = fmt::format("run-{}", getpid());
    text.loopback = text.devices.empty();  // all that the command says
    HW_CHECK(load_files(text));
    HW_TRY(request.rule, make_rule(text));
    HW_TRY(const auto lease, parse_lease(options.lease));
    HW_TRY(request.protect, make_protections(options.protect));
    HW_CHECK(enter(options.common));
    request.lease = lease != 0 ? lease : default_lease;
    request.owner = invoking_user();
    if (options.dry_run) return rehearse(request, options.command);
    HW_TRY(const auto cgroup, CommandCgroup::create());
    request.rule.selector.cgroups = {cgroup.path()};

    // The signals are blocked before the rule exists: from here on one ends the command, not us.
    const auto watched = watched_signals();
    sigset_t before;
    sigprocmask(SIG_BLOCK, &watched, &before);
    HW_TRY(const auto rule, add_rule(request));
    report_effects({rule});
    const pid_t child = fork();
    if (child == 0) become_command(options, user, cgroup.directory(), before);
    const int code = child > 0 ? wait_for(child, rule.record, watched) : exit_failed;
    if (child < 0) say("headwind run: fork: {}\n", std::strerror(errno));
    const auto removed = delete_rules({text.name}, true, drain_progress());
    if (!removed) say("headwind run: {}\n", removed.error().message);
    return code;
}

// All of our own failures are 125: other codes are the command's.
Result<int> run(const RunOptions& options)
{
    auto result = run_in_cgroup(options);
    if (result) return result;
    say("headwind run: {}\n", harmless(result.error().message));
    return exit_failed;
}

}  // namespace

void register_run(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<RunOptions>();
    auto* command = app.add_subcommand(
        "run", "run a command whose traffic is impaired, and nothing else's: headwind run [OPTIONS] -- COMMAND...");
    add_rule_flags(command, options->text);
    for (const char* decided : {"--cgroup", "--loopback"}) command->remove_option(command->get_option(decided));
    command->add_option("--name", options->text.name, "what list and stats call the rule (default: run-PID)");
    command->add_option("--user", options->user, "run the command as this user (default: who called sudo)");
    command
        ->add_option("--lease", options->lease, "if headwind is killed, the impairment ends within this (default 3s)")
        ->type_name("TIME");
    add_protect_flag(command, options->protect);
    add_dry_run_flag(command, options->dry_run);
    add_common_options(command, options->common, false);
    command->footer(
        "The command runs in a cgroup of its own; the exit code is the command's (125: headwind failed, 126: it cannot be\n"
        "run, 127: it was not found). When it ends, however it ends, everything is removed; if headwind itself is\n"
        "killed or stopped, the impairment ends within --lease.\n\n"
        "What escapes: traffic that others send for the command. A container engine's daemon starts containers in\n"
        "cgroups of its own; a DNS cache on this host (systemd-resolved, nscd) asks in its own name.\n\n"
        "Examples:\n"
        "  headwind run --delay 250ms --loss 10% --rate 1mbit -- curl http://example.org/\n"
        "  headwind run --remote-port 5432 --delay 50ms -- ./server --port 8080\n"
        "  sudo headwind run --partition --remote 10.0.0.0/8 -- make integration-test");
    command->callback([options, &cli] {
        if (cli.command.empty())
            throw CLI::RequiredError(
                "-- and the command behind it (headwind run --loss 10% -- curl http://example.org/)");
        options->command = cli.command;
        cli.chosen = [options] { return run(*options); };
    });
}

}  // namespace headwind
