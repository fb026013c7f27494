// SPDX-License-Identifier: MIT
// Tests the judge of `headwind verify` on made-up samples: right ones pass, wrong ones are found out.
#include "verify/judge.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>
#include <headwind/sequence.h>

#include "rule_test.h"
#include "ruleset/compile.h"
#include "verify/expected.h"

namespace headwind::verify::judge_test {
namespace {

constexpr std::int64_t ms = 1'000'000;  // ns

Probability share(double p)
{
    return {static_cast<std::uint64_t>(std::llround(p * 4294967296.0))};
}

// A made-up path, whose impairment may differ from the one that was asked for.
struct Path {
    Impairment does;
    bool finds_damage = true;  // by the receiver's checksum
    std::uint32_t packets = 4000;
    std::int64_t spacing = 1 * ms;
    std::mt19937_64 random{7};

    // What befalls each packet by the rule's sequence, if it has one.
    std::vector<unsigned> sequence() const
    {
        std::vector<unsigned> events(has_sequence(does) ? packets : 0);
        const auto compiled = compile_sequence(does, 7);
        hw_progress progress{};
        hw_sequence_begin(&compiled, &progress, 1, HW_OUT);
        for (auto& one : events) one = hw_sequence_step(&compiled, &progress);
        return events;
    }
    bool happens(const std::optional<Probability>& p) { return std::bernoulli_distribution(probability_of(p))(random); }
    // The delays, by closed forms: not by the tables that the judge and the datapath have.
    double delay()
    {
        const auto mean = static_cast<double>(does.delay), jitter = static_cast<double>(does.jitter);
        if (does.distribution == Distribution::normal) return std::max(0.0, mean + jitter * next_score());
        if (does.distribution == Distribution::uniform)
            return mean + jitter * std::uniform_real_distribution<double>(-1, 1)(random);
        const double above = std::erfc(next_score() / std::sqrt(2.0)) / 2;
        if (does.distribution == Distribution::exponential) return mean + jitter * (-std::log(above) - 1);
        return mean + jitter * (std::pow(above, -1.0 / 3) - 1.5) / std::sqrt(0.75);  // pareto
    }
    double next_score()
    {
        std::normal_distribution<double> normal;
        const double r = score_correlation;
        return score = r * (score ? *score : normal(random)) + std::sqrt(1 - r * r) * normal(random), *score;
    }
    double score_correlation = 0;
    std::optional<double> score;
    Stream send()
    {
        Stream out;
        std::uint32_t held = 0;
        std::uniform_real_distribution<double> noise(5'000, 25'000);  // ns: the bare path
        const auto events = sequence();
        for (std::uint32_t i = 0; i < packets; ++i) {
            out.sent.push_back(i * spacing);
            const auto befalls = [&](hw_event event, const std::optional<Probability>& p) {
                return events.empty() ? happens(p) : (events[i] >> event & 1) != 0;
            };
            if (befalls(HW_EVENT_LOSS, does.loss)) continue;
            const bool damaged = befalls(HW_EVENT_CORRUPT, does.corrupt);
            for (int copies = befalls(HW_EVENT_DUPLICATE, does.duplicate) ? 2 : 1; copies > 0; --copies) {
                const bool early = held + 1 >= does.reorder_gap && happens(does.reorder);
                held = early ? 0 : held + 1;
                const double took = (early ? 0 : delay()) + noise(random);
                if (!damaged)
                    out.arrivals.push_back({i, out.sent.back() + std::llround(took)});
                else if (finds_damage)
                    ++out.checksum_errors;
                else
                    ++out.wrong_bytes;
            }
        }
        std::stable_sort(out.arrivals.begin(), out.arrivals.end(),
                         [](auto& a, auto& b) { return a.arrived < b.arrived; });
        return out;
    }
};

Samples samples_of(Path path)
{
    Samples out;
    Path bare;
    bare.packets = 1000;
    out.bare = bare.send();
    if (path.does.delay != 0) out.timing = path.send();
    path.packets = 100'000;
    path.spacing = 50'000;
    out.counting = path.send();
    return out;
}

// The names of the rows that are off, in one line.
std::string off(const Impairment& asked, const Samples& samples)
{
    std::string out;
    for (const auto& row : judge(asked, samples))
        if (!row.ok || !*row.ok) out += (out.empty() ? "" : ", ") + row.what;
    return out;
}

std::string off(const Impairment& asked, const Impairment& does)
{
    Path path;
    path.does = does;
    return off(asked, samples_of(path));
}

Impairment with_delay(std::int64_t delay, std::int64_t jitter = 0, Distribution distribution = Distribution::uniform)
{
    Impairment out;
    out.delay = static_cast<std::uint64_t>(delay);
    out.jitter = static_cast<std::uint64_t>(jitter);
    out.distribution = distribution;
    return out;
}

Impairment with_loss(double p)
{
    Impairment out;
    out.loss = share(p);
    return out;
}

TEST(Verify, Loss)
{
    EXPECT_EQ(off(with_loss(0.1), with_loss(0.1)), "");
    EXPECT_EQ(off(with_loss(0.1), with_loss(0.09)), "loss");
    EXPECT_EQ(off(with_loss(0.1), with_loss(0.11)), "loss");
    EXPECT_EQ(off(with_loss(1), with_loss(1)), "");
    EXPECT_EQ(off(with_loss(0.001), Impairment{}), "loss");
    EXPECT_EQ(off(Impairment{}, with_loss(0.001)), "loss");
}

TEST(Verify, LossesThatFollowEachOther)
{
    const auto of = [](const std::string& words) { return rule_test::valid(words).impairment; };
    for (const auto* const words :
         {"--loss 10% --loss-correlation 50%", "--loss 1% --loss-burst 3", "--loss 50% --loss-burst 1",
          "--loss-model 'gemodel 1% 10%'", "--loss-nth 7", "--loss-model 'gemodel 5% 20% 70% 1%'",
          "--loss-model 'state 2% 30% 20% 40% 1%'", "--duplicate 5% --duplicate-correlation 80%",
          "--corrupt 5% --corrupt-correlation 80% --loss 3%"})
        EXPECT_EQ(off(of(words), of(words)), "") << words;
    EXPECT_EQ(off(of("--loss 10% --loss-correlation 50%"), of("--loss 10% --loss-correlation 45%")), "after a loss");
    EXPECT_EQ(off(of("--loss 10% --loss-correlation 50%"), with_loss(0.1)), "after a loss");
    EXPECT_EQ(off(of("--loss 10% --loss-correlation 50%"), of("--loss 9% --loss-correlation 50%")), "loss");
    EXPECT_EQ(off(of("--loss-model 'gemodel 5% 20% 70% 1%'"), of("--loss 14.8% --loss-burst 4")), "after a loss");
    EXPECT_EQ(off(of("--loss-nth 7"), of("--loss-nth 8")), "loss");
    EXPECT_EQ(off(of("--duplicate 5% --duplicate-correlation 50%"), of("--duplicate 7% --duplicate-correlation 50%")),
              "duplicates");
}

TEST(Verify, Partition)
{
    Impairment partition;
    partition.partition = true;
    EXPECT_EQ(off(partition, with_loss(1)), "");
    EXPECT_EQ(off(partition, with_loss(0.999)), "partition");
}

TEST(Verify, Delay)
{
    EXPECT_EQ(off(with_delay(100 * ms), with_delay(100 * ms)), "");
    EXPECT_EQ(off(with_delay(100 * ms), with_delay(102 * ms)), "delay");
    EXPECT_EQ(off(with_delay(100 * ms), with_delay(98 * ms)), "delay");
    EXPECT_EQ(off(with_delay(1 * ms), with_delay(2 * ms)), "delay");
    // With jitter that was not asked for, packets overtake each other.
    EXPECT_EQ(off(with_delay(100 * ms), with_delay(100 * ms, 10 * ms)), "out of order");
}

TEST(Verify, UniformJitter)
{
    const auto asked = with_delay(50 * ms, 10 * ms);
    EXPECT_EQ(off(asked, asked), "");
    EXPECT_EQ(off(asked, with_delay(50 * ms, 11 * ms)), "jitter, distribution (uniform)");
    EXPECT_EQ(off(asked, with_delay(50 * ms)), "jitter, distribution (uniform)");
    EXPECT_EQ(off(asked, with_delay(53 * ms, 10 * ms)), "delay, distribution (uniform)");
    // A normal distribution with the same standard deviation.
    EXPECT_EQ(off(asked, with_delay(50 * ms, 5'773'503, Distribution::normal)), "distribution (uniform)");
}

TEST(Verify, NormalJitter)
{
    const auto asked = with_delay(50 * ms, 10 * ms, Distribution::normal);
    EXPECT_EQ(off(asked, asked), "");
    EXPECT_EQ(off(asked, with_delay(50 * ms, 17'320'508)), "distribution (normal)");
    EXPECT_EQ(off(asked, with_delay(50 * ms, 12 * ms, Distribution::normal)), "jitter, distribution (normal)");
}

TEST(Verify, LawsOfDelays)
{
    const auto of = [](Distribution distribution) { return with_delay(50 * ms, 10 * ms, distribution); };
    for (const auto distribution : {Distribution::exponential, Distribution::pareto})
        EXPECT_EQ(off(of(distribution), of(distribution)), "");
    EXPECT_EQ(off(of(Distribution::exponential), of(Distribution::normal)), "distribution (exponential)");
    EXPECT_EQ(off(of(Distribution::exponential), of(Distribution::pareto)), "distribution (exponential)");
    EXPECT_EQ(off(of(Distribution::pareto), of(Distribution::exponential)), "distribution (pareto)");
    EXPECT_NE(off(of(Distribution::lognormal), of(Distribution::exponential)), "");
}

TEST(Verify, CorrelatedDelays)
{
    for (const auto& [asked, does, found] : {std::tuple{0.5, 0.5, ""},
                                             {0.9, 0.9, ""},
                                             {0.5, 0.4, "delay correlation"},
                                             {0.5, 0.0, "delay correlation"},
                                             {0.9, 0.8, "delay correlation"}}) {
        auto impairment = with_delay(50 * ms, 10 * ms, Distribution::normal);
        impairment.delay_correlation = share(asked);
        Path path;
        path.does = with_delay(50 * ms, 10 * ms, Distribution::normal);
        path.score_correlation = does;
        EXPECT_EQ(off(impairment, samples_of(path)), found) << asked << " " << does;
    }
}

TEST(Verify, NormalJitterThatIsCutAtNoDelay)
{
    const auto asked = with_delay(20 * ms, 20 * ms, Distribution::normal);
    EXPECT_EQ(off(asked, asked), "");
    EXPECT_NE(off(asked, with_delay(20 * ms, 20 * ms)), "");
}

TEST(Verify, Duplicates)
{
    Impairment asked, other;
    asked.duplicate = share(0.02);
    other.duplicate = share(0.03);
    EXPECT_EQ(off(asked, asked), "");
    EXPECT_EQ(off(asked, other), "duplicates");
    EXPECT_EQ(off(asked, Impairment{}), "duplicates");
    EXPECT_EQ(off(Impairment{}, asked), "duplicates");
}

TEST(Verify, Corruption)
{
    Path path;
    path.does.corrupt = share(0.01);
    const auto asked = path.does;
    EXPECT_EQ(off(asked, samples_of(path)), "");
    EXPECT_EQ(off(Impairment{}, samples_of(path)), "loss, damaged");
    path.does.corrupt = share(0.013);
    EXPECT_EQ(off(asked, samples_of(path)), "corruption");
    path.does.corrupt = asked.corrupt;
    path.finds_damage = false;
    EXPECT_NE(off(asked, samples_of(path)).find("damaged, read"), std::string::npos);
    path.does = with_loss(0.01);  // packets are missing, but none is damaged
    EXPECT_EQ(off(asked, samples_of(path)), "loss, corruption, damaged, found");
}

TEST(Verify, AllAtOnce)
{
    auto asked = with_delay(20 * ms, 5 * ms);
    asked.loss = share(0.1);
    asked.corrupt = share(0.02);
    asked.duplicate = share(0.05);
    EXPECT_EQ(off(asked, asked), "");
    auto does = asked;
    does.loss = share(0.11);
    EXPECT_EQ(off(asked, does), "loss");
}

TEST(Verify, Reordering)
{
    auto asked = with_delay(10'500'000);
    asked.reorder = share(0.25);
    EXPECT_EQ(off(asked, asked), "");
    auto does = asked;
    does.reorder = share(0.3);
    EXPECT_NE(off(asked, does), "");
    asked.reorder_gap = 5;
    EXPECT_NE(off(asked, does), "");
    does = asked;
    EXPECT_EQ(off(asked, does), "");
    asked.jitter = does.jitter = 3 * ms;
    EXPECT_EQ(off(asked, does), "");
}

// With a gap of 5 and a probability of 1 each fifth packet is early: exactly 200 of 1000.
TEST(Verify, GapsAreCountedExactly)
{
    EXPECT_GT(early_p_value(200, 1000, 1, 5), 0.5);
    EXPECT_EQ(early_p_value(201, 1000, 1, 5), 0);
    EXPECT_EQ(early_p_value(199, 1000, 1, 5), 0);
    Impairment asked;
    asked.reorder = share(0.5);
    asked.reorder_gap = 3;
    EXPECT_DOUBLE_EQ(early_share(asked), 0.25);
}

TEST(Verify, CountsWhatWasOvertaken)
{
    EXPECT_EQ(count_reordered({0, 1, 2, 3}), 0U);
    EXPECT_EQ(count_reordered({0, 3, 1, 2, 4}), 2U);
    EXPECT_EQ(count_reordered({0, 1, 1, 0, 2}), 0U);
    EXPECT_EQ(count_reordered({}), 0U);
}

// Compared with the closed form: a held packet is overtaken if one of the k packets behind it goes early.
TEST(Verify, ExpectedReordering)
{
    auto impairment = with_delay(10'500'000);
    impairment.reorder = share(0.1);
    std::vector<std::int64_t> sent(4000);
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::int64_t>(i) * ms;
    const auto expected = expected_reordering(impairment, sent);
    EXPECT_NEAR(expected.mean, 0.9 * (1 - std::pow(0.9, 10)), 0.005);
    EXPECT_GT(expected.sd, 0.001);
    EXPECT_LT(expected.sd, 0.05);
}

Flood flood_at(double bits_per_second, double offered)
{
    Flood out;
    out.frame_bytes = 1000;
    out.end = 4000 * ms;
    out.sent = static_cast<std::uint64_t>(offered * 4 / 8000);
    const double each = 8000 * 1e9 / bits_per_second;
    for (double at = 0; at < 4.2e9; at += each) out.arrived.push_back(std::llround(at));
    return out;
}

TEST(Verify, Rate)
{
    Impairment asked;
    asked.rate = 1'000'000;
    auto samples = samples_of(Path{});
    samples.flood = flood_at(1e6, 1.5e6);
    EXPECT_EQ(off(asked, samples), "");
    for (const double wrong : {0.98e6, 1.02e6}) {
        samples.flood = flood_at(wrong, 1.5e6);
        EXPECT_EQ(off(asked, samples), "rate");
    }
    samples.flood = flood_at(0.9e6, 0.9e6);
    const auto rows = judge(asked, samples);
    EXPECT_FALSE(rows.back().ok) << "the sender was too slow to tell";
}

TEST(Verify, Answers)
{
    Impairment asked;
    asked.partition = true;
    asked.reject = Reject::rst;
    Path cut;
    cut.does = with_loss(1);
    auto samples = samples_of(cut);
    samples.tcp = {200, 200, 0};
    samples.udp = {200, 0, 200};
    EXPECT_EQ(off(asked, samples), "");
    samples.tcp = {200, 0, 200};
    EXPECT_EQ(off(asked, samples), "TCP told by RST");
    asked.reject = Reject::icmp;
    EXPECT_EQ(off(asked, samples), "");
    samples.udp = {200, 0, 150};
    EXPECT_EQ(off(asked, samples), "UDP told by ICMP");
}

}  // namespace
}  // namespace headwind::verify::judge_test
