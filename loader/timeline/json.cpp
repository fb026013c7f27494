// SPDX-License-Identifier: MIT
// Writes timelines as JSON, without a trace's rows, and reads them.
#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include <headwind/abi.h>

#include "timeline/timeline.h"
#include "util/text.h"
#include "util/units.h"

namespace headwind {
namespace {

using nlohmann::json;

bool is_chance(Quantity quantity)
{
    return quantity == Quantity::loss || quantity == Quantity::corrupt || quantity == Quantity::duplicate;
}

std::string key_of(Quantity quantity)
{
    const char* unit = is_chance(quantity) ? "_threshold" : quantity == Quantity::rate ? "_bit_per_s" : "_ns";
    return std::string(name_of(quantity)) + unit;
}

double percent_of(std::uint64_t threshold)
{
    const auto text = format_probability({threshold});
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size() - 1, value);  // without the '%'
    return value;
}

// The keys for the two ends of what varies.
struct Ends {
    const char *from, *to;
};

Ends ends_of(bool trace)
{
    return trace ? Ends{"least", "most"} : Ends{"from", "to"};
}

tl::unexpected<Error> bad_key(std::string_view key, std::string_view expected)
{
    return fail(ErrorKind::usage, "rule JSON: timeline.{}: must be {}", printable(key), expected);
}

Result<std::uint64_t> whole(const json& object, const std::string& key)
{
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_unsigned()) return bad_key(key, "a whole number, 0 or more");
    return found->get<std::uint64_t>();
}

Status read_varying(const json& object, bool trace, Timeline& into)
{
    const auto ends = ends_of(trace);
    for (const auto quantity : quantities) {
        const auto found = object.find(key_of(quantity));
        if (found == object.end()) continue;
        if (!found->is_object()) return bad_key(key_of(quantity), fmt::format("an object: {}, {}", ends.from, ends.to));
        Varying one{quantity, 0, 0};
        HW_TRY(one.from, whole(*found, ends.from));
        HW_TRY(one.to, whole(*found, ends.to));
        for (const auto value : {one.from, one.to})  // as a flag would have it
            if ((is_chance(quantity) && value > std::uint64_t{1} << 32) || (quantity == Quantity::rate && value < 8))
                return bad_key(key_of(quantity), "a probability's threshold or a rate of 8 at least");
        into.varying.push_back(one);
    }
    return {};
}

Status check_names(const json& object)
{
    if (!object.is_object()) return fail(ErrorKind::usage, "rule JSON: timeline: must be an object");
    for (const auto& [key, value] : object.items()) {
        const bool known = std::any_of(quantities.begin(), quantities.end(), [&key = key](Quantity quantity) {
            return key == key_of(quantity) ||
                   (is_chance(quantity) && key == std::string(name_of(quantity)) + "_percent");
        });
        if (!known && key != "kind" && key != "file" && key != "repeat" && key != "length_ns" && key != "steps")
            return fail(ErrorKind::usage, "rule JSON: unknown key timeline.{}", printable(key));
    }
    return {};
}

}  // namespace

json to_json(const Timeline& timeline)
{
    const bool trace = !timeline.file.empty();
    const auto ends = ends_of(trace);
    json object{{"kind", trace ? "trace" : "ramp"},
                {"repeat", timeline.repeat},
                {"length_ns", timeline.length},
                {"steps", timeline.phases}};
    if (trace) object["file"] = timeline.file;
    for (const auto& [quantity, from, to] : timeline.varying) {
        object[key_of(quantity)] = {{ends.from, from}, {ends.to, to}};
        if (is_chance(quantity))
            object[std::string(name_of(quantity)) + "_percent"] = {{ends.from, percent_of(from)},
                                                                   {ends.to, percent_of(to)}};
    }
    return object;
}

Result<Timeline> timeline_from_json(const json& object)
{
    HW_CHECK(check_names(object));
    Timeline out;
    const auto kind = object.find("kind"), file = object.find("file"), repeat = object.find("repeat");
    if (kind == object.end() || (*kind != "ramp" && *kind != "trace")) return bad_key("kind", "ramp or trace");
    const bool trace = *kind == "trace";
    if (trace != (file != object.end()) || (trace && (!file->is_string() || file->get<std::string>().empty())))
        return bad_key("file", "a trace's name");
    if (trace) out.file = file->get<std::string>();
    if (repeat == object.end() || !repeat->is_boolean()) return bad_key("repeat", "true or false");
    out.repeat = repeat->get<bool>();
    HW_TRY(out.length, whole(object, "length_ns"));
    HW_TRY(const auto steps, whole(object, "steps"));
    if (steps == 0 || steps > HW_MAX_STEPS) return bad_key("steps", fmt::format("1 to {}", +HW_MAX_STEPS));
    if (trace && out.repeat && out.length == 0) return bad_key("length_ns", "more than 0");
    out.phases = static_cast<std::uint32_t>(steps);
    HW_CHECK(read_varying(object, trace, out));
    if (out.varying.empty()) return fail(ErrorKind::usage, "rule JSON: timeline: nothing varies");
    if (trace) return out;
    return parse_ramp(format_ramp(out), out.repeat);
}

}  // namespace headwind
