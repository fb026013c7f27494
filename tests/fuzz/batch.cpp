// SPDX-License-Identifier: MIT
// Fuzzes lines of rule files, as `batch` and `apply` read them: a line means the same whatever the lines before it say.
#include <memory>

#include <fmt/ranges.h>

#include "commands/rule_line.h"
#include "fuzz.h"
#include "rule_properties.h"

using namespace headwind;

namespace {

// The result of a line as text: the rule, or why there is none.
std::string outcome(const Result<LineArgs>& words)
{
    if (!words) return words.error().message;
    REQUIRE(words->adds + words->changes + !words->remove.empty() == 1, "");
    if (words->changes) REQUIRE(!words->change.names.empty(), "");
    std::string said = fmt::format("{} {} {}", fmt::join(words->remove, " "), fmt::join(words->change.names, " "),
                                   words->adds ? words->add.owner + words->add.duration : words->change.duration);
    auto text = words->adds ? words->add.text : words->change.text;
    if (words->changes) text.name = "r";
    const auto rule = make_rule(text);
    if (!rule) {
        fuzz::require_good(rule.error());
        return said + rule.error().message;
    }
    fuzz::require_sound(*rule);
    return said + to_json(*rule).dump();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static RuleLine used;
    for (const auto& line : fuzz::split(fuzz::text_of(data, size), '\n')) {
        const auto fresh = std::make_unique<RuleLine>()->parse(line);
        if (!fresh) REQUIRE(!fresh.error().message.empty(), line);
        const auto said = outcome(fresh);
        REQUIRE(!said.empty(), line);
        REQUIRE(outcome(used.parse(line)) == said, line + "\n" + said);
    }
    return 0;
}
