// SPDX-License-Identifier: MIT
// Chains of events: what they do in the long run, in closed form where there is one; models of losses in words.
#include "chance/chain.h"
#include "chance/loss_model.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headwind::chain_test {
namespace {

using testing::HasSubstr;

void expect_facts(const Chain& chain, double share, double correlation, double burst)
{
    const auto facts = facts_of(chain);
    EXPECT_NEAR(facts.share, share, share * 1e-12);
    EXPECT_NEAR(facts.correlation, correlation, 1e-9);
    EXPECT_NEAR(facts.mean_burst, burst, burst * 1e-9);
}

TEST(Chain, OfACorrelationHasItsShareAndThatCorrelation)
{
    for (const double share : {1e-6, 0.01, 0.1, 0.5, 0.99})
        for (const double correlation : {0.0, 0.25, 0.5, 0.9, 0.999}) {
            SCOPED_TRACE(share);
            SCOPED_TRACE(correlation);
            const auto chain = correlated_chain(share, correlation);
            expect_facts(chain, share, correlation, 1 / ((1 - share) * (1 - correlation)));
            const double spread = (1 + correlation) / (1 - correlation);  // a sum of geometric correlations
            EXPECT_NEAR(facts_of(chain).spread, spread, spread * 1e-6);
        }
}

TEST(Chain, OfBurstsHasItsShareAndThatLength)
{
    for (const double share : {1e-6, 0.01, 0.1, 0.5})
        for (const double burst : {1.0, 1.5, 3.0, 100.0}) {
            if (burst < shortest_burst(share)) continue;
            const auto facts = facts_of(bursty_chain(share, burst));
            EXPECT_NEAR(facts.share, share, share * 1e-12) << burst;
            EXPECT_NEAR(facts.mean_burst, burst, burst * 1e-9) << share;
        }
    EXPECT_EQ(shortest_burst(0.5), 1);
    EXPECT_EQ(shortest_burst(0.75), 3);
    EXPECT_EQ(facts_of(bursty_chain(0.5, 1)).correlation, -1) << "every other one";
}

TEST(Chain, OfGilbertAndElliott)
{
    expect_facts(gilbert_elliott_chain(0.01, 0.1, 1, 0), 0.01 / 0.11, 1 - 0.11, 10);
    const auto facts = facts_of(gilbert_elliott_chain(0.01, 0.1, 0.7, 0.001));
    EXPECT_NEAR(facts.share, (0.01 * 0.7 + 0.1 * 0.001) / 0.11, 1e-12);
    EXPECT_NEAR(facts_of(gilbert_elliott_chain(0.01, 0, 1, 0)).share, 1, 1e-12) << "never recovers";
    EXPECT_EQ(facts_of(gilbert_elliott_chain(0, 0.5, 1, 0)).share, 0);
    EXPECT_EQ(facts_of(gilbert_elliott_chain(0, 0.5, 1, 0)).mean_burst, 0);
}

// The long run of a chain whose balance can be solved by hand: state 4 is visited as often as it is entered from 1.
TEST(Chain, OfFourStates)
{
    const double p13 = 0.02, p31 = 0.3, p32 = 0.2, p23 = 0.4, p14 = 0.01;
    const auto facts = facts_of(four_state_chain(p13, p31, p32, p23, p14));
    const double one = 1, three = p13 / p31, two = three * p32 / p23, four = p14;
    const double sum = one + two + three + four;
    EXPECT_NEAR(facts.share, (three + four) / sum, 1e-12);
    EXPECT_NEAR(facts.stationary[1], two / sum, 1e-12);
}

TEST(Chain, SpreadIsThatOfTheCount)
{
    for (const auto& chain :
         {gilbert_elliott_chain(0.05, 0.2, 0.7, 0.01), four_state_chain(0.02, 0.3, 0.2, 0.4, 0.01)}) {
        const auto facts = facts_of(chain);
        double sum = 1;
        auto ahead = chain.event;  // the probability of an event k packets on, by state
        for (int k = 1; k < 3000; ++k) {
            std::array<double, chain_states> next{};
            double both = 0;
            for (std::size_t s = 0; s < chain_states; ++s) {
                for (std::size_t t = 0; t < chain_states; ++t) next[s] += chain.to[s][t] * ahead[t];
                both += facts.stationary[s] * chain.event[s] * next[s];
            }
            ahead = next;
            sum += 2 * (both - facts.share * facts.share) / (facts.share * (1 - facts.share));
        }
        EXPECT_NEAR(facts.spread, sum, 1e-6);
    }
}

std::string refusal(const std::string& words)
{
    const auto model = normal_loss_model(words);
    return model ? "taken" : model.error().message;
}

TEST(LossModel, Words)
{
    const auto said = [](const std::string& words) { return normal_loss_model(words).value(); };
    EXPECT_EQ(said("gemodel 1%"), "gemodel 1% 99% 100% 0%");
    EXPECT_EQ(said("  gemodel\t1%  10% 70% 0.1% "), "gemodel 1% 10% 70% 0.1%");
    EXPECT_EQ(said("state 1%"), "state 1% 99% 0% 100% 0%");
    EXPECT_EQ(said("state 1% 30% 20% 40% 5%"), "state 1% 30% 20% 40% 5%");
    EXPECT_EQ(said(said("state 1% 30%")), said("state 1% 30%"));
    EXPECT_THAT(refusal(""), HasSubstr("unknown model: write gemodel P"));
    EXPECT_THAT(refusal("random 1%"), HasSubstr("unknown model"));
    EXPECT_THAT(refusal("gemodel"), HasSubstr("0 percentages"));
    EXPECT_THAT(refusal("gemodel 1% 2% 3% 4% 5%"), HasSubstr("5 percentages"));
    EXPECT_THAT(refusal("state 1% 2% 3% 4% 5% 6%"), HasSubstr("6 percentages"));
    EXPECT_THAT(refusal("gemodel 1"), HasSubstr("%"));
    EXPECT_THAT(refusal("gemodel 1% 101%"), HasSubstr("100%"));
    EXPECT_THAT(refusal("state 60% 50% 0% 100% 41%"), HasSubstr("P13 and P14 add up to more than 100%"));
    EXPECT_THAT(refusal("state 60% 60% 41%"), HasSubstr("P31 and P32 add up to more than 100%"));
}

}  // namespace
}  // namespace headwind::chain_test
