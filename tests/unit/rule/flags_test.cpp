// SPDX-License-Identifier: MIT
// The table of flags: complete, and without contradictions.
#include "rule/flags.h"

#include <set>

#include <gtest/gtest.h>

namespace headwind::flags_test {
namespace {

TEST(Flags, NoNameIsThereTwice)
{
    std::set<std::string> names;
    for (const Flag& flag : rule_flags()) {
        std::string_view rest = flag.aliases;
        for (std::string_view name = flag.name; !name.empty();) {
            EXPECT_TRUE(names.insert(std::string(name)).second) << name;
            const auto comma = rest.find(',');
            name = rest.substr(0, comma);
            rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
        }
    }
    EXPECT_GT(names.size(), rule_flags().size());
}

// Each byte of a RuleSpec belongs to the member of one row, to a member that is no flag, or to the padding in front of
// a larger member. (A forgotten bool could hide in padding.)
TEST(Flags, EveryMemberOfRuleTextIsInTheTableOnce)
{
    const RuleSpec text;
    std::vector<int> owners(sizeof(text));
    const auto mark = [&](const auto& member) {
        const auto at = reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&text);
        for (std::size_t i = 0; i < sizeof(member); ++i) ++owners.at(static_cast<std::size_t>(at) + i);
    };
    mark(text.name);
    mark(text.subject);
    mark(text.suspended);
    mark(text.off);
    mark(text.timeline);
    mark(text.quantiles);
    mark(text.lost_packets);
    for (const Flag& flag : rule_flags()) std::visit([&](auto member) { mark(text.*member); }, flag.member);
    std::size_t unowned = 0;
    for (const int count : owners) {
        unowned = count == 0 ? unowned + 1 : 0;
        EXPECT_LE(count, 1);
        EXPECT_LT(unowned, alignof(RuleSpec));
    }
}

TEST(Flags, AreConsistent)
{
    std::set<std::string> keys;
    for (const Flag& flag : rule_flags()) {
        EXPECT_TRUE(flag.name.starts_with("--")) << flag.name;
        EXPECT_FALSE(flag.group.empty() || flag.help.empty()) << flag.name;
        EXPECT_EQ(flag.type.empty(), std::holds_alternative<Switch>(flag.member)) << flag.name;
        EXPECT_TRUE(flag.kind != FlagKind::impairment || !std::holds_alternative<List>(flag.member)) << flag.name;
        EXPECT_EQ(flag.needs == nullptr, flag.needs_why.empty()) << flag.name;
        EXPECT_TRUE(flag.needs != nullptr || !flag.leaves_with_needs) << flag.name;
        EXPECT_TRUE(flag.needs == nullptr || !std::holds_alternative<List>(flag.member)) << flag.name;
        if (flag.value.index() != 0) {
            EXPECT_EQ(flag.kind, FlagKind::impairment) << flag.name;
            EXPECT_FALSE(flag.json.empty()) << flag.name;
        }
        EXPECT_TRUE(flag.json.empty() || keys.insert(std::string(flag.json)).second) << flag.json;
        EXPECT_EQ(&rule_flag(flag.name), &flag);
    }
}

TEST(Flags, CompanyIsNamedByTheFlagThatLacksIt)
{
    RuleSpec text;
    text.reorder_gap = "5";
    text.flow_seed = "7";
    for (const Flag& flag : rule_flags())
        EXPECT_EQ(lacks_company(flag, text), flag.name == "--reorder-gap" || flag.name == "--flow-seed") << flag.name;
    text.reorder = "1%";
    text.flows = "5%";
    for (const Flag& flag : rule_flags()) EXPECT_EQ(lacks_company(flag, text), flag.name == "--reorder") << flag.name;
    text.delay = "1ms";
    for (const Flag& flag : rule_flags()) EXPECT_FALSE(lacks_company(flag, text)) << flag.name;
}

}  // namespace
}  // namespace headwind::flags_test
