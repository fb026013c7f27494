// SPDX-License-Identifier: MIT
// Compares TCP's goodput on several CPUs with that through netem, in turn.
#include <algorithm>

#include "net_test.h"

namespace headwind::test::goodput_test {
namespace {

struct Transfer {
    double megabits = 0;  // per second, of all flows
    unsigned retransmits = 0;
};

class Goodput : public PairTest {
protected:
    void SetUp() override
    {
        SKIP_WITHOUT_FQ();
        PairTest::SetUp();
    }

    Transfer transfer(unsigned flows, std::uint64_t bytes) const
    {
        std::vector<TcpResult> results(flows);
        std::vector<std::thread> threads;
        const auto start = monotonic_ns();
        for (unsigned i = 0; i < flows; ++i)
            threads.emplace_back([this, &result = results[i], i, bytes, flows] {
                const Endpoint to{Pair::b4, static_cast<std::uint16_t>(6000 + i)};
                result = transfer_tcp(a(), b(), to, bytes / flows, std::chrono::seconds(300));
            });
        for (auto& thread : threads) thread.join();
        const auto ns = static_cast<double>(monotonic_ns() - start);
        Transfer out;
        std::uint64_t received = 0;
        for (const auto& result : results) {
            EXPECT_EQ(result.error, "");
            received += result.received;
            out.retransmits += result.retransmits;
        }
        out.megabits = static_cast<double>(received) * 8'000 / ns;
        return out;
    }

    Transfer through_netem(const std::string& words, unsigned flows, std::uint64_t bytes) const
    {
        tc(a(), "qdisc add dev va root netem limit 100000 " + words);
        const auto out = transfer(flows, bytes);
        tc(a(), "qdisc del dev va root");
        return out;
    }

    Transfer through_headwind(const std::string& words, unsigned flows, std::uint64_t bytes) const
    {
        change(a(), "add --name g --dev va --proto tcp " + words);
        const auto out = transfer(flows, bytes);
        change(a(), "clear");
        return out;
    }
};

RUNS_IN("Goodput.*", nowhere, linux_6_12);

TEST_F(Goodput, IsThatOfNetem)
{
    for (const unsigned flows : {1U, 4U}) {
        for (const auto& [delay, bytes] :
             std::initializer_list<std::pair<std::string, std::uint64_t>>{{"20ms", 64 << 20}, {"100ms", 96 << 20}}) {
            std::vector<double> ratios;
            unsigned bare = 0, ours = 0, theirs = 0;
            for (int round = 0; round < 9; ++round) {
                const auto netem = through_netem("delay " + delay, flows, bytes);
                const auto headwind = through_headwind("--delay " + delay, flows, bytes);
                bare += transfer(flows, bytes).retransmits;
                ratios.push_back(headwind.megabits / netem.megabits);
                ours += headwind.retransmits;
                theirs += netem.retransmits;
                fmt::print("[  FIGURES ] {} flows, {}: netem {:.0f} Mbit/s, headwind {:.0f} Mbit/s, ratio {:.3f}\n",
                           flows, delay, netem.megabits, headwind.megabits, ratios.back());
            }
            std::sort(ratios.begin(), ratios.end());
            fmt::print("[  FIGURES ] {} flows, {}: median {:.3f}, retransmissions bare {}, netem {}, headwind {}\n",
                       flows, delay, ratios[4], bare, theirs, ours);
            EXPECT_LE(ours, bare + theirs);
            EXPECT_GE(ratios[4], 0.8)
                << "a guest's CPUs take turns; for the figures run it with tools/guest --parallel";
        }
    }
}

}  // namespace
}  // namespace headwind::test::goodput_test
