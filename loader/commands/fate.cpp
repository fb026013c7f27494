// SPDX-License-Identifier: MIT
// `headwind fate`: prints what a seed has in store for packets.
#include "commands/fate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "chance/law.h"
#include "commands/cli.h"
#include "rule/factory.h"
#include "rule/files.h"
#include "rule/flags.h"
#include "ruleset/compile.h"
#include "util/output.h"

namespace headwind {
namespace {

struct FateOptions {
    RuleSpec text;
    std::uint64_t packets = 20;
    bool json = false;
};

// Refuses flags that say something else than what chance does to a packet.
Status refuse_others(const RuleSpec& text)
{
    for (const Flag& flag : rule_flags()) {
        if (!is_given(flag, text)) continue;
        constexpr std::string_view of_time[] = {"--flap", "--rate", "--rate-last", "--keep-order",
                                                "--correlation-time"};
        if (flag.kind == FlagKind::timeline || std::ranges::find(of_time, flag.name) != std::end(of_time))
            return fail(ErrorKind::usage,
                        "{}: what it does depends on the time, which fate does not know: leave it out", flag.name);
        if (flag.kind != FlagKind::impairment && flag.name != "--direction" && flag.name != "--netem")
            return fail(ErrorKind::usage, "{}: fate is about what chance decides: leave it out", flag.name);
    }
    return {};
}

bool has_chance(const Impairment& impairment)
{
    const bool numbered = impairment.loss_nth != 0 || !impairment.lost_packets.empty();
    return impairment.jitter != 0 || (happens(impairment.loss) && !numbered) || happens(impairment.corrupt) ||
           happens(impairment.duplicate) || happens(impairment.reorder);
}

// The impairment of the flags, of `text` as of any rule.
Result<Rule> rule_of(RuleSpec text)
{
    HW_TRY(text, spell_out(text));
    HW_CHECK(refuse_others(text));
    if (text.direction && *text.direction == "both")
        return fail(ErrorKind::usage, "--direction both: each has a fate of its own: write in or out");
    HW_CHECK(load_files(text));
    text.name = "fate";
    HW_TRY(auto rule, make_rule(text));
    if (!text.seed && has_chance(rule.impairment))
        return fail(ErrorKind::usage, "chance decides: say which: --seed 7, as for `headwind add`");
    return rule;
}

std::string words_of(const PacketFate& fate)
{
    if (fate.lost) return "lost";
    std::string words = fate.delay == 0 ? "passes" : "after " + format_duration(fate.delay);
    if (fate.reordered) words = "at once";
    if (fate.corrupted) words += ", corrupted";
    if (fate.duplicated)
        words += fate.copy_delay == 0 ? ", twice" : ", and a copy after " + format_duration(fate.copy_delay);
    return words;
}

nlohmann::json json_of(std::uint64_t number, const PacketFate& fate)
{
    nlohmann::json out{
        {"packet", number},    {"lost", fate.lost},       {"corrupted", fate.corrupted}, {"reordered", fate.reordered},
        {"delay_ns", nullptr}, {"copy_delay_ns", nullptr}};
    if (!fate.lost) out["delay_ns"] = fate.delay;
    if (fate.duplicated) out["copy_delay_ns"] = fate.copy_delay;
    return out;
}

Result<int> print_fate(const FateOptions& options)
{
    HW_TRY(const auto rule, rule_of(options.text));
    FateSeries series(rule.impairment, rule.direction == Direction::in ? HW_IN : HW_OUT);
    constexpr std::size_t enough = 1 << 16;  // bytes for one write
    std::string text = options.json ? "[" : "";
    for (std::uint64_t n = 1; n <= options.packets && is_output_written(); ++n) {
        const auto fate = series.next();
        if (options.json)
            text += (n == 1 ? "\n  " : ",\n  ") + json_of(n, fate).dump();
        else
            text += fmt::format("{:>7}  {}\n", n, words_of(fate));
        if (text.size() >= enough) write_out(std::exchange(text, {}));
    }
    if (options.json) text += "\n]\n";
    write_out(text);
    return 0;
}

}  // namespace

FateSeries::FateSeries(const Impairment& impairment, hw_direction direction)
    : impairment_(compile_impairment(impairment)),
      sequence_(compile_sequence(impairment, impairment.seed)),
      list_(compile_list(impairment.lost_packets))
{
    if (const auto law = compile_law(impairment)) law_ = *law;
    hw_sequence_begin(&sequence_, &progress_, 1, direction);
}

PacketFate FateSeries::next()
{
    hw_fate drawn{};
    const auto before = hw_packets_before(&progress_);
    hw_sequence_fate(&sequence_, &normal_scores(), &progress_, &drawn);
    const auto happens = [&drawn](hw_event event) { return (drawn.events >> event & 1) != 0; };
    PacketFate out;
    const auto block = list_.find(static_cast<__u32>(before / HW_LIST_BLOCK));
    out.lost = happens(HW_EVENT_LOSS) || (block != list_.end() && hw_is_listed(&block->second, before) != 0);
    if (out.lost) return out;
    out.corrupted = happens(HW_EVENT_CORRUPT);
    out.duplicated = happens(HW_EVENT_DUPLICATE);
    if (out.duplicated) out.copy_delay = timing_of(drawn, drawn.copy_score).delay;
    const auto timing = timing_of(drawn, drawn.score);
    out.delay = timing.delay;
    out.reordered = timing.reordered;
    return out;
}

FateSeries::Timing FateSeries::timing_of(const hw_fate& fate, std::int32_t score)
{
    constexpr hw_arrival arrival{1, 0};
    const auto delay = impairment_.jitter == 0 ? impairment_.delay
                                               : hw_by_law(impairment_.delay, impairment_.jitter,
                                                           hw_law_at(&law_, std::int64_t{score} << 8));
    hw_timing timing{};
    const auto dice = fate.events >> HW_EVENT_REORDER & 1 ? 0 : ~0U;
    hw_schedule_busy(&impairment_, &state_, &arrival, 0, delay, dice, &timing);
    return {timing.depart - arrival.now, timing.reordered != 0};
}

void register_fate(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<FateOptions>();
    auto* command = app.add_subcommand("fate", "show what a seed has in store for each packet");
    add_rule_flags(command, options->text);
    for (const Flag& flag : rule_flags())  // others are refused with the reason
        if (flag.kind != FlagKind::impairment && flag.name != "--direction" && flag.name != "--netem")
            command->get_option(std::string(flag.name))->group("");
    command->add_option("-n,--packets", options->packets, "so many (default 20)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}))
        ->type_name("N");
    command->add_flag("--json", options->json, "print JSON");
    command->footer(
        "A rule with --seed does the same to the n-th wire packet that it matches each time it is added: on any kernel,\n"
        "with any number of CPUs, whatever the senders do. This prints it, without a rule and without root. Packets of\n"
        "the other direction have a fate of their own: --direction in.\n\n"
        "JSON: packet (from 1), lost, corrupted, reordered, delay_ns (null: lost), copy_delay_ns (null: not sent twice).\n\n"
        "Examples:\n"
        "  headwind fate --seed 7 --loss 10%\n"
        "  headwind fate --seed 7 --delay 50ms --jitter 5ms --distribution pareto --loss 1% --json -n 100000\n"
        "  headwind add --name again --dev eth0 --seed 7 --loss 10%");
    command->callback([options, &cli] { cli.chosen = [options] { return print_fate(*options); }; });
}

}  // namespace headwind
