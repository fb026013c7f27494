// SPDX-License-Identifier: MIT
// Reads laws of delays: tables of quantiles, and samples of which the quantiles are taken.
#include "chance/law_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "util/lines.h"
#include "util/text.h"
#include "util/units.h"

namespace headwind {
namespace {

constexpr std::string_view ping_time = "time=";

Status check_count(std::size_t count)
{
    if (count <= max_law_values) return {};
    return fail(ErrorKind::usage, "more than {} values: take every tenth, say", max_law_values);
}

// "time=12.3 ms" of ping's line; none: it tells of no answer.
std::optional<std::string> time_of_ping(std::string_view line)
{
    const auto at = line.find(ping_time);
    if (at == std::string_view::npos) return std::nullopt;
    line.remove_prefix(at + ping_time.size());
    std::string out;
    for (const auto word : words_of(line)) {
        if (out.empty() || out.find_first_not_of("0123456789.") == std::string::npos) out += word;
    }
    return out;
}

// The unit that a heading names: "delay_ms", "ms".
std::optional<std::string> unit_of_heading(std::string_view line)
{
    const auto bar = line.rfind('_');
    const auto unit = std::string(bar == std::string_view::npos ? line : line.substr(bar + 1));
    const bool number = line.find_first_of("0123456789") != std::string_view::npos;
    return !number && !unit.empty() && parse_duration("1" + unit) ? std::optional(unit) : std::nullopt;
}

class SampleReader {
public:
    explicit SampleReader(bool ping) : ping_(ping) {}
    Status read(std::string_view line)
    {
        std::string word(line);
        if (ping_) {
            if (line.find("time<") != std::string_view::npos)
                return fail(ErrorKind::usage,
                            "{}: does not say how long it took: use a ping that tells parts of a millisecond",
                            printable(line));
            const auto time = time_of_ping(line);
            if (!time) return {};
            word = *time;
        } else if (first_) {
            first_ = false;
            unit_ = unit_of_heading(line).value_or("");
            if (!unit_.empty()) return {};
        }
        HW_CHECK(check_count(values.size() + 1));
        const auto delay = parse_duration(word + unit_);
        if (!delay && line.find("icmp_seq=") != std::string_view::npos)
            return fail(ErrorKind::usage, "{}: is of a ping in another language: run it with LC_ALL=C",
                        printable(line));
        if (!delay)
            return fail(ErrorKind::usage,
                        "{}: {}: write one delay a line, like 12.3ms, or plain numbers below a line like delay_ms",
                        printable(line), delay.error().message);
        values.push_back(static_cast<double>(*delay));
        return {};
    }
    std::vector<double> values;

private:
    bool ping_, first_ = true;
    std::string unit_;
};

}  // namespace

Quantiles quantiles_of(const Law& law)
{
    constexpr double most = 2000 * quantile_unit;
    Quantiles out;
    for (const double value : law)
        out.push_back(static_cast<std::int32_t>(std::lround(std::clamp(value * quantile_unit, -most, most))));
    return out;
}

Law law_of(const Quantiles& quantiles)
{
    Law out;
    for (const auto value : quantiles) out.push_back(value / quantile_unit);
    return out;
}

Result<Quantiles> parse_law_table(std::string_view text, const std::string& file)
{
    std::vector<double> values;
    const auto status = read_lines(text, file, [&values](std::string_view line) -> Status {
        for (const auto word : words_of(line)) {
            std::int16_t value = 0;
            const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
            if (error != std::errc() || end != word.data() + word.size())
                return fail(ErrorKind::usage,
                            "{}: a table has whole numbers from -32768 to 32767, in 1/8192 of the jitter",
                            printable(word));
            if (!values.empty() && value < values.back())
                return fail(ErrorKind::usage,
                            "{} comes after {}: a table is in rising order; for values as measured, write samples:FILE",
                            value, values.back());
            HW_CHECK(check_count(values.size() + 1));
            values.push_back(value);
        }
        return {};
    });
    HW_CHECK(status);
    if (values.empty()) return fail(ErrorKind::usage, "{}: has no numbers", file);
    if (values.front() == values.back())
        return fail(ErrorKind::usage, "{}: all of it is {}: a table has different numbers", file, values.front());
    for (auto& value : values) value /= quantile_unit;
    return quantiles_of(law_of_quantiles(values));
}

Result<LawOfSamples> parse_samples(std::string_view text, const std::string& file)
{
    bool ping = false;
    HW_CHECK(read_lines(text, file, [&ping](std::string_view line) -> Status {
        ping = ping || line.find(ping_time) != std::string_view::npos;
        return {};
    }));
    SampleReader reader(ping);
    HW_CHECK(read_lines(text, file, [&reader](std::string_view line) { return reader.read(line); }));
    auto& values = reader.values;
    if (values.empty())
        return fail(ErrorKind::usage, "{}: has no delays: write one a line, like 12.3ms, or what ping printed", file);
    std::sort(values.begin(), values.end());
    if (values.front() == values.back())
        return fail(ErrorKind::usage, "{0}: all of its delays are {1}: write --delay {1} instead", file,
                    format_duration(static_cast<std::uint64_t>(values.front())));
    const auto n = static_cast<double>(values.size());
    double mean = 0, variance = 0;
    for (const double value : values) mean += value / n;
    for (const double value : values) variance += (value - mean) * (value - mean) / n;
    const auto law = law_of_quantiles(values);
    return LawOfSamples{static_cast<std::uint64_t>(std::llround(mean)),
                        static_cast<std::uint64_t>(std::max(1LL, std::llround(std::sqrt(variance)))),
                        quantiles_of(standardized(law, moments_of(law)))};
}

}  // namespace headwind
