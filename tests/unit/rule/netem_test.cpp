// SPDX-License-Identifier: MIT
// Tests how netem's words become flags, and how the rest of netem is refused.
#include "rule/netem.h"
#include "rule/flags.h"
#include "util/text.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace headwind::netem_test {
namespace {

using Fields = std::map<std::string, std::string>;

// The flags given in `text`, by name without dashes, with their values.
Fields fields_of(const RuleSpec& text)
{
    Fields fields;
    for (const Flag& flag : rule_flags())
        if (std::holds_alternative<Word>(flag.member) && is_given(flag, text))
            fields[std::string(flag.name.substr(2))] = said(flag, text);
    return fields;
}

void expect_words(const std::string& words, const Fields& expected)
{
    RuleSpec text;
    const auto status = apply_netem(words, text);
    ASSERT_TRUE(status) << words << "\n" << status.error().message;
    EXPECT_EQ(fields_of(text), expected) << words;
}

std::string refusal(const std::string& words)
{
    RuleSpec text;
    const auto status = apply_netem(words, text);
    if (status) {
        ADD_FAILURE() << "not refused: " << words;
        return "";
    }
    EXPECT_EQ(status.error().kind, ErrorKind::usage) << words;
    EXPECT_TRUE(is_plain_text(status.error().message)) << status.error().message;
    return status.error().message;
}

// Words that are refused: the error starts with "--netem: " and `place`, and contains `hint`.
struct Refused {
    std::string words, place, hint;
};

void expect_refused(const std::vector<Refused>& cases)
{
    for (const Refused& c : cases) {
        const std::string message = refusal(c.words);
        const std::string start = "--netem: " + c.place + ": ";
        EXPECT_EQ(message.substr(0, start.size()), start) << c.words << "\n" << message;
        EXPECT_NE(message.find(c.hint), std::string::npos) << c.words << "\n" << message << "\nlacks: " << c.hint;
    }
}

TEST(Netem, EveryWord)
{
    expect_words("delay 100ms", {{"delay", "100ms"}});
    expect_words("delay 100ms 20ms", {{"delay", "100ms"}, {"jitter", "20ms"}});
    expect_words("delay 100ms 20ms distribution normal",
                 {{"delay", "100ms"}, {"jitter", "20ms"}, {"distribution", "normal"}});
    expect_words("delay 100ms 20ms 25% distribution pareto",
                 {{"delay", "100ms"}, {"jitter", "20ms"}, {"delay-correlation", "25%"}, {"distribution", "pareto"}});
    expect_words("loss 1% seed 17", {{"loss", "1%"}, {"seed", "17"}});
    expect_words("delay 100ms 20ms distribution experimental",
                 {{"delay", "100ms"}, {"jitter", "20ms"}, {"distribution", "table:experimental"}});
    expect_words("distribution uniform delay 100ms 20ms",
                 {{"delay", "100ms"}, {"jitter", "20ms"}, {"distribution", "uniform"}});
    expect_words("loss 10%", {{"loss", "10%"}});
    expect_words("loss random 10%", {{"loss", "10%"}});
    expect_words("drop 0.5%", {{"loss", "0.5%"}});
    expect_words("corrupt 0.1%", {{"corrupt", "0.1%"}});
    expect_words("duplicate 1%", {{"duplicate", "1%"}});
    expect_words("delay 10ms reorder 25%", {{"delay", "10ms"}, {"reorder", "25%"}});
    expect_words("delay 10ms reorder 25% gap 5", {{"delay", "10ms"}, {"reorder", "25%"}, {"reorder-gap", "5"}});
    expect_words("gap 5 reorder 25% delay 10ms", {{"delay", "10ms"}, {"reorder", "25%"}, {"reorder-gap", "5"}});
    expect_words("rate 1mbit", {{"rate", "1mbit"}});
    expect_words("delay 100ms 20ms loss 10% duplicate 1% corrupt 0.1% reorder 25% rate 1mbit", {{"delay", "100ms"},
                                                                                                {"jitter", "20ms"},
                                                                                                {"loss", "10%"},
                                                                                                {"duplicate", "1%"},
                                                                                                {"corrupt", "0.1%"},
                                                                                                {"reorder", "25%"},
                                                                                                {"rate", "1mbit"}});
}

TEST(Netem, Correlations)
{
    expect_words("loss 10% 25%", {{"loss", "10%"}, {"loss-correlation", "25%"}});
    expect_words("loss random 10% 25%", {{"loss", "10%"}, {"loss-correlation", "25%"}});
    expect_words("loss 10% 0%", {{"loss", "10%"}});
    expect_words(
        "corrupt 10% 25% duplicate 1% 5%",
        {{"corrupt", "10%"}, {"corrupt-correlation", "25%"}, {"duplicate", "1%"}, {"duplicate-correlation", "5%"}});
    expect_words("delay 9ms reorder 25% 50% gap 5",
                 {{"delay", "9ms"}, {"reorder", "25%"}, {"reorder-correlation", "50%"}, {"reorder-gap", "5"}});
    expect_words("delay 9ms 1ms 0%", {{"delay", "9ms"}, {"jitter", "1ms"}});
}

TEST(Netem, ModelsOfLosses)
{
    expect_words("loss state 1%", {{"loss-model", "state 1%"}});
    expect_words("loss state 1% 2% 3% 4% 5% delay 9ms", {{"delay", "9ms"}, {"loss-model", "state 1% 2% 3% 4% 5%"}});
    expect_words("loss gemodel 1%", {{"loss-model", "gemodel 1%"}});
    expect_words("drop gemodel 1% 10% 70% 0.1%", {{"loss-model", "gemodel 1% 10% 70% 0.1%"}});
    expect_refused({{"loss gemodel", "loss gemodel", "a percentage must follow, like 10%"},
                    {"loss state delay 9ms", "loss state", "not delay"},
                    {"loss gemodel 1% 10", "loss gemodel 1% 10", "needs a unit"}});
}

TEST(Netem, LeavesTheSelectorAlone)
{
    RuleSpec text;
    text.name = "r";
    text.devices = {"eth0"};
    ASSERT_TRUE(apply_netem("delay 50ms loss 1% rate 1mbit", text));
    const auto rule = make_rule(text);
    ASSERT_TRUE(rule) << rule.error().message;
    EXPECT_EQ(rule->selector.devices, std::vector<std::string>{"eth0"});
    EXPECT_EQ(rule->impairment.delay, 50'000'000U);
    EXPECT_EQ(rule->impairment.loss, parse_probability("1%").value());
    EXPECT_EQ(rule->impairment.rate, 1'000'000U);
}

// A prefix of several keywords is the one that tc 6.1 tries first.
TEST(Netem, Abbreviations)
{
    expect_words("del 10ms", {{"delay", "10ms"}});
    expect_words("de 10ms", {{"delay", "10ms"}});
    expect_words("latency 10ms", {{"delay", "10ms"}});
    expect_words("la 10ms", {{"delay", "10ms"}});
    expect_words("lo 1%", {{"loss", "1%"}});
    expect_words("dr 1%", {{"loss", "1%"}});
    expect_words("du 1%", {{"duplicate", "1%"}});
    expect_words("c 1%", {{"corrupt", "1%"}});
    expect_words("ra 1kbit", {{"rate", "1kbit"}});
    expect_words(
        "de 9ms 1ms re 1% g 2 di normal",
        {{"delay", "9ms"}, {"jitter", "1ms"}, {"reorder", "1%"}, {"reorder-gap", "2"}, {"distribution", "normal"}});
    expect_words("d 10ms r 25%", {{"delay", "10ms"}, {"reorder", "25%"}});
    expect_refused({
        {"d 1%", "d 1%", "unknown unit %"},
        {"l 1000", "l 1000", "not packets: leave it out"},
        {"r 1mbit", "r 1mbit", "write 10%"},
        {"s 1ms p 5", "s 1ms p 5", "not in slots"},
        {"e", "e", "marks nothing"},
        {"x 5", "x", "is none of netem's words"},
        {"d 10m", "d 10m", "tc has no such unit of time: write s, ms or us"},
    });
}

TEST(Netem, Units)
{
    for (const char* unit : {"us", "usec", "usecs", "USEC"})
        expect_words(std::string("delay 5") + unit, {{"delay", "5us"}});
    for (const char* unit : {"ms", "msec", "msecs", "Msecs"})
        expect_words(std::string("delay 5") + unit, {{"delay", "5ms"}});
    for (const char* unit : {"s", "sec", "secs", "S"}) expect_words(std::string("delay 5") + unit, {{"delay", "5s"}});
    expect_words("delay 1.5ms .5ms", {{"delay", "1.5ms"}, {"jitter", ".5ms"}});
    expect_words("delay 0", {{"delay", "0"}});
    for (const char* unit : {"bit", "kbit", "mbit", "gbit", "tbit", "kibit", "mibit", "gibit", "tibit"})
        expect_words(std::string("rate 64") + unit, {{"rate", std::string("64") + unit}});
    expect_words("rate 1Mbit", {{"rate", "1mbit"}});
    expect_words("  delay\t10ms \n loss   1%\r\n", {{"delay", "10ms"}, {"loss", "1%"}});
}

TEST(Netem, NoCorrelationAndNoOverheadAreWhatHeadwindHas)
{
    expect_words("delay 100ms 20ms 0%", {{"delay", "100ms"}, {"jitter", "20ms"}});
    expect_words("loss 10% 0%", {{"loss", "10%"}});
    expect_words("loss random 10% 0.0%", {{"loss", "10%"}});
    expect_words("corrupt 1% 0% duplicate 2% 0%", {{"corrupt", "1%"}, {"duplicate", "2%"}});
    expect_words("delay 9ms reorder 10% 0% gap 3", {{"delay", "9ms"}, {"reorder", "10%"}, {"reorder-gap", "3"}});
    expect_words("rate 1mbit 0 0 0", {{"rate", "1mbit"}});
}

TEST(Netem, BareNumbers)
{
    expect_refused({
        {"delay 100", "delay 100", "needs a unit: tc takes it for 100us: write 100us, or 100ms if you meant that"},
        {"delay 100000", "delay 100000", "tc takes it for 100ms: write 100ms, or 100000ms"},
        {"delay 100ms 20", "delay 100ms 20", "tc takes it for 20us: write 20us, or 20ms"},
        {"rate 1000000", "rate 1000000", "tc takes it for 1mbit: write 1mbit, or 1000000kbit"},
        {"rate 1", "rate 1", "8bit or more"},
        {"loss 10", "loss 10", "tc takes it for 10%: write 10%"},
        {"loss 0.1", "loss 0.1", "tc takes it for 0.1%: write 0.1%"},
        {"loss 0", "loss 0", "write 0%"},
        {"loss 1% 25", "loss 1% 25", "write 25%"},
        {"loss 101", "loss 101", "above 100%"},
        {"corrupt 5", "corrupt 5", "write 5%"},
        {"duplicate 5", "duplicate 5", "write 5%"},
        {"reorder 5", "reorder 5", "write 5%"},
        {"loss 1% delay 5 loss 2%", "delay 5", "write 5us"},
        {"delay 100 ms", "delay 100", "write 100ms without a blank"},
        {"delay 100 msecs", "delay 100", "write 100ms without a blank"},
        {"loss 10 %", "loss 10", "write 10% without a blank"},
        {"rate 1 mbit", "rate 1", "write 1mbit without a blank"},
        {"delay 100 loss 1%", "delay 100", "needs a unit"},
        {"delay 1.", "delay 1.", "no digit after the point"},
    });
}

TEST(Netem, BytesPerSecond)
{
    expect_refused({
        {"rate 1mbps", "rate 1mbps", "bytes per second in tc: write 8mbit"},
        {"rate 1000bps", "rate 1000bps", "write 8kbit"},
        {"rate 1bps", "rate 1bps", "write 8bit"},
        {"rate 1.5kbps", "rate 1.5kbps", "write 12kbit"},
        {"rate 1Kibps", "rate 1Kibps", "write 8.192kbit"},
        {"rate 2gbps", "rate 2gbps", "write 16gbit"},
        {"rate 2tbps", "rate 2tbps", "write a rate in bit"},
        {"rate 99999999999gbps", "rate 99999999999gbps", "write a rate in bit"},
        {"rate 0bps", "rate 0bps", "write a rate in bit"},
        {"rate 10%", "rate 10%", "a share of the device's speed: write a rate"},
        {"rate 1mb", "rate 1mb", "1mbit"},
    });
}

TEST(Netem, WhatHeadwindHasNot)
{
    expect_refused({
        {"loss 1% ecn", "ecn", "leave it out"},
        {"rate 1mbit 20", "rate 1mbit 20", "frames without FCS"},
        {"rate 1mbit -14", "rate 1mbit -14", "no overhead"},
        {"rate 1mbit 0 48 5 loss 1%", "rate 1mbit 0 48 5", "no overhead"},
        {"slot 10ms", "slot 10ms", "its own time"},
        {"slot 1ms 2ms packets 4 bytes 9000 loss 1%", "slot 1ms 2ms packets 4 bytes 9000", "leave it out"},
        {"slot distribution pareto 1ms 2ms packets 4", "slot distribution pareto 1ms 2ms packets 4", "its own time"},
        {"slot", "slot", "its own time"},
        {"limit 1000 loss 1%", "limit 1000",
         "Headwind bounds held bytes (--max-held) and the queue in front of rate (--queue), not packets: leave it out"},
    });
}

TEST(Netem, TellsOfEverythingAtOnce)
{
    const std::string words =
        "delay 100ms 20ms loss 10% duplicate 1% corrupt 0.1% reorder 25% 50% rate 1mbit 20 limit 1000";
    expect_refused({
        {words, "rate 1mbit 20", "no overhead"},
        {words, "rate 1mbit 20", "; limit 1000: Headwind bounds held bytes"},
        {"ecn slot 1ms loss 10", "loss 10", "needs a unit"},
    });
}

TEST(Netem, Malformed)
{
    expect_refused({
        {"netem delay 100ms", "netem", "write only what follows the word netem"},
        {"tc qdisc add dev eth0 root netem delay 100ms", "tc", "write only what follows the word netem"},
        {"sudo tc qdisc add dev eth0 root netem delay 100ms", "sudo", "(the device is --dev)"},
        {"qdisc add dev eth0", "qdisc", "write only what follows the word netem"},
        {"delay", "delay", "a time must follow, like 100ms"},
        {"delay loss 1%", "delay", "a time must follow, like 100ms, not loss"},
        {"loss", "loss", "a percentage must follow, like 10%"},
        {"loss random", "loss random", "a percentage must follow"},
        {"loss rand 5%", "loss", "not rand"},
        {"corrupt", "corrupt", "a percentage must follow"},
        {"rate", "rate", "a rate must follow, like 10mbit"},
        {"delay 9ms reorder", "reorder", "a percentage must follow"},
        {"distribution", "distribution", "uniform, normal, pareto, paretonormal or the name of a table must follow"},
        {"foo", "foo", "foo is none of netem's words"},
        {"delay 100ms foo", "delay 100ms foo", "foo is none of netem's words: use delay, loss"},
        {"DELAY 100ms", "DELAY", "none of netem's words"},
        {"100ms", "100ms", "none of netem's words"},
        {"loss 1% 0% 5%", "loss 1% 0% 5%", "5% is none of netem's words"},
        {"delays 1ms", "delays", "none of netem's words"},
        {"help", "help", "none of netem's words"},
        {"delay 9ms bad\x1bword", "delay 9ms bad\\x1bword", "none of netem's words"},
        {"delay 100ms loss 1% delay 200ms", "delay", "given twice"},
        {"delay 100ms latency 200ms", "latency", "given twice"},
        {"loss 1% drop 2%", "drop", "given twice"},
        {"delay -5ms", "delay -5ms", "negative"},
        {"delay +5ms", "delay +5ms", "no number"},
        {"delay 5parsecs", "delay 5parsecs", "unknown unit"},
        {"delay 1e3ms", "delay 1e3ms", "unknown unit"},
        {"delay 10%", "delay 10%", "unknown unit"},
        {"loss 101%", "loss 101%", "above 100%"},
        {"loss 10ms", "loss 10ms", "write 10%"},
        {"loss 10%%", "loss 10%%", "write 10%"},
        {"rate 7bit", "rate 7bit", "8bit or more"},
        {"rate 10ms", "rate 10ms", "unknown unit"},
        {"gap", "gap", "like gap 5"},
        {"loss 1% seed", "seed", "a whole number must follow"},
        {"loss 1% seed x", "seed", "a whole number must follow"},
        {"delay 9ms reorder 1% gap 0", "gap 0", "1 or more"},
        {"delay 9ms reorder 1% gap 0x10", "gap 0x10", "whole number"},
        {"delay 9ms reorder 1% gap -1", "gap -1", "whole number"},
        {"delay 9ms reorder 1% gap 5%", "gap 5%", "whole number"},
        {"reorder 10%", "reorder 10%", "add delay"},
        {"delay 9ms gap 5", "gap 5", "add reorder"},
        {"delay 9ms distribution normal", "distribution normal", "write delay 100ms 20ms"},
        {"distribution uniform loss 1%", "distribution uniform", "belongs to a jitter"},
    });
}

TEST(Netem, Empty)
{
    for (const char* words : {"", " \t "})
        EXPECT_EQ(refusal(words), "--netem \"\": empty: write netem's words, like delay 100ms 20ms loss 1%");
}

TEST(Netem, LongWordsAreShownShort)
{
    EXPECT_LT(refusal("delay " + std::string(100'000, '9') + "ms").size(), 300U);
    EXPECT_LT(refusal(std::string(100'000, 'x')).size(), 300U);
}

class RandomWords {
public:
    explicit RandomWords(std::uint64_t seed) : random_(seed) {}

    std::string line()
    {
        std::string line;
        for (std::uint64_t count = below(12); count > 0; --count) line += word() + (below(9) == 0 ? "\t " : " ");
        return line;
    }

private:
    std::string word()
    {
        static const std::vector<std::string> choices{"delay",
                                                      "latency",
                                                      "loss",
                                                      "drop",
                                                      "random",
                                                      "state",
                                                      "gemodel",
                                                      "ecn",
                                                      "corrupt",
                                                      "duplicate",
                                                      "reorder",
                                                      "gap",
                                                      "rate",
                                                      "slot",
                                                      "seed",
                                                      "limit",
                                                      "packets",
                                                      "bytes",
                                                      "distribution",
                                                      "normal",
                                                      "uniform",
                                                      "pareto",
                                                      "d",
                                                      "lo",
                                                      "du",
                                                      "netem",
                                                      "tc",
                                                      "100ms",
                                                      "20ms",
                                                      "5us",
                                                      "1s",
                                                      "10%",
                                                      "0%",
                                                      "25%",
                                                      "100",
                                                      "0",
                                                      "-5",
                                                      "1mbit",
                                                      "1mbps",
                                                      "5",
                                                      "%",
                                                      "ms",
                                                      "9e9",
                                                      ".",
                                                      "-",
                                                      "99999999999999999999s",
                                                      "delay 9ms",
                                                      "loss 1%",
                                                      "rate 1mbit",
                                                      "delay 9ms 1ms",
                                                      "reorder 5%",
                                                      "corrupt 1%"};
        if (below(20) != 0) return choices[below(choices.size())];
        std::string bytes(1 + below(5), ' ');
        for (char& byte : bytes) byte = static_cast<char>(below(256));
        return bytes;
    }
    std::uint64_t below(std::uint64_t end) { return random_() % end; }

    std::mt19937_64 random_;
};

TEST(Netem, RandomWordsAreRefusedOrTaken)
{
    RandomWords words(11);
    int taken = 0;
    for (int i = 0; i < 200'000; ++i) {
        const std::string line = words.line();
        RuleSpec text;
        const auto status = apply_netem(line, text);
        if (status) {
            ++taken;
            ASSERT_FALSE(fields_of(text).empty()) << printable(line);
            text.name = "r";
            ASSERT_TRUE(!text.delay || parse_duration(*text.delay)) << *text.delay;
            ASSERT_TRUE(!text.rate || parse_rate(*text.rate)) << *text.rate;
            ASSERT_TRUE(!text.loss || parse_probability(*text.loss)) << *text.loss;
        } else {
            ASSERT_EQ(status.error().kind, ErrorKind::usage);
            ASSERT_TRUE(status.error().message.starts_with("--netem")) << status.error().message;
            ASSERT_TRUE(is_plain_text(status.error().message)) << status.error().message;
        }
    }
    EXPECT_GT(taken, 1'000);
}

}  // namespace
}  // namespace headwind::netem_test
