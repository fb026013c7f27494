// SPDX-License-Identifier: MIT
// What netem's words get by netem and by Headwind, in the same guest and virtual time: tools/bench --fidelity prints
// the table, README has it.
#include <cmath>

#include <gtest/gtest.h>

#include "delay_series.h"
#include "event_series.h"
#include "measure.h"
#include "rule_test.h"
#include "verify/expected.h"

namespace headwind::test::fidelity_test {
namespace {

constexpr double ms = 1e6;
constexpr std::size_t packets = 20'000;

// What packets met: whether each came, and the delays, ns, of those that came once.
struct Measured {
    EventSeries losses, copies;
    std::vector<double> delays;   // in the order of sending
    std::uint64_t reordered = 0;  // RFC 4737
    double early = 0;             // share that came in less than half the delay
};

class GuestFidelity : public testing::Test {
protected:
    Measured measure(double delay) const
    {
        Flow flow;
        flow.count = packets;
        flow.per_second = 1000;
        const auto arrivals = send_and_receive(pair_.a, pair_.b, target, flow);
        std::vector<unsigned> came(packets);
        std::vector<double> took(packets);
        for (const auto& arrival : arrivals) {
            ++came.at(arrival.stamp.sequence);
            took.at(arrival.stamp.sequence) = static_cast<double>(arrival.arrived_ns - arrival.stamp.sent_ns);
        }
        Measured out;
        for (std::size_t n = 0; n < packets; ++n) {
            out.losses.add(came[n] == 0);
            out.copies.add(came[n] > 1);
            if (came[n] == 1) out.delays.push_back(took[n]);
        }
        std::vector<std::uint32_t> sequences;
        for (const auto& arrival : arrivals) sequences.push_back(arrival.stamp.sequence);
        out.reordered = verify::count_reordered(sequences);
        const auto early = std::count_if(out.delays.begin(), out.delays.end(), [=](double x) { return x < delay / 2; });
        out.early = static_cast<double>(early) / static_cast<double>(std::max<std::size_t>(1, out.delays.size()));
        return out;
    }
    // By netem, then by Headwind.
    std::pair<Measured, Measured> both(const std::string& words, bool compatible = false) const
    {
        const auto delay = static_cast<double>(rule_test::valid("--netem '" + words + "'").impairment.delay);
        tc(pair_.a, "qdisc replace dev va root netem limit 100000 " + words);
        auto by_netem = measure(delay);
        tc(pair_.a, "qdisc del dev va root");
        Arguments add{headwind_binary(), "add", "--name", "f", "--dev", "va", "--proto", "udp", "--netem", words};
        if (compatible) add.emplace_back("--netem-compatible");
        EXPECT_EQ(run(&pair_.a, add).status, 0) << words;
        auto by_headwind = measure(delay);
        EXPECT_EQ(headwind(pair_.a, "clear").status, 0);
        return {std::move(by_netem), std::move(by_headwind)};
    }
    static void print(const std::string& words, const char* what, double asked, double netem, double headwind,
                      const char* unit)
    {
        const auto text = [unit](double x) { return std::isfinite(x) ? fmt::format("{:.2f} {}", x, unit) : "-"; };
        fmt::print("fidelity: {:<44} {:<26} {:>9} {:>9} {:>9}\n", words, what, text(asked), text(netem),
                   text(headwind));
    }
    // Share and lag-1 of one kind of event.
    void events(const std::string& words, const char* what, EventSeries Measured::*kind, double share,
                double correlation) const
    {
        const auto [netem, headwind] = both(words);
        const auto share_of = [kind](const Measured& by) {
            return 100 * static_cast<double>((by.*kind).events) / static_cast<double>((by.*kind).packets);
        };
        print(words, what, 100 * share, share_of(netem), share_of(headwind), "%");
        print("", "of a packet with the next", 100 * correlation, 100 * correlation_of(netem.*kind),
              100 * correlation_of(headwind.*kind), "%");
        EXPECT_GT(count_p_value(headwind.*kind, correlated_chain(share, correlation)), 1e-6);
        EXPECT_GT(transitions_p_value(headwind.*kind, share, correlation), 1e-6);
    }
    // Standard deviation and lag-1 of the delays, 50 +- 10 ms.
    void delays(const std::string& words, double sd, double correlation) const
    {
        const auto [netem, headwind] = both(words);
        const auto by_netem = sample_moments(netem.delays), by_headwind = sample_moments(headwind.delays);
        print(words, "mean", 50, by_netem.mean / ms, by_headwind.mean / ms, "ms");
        print("", "standard deviation", sd, by_netem.sd / ms, by_headwind.sd / ms, "ms");
        print("", "of a packet with the next", 100 * correlation, 100 * verify::lag_correlation(netem.delays),
              100 * verify::lag_correlation(headwind.delays), "%");
        EXPECT_NEAR(by_headwind.mean, 50 * ms, 0.5 * ms);
        EXPECT_GT(lag_p_value(headwind.delays, correlation), 1e-6);
    }

    // With --netem-compatible Headwind does what netem does.
    void compatible(const std::string& words, const char* what, EventSeries Measured::*kind) const
    {
        const auto [netem, headwind] = both(words, true);
        const auto share_of = [kind](const Measured& by) {
            return 100 * static_cast<double>((by.*kind).events) / static_cast<double>((by.*kind).packets);
        };
        print(words + " (compatible)", what, NAN, share_of(netem), share_of(headwind), "%");
        print("", "of a packet with the next", NAN, 100 * correlation_of(netem.*kind),
              100 * correlation_of(headwind.*kind), "%");
        const double sd = 100 * std::sqrt(2 * 0.25 / packets * 2);  // of the difference; correlated by up to a third
        EXPECT_NEAR(share_of(headwind), share_of(netem), 5 * sd);
    }
    // Packets out of order, and the moments of the delays, which are netem's: behind the delay is a queue.
    void order(const std::string& words) const
    {
        const auto [netem, headwind] = both(words);
        const auto by_netem = sample_moments(netem.delays), by_headwind = sample_moments(headwind.delays);
        print(words, "out of order", 0, static_cast<double>(netem.reordered), static_cast<double>(headwind.reordered),
              "");
        print("", "mean", NAN, by_netem.mean / ms, by_headwind.mean / ms, "ms");
        print("", "standard deviation", NAN, by_netem.sd / ms, by_headwind.sd / ms, "ms");
        EXPECT_EQ(headwind.reordered, 0U);
        EXPECT_NEAR(by_headwind.mean, by_netem.mean, 0.2 * ms);
        EXPECT_NEAR(by_headwind.sd, by_netem.sd, 0.2 * ms);
    }

private:
    Pair pair_;
};

RUNS_IN("GuestFidelity.*", nowhere, virtual_6_12);

TEST_F(GuestFidelity, BesideNetem)
{
    settle();
    fmt::print("fidelity: {:<44} {:<26} {:>9} {:>9} {:>9}\n", "words", "", "asked", "netem", "Headwind");
    events("loss 1% 25%", "lost", &Measured::losses, 0.01, 0.25);
    events("loss 25% 25%", "lost", &Measured::losses, 0.25, 0.25);
    events("duplicate 5% 50%", "sent twice", &Measured::copies, 0.05, 0.5);
    delays("delay 50ms 10ms", 10 / std::sqrt(3.0), 0);
    delays("delay 50ms 10ms 25%", 10 / std::sqrt(3.0), 0.25);
    delays("delay 50ms 10ms distribution normal", 10, 0);
    delays("delay 50ms 10ms distribution pareto", 10, 0);
    delays("delay 50ms 10ms distribution paretonormal", 10, 0);
    order("delay 50ms 10ms rate 100mbit");
    compatible("loss 1% 25%", "lost", &Measured::losses);
    compatible("loss 25% 25%", "lost", &Measured::losses);
    compatible("loss 20% duplicate 20%", "lost", &Measured::losses);
    compatible("loss 20% duplicate 20%", "sent twice", &Measured::copies);
}

}  // namespace
}  // namespace headwind::test::fidelity_test
