// SPDX-License-Identifier: MIT
// The command `headwind verify`: finds out whether traffic gets what is asked for, on this very kernel. It measures
// real packets between two private network namespaces; our own counters are not asked.
#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "commands/cli.h"
#include "host/netlink.h"
#include "rule/files.h"
#include "rule/flags.h"
#include "util/output.h"
#include "verify/expected.h"
#include "verify/judge.h"
#include "verify/measure.h"
#include "verify/pace.h"

namespace headwind {
namespace {

using namespace verify;

constexpr std::int64_t ms = 1'000'000;  // ns
constexpr int exit_off = 1, exit_unmeasured = 5;

struct VerifyOptions {
    RuleSpec text;
    bool json = false, ipv6 = false;
    std::uint32_t packets = 50'000;
};

// ---- the traffic ----------------------------------------------------------------------------------------------------

void tell(const std::string& what, std::int64_t duration)
{
    if (duration < 2000 * ms || isatty(STDERR_FILENO) == 0) return;
    say("headwind verify: {}, about {} s ...\n", what, (duration + 999 * ms) / (1000 * ms));
}

Result<Stream> stream(const Bed& bed, const Pace& pace, const char* what)
{
    const auto sending = std::min(pace.limit, pace.packets / pace.burst * pace.spacing);
    tell(fmt::format("{}: {} packets", what, pace.packets), sending + pace.wait);
    return measure_stream(bed, pace);
}

// ---- measuring one rule ---------------------------------------------------------------------------------------------

// A rule that is in force as long as this lives.
class InForce {
public:
    static Result<InForce> add(const RuleSpec& text)
    {
        AddRequest request;
        HW_TRY(request.rule, make_rule(text));
        request.owner = invoking_user();
        InForce out;
        HW_TRY(const auto view, add_rule(request));
        out.active_ = true;
        out.impairment = view.record.rule.impairment;
        return out;
    }
    InForce(InForce&& other) noexcept
        : impairment(std::move(other.impairment)), active_(std::exchange(other.active_, false))
    {
    }
    InForce& operator=(InForce&&) = delete;
    ~InForce() { static_cast<void>(end()); }
    Status end()
    {
        if (!std::exchange(active_, false)) return {};
        HW_CHECK(clear(
            std::nullopt, [](std::uint32_t) {}, std::chrono::nanoseconds(0)));
        return {};
    }
    Impairment impairment;

private:
    InForce() = default;
    bool active_ = false;
};

Status measure_answers(const Impairment& asked, const Bed& bed, Samples& samples)
{
    constexpr unsigned tries = 200;
    // The wait is shorter than it takes TCP to try again.
    const auto wait = std::chrono::nanoseconds(longest_wait(asked) + 500 * ms);
    HW_TRY(samples.tcp, measure_tcp_answers(bed, tries, wait));
    HW_TRY(samples.udp, measure_udp_answers(bed, tries, wait));
    return {};
}

Result<Samples> measure(const Impairment& asked, const Bed& bed, std::uint32_t packets, Stream bare)
{
    Samples samples;
    samples.bare = std::move(bare);
    samples.on_link = on_link(asked, bed) / (asked.duplicate ? 2 : 1);
    const bool chance = asked.loss || asked.corrupt || asked.duplicate;
    if (asked.delay != 0) {
        HW_TRY(samples.timing, stream(bed, timing_pace(asked, bed), "delay"));
    }
    if (samples.timing && !chance && !keeps_order(asked)) {
        samples.counting = *samples.timing;
    } else {
        HW_TRY(samples.counting, stream(bed, counting_pace(asked, bed, packets), "counting"));
    }
    if (asked.rate != 0) {
        const auto pace = flood_pace(asked, bed);
        tell("rate: a flood", pace.duration + pace.wait);
        HW_TRY(samples.flood, measure_flood(bed, pace));
    }
    if (asked.reject != Reject::no) HW_CHECK(measure_answers(asked, bed, samples));
    return samples;
}

// Measures the path without a rule: one that loses packets itself proves nothing.
Result<Stream> measure_bare(const Bed& bed)
{
    HW_CHECK(wait_for_path(bed));
    HW_TRY(auto bare, measure_stream(bed, Pace{}));
    std::vector<std::uint32_t> sequences;
    for (const auto& arrival : bare.arrivals) sequences.push_back(arrival.sequence);
    if (bare.arrivals.size() != bare.sent.size() || count_reordered(sequences) != 0)
        return fail(
            ErrorKind::failed,
            "verify: without any rule {} of {} packets arrived, {} out of order: nothing can be told from this machine's network",
            bare.arrivals.size(), bare.sent.size(), count_reordered(sequences));
    return bare;
}

struct Verdict {
    std::string what;  // the impairments
    std::vector<Row> rows;
};

Result<Verdict> verify_one(RuleSpec text, const Bed& bed, const VerifyOptions& options)
{
    text.name = "verify";
    text.devices = {Bed::device};
    text.direction = "out";
    HW_TRY(auto bare, measure_bare(bed));
    HW_TRY(auto rule, InForce::add(text));
    if (rule.impairment.rate != 0 && probability_of(rule.impairment.loss) >= 0.99)
        return fail(ErrorKind::usage,
                    "--rate: too little arrives to measure it at such a --loss: verify them one by one");
    if (rule.impairment.rate_last && rule.impairment.reorder && rule.impairment.jitter != 0)
        return fail(ErrorKind::usage,
                    "--reorder: how packets overtake a queue behind their jitter is not measured: leave one out");
    HW_TRY(const auto samples, measure(rule.impairment, bed, options.packets, std::move(bare)));
    HW_CHECK(rule.end());
    return Verdict{describe(rule.impairment), judge(rule.impairment, samples)};
}

// ---- telling --------------------------------------------------------------------------------------------------------

std::string text_of(double value, Unit unit)
{
    switch (unit) {
        case Unit::nanoseconds: return fmt::format("{:.3f} ms", value / 1e6);
        case Unit::fraction: return fmt::format("{:.3f}%", value * 100);
        case Unit::bits_per_second:
            if (value >= 1e6) return fmt::format("{:.3f} mbit", value / 1e6);
            return fmt::format("{:.3f} kbit", value / 1e3);
        case Unit::distance: return fmt::format("{:.4f}", value);
        case Unit::packets: return fmt::format("{:.0f}", value);
    }
    return "?";
}

const char* name_of(Unit unit)
{
    switch (unit) {
        case Unit::nanoseconds: return "ns";
        case Unit::fraction: return "fraction";
        case Unit::bits_per_second: return "bit_per_s";
        case Unit::distance: return "ks_distance";
        case Unit::packets: return "packets";
    }
    return "?";
}

std::string allowed(const Row& row)
{
    if (row.low == row.high) return text_of(row.low, row.unit);
    return fmt::format("{} .. {}", text_of(row.low, row.unit), text_of(row.high, row.unit));
}

void print(const Verdict& verdict)
{
    put("{}\n", verdict.what);
    std::size_t width = 14;
    for (const auto& row : verdict.rows) width = std::max(width, row.what.size());
    put("  {:<{}} {:>14} {:>14}  {:<26} {}\n", "", width, "asked", "measured", "allowed", "ok");
    for (const auto& row : verdict.rows)
        put("  {:<{}} {:>14} {:>14}  {:<26} {}\n", row.what, width, text_of(row.asked, row.unit),
            row.ok ? text_of(row.measured, row.unit) : "-", allowed(row),
            (!row.ok   ? "not measured: "
             : *row.ok ? "yes  "
                       : "NO   ") +
                row.note);
}

nlohmann::json json_of(const Verdict& verdict)
{
    auto rows = nlohmann::json::array();
    for (const auto& row : verdict.rows) {
        nlohmann::json one{
            {"what", row.what},         {"unit", name_of(row.unit)}, {"asked", row.asked},  {"allowed_low", row.low},
            {"allowed_high", row.high}, {"note", row.note},          {"measured", nullptr}, {"ok", nullptr}};
        if (row.ok) {
            one["measured"] = row.measured;
            one["ok"] = *row.ok;
        }
        rows.push_back(std::move(one));
    }
    return {{"impairments", verdict.what}, {"rows", std::move(rows)}};
}

int exit_of(const std::vector<Verdict>& verdicts)
{
    int code = 0;
    for (const auto& verdict : verdicts) {
        for (const auto& row : verdict.rows) {
            if (row.ok && !*row.ok) return exit_off;
            if (!row.ok) code = exit_unmeasured;
        }
    }
    return code;
}

int report(const std::vector<Verdict>& verdicts, const std::vector<std::string>& left_out, bool json)
{
    const int code = exit_of(verdicts);
    if (json) {
        auto rules = nlohmann::json::array();
        for (const auto& verdict : verdicts) rules.push_back(json_of(verdict));
        const nlohmann::json out{{"ok", code == 0}, {"rules", std::move(rules)}, {"left_out", left_out}};
        print_json(out);
        return code;
    }
    for (const auto& verdict : verdicts) print(verdict);
    for (const auto& text : left_out) put("left out: {}\n", text);
    put("{}\n", code == 0          ? "What was asked is what the traffic got."
                : code == exit_off ? "What the traffic got is not what was asked."
                                   : "Not all of it could be measured here.");
    return code;
}

// ---- the command ----------------------------------------------------------------------------------------------------

// Whether an impairment is named: all flags but those for impairments have been refused.
bool names_impairment(const RuleSpec& text)
{
    return std::ranges::any_of(rule_flags(), [&text](const Flag& flag) { return is_given(flag, text); });
}

// Rules for all that this kernel can do. With sch_fq there are two: with a jitter the order of packets proves nothing.
Result<std::vector<RuleSpec>> standard_rules(std::vector<std::string>& left_out)
{
    HW_TRY(const bool fq, netlink::kernel_has_fq());
    RuleSpec chance;
    chance.loss = "10%";
    chance.corrupt = "1%";
    chance.duplicate = "2%";
    if (!fq) {
        left_out.emplace_back(
            "delay, jitter, reordering and rate: this kernel has no sch_fq (Debian: boot linux-image-amd64)");
        return std::vector{chance};
    }
    chance.delay = "20ms";
    chance.jitter = "5ms";
    RuleSpec line;
    line.delay = "50ms";
    line.loss = "1%";
    line.rate = "10mbit";
    return std::vector{line, chance};
}

// Refuses flags that are not measured: they would be called right unseen.
Status refuse_unmeasured(const RuleSpec& asked)
{
    for (const Flag& flag : rule_flags())
        if (!flag.unmeasured.empty() && is_given(flag, asked))
            return fail(ErrorKind::usage, "{}: {}", flag.name, flag.unmeasured);
    return {};
}

Result<int> verify_all(const VerifyOptions& options)
{
    HW_CHECK(refuse_unmeasured(options.text));
    std::vector<std::string> left_out;
    std::vector rules{options.text};
    if (!names_impairment(options.text)) {
        HW_TRY(rules, standard_rules(left_out));
    }
    for (auto& rule : rules) {  // wrong input is refused before anything is made
        HW_CHECK(load_files(rule));
        auto text = rule;
        text.name = "verify";
        text.direction = "out";
        HW_CHECK(make_rule(text));
    }
    const Interruptible interruptible;
    HW_TRY(const auto bed, Bed::create(options.ipv6));
    HW_CHECK(bed.enter_sender());
    std::vector<Verdict> verdicts;
    for (const auto& text : rules) {
        HW_TRY(auto verdict, verify_one(text, bed, options));
        verdicts.push_back(std::move(verdict));
    }
    return report(verdicts, left_out, options.json);
}

}  // namespace

void register_verify(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<VerifyOptions>();
    auto* command = app.add_subcommand("verify", "measure on this kernel that what is asked is what traffic gets");
    add_rule_flags(command, options->text);
    for (const Flag& flag : rule_flags())  // selectors are refused with the reason
        if (flag.kind == FlagKind::selector) command->get_option(std::string(flag.name))->group("");
    command->add_option("--packets", options->packets, "packets to count at most (default 50000)")
        ->check(CLI::Range(100U, 10'000'000U));
    command->add_flag("--ipv6", options->ipv6, "send over IPv6");
    command->add_flag("--json", options->json, "print JSON");
    command->footer(
        "Sends UDP packets between two private network namespaces that exist only meanwhile, 10 to 20 s, first without\n"
        "a rule, then with it. What arrived is judged, not what Headwind counted. `allowed` is where chance leaves a\n"
        "right implementation all but once in a million, plus what the bare path varied by itself.\n"
        "Without flags: a standard set, as this kernel allows.\n\n"
        "Exit codes: 0 all is as asked, 1 something is not, 5 something cannot be measured here.\n\n"
        "Examples:\n"
        "  headwind verify\n"
        "  headwind verify --delay 250ms --loss 10% --rate 1mbit\n"
        "  headwind verify --loss 0.1% --packets 1000000 --json");
    command->callback([options, &cli] { cli.chosen = [options] { return verify_all(*options); }; });
}

}  // namespace headwind
