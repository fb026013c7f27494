// SPDX-License-Identifier: MIT
// Draws the conclusions of `headwind doctor`, and formats them as text and JSON.
#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/color.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "commands/doctor.h"
#include "util/text.h"
#include "xdp/xdp.h"

namespace headwind {
namespace {

constexpr std::pair oldest_kernel{6U, 1U};
constexpr const char* be_root = "run as root (in a container: with these capabilities, in the host's user namespace)";

struct Capability {
    unsigned bit;
    const char* name;
};
constexpr std::array needed_capabilities{Capability{CAP_BPF, "CAP_BPF"}, Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                         Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}};

std::string_view format_status(CheckStatus status)
{
    switch (status) {
        case CheckStatus::ok: return "ok";
        case CheckStatus::no: return "no";
        case CheckStatus::note: return "note";
    }
    return "?";
}

fmt::terminal_color colour_of(CheckStatus status)
{
    if (status == CheckStatus::ok) return fmt::terminal_color::green;
    return status == CheckStatus::no ? fmt::terminal_color::red : fmt::terminal_color::yellow;
}

std::optional<std::pair<unsigned, unsigned>> parse_release(std::string_view release)
{
    std::pair<unsigned, unsigned> version;
    const char* const end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.first);
    if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return std::nullopt;
    if (std::from_chars(major.ptr + 1, end, version.second).ec != std::errc{}) return std::nullopt;
    return version;
}

bool lacks(const std::vector<Check>& checks, Lacks what)
{
    return std::any_of(checks.begin(), checks.end(), [what](const auto& check) { return check.lacks == what; });
}

}  // namespace

Check check_ok(std::string name, std::string detail)
{
    return {std::move(name), CheckStatus::ok, std::move(detail), {}, Lacks::nothing};
}

Check check_note(std::string name, std::string detail, std::string advice)
{
    return {std::move(name), CheckStatus::note, std::move(detail), std::move(advice), Lacks::nothing};
}

Check check_no(std::string name, Lacks lacks, std::string detail, std::string advice)
{
    return {std::move(name), CheckStatus::no, std::move(detail), std::move(advice), lacks};
}

Check check_failed(std::string name, Lacks lacks, const Error& error)
{
    const bool denied = error.kind == ErrorKind::permission;
    return check_no(std::move(name), denied ? Lacks::privilege : lacks, error.message, denied ? be_root : "");
}

Check check_kernel(std::string_view release)
{
    const auto detail = fmt::format("Linux {}", release);
    const auto version = parse_release(release);
    if (!version) return check_note("kernel", detail, "its version is not understood; 6.1 is the oldest that works");
    if (*version < oldest_kernel)
        return check_no("kernel", Lacks::everything, detail, "boot Linux 6.1 or newer (Debian 12 has it)");
    return check_ok("kernel", detail);
}

std::optional<std::uint64_t> effective_capabilities(std::string_view status_file)
{
    constexpr std::string_view key = "\nCapEff:\t";
    const auto at = status_file.find(key);
    if (at == std::string_view::npos) return std::nullopt;
    const auto digits = status_file.substr(at + key.size());
    std::uint64_t bits = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16).ec != std::errc{}) return std::nullopt;
    return bits;
}

std::vector<std::string> missing_capabilities(std::uint64_t effective)
{
    std::vector<std::string> out;
    for (const auto& capability : needed_capabilities)
        if ((effective >> capability.bit & 1) == 0) out.emplace_back(capability.name);
    return out;
}

Check check_privileges(std::uint64_t effective)
{
    const auto missing = missing_capabilities(effective);
    if (missing.empty()) return check_ok("privileges", "CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN");
    return check_no("privileges", Lacks::privilege, fmt::format("missing: {}", fmt::join(missing, ", ")), be_root);
}

Check check_hook_programs(const std::vector<HookProgram>& programs)
{
    std::vector<std::string> foreign;
    std::set<std::string> ours;
    for (const auto& program : programs) {
        if (program.ours)
            ours.insert(program.device);
        else
            foreign.push_back(fmt::format("{} {}: {}", program.device, program.hook, program.name));
    }
    const auto own = ours.empty() ? std::string() : fmt::format("Headwind's own on {}", fmt::join(ours, ", "));
    if (foreign.empty())
        return check_ok("programs", own.empty() ? "none on the hooks of these devices" : own + ", no others");
    return check_note(
        "programs", fmt::format("{}{}{}", fmt::join(foreign, ", "), own.empty() ? "" : "; ", own),
        "nothing to do: Headwind's go first and return NEXT, so these still run. But one that ends with TC_ACT_OK (a filter with `action ok`) wipes the mark of a packet that was impaired there: on its way it may meet another rule");
}

Check check_xdp(const std::vector<XdpDevice>& devices)
{
    std::vector<std::string> able, forced, taken;
    for (const auto& [device, driver, other] : devices) {
        if (other != 0)
            taken.push_back(fmt::format("{} has another XDP program (id {})", device, other));
        else if (is_for_auto(driver))
            able.push_back(fmt::format("{} ({})", device, driver));
        else if (hands_metadata_on(driver))
            forced.push_back(fmt::format("{} ({})", device, driver));
    }
    std::vector<std::string> words;
    words.push_back(able.empty() ? "no device for --xdp auto: tc decides"
                                 : fmt::format("--xdp auto uses {}, natively with metadata", fmt::join(able, ", ")));
    if (!forced.empty()) words.push_back(fmt::format("only if told, and slower: {}", fmt::join(forced, ", ")));
    words.insert(words.end(), taken.begin(), taken.end());
    const auto detail = fmt::format("{}", fmt::join(words, "; "));
    if (taken.empty()) return check_ok("xdp", detail);
    return check_note("xdp", detail, "nothing to do: it stays, and tc decides there");
}

Check check_instance(const Snapshot& all)
{
    if (!all.exists) return check_ok("rules", "none in this network namespace");
    const auto live = std::count_if(all.rules.begin(), all.rules.end(),
                                    [](const auto& rule) { return rule.state == RuleState::live; });
    const auto detail = fmt::format("{} in this network namespace, {} live; hooks are {}; the line holds {} packets",
                                    all.rules.size(), live, all.tcx ? "tcx" : "clsact", all.line.held_packets);
    if (all.panic) return check_note("rules", detail + "; panic is on", "go on with `headwind panic --off`");
    for (const auto& rule : all.rules)
        if (rule.state == RuleState::broken)
            return check_no("rules", Lacks::effect,
                            fmt::format("{}; {}: {}", detail, rule.record.rule.name, rule.trouble),
                            "see `headwind list`");
    if (!all.own_programs)
        return check_note("rules", detail + "; their programs are another version's", "headwind upgrade");
    if (all.line.dropped_packets != 0)
        return check_note("rules", fmt::format("{}; it lost {} itself", detail, all.line.dropped_packets),
                          "fewer packets per second, or a higher net.core.netdev_max_backlog");
    for (const auto& rule : all.rules)
        if (rule.state == RuleState::hidden)
            return check_note("rules", fmt::format("{}; {} is {}", detail, rule.record.rule.name, rule.trouble),
                              "see `headwind list`");
    return check_ok("rules", detail);
}

int doctor_exit_code(const std::vector<Check>& checks)
{
    for (const auto what : {Lacks::everything, Lacks::time, Lacks::effect})
        if (lacks(checks, what)) return exit_code(ErrorKind::unsupported);
    return lacks(checks, Lacks::privilege) ? exit_code(ErrorKind::permission) : 0;
}

std::string conclusion(const std::vector<Check>& checks)
{
    if (lacks(checks, Lacks::everything)) return "Headwind cannot work here: see what says no";
    if (lacks(checks, Lacks::privilege)) return "privileges are missing: what else may be is not known";
    if (lacks(checks, Lacks::effect)) return "a rule is not in force: see what says no";
    if (lacks(checks, Lacks::time)) return "loss and partition work here, delay and rate do not: see what says no";
    return "delay, rate, loss and partition work here";
}

std::string format_check(const Check& check, bool colour)
{
    const auto padded = fmt::format("{:<4}", format_status(check.status));
    const auto status = colour ? fmt::format(fmt::fg(colour_of(check.status)), "{}", padded) : padded;
    const auto* const separator = check.advice.empty() ? "" : "; ";
    return fmt::format("{}  {:<11} {}{}{}", status, check.name, harmless(check.detail), separator,
                       harmless(check.advice));
}

nlohmann::json to_json(const std::vector<Check>& checks)
{
    auto out = nlohmann::json::array();
    for (const auto& check : checks)
        out.push_back({{"check", check.name},
                       {"status", format_status(check.status)},
                       {"detail", check.detail},
                       {"advice", check.advice}});
    return out;
}

}  // namespace headwind
