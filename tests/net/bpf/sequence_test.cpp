// SPDX-License-Identifier: MIT
// Rules whose packets' events depend on each other, under real traffic: exact with several CPUs and super-packets.
#include "net_test.h"

#include <bpf/bpf.h>
#include <nlohmann/json.hpp>

#include <headwind/sequence.h>

#include "event_series.h"
#include "rule_files.h"

namespace headwind::test::sequence_test {
namespace {

class Sequence : public PairTest {
protected:
    // How many events the rule's sequence has for its first `packets` packets.
    std::uint64_t expected(hw_event event, std::uint64_t packets) const
    {
        const auto folder = std::string(pins) + "/" + std::to_string(a().inode());
        const Fd map(bpf_obj_get((folder + "/sequences").c_str()));
        std::uint32_t id = 0;
        hw_sequence sequence{};
        EXPECT_EQ(bpf_map_get_next_key(map.get(), nullptr, &id), 0);
        EXPECT_EQ(bpf_map_lookup_elem(map.get(), &id, &sequence), 0);
        hw_progress progress{};
        hw_sequence_begin(&sequence, &progress, id, HW_OUT);
        std::uint64_t events = 0;
        for (std::uint64_t i = 0; i < packets; ++i) events += hw_sequence_step(&sequence, &progress) >> event & 1;
        return events;
    }
    // Sends one packet after the other from one CPU; their numbers are those of the sequence.
    EventSeries send_one_by_one(hw_event event, std::size_t count) const
    {
        UdpSink sink(b(), {Pair::b4, 5000});
        {
            const OnCpu here(0);
            EXPECT_EQ(send_udp(a(), {Pair::b4, 5000}, {.count = count}).failed, 0U);
        }
        std::vector<unsigned> came(count);
        for (const auto& arrival : sink.finish()) ++came[arrival.stamp.sequence];
        EventSeries series;  // a corrupt packet's checksum is wrong: it does not come either
        for (const auto times : came) series.add(times == (event == HW_EVENT_DUPLICATE ? 2 : 0));
        return series;
    }
    // Sends the flow from two CPUs at once.
    void expect_as_one_cpu_would(const Flow& flow) const
    {
        std::vector<std::thread> senders;
        UdpSink one(b(), {Pair::b4, 5000}), other(b(), {Pair::b4, 5001});
        for (unsigned cpu = 0; cpu < 2; ++cpu)
            senders.emplace_back([&, cpu] {
                const OnCpu here(cpu);
                EXPECT_EQ(send_udp(a(), {Pair::b4, static_cast<std::uint16_t>(5000 + cpu)}, flow).failed, 0U);
            });
        for (auto& sender : senders) sender.join();
        const auto counters = counters_of(a(), "bursts");
        EXPECT_EQ(counters.packets, 2 * flow.count);
        EXPECT_EQ(counters.loss, expected(HW_EVENT_LOSS, counters.packets));
        EXPECT_GT(counters.loss, 0U);
    }
};

RUNS_IN("Sequence.*", native, linux_6_12 | linux_6_1);
RUNS_IN("Sequence.IsTheSame*", native, linux_6_12 | linux_6_1);

TEST_F(Sequence, ShareAndCorrelationAreAsAsked)
{
    struct Case {
        hw_event event;
        std::string flag;
        unsigned share, correlation;  // percent
    };
    const std::size_t count = scaled(200'000, 20'000);
    for (const auto& [event, flag, share, correlation] : {Case{HW_EVENT_LOSS, "--loss", 10, 50},
                                                          {HW_EVENT_LOSS, "--loss", 1, 25},
                                                          {HW_EVENT_LOSS, "--loss", 50, 90},
                                                          {HW_EVENT_DUPLICATE, "--duplicate", 50, 90},
                                                          {HW_EVENT_CORRUPT, "--corrupt", 10, 50}}) {
        const auto words = fmt::format("{0} {1}% {0}-correlation {2}%", flag, share, correlation);
        SCOPED_TRACE(words);
        change(a(), "add --name bursts --replace --proto udp " + words);
        const auto series = send_one_by_one(event, count);
        const auto counters = counters_of(a(), "bursts");
        const std::uint64_t counted[] = {counters.loss, counters.corrupted, counters.duplicated};
        EXPECT_EQ(counted[event], series.events) << "else packets were lost elsewhere";
        EXPECT_EQ(series.events, expected(event, count));
        EXPECT_GT(count_p_value(series, correlated_chain(share / 100.0, correlation / 100.0)), alpha) << series.events;
        EXPECT_GT(transitions_p_value(series, share / 100.0, correlation / 100.0), alpha) << correlation_of(series);
        change(a(), "clear");
    }
}

TEST_F(Sequence, IsTheSameOnTwoCpusAtOnce)
{
    Arguments add{headwind_binary(), "add", "--name", "bursts", "--proto", "udp", "--loss-model"};
    add.emplace_back("gemodel 5% 20% 90% 1%");
    expect_ok(run(&a(), add));
    expect_as_one_cpu_would({.count = scaled(200'000, 10'000)});
}

TEST_F(Sequence, IsTheSameForSuperPackets)
{
    for (const auto* const words :
         {"--loss 1% --loss-burst 3", "--loss-nth 100", "--loss 0.1% --loss-correlation 50%"}) {
        SCOPED_TRACE(words);
        change(a(), std::string("add --name bursts --replace --proto udp ") + words);
        expect_as_one_cpu_would({.count = scaled(300'000, 30'000), .size = 1000, .segments = 50});
        change(a(), "clear");
    }
}

// ---- seeds: what `headwind fate` prints is what the wire shows ----

class Seed : public PairTest {
protected:
    nlohmann::json fate_of(const std::string& words, std::size_t packets) const
    {
        const auto printed = headwind(a(), "fate --json " + words + " -n " + std::to_string(packets));
        expect_ok(printed);
        return nlohmann::json::parse(printed.out);
    }
    static std::uint64_t lost(const nlohmann::json& fate)
    {
        return static_cast<std::uint64_t>(
            std::count_if(fate.begin(), fate.end(), [](const auto& one) { return one["lost"] == true; }));
    }
};

RUNS_IN("Seed.*", native, linux_6_12 | linux_6_1);

TEST_F(Seed, DecidesEachPacket)
{
    const std::size_t count = 10'000;
    for (const auto& [words, flow] : {std::pair{"--loss 10% --duplicate 5%", Flow{.count = count}},
                                      {"--loss 1% --duplicate 1% --duplicate-correlation 30%",
                                       Flow{.count = count, .size = 1000, .segments = 50}}}) {
        SCOPED_TRACE(words);
        const auto fate = fate_of("--seed 7 " + std::string(words), count);
        change(a(), std::string("add --name seed --proto udp --seed 7 ") + words);
        UdpSink sink(b(), {Pair::b4, 5000});
        {
            const OnCpu here(0);
            EXPECT_EQ(send_udp(a(), {Pair::b4, 5000}, flow).failed, 0U);
        }
        std::vector<unsigned> came(count);
        for (const auto& arrival : sink.finish()) ++came[arrival.stamp.sequence];
        for (std::size_t n = 0; n < count; ++n) {
            const auto& one = fate[n];
            ASSERT_EQ(came[n], one["lost"] == true ? 0U : !one["copy_delay_ns"].is_null() ? 2U : 1U) << n;
        }
        change(a(), "clear");
    }
}

// A list of losses, packet by packet, also where 50 are sent in one piece; `fate` says the same, whatever the seed.
TEST_F(Seed, ListedPacketsAreLost)
{
    const TextFile list("3 # the third\n500-505, 9999\n");
    const std::size_t count = 10'000;
    const auto words = "--loss-pattern " + list.path();
    for (const auto& flow : {Flow{.count = count}, Flow{.count = count, .size = 1000, .segments = 50}}) {
        change(a(), "add --name list --proto udp " + words);
        UdpSink sink(b(), {Pair::b4, 5000});
        {
            const OnCpu here(0);
            EXPECT_EQ(send_udp(a(), {Pair::b4, 5000}, flow).failed, 0U);
        }
        std::vector<std::size_t> missing;
        std::vector<bool> came(count);
        for (const auto& arrival : sink.finish()) came[arrival.stamp.sequence] = true;
        const auto fate = fate_of(words, count);
        for (std::size_t n = 0; n < count; ++n) {
            if (!came[n]) missing.push_back(n + 1);
            ASSERT_EQ(fate[n]["lost"], !came[n]) << n;
        }
        EXPECT_EQ(missing, (std::vector<std::size_t>{3, 500, 501, 502, 503, 504, 505, 9999}));
        change(a(), "clear");
    }
}

TEST_F(Seed, IsTheSameOnTwoCpusAtOnce)
{
    const std::size_t count = scaled(10'000, 5'000);
    change(a(), "add --name seed --proto udp --seed 7 --loss 10%");
    UdpSink one(b(), {Pair::b4, 5000}), other(b(), {Pair::b4, 5001});
    std::vector<std::thread> senders;
    for (unsigned cpu = 0; cpu < 2; ++cpu)
        senders.emplace_back([&, cpu] {
            const OnCpu here(cpu);
            send_udp(a(), {Pair::b4, static_cast<std::uint16_t>(5000 + cpu)}, {.count = count});
        });
    for (auto& sender : senders) sender.join();
    EXPECT_EQ(counters_of(a(), "seed").loss, lost(fate_of("--seed 7 --loss 10%", 2 * count)));
}

}  // namespace
}  // namespace headwind::test::sequence_test
