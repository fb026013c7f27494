// SPDX-License-Identifier: MIT
// Tests rules that change while packets flow: no packet slips through, counters go on, a change is whole or none.
#include "net_test.h"

#include <filesystem>
#include <fstream>
#include <random>

namespace headwind::test::change_test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr int kills = 10;

class Change : public PairTest {
protected:
    // Runs `headwind batch` with these lines.
    Output batch(const std::string& lines) const
    {
        std::ofstream(file()) << lines;
        auto output = headwind(a(), "batch " + file());
        std::filesystem::remove(file());
        return output;
    }
    static std::string file() { return testing::TempDir() + "headwind-batch-" + std::to_string(getpid()); }

    // Expects that a command was refused with this code and these words, and that the rules are still `before`.
    void expect_refused(const Output& output, int code, const std::string& text, const nlohmann::json& before) const
    {
        EXPECT_EQ(output.status, code) << output.out;
        EXPECT_THAT(output.err, HasSubstr(text));
        EXPECT_EQ(output.out, "");
        EXPECT_EQ(rules_of(a()), before) << text;
    }
};

// Sends from a namespace, as fast as possible, until end().
class Flood {
public:
    Flood(const Namespace& from, const Endpoint& to, std::size_t segments)
        : thread_([this, &from, to, segments] {
              const OnCpu other(1);
              packets_ = send_udp(from, to,
                                  {.count = 1'000'000'000,
                                   .size = 200,
                                   .segments = segments,
                                   .per_second = slow_machine() ? 5'000U : 1'000'000'000U,
                                   .stop = &stop_})
                             .packets;
          })
    {
    }
    Flood(const Flood&) = delete;
    Flood& operator=(const Flood&) = delete;
    ~Flood() { end(); }
    std::size_t end()
    {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
        return packets_;
    }

private:
    std::atomic<bool> stop_{false};
    std::size_t packets_ = 0;
    std::thread thread_;
};

RUNS_IN("Change.*", native, sanitized);

TEST_F(Change, NoPacketSlipsThrough)
{
    const char* forms[] = {"--loss 100% --direction out", "--partition --direction out"};
    change(a(), std::string("add --name r --proto udp ") + forms[1]);
    UdpSink single_sink(b(), {Pair::b4, 5000}), super_sink(b(), {Pair::b4, 5001});
    Flood single(a(), {Pair::b4, 5000}, 1), super(a(), {Pair::b4, 5001}, 20);
    const std::size_t times = takes_long() ? 200 : scaled(80, 20);
    for (std::size_t i = 0; i < times; ++i) change(a(), std::string("change r ") + forms[i % 2]);
    const auto sent = single.end() + super.end();
    const auto counters = counters_of(a(), "r");
    EXPECT_GT(sent, times * scaled(500, 50));
    EXPECT_EQ(single_sink.finish().size() + super_sink.finish().size(), 0U);
    EXPECT_EQ(counters.packets, sent);
    EXPECT_EQ(counters.loss + counters.partition, sent);
    EXPECT_GT(counters.loss, 0U);
    EXPECT_GT(counters.partition, 0U);
}

// With two commands instead of one packets do slip through, so the test above would find them.
TEST_F(Change, BetweenDelAndAddPacketsSlipThrough)
{
    change(a(), "add --name other --pass --remote-port 9");
    change(a(), "add --name r --proto udp --partition");
    UdpSink sink(b(), {Pair::b4, 5000});
    Flood flood(a(), {Pair::b4, 5000}, 1);
    change(a(), "del r");
    EXPECT_TRUE(eventually([&] { return sink.count() > 0; }));
    change(a(), "add --name r --proto udp --partition");
}

TEST_F(Change, CountersNeverGoBack)
{
    change(a(), "add --name r --proto udp --partition");
    Flood flood(a(), {Pair::b4, 5000}, 1);
    std::atomic<bool> stop{false};
    std::size_t looks = 0;
    std::thread watcher([&] {
        for (Counters last; !stop; ++looks) {
            const auto output = headwind(a(), "stats --json r");
            ASSERT_EQ(output.status, 0) << "look " << looks << ": " << output.err;
            const auto now = counters_of(a(), "r");
            EXPECT_GE(now.packets, last.packets);
            EXPECT_GE(now.bytes, last.bytes);
            EXPECT_GE(now.partition, last.partition);
            EXPECT_GE(now.loss, last.loss);
            last = now;
        }
    });
    const char* forms[] = {"--loss 100%", "--partition --direction out", "--loss 50% --remote-port 5000",
                           "--pass --remote-port any"};
    const std::size_t times = scaled(32, 12);
    for (std::size_t i = 0; i < times; ++i) change(a(), std::string("change r ") + forms[i % 4]);
    stop = true;
    watcher.join();
    EXPECT_GT(looks, 10U);
    const auto sent = flood.end();
    EXPECT_EQ(sent, counters_of(a(), "r").packets);
}

TEST_F(Change, WhatIsNotNamedStays)
{
    change(a(), "add --name r --loss 10% --duplicate 5% --proto udp --remote-port 5000 --for 1h --priority 7");
    const auto before = rules_of(a())[0];
    change(a(), "change r --loss 20%");
    auto after = rules_of(a())[0];
    EXPECT_EQ(after["impairment"]["loss_percent"], 20);
    EXPECT_EQ(after["impairment"]["duplicate_percent"], 5);
    for (const auto& [key, value] : before.items())
        if (key != "impairment" && key != "id" && key != "sentence") {
            EXPECT_EQ(after[key], value) << key;
        }
    change(a(), "change r --duplicate off --remote-port any --for off");
    after = rules_of(a())[0];
    EXPECT_FALSE(after["impairment"].contains("duplicate_percent"));
    EXPECT_THAT(headwind(a(), "list").out, Not(AnyOf(HasSubstr("5000"), HasSubstr("until"), HasSubstr("duplicate"))));
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("loss 20%"));
}

TEST_F(Change, ToZeroAndBackAgain)
{
    const auto arrived = [this] { return deliver(a(), b(), {Pair::b4, 5000}, {.count = 50}); };
    change(a(), "add --name p --loss 100% --proto udp --port 5000");
    EXPECT_EQ(arrived(), 0U);
    change(a(), "change p --loss 0%");
    EXPECT_EQ(arrived(), 50U);
    EXPECT_EQ(rule_of(a(), "p")["impairment"]["loss_percent"], 0);
    change(a(), "change p --loss 100%");
    change(a(), "change p --pass");
    EXPECT_EQ(arrived(), 50U);
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr("pass in place of loss 100%"));
    change(a(), "add --name q --loss 100% --port 5002");
    change(a(), "change q --pass");
    EXPECT_EQ(batch("change --pass off p q\n").status, 0);
    EXPECT_EQ(arrived(), 0U);
    for (const char* words : {"q --pass=off p", "p --pass off q"}) {
        change(a(), "change p q --pass");
        change(a(), std::string("change ") + words);
        for (const char* name : {"p", "q"}) EXPECT_EQ(rule_of(a(), name)["impairment"]["loss_percent"], 100) << words;
    }
    expect_refused(headwind(a(), "change p --pass off"), 2, "--pass off: the rule has none: loss 100%", rules_of(a()));
    EXPECT_THAT(headwind(a(), "add --name none --delay 0ms --port 5001").out,
                HasSubstr("none: all that it asks for is 0: its packets go unimpaired"));
}

TEST_F(Change, TakesEffectAtOnce)
{
    change(a(), "add --name r --partition --proto udp --remote-port 5000 --for 1h");
    EXPECT_EQ(arrive(), 0U);
    change(a(), "change r --remote-port 5001");
    EXPECT_EQ(arrive(), 100U);
    EXPECT_EQ(arrive({}, {Pair::b4, 5001}), 0U);
    change(a(), "change r --remote-port any --remote 10.77.0.0/24");
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(arrive({}, {Pair::b6, 5000}), 100U);
    change(a(), "change r --direction in");
    EXPECT_EQ(arrive(), 100U);
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 0U);
    change(a(), "change r --dev lo --remote any --direction both");
    EXPECT_EQ(deliver(b(), a(), {Pair::a4, 5000}), 100U);
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 0U);
    change(a(), "change r --for 1ms");
    usleep(2'000);
    EXPECT_EQ(deliver(a(), a(), {"127.0.0.1", 5000}), 100U);
    EXPECT_EQ(counters_of(a(), "r").partition, 400U);
}

TEST_F(Change, SeveralAtOnceOrNone)
{
    for (const std::string port : {"1", "2", "3"})
        change(a(), "add --name r" + port + " --loss 10% --remote-port " + port);
    const auto output = change(a(), "change r1 r3 --loss 30%");
    EXPECT_THAT(output.out, AllOf(HasSubstr("r1: "), HasSubstr("r3: "), Not(HasSubstr("r2: "))));
    for (auto& rule : rules_of(a())) EXPECT_EQ(rule["impairment"]["loss_percent"], rule["name"] == "r2" ? 10 : 30);
    const auto before = rules_of(a());
    expect_refused(headwind(a(), "change r1 nobody --loss 40%"), 3, "nobody", before);
    expect_refused(headwind(a(), "change r1 r2 r1 --loss 40%"), 2, "r1 is named twice", before);
    expect_refused(headwind(a(), "change r1 --loss 40"), 2, "--loss", before);
    expect_refused(headwind(a(), "change r1 --loss off"), 2, "r1: ", before);
    expect_refused(headwind(a(), "change r1 --dev nowhere"), 3, "nowhere", before);
    expect_refused(headwind(a(), "change r1 --jitter 5ms"), 2, "--jitter", before);
    expect_refused(headwind(a(), "change r1 r2 --cgroup /nowhere --for ever"), 3, "nowhere", before);
    expect_refused(headwind(b(), "change r1 --loss 40%"), 3, "r1", before);
}

// ---- batch -------------------------------------------------------------------------------------------------------

TEST_F(Change, ABatchDoesAllItsLines)
{
    change(a(), "add --name old --partition --remote-port 1");
    change(a(), "add --name kept --loss 10% --remote-port 2");
    const auto output =
        batch("# a comment\n\n  add --name new --partition --remote-port 5000\nchange kept --loss 20%\ndel old\n");
    expect_ok(output);
    EXPECT_THAT(output.out, AllOf(HasSubstr("new: "), HasSubstr("kept: "), HasSubstr("removed old")));
    EXPECT_THAT(names_of(a()), UnorderedElementsAre("new", "kept"));
    EXPECT_EQ(arrive(), 0U);
    expect_ok(run(&a(), {"sh", "-c", "printf 'del new\\ndel kept\\n' | " + headwind_binary() + " batch -"}));
    EXPECT_THAT(names_of(a()), UnorderedElementsAre());
    EXPECT_EQ(arrive(), 100U);
}

TEST_F(Change, ABatchThatIsRefusedNamesTheLineAndChangesNothing)
{
    const auto clean = footprint(a());
    EXPECT_EQ(batch("add --name x --loss 1%\nadd --name y --loss 1\n").status, 2);
    EXPECT_EQ(footprint(a()), clean);
    change(a(), "add --name x --partition --remote-port 1");
    const auto before = rules_of(a());
    const auto line = [](int number) { return file() + ":" + std::to_string(number) + ": "; };
    expect_refused(batch("change x --remote-port 2\nadd --name y --loss 5\n"), 2, line(2), before);
    expect_refused(batch("change x --remote-port 2\n\n# no\nfly x\n"), 2, line(4), before);
    expect_refused(batch("change x --remote-port 2\nadd --loss 5%\n"), 2, line(2), before);
    expect_refused(batch("change x --remote-port 2\ndel nobody\n"), 3, "nobody", before);
    expect_refused(batch("change x --remote-port 2\nchange nobody --loss 1%\n"), 3, "nobody", before);
    expect_refused(batch("change x --remote-port 2\ndel x\n"), 2, "x is named twice", before);
    expect_refused(batch("add --name y --loss 1%\nadd --name x --loss 1%\n"), 2, "x", before);
    expect_refused(batch("change x --remote-port 2\nadd --name y --loss 1% --dev nowhere\n"), 3, "nowhere", before);
    expect_refused(headwind(a(), "batch /nowhere"), 1, "/nowhere", before);
}

// Either port 1 or port 2 is cut off, never both and never none. Each packet tells which: one to port 1 that passed, or
// one to port 2 that did not, means "2". The sender's next packet meets the same rules or later ones, so the answer
// changes as often as the rules did; any other mixture of rules adds changes that no batch explains.
class Swap : public Change {
protected:
    static constexpr std::uint16_t first_port = 5001, second_port = 5002;

    void start() { change(a(), "add --name one --partition --direction out --remote-port 5001"); }
    static std::string to_second()
    {
        return "del one\nadd --name two --partition --direction out --remote-port 5002\n";
    }
    static std::string to_first() { return "del two\nadd --name one --partition --direction out --remote-port 5001\n"; }

    // The number of times that the packets' answer changed while `swaps` ran.
    template <class Swaps>
    std::size_t changes_seen(Swaps swaps) const
    {
        UdpSink first(b(), {Pair::b4, first_port}), second(b(), {Pair::b4, second_port});
        std::atomic<bool> stop{false};
        auto& sent = sent_;
        sent = 0;
        std::thread sender([&] {
            const Fd sockets[] = {connected_udp(a(), {Pair::b4, first_port}),
                                  connected_udp(a(), {Pair::b4, second_port})};
            for (; !stop; ++sent) {
                const Stamp stamp{0, sent, 0};
                EXPECT_EQ(send(sockets[sent % 2].get(), &stamp, sizeof(stamp), 0), static_cast<ssize_t>(sizeof(stamp)));
                if (sent % 100 == 99) wait_for_backlogs();
                if (sent % 500 == 499) usleep(slow_machine() ? 20'000 : 500);  // let the receiver keep up
            }
        });
        wait_for_packets();
        swaps();
        wait_for_packets();
        stop = true;
        sender.join();
        std::vector<bool> passed(sent);
        for (auto* sink : {&first, &second})
            for (const auto& arrival : sink->finish()) passed.at(arrival.stamp.sequence) = true;
        std::size_t changes = 0;
        for (std::size_t i = 1; i < passed.size(); ++i) {
            const bool before = passed[i - 1] == ((i - 1) % 2 == 0), now = passed[i] == (i % 2 == 0);
            changes += before != now ? 1 : 0;
        }
        RecordProperty("packets", static_cast<int>(sent));
        return changes;
    }
    // Waits until some packets have been sent with the rules as they are now.
    void wait_for_packets() const
    {
        EXPECT_TRUE(eventually([this, from = sent_.load()] { return sent_ > from + 10; }));
    }

private:
    mutable std::atomic<std::uint32_t> sent_{0};
};

TEST_F(Swap, PacketsSeeTheRulesBeforeOrAfterABatch)
{
    start();
    const std::size_t times = takes_long() ? 200 : scaled(80, 16);
    const auto changes = changes_seen([&] {
        for (std::size_t i = 0; i < times; ++i) {
            expect_ok(batch(i % 2 == 0 ? to_second() : to_first()));
            wait_for_packets();
        }
    });
    EXPECT_EQ(changes, times);
}

TEST_F(Swap, TwoCommandsShowAMixture)
{
    start();
    const auto changes = changes_seen([&] {
        change(a(), "add --name two --partition --direction out --remote-port 5002");
        change(a(), "del one");
    });
    EXPECT_GT(changes, 10U);
}

TEST_F(Swap, KilledItLeavesTheOldRulesOrTheNew)
{
    const auto clean = footprint(a());
    start();
    const auto blocked = [this](std::uint16_t port) { return arrive({.count = 20}, {Pair::b4, port}) == 0; };
    const auto before = monotonic_ns();
    expect_ok(batch(to_second()));
    const auto usual_us = (monotonic_ns() - before) / 1000;
    std::mt19937 dice(20261123);
    int hits = 0;
    std::size_t moved = 0;
    bool first = false;  // whether it is the first port that is cut off
    for (int i = 0; hits < kills && i < 200; ++i) {
        std::ofstream(file()) << (first ? to_second() : to_first());
        Process process(&a(), words(headwind_binary() + " batch " + file()));
        std::this_thread::sleep_for(std::chrono::microseconds(dice() % static_cast<unsigned>(usual_us)));
        const bool was_running = process.running();
        process.signal(SIGKILL);
        process.wait();
        std::filesystem::remove(file());
        const bool now = blocked(first_port);
        SCOPED_TRACE("kill " + std::to_string(hits));
        ASSERT_NE(now, blocked(second_port));
        ASSERT_THAT(names_of(a()), UnorderedElementsAre(now ? "one" : "two"));
        if (was_running) ++hits;
        if (was_running && now != first) ++moved;
        first = now;
    }
    EXPECT_EQ(hits, kills);
    RecordProperty("killed after the commit", static_cast<int>(moved));
    change(a(), "clear");
    expect_footprint(a(), clean);
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/headwind"));
    EXPECT_EQ(arrive(), 100U);
}

TEST_F(Swap, AKilledChangeLeavesTheOldRulesOrTheNew)
{
    const auto clean = footprint(a());
    change(a(), "add --name x --partition --direction out --remote-port 5001");
    const auto before = monotonic_ns();
    change(a(), "change x --remote-port 5002");
    const auto usual_us = (monotonic_ns() - before) / 1000;
    std::mt19937 dice(20261124);
    for (int i = 0; i < kills; ++i) {
        Process process(&a(), words(headwind_binary() + " change x --remote-port " + (i % 2 == 0 ? "5001" : "5002")));
        std::this_thread::sleep_for(std::chrono::microseconds(dice() % static_cast<unsigned>(usual_us)));
        process.signal(SIGKILL);
        process.wait();
        SCOPED_TRACE("kill " + std::to_string(i));
        const auto first = arrive({.count = 20}, {Pair::b4, first_port});
        ASSERT_EQ(first + arrive({.count = 20}, {Pair::b4, second_port}), 20U);
        ASSERT_THAT(names_of(a()), UnorderedElementsAre("x"));
        EXPECT_GT(counters_of(a(), "x").partition, 0U);
    }
    change(a(), "clear");
    expect_footprint(a(), clean);
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/headwind"));
    EXPECT_EQ(arrive(), 100U);
}

}  // namespace
}  // namespace headwind::test::change_test
