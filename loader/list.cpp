// headwind list, headwind stats
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include <fmt/color.h>
#include <nlohmann/json.hpp>

#include "cli.h"

namespace headwind {
namespace {

struct Options {
    CommonOptions common;
    std::vector<std::string> names;  // stats: empty: all
    bool watch = false;
};

nlohmann::json to_json(const Overview& all)
{
    nlohmann::json out{{"panic", all.panic}, {"rules", nlohmann::json::array()}};
    for (const auto& rule : all.rules) out["rules"].push_back(headwind::to_json(rule));
    if (all.exists) {
        out["hooks"] = all.tcx ? "tcx" : "clsact";
        out["line"] = {{"held_packets", all.line.held_packets},
                       {"held_bytes", all.line.held_bytes},
                       {"max_held_bytes", all.max_held},
                       {"dropped_packets", all.line.dropped_packets}};
    }
    return out;
}

std::string coloured(RuleState state)
{
    auto text = fmt::format("{:<11}", format_state(state));
    if (!isatty(STDOUT_FILENO)) return text;
    const auto colour = state == RuleState::live ? fmt::terminal_color::green : fmt::terminal_color::yellow;
    return fmt::format(fmt::fg(colour), "{}", text);
}

std::size_t name_width(const Overview& all)
{
    std::size_t width = 4;
    for (const auto& rule : all.rules) width = std::max(width, rule.record.rule.name.size());
    return width;
}

Result<int> list(const Options& options)
{
    HW_CHECK(enter(options.common));
    HW_TRY(const auto all, overview());
    if (options.common.json) {
        fmt::print("{}\n", to_json(all).dump(2));
        return 0;
    }
    if (all.panic) fmt::print("panic is on: no rule has an effect; `headwind panic --off` goes on\n");
    if (all.rules.empty()) fmt::print("no rules\n");
    for (const auto& rule : all.rules)
        fmt::print("{:<{}}  {}  {}\n", rule.record.rule.name, name_width(all), coloured(rule.state),
                   rule_sentence(rule));
    return 0;
}

void print_table(const Overview& all)
{
    const auto width = name_width(all);
    fmt::print("{:<{}}  {:<4}{:>12}{:>15}{:>10}{:>11}{:>10}{:>10}{:>10}{:>12}\n", "rule", width, "dir", "packets",
               "bytes", "loss", "partition", "queue", "held", "line", "delayed");
    for (const auto& rule : all.rules) {
        for (const auto& [direction, c] : rule.counters) {
            fmt::print("{:<{}}  {:<4}{:>12}{:>15}{:>10}{:>11}{:>10}{:>10}{:>10}{:>12}\n", rule.record.rule.name, width,
                       format_direction(direction), c.packets, c.bytes, c.dropped[HW_CAUSE_LOSS],
                       c.dropped[HW_CAUSE_PARTITION], c.dropped[HW_CAUSE_QUEUE], c.dropped[HW_CAUSE_HELD],
                       c.dropped[HW_CAUSE_LINE], c.delayed);
            if (c.unstampable != 0)
                fmt::print("{:<{}}  {} packets passed undelayed: not plain IP to the kernel (a second VLAN tag)\n", "",
                           width, c.unstampable);
        }
    }
    fmt::print("line: {} packets held, {} of {} bytes, {} dropped by the line itself\n", all.line.held_packets,
               all.line.held_bytes, all.max_held, all.line.dropped_packets);
}

Status keep_named(Overview& all, const std::vector<std::string>& names)
{
    for (const auto& name : names)
        if (std::none_of(all.rules.begin(), all.rules.end(), [&](const auto& r) { return r.record.rule.name == name; }))
            return fail(ErrorKind::not_found, "no rule is called {}: see `headwind list`", name);
    if (!names.empty())
        std::erase_if(all.rules, [&names](const auto& rule) {
            return std::find(names.begin(), names.end(), rule.record.rule.name) == names.end();
        });
    return {};
}

Result<int> stats(const Options& options)
{
    HW_CHECK(enter(options.common));
    for (;;) {
        HW_TRY(auto all, overview());
        HW_CHECK(keep_named(all, options.names));
        if (options.watch && isatty(STDOUT_FILENO) && !options.common.json) fmt::print("\033[H\033[2J");
        if (options.common.json)
            fmt::print("{}\n", to_json(all).dump(options.watch ? -1 : 2));
        else if (all.rules.empty())
            fmt::print("no rules\n");
        else
            print_table(all);
        if (!options.watch) return 0;
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

}  // namespace

void register_list(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("list", "show the rules, the one that wins first");
    add_common_options(command, options->common, true);
    command->footer("Examples:\n  headwind list\n  headwind list --json --netns blue");
    command->callback([options, &cli] { cli.chosen = [options] { return list(*options); }; });
}

void register_stats(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("stats", "show what the rules did: wire packets by rule and direction");
    command->add_option("name", options->names, "only these rules");
    command->add_flag("--watch", options->watch, "again every second, until interrupted");
    add_common_options(command, options->common, true);
    command->footer(
        "packets, bytes: matched (frames without FCS). Dropped: loss (--loss), partition, queue (full in front\n"
        "of --rate), held (--max-held reached), line (refused by the pacer). delayed: handed to the pacer.\n\n"
        "Examples:\n  headwind stats\n  headwind stats slow-db --watch\n  headwind stats --json");
    command->callback([options, &cli] { cli.chosen = [options] { return stats(*options); }; });
}

}  // namespace headwind
