// SPDX-License-Identifier: MIT
// Events that depend on each other, drawn by the datapath's own arithmetic. Seeds are fixed; alpha is stated.
#include <headwind/sequence.h>

#include <array>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "event_series.h"
#include "rule/rule.h"
#include "rule_test.h"
#include "ruleset/compile.h"
#include "verify/statistics.h"

namespace headwind::model_sequence_test {
namespace {

using test::EventSeries;

constexpr double alpha = 1e-6;
constexpr std::uint64_t million = 1'000'000;

struct Sequence {
    Sequence(const std::string& words, std::uint64_t seed)
        : impairment(rule_test::valid(words).impairment), compiled(compile_sequence(impairment, seed))
    {
        hw_sequence_begin(&compiled, &progress, 1, HW_OUT);
    }
    unsigned next() { return hw_sequence_step(&compiled, &progress); }
    EventSeries draw(hw_event event, std::uint64_t count)
    {
        return test::draw_series(compiled, progress, event, count);
    }
    Impairment impairment;
    hw_sequence compiled;
    hw_progress progress{};
};

TEST(Sequence, CorrelationKeepsTheShare)
{
    for (const char* share : {"1%", "10%", "50%"})
        for (const char* correlation : {"0%", "25%", "50%", "90%"})
            for (const auto& [event, name] : {std::pair{HW_EVENT_LOSS, "loss"}, {HW_EVENT_DUPLICATE, "duplicate"}}) {
                SCOPED_TRACE(std::string(name) + " " + share + " " + correlation);
                const auto* const other = "--corrupt 1% --corrupt-correlation 1%";  // so that 0% is a sequence, too
                Sequence sequence(fmt::format("--{0} {1} --{0}-correlation {2} {3}", name, share, correlation, other),
                                  5);
                const auto series = sequence.draw(event, million);
                const double p = fraction_of(parse_probability(share).value()),
                             r = fraction_of(parse_probability(correlation).value());
                EXPECT_GT(test::count_p_value(series, correlated_chain(p, r)), alpha) << series.events;
                EXPECT_GT(test::transitions_p_value(series, p, r), alpha) << test::correlation_of(series);
                EXPECT_GT(test::burst_p_value(series, correlated_chain(p, r)), alpha);
            }
}

TEST(Sequence, ModelsLoseInBurstsAsTheorySays)
{
    for (const char* words :
         {"--loss-model 'gemodel 1% 10%'", "--loss-model 'gemodel 5% 20% 70% 1%'", "--loss-model 'state 1% 30%'",
          "--loss-model 'state 2% 30% 20% 40% 1%'", "--loss 1% --loss-burst 3", "--loss 10% --loss-burst 1.2",
          "--loss 50% --loss-burst 20"}) {
        SCOPED_TRACE(words);
        Sequence sequence(words, 7);
        const auto chain = loss_chain(sequence.impairment);
        const auto series = sequence.draw(HW_EVENT_LOSS, million);
        EXPECT_GT(test::count_p_value(series, chain), alpha) << series.events << " " << facts_of(chain).share;
        EXPECT_GT(test::burst_p_value(series, chain), alpha);
    }
}

// The tests above notice what they are for.
TEST(Sequence, OfAnotherCorrelationIsNotTaken)
{
    Sequence sequence("--loss 10% --loss-correlation 50%", 5);
    const auto series = sequence.draw(HW_EVENT_LOSS, million);
    EXPECT_LT(test::transitions_p_value(series, 0.1, 0.49), alpha);
    EXPECT_LT(test::count_p_value(series, correlated_chain(0.105, 0.5)), alpha);
    EXPECT_LT(test::burst_p_value(series, correlated_chain(0.1, 0.51)), alpha);
}

TEST(Sequence, EveryNth)
{
    Sequence sequence("--loss-nth 7", 3);
    for (unsigned n = 1; n <= 10'000; ++n) ASSERT_EQ(sequence.next(), n % 7 == 0 ? 1U << HW_EVENT_LOSS : 0U) << n;
}

TEST(Sequence, TheFirstPacketIsAsAnyOther)
{
    std::uint64_t lost = 0;
    constexpr std::uint64_t runs = 100'000;
    Sequence sequence("--loss 30% --loss-correlation 90%", 5);
    for (std::uint64_t seed = 0; seed < runs; ++seed) {
        sequence.compiled.chains[HW_EVENT_LOSS].seed = hw_bits(5, seed);
        hw_sequence_begin(&sequence.compiled, &sequence.progress, 1, HW_OUT);
        lost += sequence.next() & 1U;
    }
    EXPECT_GT(statistics::binomial_p_value(lost, runs, 0.3), alpha) << lost;
}

TEST(Sequence, EventsOfDifferentKindsDoNotKnowEachOther)
{
    Sequence sequence("--loss 20% --loss-correlation 50% --duplicate 20% --duplicate-correlation 50% --corrupt 20%", 9);
    std::uint64_t both[4][4] = {}, count[4] = {};
    for (std::uint64_t i = 0; i < million; ++i) {
        const unsigned events = sequence.next();
        for (unsigned a = 0; a < 3; ++a) {
            count[a] += events >> a & 1U;
            for (unsigned b = 0; b < a; ++b) both[a][b] += events >> a & events >> b & 1U;
        }
    }
    EXPECT_GT(statistics::binomial_p_value(count[HW_EVENT_CORRUPT], million, 0.2), alpha);
    // Two correlated series agree by chance more variably than independent ones: (1 + r1 r2) / (1 - r1 r2).
    for (unsigned a = 0; a < 3; ++a)
        for (unsigned b = 0; b < a; ++b) EXPECT_NEAR(static_cast<double>(both[a][b]) / million, 0.04, 0.0016) << a << b;
}

// ---- netem's arithmetic ----

// A packet's way through netem's enqueue, as its source has it, with dice of our own.
class Netem {
public:
    Netem(const Impairment& asked)
        : loss_{threshold(asked.loss), threshold(asked.loss_correlation), dice()},
          duplicate_{threshold(asked.duplicate), threshold(asked.duplicate_correlation), dice()}
    {
    }
    // How many of it arrive: 0, 1 or 2.
    unsigned next()
    {
        const bool twice = happens(duplicate_);
        const int count = (twice ? 2 : 1) - (happens(loss_) ? 1 : 0);
        if (count < 2) return static_cast<unsigned>(count);
        return happens(loss_) ? 1 : 2;  // the copy passes the queue once more, without another copy
    }

private:
    struct Event {
        std::uint64_t probability, rho, last;  // of 2^32
    };
    static std::uint64_t threshold(const std::optional<Probability>& p) { return p ? p->threshold : 0; }
    std::uint64_t dice() { return random_() >> 32; }
    bool happens(Event& event)
    {
        if (event.probability == 0) return false;
        const auto value = dice();
        event.last = event.rho == 0 ? value : (value * ((1ULL << 32) - event.rho) + event.last * event.rho) >> 32;
        return event.last < event.probability;
    }
    std::mt19937_64 random_{5};
    Event loss_, duplicate_;
};

// Shares of the packets that arrive not at all, once and twice, and of pairs of packets in a row that arrive alike.
using Shares = std::array<double, 4>;
template <class Next>
std::pair<Shares, Shares> shares_and_errors(Next next)
{
    constexpr int parts = 1000, packets = 1000;
    Shares mean{}, square{};
    unsigned before = next();
    for (int part = 0; part < parts; ++part) {
        Shares here{};
        for (int n = 0; n < packets; ++n) {
            const unsigned came = next();
            here.at(came) += 1.0 / packets;
            here[3] += came == before ? 1.0 / packets : 0;
            before = came;
        }
        for (std::size_t i = 0; i < here.size(); ++i) {
            mean.at(i) += here.at(i) / parts;
            square.at(i) += here.at(i) * here.at(i) / parts;
        }
    }
    Shares error{};
    for (std::size_t i = 0; i < mean.size(); ++i)
        error.at(i) = std::sqrt(std::max(0.0, square.at(i) - mean.at(i) * mean.at(i)) / parts);
    return {mean, error};
}

TEST(NetemCompatible, IsNetemsArithmetic)
{
    for (const std::string words : {"--loss 25% --loss-correlation 25%", "--loss 40% --loss-correlation 90%",
                                    "--loss 5% --duplicate 30%", "--duplicate 5% --duplicate-correlation 50%",
                                    "--loss 30% --loss-correlation 50% --duplicate 20% --duplicate-correlation 25%"}) {
        Sequence ours("--netem-compatible " + words, 11);
        Netem theirs(ours.impairment);
        const auto [mean, error] = shares_and_errors([&ours] {
            const unsigned events = ours.next();
            return events >> HW_EVENT_LOSS & 1U ? 0U : 1U + (events >> HW_EVENT_DUPLICATE & 1U);
        });
        const auto [their_mean, their_error] = shares_and_errors([&theirs] { return theirs.next(); });
        for (std::size_t i = 0; i < mean.size(); ++i)  // 5 sigmas: alpha 6e-7
            EXPECT_NEAR(mean.at(i), their_mean.at(i), 5 * std::hypot(error.at(i), their_error.at(i)) + 1e-9)
                << words << " " << i;
    }
}

TEST(NetemCompatible, IsNotWhatWasAsked)
{
    const auto lost = [](const std::string& words) {
        return Sequence("--netem-compatible " + words, 11).draw(HW_EVENT_LOSS, million).events;
    };
    EXPECT_LT(lost("--loss 1% --loss-correlation 25%"), 100U) << "as netem: hardly any of a million";
    EXPECT_NEAR(static_cast<double>(lost("--loss 25% --loss-correlation 25%")) / million, 0.167, 0.002);
}

TEST(Sequence, AnotherSeedIsAnotherSequence)
{
    Sequence one("--loss 50% --loss-correlation 1%", 1), same("--loss 50% --loss-correlation 1%", 1),
        other("--loss 50% --loss-correlation 1%", 2);
    std::uint64_t alike = 0;
    for (unsigned i = 0; i < 10'000; ++i) {
        const auto event = one.next();
        ASSERT_EQ(event, same.next());
        alike += event == other.next() ? 1U : 0U;
    }
    EXPECT_GT(statistics::binomial_p_value(alike, 10'000, 0.5), 1e-6);
}

}  // namespace
}  // namespace headwind::model_sequence_test
