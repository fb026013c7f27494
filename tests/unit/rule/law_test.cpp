// SPDX-License-Identifier: MIT
// Rules with laws of delays: from words and from files, changed, described, as JSON; what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "chance/law_file.h"
#include "rule/factory.h"
#include "rule_files.h"

namespace headwind::rule_test::law_test {
namespace {

using testing::HasSubstr;

using test::TextFile;

const std::string measured = "time=10 ms\ntime=20 ms\ntime=30 ms\n";

TEST(LawOfRule, SamplesAreDelayJitterAndLaw)
{
    const TextFile file(measured);
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
    const TextFile file(measured);
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
    const TextFile file(measured), other("1ms\n3ms\n");
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
    const TextFile file("-8192 0 8192\n");
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
    const TextFile file(measured), broken("10ms\n20\n");
    for (
        const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
            {"--delay 50ms --jitter 5ms --distribution gauss",
             "--distribution gauss: unknown distribution: write uniform, normal, pareto, paretonormal, exponential, lognormal, table:FILE or samples:FILE"},
            {"--delay 50ms --jitter 5ms --distribution table", "--distribution table: unknown distribution"},
            {"--delay 50ms --jitter 5ms --distribution normal:x", "--distribution normal:x: unknown distribution"},
            {"--delay 50ms --jitter 5ms --distribution samples:", "--distribution samples:: write a file's name"},
            {"--distribution samples:/none", "--distribution samples:/none: there is no such file"},
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

// ---- netem's arithmetic ----

TEST(NetemCompatible, TakesNetemsTablesForItsNames)
{
    const TextFile file("-8192 0 8192\n");
    const auto words = [](const std::string& law, bool compatible) {
        RuleSpec text = text_of({"--netem", "delay 20ms 5ms distribution " + law});
        text.netem_compatible = compatible;
        return spell_out(text).value().distribution;
    };
    for (const std::string name : {"normal", "pareto", "paretonormal", "experimental"})
        EXPECT_EQ(words(name, true), "table:" + name);
    EXPECT_EQ(words("uniform", true), "uniform");
    EXPECT_EQ(words("pareto", false), "pareto");
    EXPECT_EQ(words(file.path(), true), "table:" + file.path());
}

// As tc 6.1 hands it on.
TEST(NetemCompatible, CopiesAreCorrelatedOnlyBesideAnotherCorrelation)
{
    const auto correlated = [](const std::string& words) {
        const auto rule = make_rule(text_of({"--netem", words, "--netem-compatible"}));
        return rule.value().impairment.duplicate_correlation.has_value();
    };
    EXPECT_FALSE(correlated("duplicate 30% 60%"));
    EXPECT_TRUE(correlated("loss 1% 1% duplicate 30% 60%"));
    EXPECT_TRUE(correlated("duplicate 30% 60% delay 9ms 1ms 5%"));
    EXPECT_TRUE(valid("--netem 'duplicate 30% 60%'").impairment.duplicate_correlation.has_value());
}

TEST(NetemCompatible, IsKeptWithTheRuleAndChanged)
{
    const auto rule = valid("--netem 'loss 5% 25% duplicate 1%' --netem-compatible");
    EXPECT_TRUE(rule.impairment.netem_compatible);
    EXPECT_EQ(describe(rule.impairment), "loss 5% (correlation 25%), duplicate 1%, computed as netem does");
    EXPECT_EQ(rule_from_json(to_json(rule)).value(), rule);
    EXPECT_EQ(make_rule(text_of(rule)).value(), rule);
    EXPECT_EQ(changed(rule, "--netem 'loss 5%'"), valid("--loss 5%"));
    EXPECT_TRUE(has_sequence(valid("--loss 1% --duplicate 1% --netem-compatible").impairment));
    EXPECT_FALSE(has_sequence(valid("--delay 9ms --jitter 1ms --delay-correlation 5% --netem-compatible").impairment))
        << "netem's does nothing";
}

TEST(NetemCompatible, IsRefusedWhereItIsNotFollowed)
{
    for (const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
             {"--netem 'delay 9ms reorder 5% 5% gap 3' --netem-compatible", "correlated reordering with a gap"},
             {"--netem 'loss gemodel 1% duplicate 1%' --netem-compatible", "is not followed: leave --duplicate out"},
             {"--netem 'delay 1s 200ms 5%' --netem-compatible", "spoils the law of jitters above 100ms"}})
        EXPECT_THAT(message(make_rule(text_of(split(line)))), HasSubstr(why)) << line;
}

constexpr std::uint64_t ms = 1'000'000;

TEST(KeepOrder, TakesTheShortestTimeThatCan)
{
    const auto time_of = [](const std::string& line) { return valid(line).impairment.correlation_time; };
    EXPECT_EQ(time_of("--delay 20ms --jitter 5ms --keep-order"), 50 * ms);
    EXPECT_EQ(time_of("--delay 20ms --jitter 5ms --keep-order --distribution normal"), 52 * ms);
    EXPECT_EQ(time_of("--delay 100ms --jitter 100ms --keep-order"), 820 * ms);
    EXPECT_EQ(time_of("--delay 20ms --jitter 5ms --correlation-time 41ms"), 41 * ms) << "says --keep-order, too";
    EXPECT_EQ(time_of("--delay 20ms --jitter 5ms --keep-order --correlation-time 1h"), 3'600'000 * ms);
    EXPECT_EQ(time_of("--keep-order --ramp delay=10ms..20ms,jitter=0ms..10ms,over=1s"), 82 * ms) << "of the longest";
    EXPECT_EQ(time_of("--delay 20ms --jitter 0ms --keep-order"), usual_correlation_time) << "of a jitter to come";
}

TEST(KeepOrder, IsKeptWithTheRuleAndChanged)
{
    for (const std::string line :
         {"--delay 20ms --jitter 5ms --keep-order", "--delay 20ms --jitter 5ms --correlation-time 3s",
          "--rate 1mbit --delay 20ms --jitter 5ms --keep-order",
          "--rate 1mbit --delay 20ms --jitter 5ms --rate-last"}) {
        const auto rule = valid(line);
        EXPECT_EQ(rule_from_json(nlohmann::json::parse(to_json(rule).dump())).value(), rule) << line;
        EXPECT_EQ(make_rule(text_of(rule)).value(), rule) << line;
        EXPECT_EQ(change_rule(rule, {}).value(), rule) << line;
    }
    const auto smooth = valid("--delay 20ms --jitter 5ms --keep-order");
    EXPECT_EQ(to_json(smooth)["impairment"]["correlation_time_ns"], 50 * ms);
    EXPECT_EQ(changed(smooth, "--jitter 10ms").impairment.correlation_time, 82 * ms) << "the shortest that can";
    EXPECT_EQ(changed(smooth, "--correlation-time 2s").impairment.correlation_time, 2000 * ms);
    EXPECT_EQ(changed(smooth, "--correlation-time off"), valid("--delay 20ms --jitter 5ms"));
    EXPECT_EQ(changed(smooth, "--jitter off"), valid("--delay 20ms"));
    EXPECT_EQ(changed(smooth, "--netem 'delay 9ms 1ms'"), valid("--delay 9ms --jitter 1ms"));
    EXPECT_EQ(changed(valid("--delay 20ms --jitter 5ms"), "--keep-order"), smooth);
    EXPECT_THAT(message(change_rule(changed(smooth, "--correlation-time 60ms"), text_of({"--jitter", "10ms"}))),
                HasSubstr("--correlation-time 60ms: with this law packets would overtake others: use at least 82ms"));
    EXPECT_EQ(changed(valid("--rate 1mbit --delay 20ms --rate-last"), "--rate off"), valid("--delay 20ms"));
}

TEST(KeepOrder, IsDescribed)
{
    EXPECT_EQ(describe(valid("--delay 20ms --jitter 5ms --keep-order --distribution normal").impairment),
              "delay 20 ms ± 5 ms (normal, in order, correlation time 52 ms)");
    EXPECT_EQ(describe(valid("--netem 'delay 20ms 5ms rate 1mbit'").impairment),
              "delay 20 ms ± 5 ms, rate 1 mbit behind the delay");
    EXPECT_EQ(describe(valid("--netem 'delay 20ms rate 1mbit'").impairment), "delay 20 ms, rate 1 mbit");
    EXPECT_THAT(describe_rule(valid("--delay 20ms --rate-last --ramp rate=1mbit..9mbit,over=1s")),
                HasSubstr("rate behind the delay, rate 1 mbit to 9 mbit"));
    EXPECT_TRUE(valid("--netem 'delay 20ms rate 1mbit reorder 5%'").impairment.rate_last) << "early ones pass it by";
}

TEST(KeepOrder, IsRefusedWhereItCannotBe)
{
    for (const auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
             {"--delay 20ms --keep-order", "--keep-order: without --jitter packets keep their order"},
             {"--delay 20ms --correlation-time 1s",
              "--correlation-time 1s: delays that are all the same keep the order"},
             {"--delay 20ms --jitter 5ms --correlation-time 40ms",
              "--correlation-time 40ms: with this law packets would overtake others: use at least 41ms, or a shorter"},
             {"--delay 20ms --jitter 5ms --correlation-time 0ms", "use at least 41ms"},
             {"--delay 20ms --jitter 5ms --correlation-time 2h", "use at most 1h"},
             {"--delay 30s --jitter 20s --distribution pareto --keep-order",
              "--keep-order: with this law that would take more than 1h: use a shorter --jitter"},
             {"--delay 20ms --jitter 5ms --keep-order --reorder 1%",
              "--reorder 1%: it lets packets overtake others, and --keep-order none: use one of them"},
             {"--delay 20ms --jitter 5ms --keep-order --delay-correlation 1%", "--delay-correlation 1%: it goes from"},
             {"--delay 20ms --jitter 5ms --keep-order --seed 1", "--seed 1: the delays of --keep-order depend on the"},
             {"--delay 20ms --rate-last", "--rate-last: it is where --rate has its place: add --rate 10mbit"},
             {"--partition --rate-last --rate 1mbit", "--partition"},
             {"--netem 'delay 5ms' --keep-order", "--netem \"delay 5ms\" --keep-order: netem's words stand for"}})
        EXPECT_THAT(message(make_rule(text_of(split(line)))), HasSubstr(why)) << line;
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
             {"--partition --seed 1", "use it alone"},
             {"--loss 1% --seed 0", "--seed 0: write a whole number from 1 to 18446744073709551615"},
             {"--loss 1% --seed -1", "write a whole number"},
             {"--loss 1% --seed 18446744073709551616", "write a whole number"},
             {"--seed 1 --ramp loss=0%..5%,over=1s", "goes with shares that stay"}})
        EXPECT_THAT(message(make_rule(text_of(split(line)))), HasSubstr(why)) << line;
}

}  // namespace
}  // namespace headwind::rule_test::law_test
