// SPDX-License-Identifier: MIT
// Timelines: impairments of a rule that vary with time, as --ramp and --trace (trace.h) ask for them, and the words of
// --ramp. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "util/result.h"

namespace headwind {

// The impairments that may vary. Their values are numbers: ns, ns, thresholds of Probability (three), bit/s.
enum class Quantity : std::uint8_t { delay, jitter, loss, corrupt, duplicate, rate };
constexpr std::array quantities{Quantity::delay,   Quantity::jitter,    Quantity::loss,
                                Quantity::corrupt, Quantity::duplicate, Quantity::rate};

struct Phase {
    std::uint64_t begin = 0;                                // ns; it lasts until the next one begins
    std::array<std::uint64_t, quantities.size()> values{};  // by Quantity; set for those that vary
};

struct Varying {
    Quantity quantity = Quantity::delay;
    std::uint64_t from = 0, to = 0;  // a ramp's at its beginning and end; a trace's least and most
    friend bool operator==(const Varying&, const Varying&) = default;
};

struct Timeline {
    std::string file;              // the trace's name, as typed; empty: a ramp
    bool repeat = false;           // starts over at `length`; else the last phase never ends
    std::uint64_t length = 0;      // ns; without repeat: until the last phase begins
    std::uint32_t phases = 0;      // how many: 1 .. HW_MAX_STEPS
    std::vector<Varying> varying;  // in the order of Quantity, each once, at least one
    // The rows of a trace that this command has read; null: a ramp, or they are in the kernel only. Not part of ==.
    std::shared_ptr<const std::vector<Phase>> rows;
    friend bool operator==(const Timeline& a, const Timeline& b)
    {
        return a.file == b.file && a.repeat == b.repeat && a.length == b.length && a.phases == b.phases &&
               a.varying == b.varying;
    }
};

constexpr std::uint64_t longest_ramp = 30ULL * 24 * 3600 * 1'000'000'000;  // ns

// "delay=0ms..200ms,loss=0%..10%,over=60s"
Result<Timeline> parse_ramp(std::string_view text, bool repeat);
std::string format_ramp(const Timeline& ramp);

// The phases of a ramp: up to 1,000 even ones, each with the value of its middle, and then, unless it repeats, the last
// value. The phases of a trace are its rows, which must be there.
std::vector<Phase> phases_of(const Timeline& timeline);

std::string_view name_of(Quantity quantity);  // "delay"; its flag is "--delay"
Result<std::uint64_t> parse_quantity(Quantity quantity, std::string_view text);
std::string format_quantity(Quantity quantity, std::uint64_t value);
bool varies(const Timeline& timeline, Quantity quantity);
// The value that holds packets longest, or harms most of them: the lowest rate, the highest of all else.
std::uint64_t worst(const Varying& varying);

nlohmann::json to_json(const Timeline& timeline);
Result<Timeline> timeline_from_json(const nlohmann::json& json);

}  // namespace headwind
