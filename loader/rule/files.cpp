// SPDX-License-Identifier: MIT
// Reads the files that flags name.
#include "rule/files.h"

#include <glob.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <vector>

#include "chance/law_file.h"
#include "chance/packet_list.h"
#include "rule/factory.h"
#include "timeline/trace.h"
#include "util/text.h"

namespace headwind {
namespace {

constexpr std::size_t max_trace_bytes = 64 << 20;

// `typed`: the flag with its value, for errors.
Result<std::string> read_whole(const std::string& typed, const std::string& file, std::size_t most)
{
    if (file.empty() || !is_plain_text(file))
        return fail(ErrorKind::usage, "{}: write a file's name in plain text", harmless(typed));
    errno = 0;
    std::ifstream stream(file);
    std::string out;
    for (std::array<char, 65536> some{}; stream;) {
        stream.read(some.data(), some.size());
        out.append(some.data(), static_cast<std::size_t>(stream.gcount()));
        if (out.size() > most) return fail(ErrorKind::usage, "{}: is larger than {} MiB", typed, most >> 20);
    }
    if (!stream.eof()) {
        const int error = errno;
        if (error == ENOENT) return fail(ErrorKind::not_found, "{}: there is no such file", harmless(typed));
        if (error == EISDIR) return fail(ErrorKind::usage, "{}: is a folder: name a file", harmless(typed));
        return fail_errno(error, fmt::format("{}: read it", harmless(typed)));
    }
    return out;
}

// The file behind "table:" or "samples:"; none if the word begins otherwise.
std::optional<std::string> file_behind(std::string_view prefix, std::string_view word)
{
    if (!word.starts_with(prefix)) return std::nullopt;
    return std::string(word.substr(prefix.size()));
}

// The folders in which iproute2 has its tables.
std::vector<std::string> table_folders()
{
    std::vector<std::string> out;
    for (const char* pattern : {"/usr/lib/*/tc/", "/usr/lib/tc/", "/usr/lib64/tc/", "/usr/share/tc/"}) {
        glob_t found{};
        if (glob(pattern, 0, nullptr, &found) == 0)
            out.insert(out.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
        globfree(&found);
    }
    return out;
}

// `name` itself, or, if there is no such file, iproute2's table of that name.
Result<std::string> path_of_table(const std::string& typed, const std::string& name)
{
    if (name.empty() || name.find('/') != std::string::npos || std::ifstream(name)) return name;
    for (const auto& folder : table_folders())
        if (auto path = folder + name + ".dist"; std::ifstream(path)) return path;
    return fail(ErrorKind::not_found,
                "{}: there is no such file here, and no {}.dist in /usr/lib/*/tc, where iproute2 has its tables",
                harmless(typed), printable(name));
}

Status load_trace(RuleSpec& text)
{
    if (!text.trace || trimmed(*text.trace) == "off") return {};
    const auto& file = *text.trace;
    HW_TRY(const auto words, read_whole(typed("--trace", file), file, max_trace_bytes));
    HW_TRY(text.timeline, parse_trace(words, file, text.repeat));
    return {};
}

Status load_law(RuleSpec& text)
{
    HW_TRY(const auto flags, spell_out(text));
    if (!flags.distribution) return {};
    const auto word = trimmed(*flags.distribution);
    const auto flag = typed("--distribution", *flags.distribution);
    if (const auto table = file_behind("table:", word)) {
        HW_TRY(const auto path, path_of_table(flag, *table));
        HW_TRY(const auto words, read_whole(flag, path, max_law_bytes));
        HW_TRY(text.quantiles, parse_law_table(words, path));
    } else if (const auto samples = file_behind("samples:", word)) {
        HW_TRY(const auto words, read_whole(flag, *samples, max_law_bytes));
        HW_TRY(auto law, parse_samples(words, *samples));
        text.quantiles = std::move(law.quantiles);
        if (flags.delay.has_value() != flags.jitter.has_value())
            return fail(ErrorKind::usage,
                        "{}: say both --delay and --jitter, to have its shape, or neither, to have its delays",
                        harmless(flag));
        if (flags.delay) return {};
        HW_TRY(const auto timeline, make_timeline(text));
        if (timeline && (varies(*timeline, Quantity::delay) || varies(*timeline, Quantity::jitter)))
            return fail(ErrorKind::usage, "{}: it says the delays, and so does {}: leave one out", harmless(flag),
                        text.ramp ? "--ramp" : "--trace");
        text.delay = format_duration(law.mean);
        text.jitter = format_duration(law.sd);
    }
    return {};
}

Status load_losses(RuleSpec& text)
{
    if (!text.loss_pattern || trimmed(*text.loss_pattern) == "off") return {};
    const auto file = std::string(trimmed(*text.loss_pattern));
    HW_TRY(const auto words, read_whole(typed("--loss-pattern", *text.loss_pattern), file, max_list_bytes));
    HW_TRY(text.lost_packets, parse_packet_list(words, file));
    return {};
}

}  // namespace

Status load_files(RuleSpec& text)
{
    HW_CHECK(load_losses(text));
    HW_CHECK(load_trace(text));
    return load_law(text);
}

}  // namespace headwind
