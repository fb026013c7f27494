// SPDX-License-Identifier: MIT
// Finds the rules that win over a rule, and says so.
#include "precedence/standing.h"

#include <algorithm>

#include <fmt/ranges.h>

#include <headwind/model.h>

#include "host/clock.h"
#include "precedence/overlap.h"

namespace headwind {
namespace {

constexpr std::size_t most_names = 3;

std::string names_of(const std::vector<std::string>& names)
{
    if (names.size() == 1) return names.front();
    if (names.size() <= most_names)
        return fmt::format("{} and {}", fmt::join(std::span(names).first(names.size() - 1), ", "), names.back());
    return fmt::format("{} and {} more", fmt::join(std::span(names).first(most_names), ", "),
                       names.size() - most_names);
}

const char* why_above(std::uint64_t higher, std::uint64_t lower)
{
    switch (decisive_part(higher, lower)) {
        case RankPart::priority: return "of higher priority";
        case RankPart::specificity: return "more specific";
        case RankPart::age: break;
    }
    return "older";
}

// Rules that win over one.
struct Above {
    std::vector<std::string> names;
    std::vector<std::uint64_t> ranks;
};

Status add_to(Above& above, const RuleSpace& space, const RuleRecord& record)
{
    HW_TRY(const auto rule, space.rule(record.id));
    if (!rule) return {};
    above.names.push_back(record.rule.name);
    above.ranks.push_back(rule->rank);
    return {};
}

std::string why_words(const Above& above, std::uint64_t own)
{
    return above.ranks.size() == 1 ? fmt::format(", which is {}", why_above(above.ranks.front(), own)) : "";
}

// ": --priority 6 would win", where one would.
std::string cure_words(std::uint64_t top_rank, const char* would)
{
    const int priority = priority_of(top_rank);
    return priority < max_priority ? fmt::format(": --priority {} {}", priority + 1, would) : "";
}

std::string hidden_words(const Hidden& hidden, const Above& by, std::uint64_t own)
{
    auto out = fmt::format("hidden by {}", names_of(by.names));
    if (hidden.by_other_side)
        out +=
            by.names.size() == 1 ? ", which comes first at that device" : ", some of which come first at that device";
    else
        out += why_words(by, own);
    if (!hidden.for_good) out += by.names.size() == 1 ? ", while that is on" : ", while they are on";
    return hidden.by_other_side ? out : out + cure_words(hidden.top_rank, "would win");
}

Result<Above> spoilers_of(const RuleSpace& space, const RuleRecord& record, std::uint64_t own,
                          std::span<const RuleRecord* const> above)
{
    Above out;
    for (const auto* other : above) {
        if (other->rule.impairment.pass || other->id == record.id || other->stable_id == record.stable_id) continue;
        if (apart_by(record, *other, space.devices) != nullptr) continue;
        HW_TRY(const auto rule, space.rule(other->id));
        if (!rule || rule->rank <= own) continue;
        HW_TRY(const bool on, space.is_on(*rule));
        const bool off_hours = rule->hours.days != 0 && !hw_in_hours(&rule->hours, tai_ns());
        if (on && !off_hours) HW_CHECK(add_to(out, space, *other));
    }
    return out;
}

}  // namespace

Result<Standing> standing_of(const RuleSpace& space, const RuleRecord& record, std::span<const RuleRecord* const> above)
{
    Standing out;
    HW_TRY(const auto own, space.rule(record.id));
    if (!own) return out;
    HW_TRY(const auto hidden, find_hiding_rules(space, record));
    if (hidden) {
        Above hiders;
        for (const auto id : hidden->by) {
            HW_TRY(const auto hider, space.record(id));
            HW_CHECK(add_to(hiders, space, hider));
        }
        if (hiders.names.empty()) return out;  // they went meanwhile
        out.words = hidden_words(*hidden, hiders, own->rank);
        out.hidden_by = std::move(hiders.names);
        return out;
    }
    if (!record.rule.impairment.pass) return out;
    HW_TRY(auto spoilers, spoilers_of(space, record, own->rank, above));
    if (spoilers.names.empty()) return out;
    out.words = fmt::format("does not spare what {} {}, too{}", names_of(spoilers.names),
                            spoilers.names.size() == 1 ? "selects" : "select", why_words(spoilers, own->rank));
    out.words += cure_words(std::ranges::max(spoilers.ranks), "would");
    out.loses_to = std::move(spoilers.names);
    return out;
}

}  // namespace headwind
