// SPDX-License-Identifier: MIT
// Translates comcast's options into rules, and rules into the command that adds them.
#include "rule/comcast.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "util/text.h"

namespace headwind {
namespace {

constexpr const char* below_others = "-1";  // priority: the targets' rule and other rules of the host come first

bool is_number(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

// A value with the unit that comcast means ("250" as "250ms"); nullopt: nothing is asked for.
template <class T>
Result<std::optional<std::string>> with_unit(std::string_view flag, const std::optional<std::string>& typed,
                                             std::string_view unit, Result<T> (*parse)(std::string_view))
{
    if (!typed) return std::nullopt;
    std::string value(trimmed(*typed));
    if (value == "0" || value == "-1") return std::nullopt;
    if (is_number(value)) value += unit;
    if (const auto parsed = parse(value); !parsed)
        return fail(ErrorKind::usage, "{} {}: {}", flag, printable(*typed), parsed.error().message);
    return value;
}

// The names that stand for comcast's "icmp", which is that of either family: here each family has its name, and only
// the names that a target can have are listed.
std::vector<std::string> icmp_of(const std::vector<std::string>& addresses)
{
    const std::string all = fmt::format("{}", fmt::join(addresses, ","));
    if (all.empty()) return {"icmp", "icmpv6"};
    std::vector<std::string> names;
    if (all.find('.') != std::string::npos) names.emplace_back("icmp");
    if (all.find(':') != std::string::npos) names.emplace_back("icmpv6");
    return names;
}

// The entries of the lists, one a string; an empty one stays, for make_rule to refuse.
std::vector<std::string> entries_of(const std::vector<std::string>& lists)
{
    std::vector<std::string> entries;
    for (std::string_view rest : lists) {
        for (bool more = true; more;) {
            const std::size_t comma = rest.find(',');
            entries.emplace_back(trimmed(rest.substr(0, comma)));
            more = comma != std::string_view::npos;
            if (more) rest.remove_prefix(comma + 1);
        }
    }
    return entries;
}

// The protocols of the targets. With ports, ICMP is left out, unless it is the only one: make_rule refuses it then.
std::vector<std::string> protocols_of(const ComcastOptions& options)
{
    const bool ports = !options.target_ports.empty();
    std::vector<std::string> typed = entries_of(options.target_protos);
    if (typed.empty() && (ports || !options.target_addrs.empty())) typed = {"tcp", "udp", "icmp"};

    std::vector<std::string> protocols;
    const auto icmp =
        std::stable_partition(typed.begin(), typed.end(), [](const auto& name) { return name != "icmp"; });
    protocols.assign(typed.begin(), icmp);
    if (icmp == typed.end() || (ports && !protocols.empty())) return protocols;
    for (const std::string& name : icmp_of(options.target_addrs)) protocols.push_back(name);
    return protocols;
}

// ---- the command ----

std::string quoted(const std::string& word)
{
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/%@+=";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
    std::string result = "'";
    for (const char c : word) {
        if (c == '\'')
            result += "'\\''";
        else
            result += c;
    }
    return result + "'";
}

void append_flag(std::string& command, const char* flag, const std::string& value)
{
    command += fmt::format(" {} {}", flag, quoted(value));
}

void append_flag(std::string& command, const char* flag, const std::vector<std::string>& list)
{
    if (!list.empty()) append_flag(command, flag, fmt::format("{}", fmt::join(list, ",")));
}

void append_flag(std::string& command, const char* flag, const std::optional<std::string>& value)
{
    if (value) append_flag(command, flag, *value);
}

}  // namespace

Result<std::vector<RuleSpec>> translate_comcast(const ComcastOptions& options)
{
    RuleSpec target;
    target.name = comcast_rule;
    target.devices = {options.device};
    target.remotes = options.target_addrs;
    target.remote_ports = options.target_ports;
    target.protocols = protocols_of(options);
    HW_TRY(target.delay, with_unit("--latency", options.latency, "ms", parse_duration));
    HW_TRY(target.rate, with_unit("--target-bw", options.target_bw, "kbit", parse_rate));
    HW_TRY(target.loss, with_unit("--packet-loss", options.packet_loss, "%", parse_probability));
    RuleSpec others;
    others.name = comcast_default_rule;
    others.devices = {options.device};
    others.priority = below_others;
    HW_TRY(others.rate, with_unit("--default-bw", options.default_bw, "kbit", parse_rate));

    const bool impaired = target.delay || target.rate || target.loss;
    const bool targeted = !target.remotes.empty() || !target.remote_ports.empty() || !target.protocols.empty();
    if (!impaired && !others.rate) {
        return fail(ErrorKind::usage,
                    "comcast: nothing to do: add --latency 250, --target-bw 1000, --packet-loss 10% or --stop");
    }
    if (!others.rate) return std::vector{target};
    if (!targeted) {
        return fail(
            ErrorKind::usage,
            "--default-bw {}: it limits what is no target, and without --target-addr, --target-port and --target-proto all is: name the targets, or use --target-bw",
            printable(*options.default_bw));
    }
    if (!impaired) {
        target.pass = true;
        target.direction = "out";
    }
    return std::vector{target, others};
}

std::string in_comcast_words(std::string message)
{
    // Longest first: --remote begins --remote-port.
    constexpr std::array<std::array<std::string_view, 2>, 7> flags{{{"--remote-port", "--target-port"},
                                                                    {"--remote", "--target-addr"},
                                                                    {"--proto", "--target-proto"},
                                                                    {"--dev ", "--device "},
                                                                    {"--delay", "--latency"},
                                                                    {"--loss", "--packet-loss"},
                                                                    {"--rate", "--target-bw"}}};
    for (const auto& [ours, theirs] : flags) {
        for (std::size_t at = message.find(ours); at != std::string::npos; at = message.find(ours, at + theirs.size()))
            message.replace(at, ours.size(), theirs);
    }
    return message;
}

std::string add_command(const RuleSpec& text, const std::string& netns)
{
    std::string command = "headwind add --replace";
    if (!netns.empty()) append_flag(command, "--netns", netns);
    append_flag(command, "--name", text.name);
    append_flag(command, "--dev", text.devices);
    append_flag(command, "--proto", text.protocols);
    append_flag(command, "--remote", text.remotes);
    append_flag(command, "--remote-port", text.remote_ports);
    append_flag(command, "--delay", text.delay);
    append_flag(command, "--loss", text.loss);
    append_flag(command, "--rate", text.rate);
    if (text.pass) command += " --pass";
    append_flag(command, "--direction", text.direction);
    append_flag(command, "--priority", text.priority);
    return command;
}

std::string delete_command(const std::vector<std::string>& names, const std::string& netns)
{
    std::string command = "headwind del --if-exists";
    if (!netns.empty()) append_flag(command, "--netns", netns);
    for (const std::string& name : names) command += " " + quoted(name);
    return command;
}

std::vector<std::string> with_double_dashes(std::vector<std::string> words)
{
    constexpr std::array<std::string_view, 12> flags{"-device",      "-latency",     "-target-bw",   "-default-bw",
                                                     "-packet-loss", "-target-addr", "-target-port", "-target-proto",
                                                     "-stop",        "-dry-run",     "-help",        "-json"};
    if (words.empty() || words.front() != "comcast") return words;
    for (std::string& word : words) {
        const std::string_view flag = std::string_view(word).substr(0, word.find('='));
        if (std::find(flags.begin(), flags.end(), flag) != flags.end()) word.insert(0, 1, '-');
    }
    return words;
}

}  // namespace headwind
