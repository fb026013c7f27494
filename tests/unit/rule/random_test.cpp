// SPDX-License-Identifier: MIT
// Properties of every rule, valid, mangled or damaged.
#include <map>

#include <nlohmann/json.hpp>

#include "random_rules.h"
#include "rule_test.h"
#include "rule_words.h"

namespace headwind::rule_test::random_test {
namespace {

using nlohmann::json;

TEST(Properties, ValidRulesRoundTripThroughJson)
{
    RandomRules rules(7);
    int valid_rules = 0;
    for (int i = 0; i < 30'000; ++i) {
        const auto rule = make_rule(rules.text());
        if (!rule) continue;
        ++valid_rules;
        const std::string stored = to_json(*rule).dump();
        const auto back = rule_from_json(json::parse(stored));
        ASSERT_TRUE(back) << stored << "\n" << back.error().message;
        ASSERT_EQ(*back, *rule) << stored;
        ASSERT_TRUE(is_plain_text(describe_rule(*rule))) << stored;
    }
    EXPECT_GT(valid_rules, 3'000);
}

TEST(Properties, TheWordsOfARuleMakeIt)
{
    RandomRules rules(6);
    int valid_rules = 0;
    for (int i = 0; i < 30'000; ++i) {
        const auto rule = make_rule(rules.text());
        if (!rule) continue;
        ++valid_rules;
        const auto again = make_rule(text_of(*rule));
        ASSERT_TRUE(again) << describe_rule(*rule) << "\n" << again.error().message;
        ASSERT_EQ(*again, *rule) << describe_rule(*rule);
        ASSERT_EQ(change_rule(*rule, {}).value(), *rule) << describe_rule(*rule);
    }
    EXPECT_GT(valid_rules, 3'000);
}

// The RuleSpec of `rule`, without a distribution that is the default.
RuleSpec words_of(const Rule& rule)
{
    RuleSpec text = text_of(rule);
    if (text.distribution == "uniform") text.distribution.reset();
    return text;
}

bool says_zero(const Flag& flag, const RuleSpec& text)
{
    return std::holds_alternative<Amount>(flag.value) && is_given(flag, text) && said(flag, text) == format_duration(0);
}

// `off` takes away the flag and those that leave with it, and nothing else, or is refused where that leaves no valid
// rule.
TEST(Properties, OffTakesAFlagAway)
{
    RandomRules rules(5);
    std::map<std::string_view, int> taken;
    for (int i = 0; i < 20'000; ++i) {
        const auto rule = make_rule(rules.text());
        if (!rule) continue;
        const RuleSpec before = words_of(*rule);
        for (const Flag& flag : rule_flags()) {
            if (flag.off.empty() || !is_given(flag, before)) continue;
            RuleSpec given;
            give(flag.name, std::string(flag.off), given);
            const auto changed = change_rule(*rule, given);
            if (!changed) {
                ASSERT_EQ(changed.error().kind, ErrorKind::usage);
                continue;
            }
            ++taken[flag.name];
            const RuleSpec after = words_of(*changed);
            for (const Flag& other : rule_flags()) {
                if (before.flap && other.name == "--partition") continue;           // --flap alone implies --partition
                if (says_zero(other, before) || says_zero(other, after)) continue;  // perhaps only for company
                const bool leaves = other.leaves_with_needs && flag.member == decltype(flag.member){other.needs};
                const bool goes = other.name == flag.name || leaves ||
                                  (flag.name == "--ramp" && other.name == "--repeat") ||
                                  (flag.name == "--correlation-time" && other.name == "--keep-order");
                ASSERT_EQ(is_given(other, after), is_given(other, before) && !goes)
                    << flag.name << " " << other.name << ": " << describe_rule(*rule);
            }
        }
    }
    for (const Flag& flag : rule_flags()) {
        const bool file = flag.name == "--trace" || flag.name == "--loss-pattern";
        const bool made = !flag.off.empty() && !file;
        EXPECT_EQ(taken[flag.name] > 0, made) << flag.name;
    }
}

TEST(Properties, ArbitraryBytesNeverEscape)
{
    RandomRules rules(8);
    for (int i = 0; i < 30'000; ++i) {
        RuleSpec text = rules.text();
        for (std::uint64_t edits = rules.below(4); edits > 0; --edits) rules.mangle(text);
        const auto rule = make_rule(text);
        if (!rule) {
            ASSERT_EQ(rule.error().kind, ErrorKind::usage);
            ASSERT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
            continue;
        }
        const auto back = rule_from_json(json::parse(to_json(*rule).dump()));
        ASSERT_TRUE(back) << back.error().message;
        ASSERT_EQ(*back, *rule);
        ASSERT_TRUE(is_plain_text(describe_rule(*rule)));
    }
}

// Stored rules that were damaged are refused or valid, never anything else.
TEST(Properties, DamagedJsonIsRefusedOrValid)
{
    RandomRules random(9);
    const std::string stored = to_json(valid(full_line)).dump();
    for (int i = 0; i < 30'000; ++i) {
        std::string text = stored;
        for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
            text[random.below(text.size())] = "\"[]{}:,0-1atrue.\xff"[random.below(17)];
        }
        const json object = json::parse(text, nullptr, false);
        if (object.is_discarded()) continue;
        const auto rule = rule_from_json(object);
        if (!rule) {
            ASSERT_TRUE(is_plain_text(rule.error().message)) << rule.error().message;
        } else {
            ASSERT_EQ(rule_from_json(to_json(*rule)).value(), *rule);
        }
    }
}

}  // namespace
}  // namespace headwind::rule_test::random_test
