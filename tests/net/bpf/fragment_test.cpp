// SPDX-License-Identifier: MIT
// Tests rules with ports on datagrams that IP sends in fragments: all of a datagram gets what its first fragment gets.
#include <arpa/inet.h>

#include <headwind/testing.h>

#include "net_test.h"
#include "verify/statistics.h"

namespace headwind::test::fragment_test {
namespace {

constexpr std::size_t datagram_bytes = 8'000, fragments = 6;  // of 1,480 bytes (IPv6: 1,448)

class Fragments : public SidedTest {
protected:
    std::size_t arrive_of(std::size_t count, const char* address, std::uint16_t port = 5000) const
    {
        return arrive({.count = count, .size = datagram_bytes, .per_second = 1000}, {address, port});
    }
    std::string port() const { return GetParam() == Direction::out ? "--remote-port 5000" : "--local-port 5000"; }
};

INSTANTIATE_TEST_SUITE_P(Sides, Fragments, testing::Values(Direction::out, Direction::in), side_name);

RUNS_IN("*/Fragments*", native, linux_6_12 | linux_6_1);
RUNS_IN("*/Fragments.FollowTheFirst/in", native | linux_6_1, linux_6_12);

TEST_P(Fragments, FollowTheFirst)
{
    for (const auto* const address : {Pair::b4, Pair::b6}) {
        impair("--name split --replace --partition " + port());
        EXPECT_EQ(arrive_of(50, address), 0U);
        EXPECT_EQ(counters("split").partition, 50 * fragments) << address;
        EXPECT_EQ(arrive_of(50, address, 5001), 50U);
        EXPECT_EQ(counters("split").partition, 50 * fragments) << address;
        clear();
    }
}

TEST_P(Fragments, WithoutTheWorkaroundOnlyTheFirstIsMatched)
{
    impair_without(HW_WORKAROUND_FRAGMENTS, "--name split --partition " + port());
    EXPECT_EQ(arrive_of(50, Pair::b4), 0U);
    EXPECT_EQ(counters("split").partition, 50U);
}

TEST_P(Fragments, AreLostOneByOne)
{
    const std::size_t count = scaled(2'000, 1'000);
    for (const auto* const address : {Pair::b4, Pair::b6}) {
        impair("--name lossy --replace --loss 10% " + port());
        arrive_of(count, address);
        const auto counted = counters("lossy");
        EXPECT_EQ(counted.packets, count * fragments) << address;
        EXPECT_GT(statistics::binomial_p_value(counted.loss, counted.packets, 0.1), alpha)
            << counted.loss << " of " << counted.packets;
        clear();
    }
}

}  // namespace
}  // namespace headwind::test::fragment_test
