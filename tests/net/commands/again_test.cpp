// SPDX-License-Identifier: MIT
// Tests that what `list --commands` prints makes the same rules again.
#include "net_test.h"

#include <fstream>
#include <map>

#include "commands/rule_words.h"
#include "random_rules.h"

namespace headwind::test::again_test {
namespace {

using nlohmann::json;

class Again : public PairTest {
protected:
    // Rules drawn by chance that can be here: the namespace has va, and no agent.
    static std::vector<Rule> random_rules(std::size_t count)
    {
        rule_test::RandomRules random(500);
        std::vector<Rule> out;
        while (out.size() < count) {
            auto text = random.text();
            text.name = fmt::format("r{}", out.size());
            text.stop_if.reset();
            // Few kinds of selectors: the datapath looks at packets in at most 32 ways.
            text.cgroups = text.ports = text.local_ports = text.locals = text.protocols = text.remotes = {};
            text.remote_ports = {fmt::format("{}", 1000 + out.size())};
            if (out.size() % 3 == 0) text.protocols = {"tcp", "udp"};
            if (out.size() % 4 == 0) text.remotes = {fmt::format("10.0.{}.7", out.size() % 256)};
            if (!text.devices.empty()) text.devices = {"va"};
            if (!has_fq()) text.delay = text.jitter = text.rate = std::nullopt;
            if (auto rule = make_rule(text)) out.push_back(std::move(*rule));
        }
        return out;
    }
    static std::string lines_of(const std::vector<Rule>& rules)
    {
        Snapshot all;
        all.max_held = 256ULL << 20;
        for (const auto& rule : rules) {
            auto& view = all.rules.emplace_back();
            view.record.rule = rule;
            view.record.owner = "root";
            view.record.id = view.record.stable_id = static_cast<std::uint32_t>(all.rules.size());
        }
        return batch_lines(all, 0, [](const auto&) { return ""; });
    }
    void batch(const std::string& lines) const
    {
        const auto path = testing::TempDir() + "again";
        std::ofstream(path) << lines;
        change(a(), "batch --yes " + path);
    }
    // The rules as the JSON of `list` has them, the one that wins first, without what is of this time only.
    std::vector<json> rules_by_json() const
    {
        std::vector<json> out;
        for (auto rule : rules_of(a())) {
            for (const char* passing : {"id", "counters", "created_unix_s", "until", "until_unix_s", "expires_in_ns",
                                        "state", "trouble", "off_until", "off_until_unix_s", "sentence"})
                rule.erase(passing);
            out.push_back(std::move(rule));
        }
        return out;
    }
};

RUNS_IN("Again.*", native, linux_6_12);

TEST_F(Again, FiveHundredRandomRules)
{
    const auto rules = random_rules(scaled(500, 100));
    batch(lines_of(rules));
    const auto before = rules_by_json();
    ASSERT_EQ(before.size(), rules.size());
    std::map<std::string, json> shown;
    for (const auto& rule : before) shown[rule["name"]] = rule;
    for (const auto& rule : rules) {
        const json expected = to_json(rule);
        for (const auto& [key, value] : expected.items())
            EXPECT_EQ(shown[rule.name][key], value) << rule.name << " " << key;
    }
    const auto lines = headwind(a(), "list --commands").out;
    change(a(), "clear");
    EXPECT_TRUE(rules_of(a()).empty());
    batch(lines);
    EXPECT_EQ(rules_by_json(), before);
}

TEST_F(Again, WithProtectionsTimesAndOwners)
{
    change(a(), "add --name one --loss 1% --port 80 --for 1h --protect 10.0.0.0/8,22 --max-held 1MiB");
    change(a(), "add --name two --loss 2% --port 80 --lease 10m --owner ci");
    const auto before = rules_by_json();
    EXPECT_EQ(before.size(), 4U);
    const auto lines = headwind(a(), "list --commands").out;
    change(a(), "clear --anyone");
    batch(lines);
    EXPECT_EQ(rules_by_json(), before) << lines;
    EXPECT_THAT(headwind(a(), "list --commands --everywhere").out, testing::HasSubstr("headwind batch --netns "));
}

}  // namespace
}  // namespace headwind::test::again_test
