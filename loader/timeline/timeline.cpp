// SPDX-License-Identifier: MIT
// Parses and formats ramps, and computes the phases of timelines.
#include "timeline/timeline.h"

#include <algorithm>

#include "util/int128.h"
#include "util/text.h"
#include "util/units.h"

namespace headwind {
namespace {

constexpr std::uint64_t shortest_phase = 1'000'000, most_phases = 1'000;  // ns; limits of a ramp
constexpr std::string_view ramp_example = "write what varies and how long, like delay=0ms..200ms,loss=0%..10%,over=60s";

// The value on the line from the first to the last, `part` of `whole` of the way.
std::uint64_t between(const Varying& line, std::uint64_t part, std::uint64_t whole)
{
    const bool up = line.to >= line.from;
    const auto way = static_cast<std::uint64_t>(u128{up ? line.to - line.from : line.from - line.to} * part / whole);
    return up ? line.from + way : line.from - way;
}

// The number of a ramp's phases, without the one that holds its end.
std::uint64_t slices(std::uint64_t length)
{
    return std::clamp<std::uint64_t>(length / shortest_phase, 1, most_phases);
}

void set_value(Phase& phase, Quantity quantity, std::uint64_t value)
{
    phase.values.at(static_cast<std::size_t>(quantity)) = value;
}

std::vector<Phase> phases_of_ramp(const Timeline& ramp)
{
    const auto count = slices(ramp.length);
    std::vector<Phase> out;
    for (std::uint64_t i = 0; i < ramp.phases; ++i) {
        Phase phase;
        phase.begin = static_cast<std::uint64_t>(u128{ramp.length} * i / count);
        for (const auto& line : ramp.varying)
            set_value(phase, line.quantity, i < count ? between(line, 2 * i + 1, 2 * count) : line.to);
        out.push_back(phase);
    }
    return out;
}

// "0ms..200ms"
Result<Varying> parse_line(Quantity quantity, std::string_view text)
{
    const auto dots = text.find("..");
    if (dots == std::string_view::npos)
        return fail(ErrorKind::usage, "{} goes from one value to another: {}", name_of(quantity), ramp_example);
    Varying line{quantity, 0, 0};
    for (const auto& [part, to] : {std::pair{text.substr(0, dots), &line.from}, {text.substr(dots + 2), &line.to}}) {
        auto value = parse_quantity(quantity, trimmed(part));
        if (!value)
            return fail(ErrorKind::usage, "{} {}: {}", name_of(quantity), printable(part), value.error().message);
        *to = *value;
    }
    return line;
}

// Reads one word, "delay=0ms..200ms" or "over=60s".
Status read_word(std::string_view word, Timeline& ramp)
{
    const auto sign = word.find('=');
    const auto name = trimmed(word.substr(0, sign));
    if (sign == std::string_view::npos) return fail(ErrorKind::usage, "{}", ramp_example);
    const auto value = trimmed(word.substr(sign + 1));
    if (name == "over") {
        if (ramp.length != 0) return fail(ErrorKind::usage, "over is there twice: {}", ramp_example);
        HW_TRY(ramp.length, parse_duration(value));
        if (ramp.length == 0 || ramp.length > longest_ramp)
            return fail(ErrorKind::usage, "over {}: a ramp lasts more than nothing and at most 720h (30 days)", value);
        return {};
    }
    const auto* const found =
        std::find_if(quantities.begin(), quantities.end(), [name](Quantity q) { return name_of(q) == name; });
    if (found == quantities.end())
        return fail(ErrorKind::usage, "{} cannot vary: use delay, jitter, loss, corrupt, duplicate or rate, and over",
                    printable(name));
    if (varies(ramp, *found)) return fail(ErrorKind::usage, "{} is there twice: {}", name, ramp_example);
    HW_TRY(const auto line, parse_line(*found, value));
    ramp.varying.push_back(line);
    return {};
}

}  // namespace

Result<Timeline> parse_ramp(std::string_view text, bool repeat)
{
    Timeline ramp;
    ramp.repeat = repeat;
    for (bool more = true; more;) {
        const auto comma = text.find(',');
        HW_CHECK(read_word(text.substr(0, comma), ramp));
        more = comma != std::string_view::npos;
        if (more) text.remove_prefix(comma + 1);
    }
    if (ramp.length == 0) return fail(ErrorKind::usage, "over is missing: {}", ramp_example);
    if (ramp.varying.empty()) return fail(ErrorKind::usage, "nothing varies: {}", ramp_example);
    std::sort(ramp.varying.begin(), ramp.varying.end(),
              [](const Varying& a, const Varying& b) { return a.quantity < b.quantity; });
    ramp.phases = static_cast<std::uint32_t>(slices(ramp.length) + (repeat ? 0 : 1));
    return ramp;
}

std::string format_ramp(const Timeline& ramp)
{
    std::string text;
    for (const auto& [quantity, from, to] : ramp.varying)
        text += fmt::format("{}={}..{},", name_of(quantity), format_quantity(quantity, from),
                            format_quantity(quantity, to));
    return text + "over=" + format_duration(ramp.length);
}

std::vector<Phase> phases_of(const Timeline& timeline)
{
    if (timeline.file.empty()) return phases_of_ramp(timeline);
    return timeline.rows ? *timeline.rows : std::vector<Phase>{};
}

std::string_view name_of(Quantity quantity)
{
    switch (quantity) {
        case Quantity::delay: return "delay";
        case Quantity::jitter: return "jitter";
        case Quantity::loss: return "loss";
        case Quantity::corrupt: return "corrupt";
        case Quantity::duplicate: return "duplicate";
        case Quantity::rate: return "rate";
    }
    return "delay";
}

Result<std::uint64_t> parse_quantity(Quantity quantity, std::string_view text)
{
    switch (quantity) {
        case Quantity::delay:
        case Quantity::jitter: return parse_duration(text);
        case Quantity::rate: return parse_rate(text);
        case Quantity::loss:
        case Quantity::corrupt:
        case Quantity::duplicate: break;
    }
    HW_TRY(const auto probability, parse_probability(text));
    return probability.threshold;
}

std::string format_quantity(Quantity quantity, std::uint64_t value)
{
    switch (quantity) {
        case Quantity::delay:
        case Quantity::jitter: return format_duration(value);
        case Quantity::rate: return format_rate(value);
        case Quantity::loss:
        case Quantity::corrupt:
        case Quantity::duplicate: break;
    }
    return format_probability({value});
}

bool varies(const Timeline& timeline, Quantity quantity)
{
    return std::any_of(timeline.varying.begin(), timeline.varying.end(),
                       [quantity](const Varying& one) { return one.quantity == quantity; });
}

std::uint64_t worst(const Varying& varying)
{
    return varying.quantity == Quantity::rate ? std::min(varying.from, varying.to) : std::max(varying.from, varying.to);
}

}  // namespace headwind
