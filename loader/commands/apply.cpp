// SPDX-License-Identifier: MIT
// The command `headwind apply`: makes the rules of a set those of a file.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/dry_run.h"
#include "commands/print.h"
#include "commands/prompt.h"
#include "commands/rule_file.h"
#include "commands/rule_set.h"
#include "engine/panic_state.h"
#include "host/host.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

namespace fs = std::filesystem;

struct ApplyOptions {
    CommonOptions common;
    std::string file, owner;
    bool remove = false, again = false, yes = false, dry_run = false;
};

std::string read_text(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

Result<std::string> owner_of(const ApplyOptions& options)
{
    if (!options.owner.empty()) return owner_or_user(options.owner);
    const auto stem = fs::path(options.file).stem().string();
    if (options.file == "-" || stem.empty())
        return fail(ErrorKind::usage, "--owner: needed with standard input: whose rules the set is");
    return owner_or_user("scenario-" + stem);
}

// ---- the memory of applied rules ----

// The memory of an owner's applied rules, in a file below /run, which a reboot empties; where it does not (kexec, a
// container that starts again), the boot id tells.
class Memory {
public:
    static Result<Memory> open(const std::string& owner)
    {
        HW_TRY(const auto netns, current_netns());
        Memory memory;
        memory.of_ = {std::string(trimmed(read_text("/proc/sys/kernel/random/boot_id"))), netns.cookie};
        while (!memory.of_.boot.empty() && memory.of_.boot.back() == '\n') memory.of_.boot.pop_back();
        std::string name;
        for (const char letter : owner)
            name += std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '-' || letter == '_'
                        ? std::string(1, letter)
                        : fmt::format("%{:02x}", static_cast<unsigned char>(letter));
        memory.path_ = fmt::format("{}/run/headwind/applied-{}-{}.json", host_root(), netns.inode, name);
        return memory;
    }
    AppliedRules read() const { return parse_applied(read_text(path_), of_); }
    // A new file takes the place of the one before: a reader sees one of the two.
    Status write(const AppliedRules& applied) const
    {
        const auto directory = fs::path(path_).parent_path().string(), fresh = path_ + ".new";
        if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno(errno, "create " + directory);
        std::ofstream file(fresh);
        file << format_applied(applied, of_) << '\n';
        file.close();
        if (!file || std::rename(fresh.c_str(), path_.c_str()) != 0) return fail_errno(errno, "write " + path_);
        return {};
    }

private:
    std::string path_;
    BootId of_;
};

// ---- the file ----

Result<std::vector<DeclaredRule>> read_declared(const ApplyOptions& options, const std::string& owner)
{
    HW_TRY(const auto lines, read_rule_file(options.file, options.common));
    const auto environment = owner_in_environment();  // the owner of every line that names none
    std::vector<DeclaredRule> out;
    for (const auto& line : lines) {
        if (line.changes.add.size() != 1)
            return fail(ErrorKind::usage,
                        "{}: a set says which rules there are: only lines of `add` (what is not in it is removed)",
                        line.place);
        auto request = line.changes.add.front();
        const bool said = request.owner != invoking_user() && request.owner != owner &&
                          (environment.empty() || request.owner != environment);
        if (said)
            return fail(ErrorKind::usage, "{}: --owner {}: all rules of the set are of {} (headwind apply --owner)",
                        line.place, request.owner, owner);
        request.owner = owner;
        out.push_back({std::move(request), line.words, line.place});
    }
    return out;
}

// ---- the report ----

struct Report {
    std::vector<RuleView> added, changed;
    std::vector<std::string> unchanged, ended, removed;
};

void print(const Report& report, bool dry_run)
{
    const auto tell = [](const char* what, const std::vector<RuleView>& views) {
        for (const auto& view : views) {
            put("{} {}: {}\n", what, view.record.rule.name, describe_rule(view));
            if (const auto words = opening_words(view); !words.empty()) put("{}: {}\n", view.record.rule.name, words);
        }
    };
    tell(dry_run ? "would add" : "added", report.added);
    tell(dry_run ? "would change" : "changed", report.changed);
    for (const auto& name : report.unchanged) put("unchanged {}\n", name);
    for (const auto& name : report.ended)
        put("ended {}: it ended since the host was started, and --again does not say to begin it anew\n", name);
    for (const auto& name : report.removed) put("{} {}\n", dry_run ? "would remove" : "removed", name);
}

nlohmann::json in_json(const Report& report, const std::string& owner)
{
    nlohmann::json out{{"owner", owner},
                       {"added", nlohmann::json::array()},
                       {"changed", nlohmann::json::array()},
                       {"unchanged", report.unchanged},
                       {"ended", report.ended},
                       {"removed", report.removed}};
    for (const auto& view : report.added) out["added"].push_back(to_json(view));
    for (const auto& view : report.changed) out["changed"].push_back(to_json(view));
    return out;
}

void show(const Report& report, const ApplyOptions& options, const std::string& owner)
{
    if (!options.common.json) return print(report, options.dry_run);
    auto json = in_json(report, owner);
    if (options.dry_run) json["dry_run"] = true;
    print_json(json);
}

Report report_of(const SetChange& done, std::vector<RuleView> views)
{
    report_guards(views);
    report_effects(views);
    Report out;
    const auto added = static_cast<std::ptrdiff_t>(std::min(done.changes.add.size(), views.size()));
    out.added.assign(views.begin(), views.begin() + added);
    out.changed.assign(views.begin() + added, views.end());
    out.unchanged = done.unchanged;
    out.ended = done.ended;
    out.removed = done.changes.remove;
    return out;
}

// Selects the rules that the set is about: the owner's, those with its names, and its protections.
RuleFilter filter_of(const std::vector<DeclaredRule>& declared, const std::string& owner)
{
    RuleFilter out;
    out.owner = owner;
    for (const auto& one : declared) {
        out.names.push_back(one.request.rule.name);
        for (const auto& rule : one.request.protect) out.names.push_back(rule.name);
    }
    return out;
}

Result<int> apply(const ApplyOptions& options)
{
    HW_TRY(const auto owner, owner_of(options));
    HW_CHECK(enter(options.common));
    std::vector<DeclaredRule> declared;  // none with --remove
    if (!options.remove) {
        HW_TRY(declared, read_declared(options, owner));
    }
    HW_TRY(const auto memory, Memory::open(owner));
    const auto applied = memory.read();
    std::vector<RuleInfo> before;
    SetChange done;
    const auto decide = [&](const std::vector<RuleInfo>& in_force) -> Result<Changes> {
        before = in_force;
        HW_TRY(done, plan_set(declared, owner, applied, in_force, boottime_ns(), options.again));
        return done.changes;
    };
    const auto filter = filter_of(declared, owner);
    HW_TRY(const auto seen, find_rules(filter));
    HW_TRY(const auto intended, decide(seen));
    if (!intended.add.empty() || !intended.change.empty()) HW_CHECK(refuse_in_panic());
    HW_CHECK(prompt(intended, options.yes, options.dry_run));
    if (options.dry_run) {
        HW_TRY(auto views, rehearse_changes(filter, decide));
        tell_dry_run();
        show(report_of(done, std::move(views)), options, owner);
        return 0;
    }
    HW_TRY(auto views, change_rules(filter, decide));  // called also where nothing is to change: devices may have come
    HW_TRY(const auto now, find_rules(filter));
    HW_CHECK(memory.write(options.remove ? remember_stop(applied, owner, before, boottime_ns())
                                         : remember_set(declared, owner, applied, now)));
    show(report_of(done, std::move(views)), options, owner);
    return 0;
}

}  // namespace

void register_apply(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ApplyOptions>();
    auto* command =
        app.add_subcommand("apply", "make the rules of a set those of a file, in one instant; again and again");
    command->add_option("file", options->file, "a line of `headwind add` for each rule; # starts a comment; - is stdin")
        ->required();
    command
        ->add_option("--owner", options->owner, "whose rules the set is: scenario-NAME of a file NAME.rules by default")
        ->type_name("NAME");
    command->add_flag("--remove", options->remove, "remove the set's rules; the file need not be there");
    command->add_flag("--again", options->again, "also the rules that ended since the host was started")
        ->excludes("--remove");
    add_yes_flag(command, options->yes);
    add_dry_run_flag(command, options->dry_run);
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    command->footer(
        "Rules of the set that are as in the file stay and keep their counters, others become so, those that are not\n"
        "in the file go; other owners' rules are not touched. A --dev that is not there is waited for. What ended by\n"
        "itself (--for), or was removed by `del` or `clear`, does not come back by applying the same line in the same\n"
        "boot; rules that `apply --remove` took do, for the rest of their time. After a reboot all of it is new.\n\n"
        "Examples:\n"
        "  headwind apply /etc/headwind/lab.rules\n"
        "  headwind apply --remove /etc/headwind/lab.rules\n"
        "  systemctl enable --now headwind@lab       # /etc/headwind/lab.rules, after each boot\n"
        "  systemctl reload headwind@lab             # the file was changed: no packet goes unimpaired");
    command->callback([options, &cli] { cli.chosen = [options] { return apply(*options); }; });
}

}  // namespace headwind
