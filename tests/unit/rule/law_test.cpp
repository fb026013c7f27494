// SPDX-License-Identifier: MIT
// Rules with laws of delays: from words and from files, changed, described, as JSON; what is refused.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "chance/law_file.h"
#include "rule/files.h"
#include "rule_test.h"

namespace headwind::rule_test::law_test {
namespace {

using testing::HasSubstr;

// A file in a folder of its own, which goes with it.
class LawFile {
public:
    explicit LawFile(const std::string& text) { std::ofstream(path()) << text; }
    ~LawFile() { std::filesystem::remove_all(folder_); }
    LawFile(const LawFile&) = delete;
    LawFile& operator=(const LawFile&) = delete;
    std::string path() const { return folder_ + "/ping.txt"; }

private:
    std::string name_ = testing::TempDir() + "headwind-law-XXXXXX", folder_ = mkdtemp(name_.data());
};

Result<Rule> loaded(const std::string& line)
{
    RuleSpec text = text_of(split(line));
    HW_CHECK(load_files(text));
    return make_rule(text);
}

Rule changed(const Rule& before, const std::string& line)
{
    RuleSpec given = text_of(split(line));
    EXPECT_TRUE(load_files(given));
    const auto rule = change_rule(before, given);
    EXPECT_TRUE(rule) << rule.error().message;
    return rule.value_or(before);
}

const std::string measured = "time=10 ms\ntime=20 ms\ntime=30 ms\n";

TEST(LawOfRule, SamplesAreDelayJitterAndLaw)
{
    const LawFile file(measured);
    const auto rule = loaded("--distribution samples:" + file.path()).value();
    EXPECT_NEAR(static_cast<double>(rule.impairment.delay), 20e6, 1000);
    EXPECT_NEAR(static_cast<double>(rule.impairment.jitter), 8.165e6, 1e3);
    EXPECT_EQ(rule.impairment.distribution_file, file.path());
    EXPECT_NEAR(static_cast<double>(longest_delay(rule.impairment)), 30e6, 5e4) << "the longest of the file";
    EXPECT_THAT(describe(rule.impairment), HasSubstr("ms (samples:" + file.path() + ")"));
    const auto scaled = loaded("--delay 100ms --jitter 1ms --distribution samples:" + file.path()).value();
    EXPECT_EQ(scaled.impairment.delay, 100'000'000U);
    EXPECT_EQ(scaled.impairment.quantiles, rule.impairment.quantiles);
}

TEST(LawOfRule, IsKeptWithTheRule)
{
    const LawFile file(measured);
    for (const std::string& line :
         {"--distribution samples:" + file.path(), "--distribution samples:" + file.path() + " --delay-correlation 25%",
          std::string("--delay 9ms --jitter 3ms --distribution lognormal --delay-correlation 0.1%")}) {
        const auto rule = loaded(line).value();
        EXPECT_EQ(rule_from_json(nlohmann::json::parse(to_json(rule).dump())).value(), rule) << line;
        EXPECT_EQ(make_rule(text_of(rule)).value(), rule) << line;
        EXPECT_EQ(change_rule(rule, {}).value(), rule) << line;
    }
}

TEST(LawOfRule, IsChanged)
{
    const LawFile file(measured), other("1ms\n3ms\n");
    const auto before = valid("--delay 50ms --jitter 5ms --distribution pareto --delay-correlation 10%");
    const auto samples = changed(before, "--distribution samples:" + file.path());
    EXPECT_EQ(samples.impairment, loaded("--delay-correlation 10% --distribution samples:" + file.path())->impairment);
    EXPECT_EQ(changed(samples, "--distribution samples:" + other.path()).impairment.delay, 2'000'000U);
    EXPECT_EQ(changed(samples, "--delay 70ms").impairment.quantiles, samples.impairment.quantiles);
    EXPECT_TRUE(changed(samples, "--distribution normal").impairment.quantiles.empty());
    EXPECT_TRUE(changed(samples, "--distribution off").impairment.quantiles.empty());
    const auto plain = changed(samples, "--jitter off");
    EXPECT_EQ(plain.impairment.distribution, Distribution::uniform);
    EXPECT_FALSE(plain.impairment.delay_correlation);
    EXPECT_EQ(changed(before, "--netem 'delay 9ms 1ms'"), valid("--delay 9ms --jitter 1ms"));
}

TEST(LawOfRule, TablesAreReadByFlagAndByNetemsWord)
{
    const LawFile file("-8192 0 8192\n");
    const auto rule = loaded("--delay 20ms --jitter 5ms --distribution table:" + file.path()).value();
    EXPECT_EQ(rule.impairment.quantiles, parse_law_table("-8192 0 8192", "f").value());
    EXPECT_EQ(longest_delay(rule.impairment), 25'000'000U);
    EXPECT_EQ(loaded("--netem 'delay 20ms 5ms distribution " + file.path() + "'").value(), rule);
}

TEST(LawOfRule, IsDescribed)
{
    for (const auto& [line, words] : std::vector<std::pair<std::string, std::string>>{
             {"--delay 50ms --jitter 5ms --distribution pareto", "delay 50 ms ± 5 ms (pareto)"},
             {"--delay 50ms --jitter 50ms --distribution exponential", "delay 50 ms ± 50 ms (exponential)"},
             {"--delay 50ms --jitter 5ms --delay-correlation 25%", "delay 50 ms ± 5 ms (correlation 25%)"},
             {"--delay 50ms --jitter 20ms --distribution normal --delay-correlation 1%",
              "delay 50 ms ± 20 ms (normal, correlation 1%, 0.62% without delay)"}})
        EXPECT_EQ(describe(valid(line).impairment), words);
}

TEST(LawOfRule, IsDescribedBesideARamp)
{
    for (const auto& [line, words] : std::vector<std::pair<std::string, std::string>>{
             {"--distribution pareto --delay-correlation 5% --ramp delay=20ms..50ms,jitter=0ms..10ms,over=5s",
              "delays (pareto, correlation 5%)"},
             {"--delay 50ms --distribution pareto --ramp jitter=0ms..10ms,over=5s", "delay 50 ms (pareto)"},
             {"--jitter 5ms --distribution pareto --ramp delay=20ms..50ms,over=5s", "jitter 5 ms (pareto)"}})
        EXPECT_THAT(describe_rule(valid(line)), HasSubstr(words));
}

TEST(LawOfRule, IsRefusedWhereItCannotBe)
{
    const LawFile file(measured), broken("10ms\n20\n");
    for (
        const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
            {"--delay 50ms --jitter 5ms --distribution gauss",
             "--distribution gauss: unknown distribution: write uniform, normal, pareto, paretonormal, exponential, lognormal, table:FILE or samples:FILE"},
            {"--delay 50ms --jitter 5ms --distribution table", "--distribution table: unknown distribution"},
            {"--delay 50ms --jitter 5ms --distribution normal:x", "--distribution normal:x: unknown distribution"},
            {"--delay 50ms --jitter 5ms --distribution samples:", "--distribution samples:: write a file's name"},
            {"--distribution samples:/none", "--distribution samples:/none: cannot be read to its end: No such file"},
            {"--delay 50ms --distribution samples:" + file.path(), "say both --delay and --jitter"},
            {"--ramp delay=0ms..10ms,over=5s --distribution samples:" + file.path(),
             "it says the delays, and so does --ramp: leave one out"},
            {"--delay 5ms --jitter 1ms --distribution table:none",
             "no such file here, and no none.dist in /usr/lib/*/tc"},
            {"--delay 5ms --jitter 501ms --distribution lognormal", "at most 100 times the delay"},
            {"--distribution samples:" + broken.path(), broken.path() + ":2: 20: needs a unit"},
            {"--delay 5ms --jitter 1ms --distribution table:" + file.path(), file.path() + ":1: time=10: a table has"},
            {"--distribution table:" + file.path(), file.path() + ":1: "},
            {"--distribution table:/dev/zero", "is larger than 64 MiB"},
            {"--delay 5ms --delay-correlation 5%", "add --jitter 10ms"},
            {"--delay 5ms --jitter 1ms --delay-correlation 100%", "use at most 99.99%"},
            {"--delay 5ms --jitter 6ms --distribution pareto", "longer than --delay 5ms"},
            {"--jitter 6ms --distribution lognormal", "add --delay 50ms"},
            {"--delay 0 --jitter 6ms --distribution lognormal", "longer than --delay 0"},
            {"--jitter 5ms --distribution lognormal --ramp delay=10ms..20ms,over=1s",
             "its shape comes from --jitter / --delay, which --ramp varies"}}) {
        const auto rule = loaded(line);
        ASSERT_FALSE(rule) << line;
        EXPECT_THAT(rule.error().message, HasSubstr(why)) << line;
        EXPECT_TRUE(is_plain_text(rule.error().message));
    }
    EXPECT_TRUE(loaded("--delay 5ms --jitter 6ms --distribution lognormal"));
    EXPECT_THAT(message(make_rule(text_of(split("--delay 5ms --jitter 1ms --distribution table:x")))),
                HasSubstr("its file has not been read"));
}

TEST(Seed, IsPartOfTheRule)
{
    const auto rule = valid("--loss 1% --seed 18446744073709551615");
    EXPECT_EQ(rule.impairment.seed, ~std::uint64_t{0});
    EXPECT_EQ(describe(rule.impairment), "loss 1%, seed 18446744073709551615");
    EXPECT_EQ(rule_from_json(to_json(rule)).value(), rule);
    EXPECT_EQ(change_rule(rule, text_of({"--seed", "off"})).value(), valid("--loss 1%"));
    EXPECT_EQ(changed(rule, "--loss 2%"), valid("--loss 2% --seed 18446744073709551615"));
}

TEST(Seed, IsRefusedWhereChanceDecidesNothing)
{
    for (const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
             {"--delay 5ms --seed 1", "--seed 1: chance decides nothing here: add --loss 1% or --jitter 10ms"},
             {"--loss 0% --seed 1", "chance decides nothing here"},
             {"--partition --seed 1", "use it alone"},
             {"--loss 1% --seed 0", "--seed 0: write a whole number from 1 to 18446744073709551615"},
             {"--loss 1% --seed -1", "write a whole number"},
             {"--loss 1% --seed 18446744073709551616", "write a whole number"},
             {"--seed 1 --ramp loss=0%..5%,over=1s", "goes with shares that stay"}})
        EXPECT_THAT(message(make_rule(text_of(split(line)))), HasSubstr(why)) << line;
}

}  // namespace
}  // namespace headwind::rule_test::law_test
