// SPDX-License-Identifier: MIT
// The commands `headwind list` and `headwind stats`: show the rules, and their counters.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <thread>

#include <fmt/color.h>
#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "commands/print.h"
#include "commands/rule_words.h"
#include "commands/whereabouts.h"
#include "datapath/attached.h"
#include "host/clock.h"
#include "host/host.h"
#include "line/reclaim.h"
#include "ruleset/compile.h"
#include "util/output.h"

namespace headwind {
namespace {

struct ListOptions {
    CommonOptions common;
    std::vector<std::string> names;  // for stats; empty: all
    bool watch = false;
    bool everywhere = false;  // show the rules of every network namespace
    bool commands = false;    // as the lines of a batch
};

std::string coloured(RuleState state)
{
    auto text = fmt::format("{:<11}", format_state(state));
    if (!isatty(STDOUT_FILENO)) return text;
    const auto colour = state == RuleState::live ? fmt::terminal_color::green : fmt::terminal_color::yellow;
    return fmt::format(fmt::fg(colour), "{}", text);
}

std::size_t name_width(const Snapshot& all)
{
    std::size_t width = 4;
    for (const auto& rule : all.rules) width = std::max(width, rule.record.rule.name.size());
    return width;
}

// The devices besides lo that rules are at.
std::set<std::string> devices_of(const Snapshot& all)
{
    std::set<std::string> names;
    for (const auto& rule : all.rules) names.insert(rule.devices.begin(), rule.devices.end());
    names.erase("lo");
    return names;
}

// The devices at which others' programs or filters may wipe the mark that tells the next device that a packet was
// impaired. None if rules are at one device only.
std::vector<std::string> mark_wipers(const Snapshot& all)
{
    const auto names = devices_of(all);
    if (names.size() < 2) return {};
    auto links = netlink::list_links();
    if (!links) return {};
    std::erase_if(*links, [&names](const auto& link) { return !names.contains(link.name); });
    return devices_with_others(*links).value_or(std::vector<std::string>{});
}

nlohmann::json to_json(const Snapshot& all)
{
    nlohmann::json out{{"panic", all.panic}, {"rules", nlohmann::json::array()}};
    for (const auto& rule : all.rules) out["rules"].push_back(headwind::to_json(rule));
    if (const auto wipers = mark_wipers(all); !wipers.empty()) out["marks_may_be_wiped_at"] = wipers;
    if (all.pending) out["pending"] = {{"until_unix_s", all.pending->until}, {"comes_back", all.pending->comes_back}};
    if (all.exists) {
        out["hooks"] = all.tcx ? "tcx" : "clsact";
        out["own_programs"] = all.own_programs;
        out["line"] = {{"held_packets", all.line.held_packets},
                       {"held_bytes", all.line.held_bytes},
                       {"max_held_bytes", all.max_held},
                       {"dropped_packets", all.line.dropped_packets}};
    }
    return out;
}

bool holds_what_is_sent(const RuleView& view)
{
    const auto& rule = view.record.rule;
    return rule.direction != Direction::in && needs_time(rule.impairment);
}

// Prints a line or more for each rule; the owner is named if it is not the user.
void print_list(const Snapshot& all)
{
    const auto me = invoking_user();
    const auto width = name_width(all);
    for (const auto& rule : all.rules) {
        put("{:<{}}  ", rule.record.rule.name, width);
        write_out(coloured(rule.state));
        put("  {}{}\n", describe_rule(rule), rule.record.owner == me ? "" : fmt::format(" (of {})", rule.record.owner));
        if (!rule.trouble.empty()) put("{:<{}}  {}\n", "", width, rule.trouble);
        for (const auto& words : {opening_words(rule), ingress_words(rule)})
            if (!words.empty()) put("{:<{}}  {}\n", "", width, words);
        for (const auto& [direction, counters] : rule.counters)
            for (const auto& words : exemption_words(counters))
                put("{:<{}}  {}: {}\n", "", width, format_direction(direction), words);
    }
    if (all.pending) {
        put("A change waits for `headwind confirm` until {}: {}.\n", clock_text(all.pending->until),
            all.pending->comes_back.empty()
                ? "else what it added goes"
                : fmt::format("else these are as before: {}", fmt::join(all.pending->comes_back, ", ")));
    }
    if (std::any_of(all.rules.begin(), all.rules.end(), holds_what_is_sent))
        put("Packets that are held lose their socket: their senders get no transmit timestamps (SO_TIMESTAMPING).\n");
    if (devices_of(all).size() > 1)
        put("A packet that passes several of these devices is impaired at the first of them only.\n");
    if (const auto wipers = mark_wipers(all); !wipers.empty())
        put("Unless others' programs or filters at {} end with TC_ACT_OK (`action ok`): they wipe the mark by which the next device knows the packet.\n",
            fmt::join(wipers, ", "));
    if (!all.own_programs)
        put("The programs that run are another version's: `headwind upgrade` puts this one's in their place.\n");
}

void say_panic(const Snapshot& all)
{
    if (all.panic) put("panic is on: no rule has an effect; `headwind panic --off` goes on\n");
}

// Leaves the rules of these names, if there are any; returns those that no rule has.
std::set<std::string> keep_named(Snapshot& all, const std::vector<std::string>& names)
{
    std::set<std::string> missing(names.begin(), names.end());
    if (names.empty()) return missing;
    std::erase_if(all.rules, [&](const auto& rule) {
        missing.erase(rule.record.rule.name);
        return std::find(names.begin(), names.end(), rule.record.rule.name) == names.end();
    });
    return missing;
}

// Shows the rules of every network namespace: rules of containers and pods are in namespaces of their own.
Result<int> show_everywhere(const ListOptions& options, void (*show)(const Snapshot&))
{
    auto json = nlohmann::json::array();
    bool any = false, said_panic = false;
    HW_TRY(const auto paths, namespaces_in_use(false));
    std::optional<Error> trouble;
    std::set<std::string> missing(options.names.begin(), options.names.end());
    for (const auto& path : paths) {
        if (!enter_netns(path)) continue;  // it ended meanwhile
        auto all = take_snapshot();
        if (!all) {
            trouble = all.error();
            say("headwind: in {}: {}\n", printable(path), all.error().message);
            continue;
        }
        if (!options.common.json && !options.commands && !said_panic) say_panic(*all);
        said_panic = true;
        const auto netns = name_netns(path, subject_there(all->rules));
        const auto absent = keep_named(*all, options.names);
        std::erase_if(missing, [&absent](const auto& name) { return !absent.contains(name); });
        any = any || !all->rules.empty();
        if (all->rules.empty() && (!options.names.empty() || !options.common.json)) continue;
        if (options.common.json) {
            json.push_back(to_json(*all));
            json.back()["netns"] = path;
            json.back()["place"] = netns.place;
            continue;
        }
        if (options.commands)
            put("# in {}: headwind batch --netns {}\n", netns.place, printable(path));
        else
            put("in {} ({}):\n", netns.place, printable(path));
        show(*all);
    }
    if (options.common.json)
        print_json(nlohmann::json{{"namespaces", json}});
    else if (!any && !trouble && missing.empty() && !options.commands)
        put("no rules\n");
    if (!missing.empty() && !trouble)
        return fail(ErrorKind::not_found,
                    "no rule is called {} in any network namespace: see `headwind list --everywhere`",
                    *missing.begin());
    return trouble ? exit_code(trouble->kind) : 0;
}

// Why no line makes this rule again now; empty: one does.
std::string missing_for(const RuleView& view)
{
    const auto& rule = view.record.rule;
    if (view.state == RuleState::waiting) return "its device is not there";
    if (rule.subject && rule.subject->process != 0) {
        const auto found = find_process(host_root(), fmt::format("{}", rule.subject->process));
        const auto& cgroups = rule.selector.cgroups;
        if (!found || cgroups.empty() || found->cgroup != cgroups.front()) return "its process is gone";
    }
    for (const auto& cgroup : rule.selector.cgroups)
        if (!find_cgroup(cgroup)) return "its cgroup is gone";
    return "";
}

void print_batch_lines(const Snapshot& all)
{
    put("{}", batch_lines(all, boottime_ns(), missing_for));
}

Result<int> list(const ListOptions& options)
{
    HW_CHECK(enter(options.common));
    if (options.everywhere) return show_everywhere(options, options.commands ? print_batch_lines : print_list);
    HW_TRY(const auto all, take_snapshot());
    if (options.commands) {
        print_batch_lines(all);
        return 0;
    }
    RuleFilter every;
    every.all = true;
    const bool somewhere = is_somewhere(options.common);
    const auto elsewhere = somewhere ? Elsewhere() : find_elsewhere(every);
    if (options.common.json) {
        auto json = to_json(all);
        if (!somewhere) json["elsewhere"] = headwind::to_json(elsewhere);
        print_json(json);
        return 0;
    }
    say_panic(all);
    if (all.rules.empty()) put("{}\n", elsewhere.empty() ? "no rules" : "no rules here");
    print_list(all);
    put("{}", elsewhere_words(elsewhere, "list"));
    return 0;
}

struct Column {
    const char* title;
    int width;
    bool always;  // else only if a rule has something to show there
    std::uint64_t (*value)(const Counters&);
};

constexpr Column columns[] = {
    {"packets", 12, true, [](const Counters& c) { return c.packets; }},
    {"bytes", 15, true, [](const Counters& c) { return c.bytes; }},
    {"loss", 10, true, [](const Counters& c) { return c.dropped_by(DropReason::loss); }},
    {"partition", 11, true, [](const Counters& c) { return c.dropped_by(DropReason::partition); }},
    {"reject", 10, false, [](const Counters& c) { return c.dropped_by(DropReason::reject); }},
    {"queue", 10, true, [](const Counters& c) { return c.dropped_by(DropReason::queue); }},
    {"held", 10, true, [](const Counters& c) { return c.dropped_by(DropReason::held); }},
    {"line", 10, true, [](const Counters& c) { return c.dropped_by(DropReason::line); }},
    {"corrupted", 11, false, [](const Counters& c) { return c.corrupted; }},
    {"duplicated", 12, false, [](const Counters& c) { return c.duplicated; }},
    {"delayed", 12, true, [](const Counters& c) { return c.delayed; }},
    {"reordered", 11, false, [](const Counters& c) { return c.reordered; }},
};

std::vector<Column> columns_for(const Snapshot& all)
{
    std::vector<Column> shown;
    for (const Column& column : columns) {
        bool filled = column.always;
        for (const auto& rule : all.rules)
            for (const auto& [direction, c] : rule.counters) filled = filled || column.value(c) != 0;
        if (filled) shown.push_back(column);
    }
    return shown;
}

void print_table(const Snapshot& all)
{
    const auto width = name_width(all);
    const auto shown = columns_for(all);
    put("{:<{}}  {:<4}", "rule", width, "dir");
    for (const Column& column : shown) put("{:>{}}", column.title, column.width);
    put("\n");
    for (const auto& rule : all.rules) {
        for (const auto& [direction, c] : rule.counters) {
            put("{:<{}}  {:<4}", rule.record.rule.name, width, format_direction(direction));
            for (const Column& column : shown) put("{:>{}}", column.value(c), column.width);
            put("\n");
            for (const auto& words : exemption_words(c)) put("{:<{}}  {}\n", "", width, words);
        }
    }
    put("line: {} packets held, {} of {} bytes, {} dropped by the line itself\n", all.line.held_packets,
        all.line.held_bytes, all.max_held, all.line.dropped_packets);
}

void print_stats(const Snapshot& all)
{
    say_panic(all);
    if (all.rules.empty())
        put("no rules\n");
    else
        print_table(all);
}

Result<int> stats(const ListOptions& options)
{
    HW_CHECK(enter(options.common));
    if (options.everywhere) return show_everywhere(options, print_table);
    for (;;) {
        HW_TRY(auto all, take_snapshot());
        if (const auto missing = keep_named(all, options.names); !missing.empty())
            return fail_no_rule(*missing.begin());
        if (options.watch && isatty(STDOUT_FILENO) && !options.common.json) write_out("\033[H\033[2J");
        if (options.common.json)
            print_json(to_json(all), options.watch ? -1 : 2);
        else
            print_stats(all);
        if (!options.watch) return 0;
        if (!is_output_written()) return 0;
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

}  // namespace

void register_list(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ListOptions>();
    auto* command = app.add_subcommand("list", "show the rules, the one that wins first");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    add_everywhere_flag(command, options->everywhere, "--everywhere,--all");
    command
        ->add_flag("--commands", options->commands,
                   "as lines of `headwind batch`, which make the same rules again: for what is left of their time")
        ->excludes("--json");
    command->footer(
        "What comes in is decided at tc, unless the list says: in XDP. --json: ingress_hooks.\n\n"
        "Examples:\n  headwind list\n  headwind list --json --netns blue\n  headwind list --pod default/shop\n"
        "  headwind list --everywhere\n  headwind list --commands > rules.txt; headwind clear; headwind batch rules.txt");
    command->callback([options, &cli] { cli.chosen = [options] { return list(*options); }; });
}

void register_stats(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ListOptions>();
    auto* command = app.add_subcommand("stats", "show what the rules did: wire packets by rule and direction");
    command->add_option("name", options->names, "only these rules");
    auto* watch = command->add_flag("--watch", options->watch, "again every second, until interrupted");
    add_common_options(command, options->common, true);
    add_namespace_options(command, options->common);
    add_everywhere_flag(command, options->everywhere)->excludes(watch);
    command->footer(
        "packets, bytes: matched (frames without FCS). Dropped: loss (--loss), partition, reject (either of them,\n"
        "and answered), queue (full in front of --rate), held (--max-held reached), line (refused by the pacer).\n"
        "corrupted: with a bit flipped. duplicated: copies made. delayed: handed to the pacer; reordered: of these,\n"
        "without their delay. reject, corrupted, duplicated and reordered appear once they are not 0.\n\n"
        "Examples:\n  headwind stats\n  headwind stats slow-db --watch\n  headwind stats --json");
    command->callback([options, &cli] { cli.chosen = [options] { return stats(*options); }; });
}

}  // namespace headwind
