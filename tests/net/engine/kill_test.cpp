// SPDX-License-Identifier: MIT
// Commands are killed with SIGKILL at random instants, then `clear` runs: nothing may be left.
#include "net_test.h"

#include <fcntl.h>
#include <signal.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "host/cgroup.h"
#include "pinned_objects.h"

namespace headwind::test::kill_test {
namespace {

namespace fs = std::filesystem;

constexpr int kills = 20;

std::string backlog()
{
    std::ifstream file("/proc/sys/net/core/netdev_max_backlog");
    std::string value;
    file >> value;
    return value;
}

class Kill : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) home_.emplace();
    }
    // Starts the command and kills it after `instant`. Returns whether it was still running.
    bool kill_at(const std::string& arguments, std::chrono::microseconds instant)
    {
        Process process(&a(), words(headwind_binary() + " " + arguments));
        std::this_thread::sleep_for(instant);
        const bool was_running = process.running();
        process.signal(SIGKILL);
        process.wait();
        objects_.collect();
        return was_running;
    }

    // Expects that rules that are made now do what they say and nothing more, whatever survived.
    void expect_rules_work()
    {
        change(a(), "add --name control --replace --partition --remote-port 5000 --priority 1000");
        change(a(), "add --name spare --replace --pass --remote-port 5001 --priority 1000");
        EXPECT_EQ(arrive({.count = 20}), 0U);
        EXPECT_EQ(arrive({.count = 20}, {Pair::b4, 5001}), 20U);
        objects_.collect();
    }

    std::string some_command(std::mt19937& dice) const
    {
        std::vector<std::string> commands = {"add --name x --replace --loss 50% --remote-port 6000",
                                             "add --name y --replace --partition --dev va",
                                             "add --name z --replace --loss 10% --direction both --for 1h",
                                             "add --name t --replace --ramp loss=0%..90%,over=1s --remote-port 6002",
                                             "change t --ramp loss=90%..0%,over=2s --repeat",
                                             "add --name f --replace --loss 50% --direction in --dev va --xdp native",
                                             "add --name f --replace --partition --dev va --xdp generic",
                                             "del x --if-exists",
                                             "del y z t --if-exists",
                                             "clear",
                                             "clear",
                                             "run --loss 100% -- sleep 1000"};
        if (has_fq()) commands.insert(commands.end(), 2, "add --name d --replace --delay 20ms --remote-port 6001");
        return commands[dice() % commands.size()];
    }

    PinnedObjects objects_;
    std::optional<HomeCgroup> home_;
};

TEST_F(Kill, AtRandomInstantsThenClearLeavesNothing)
{
    const auto before = footprint(a()), backlog_before = backlog();
    constexpr unsigned seed = 20261123;
    std::mt19937 dice(seed);
    int hits = 0;
    for (int i = 0; hits < kills && i < 6 * kills; ++i) {
        const auto command = some_command(dice);
        // Most commands are short, and the first one of an instance is long, so the instants spread evenly over
        // magnitudes.
        const double longest_us = slow_machine() ? 6e6 : 4e5;
        const double part = static_cast<double>(dice()) / static_cast<double>(std::mt19937::max());
        const auto instant = std::chrono::microseconds(static_cast<int>(1000 * std::pow(longest_us / 1000, part)));
        if (!kill_at(command, instant)) continue;
        ++hits;
        SCOPED_TRACE("seed " + std::to_string(seed) + ", kill " + std::to_string(hits) + " of " + command + " after " +
                     std::to_string(instant.count()) + " us");
        if (hits % 4 == 0) expect_rules_work();
        if (hits % 8 == 0) change(a(), "clear");  // so that instances come and go, whatever else the dice say
    }
    EXPECT_EQ(hits, kills);
    EXPECT_GT(objects_.programs.size(), 4U) << "instances came and went";

    change(a(), "clear");
    expect_footprint(a(), before);
    EXPECT_FALSE(fs::exists(pins));
    EXPECT_EQ(backlog(), backlog_before);
    EXPECT_THAT(home_->of_run_commands(), testing::IsEmpty());
    EXPECT_TRUE(eventually([this] { return objects_.alive() == 0; })) << objects_.alive();
    EXPECT_EQ(arrive(), 100U);
}

// The instants of the kills go through the making of an instance, one after the other.
TEST_F(Kill, WhileAnInstanceIsMadeThenClearLeavesNothing)
{
    const auto before = footprint(a());
    const auto start = monotonic_ns();
    change(a(), "add --name x --loss 50%");
    const auto usual_us = (monotonic_ns() - start) / 1000;
    change(a(), "clear");
    const int steps = slow_machine() ? 6 : 12;
    for (int i = 1; i <= steps; ++i) {
        kill_at("add --name x --loss 50%", std::chrono::microseconds(usual_us * i / steps));
        if (i % 3 != 0) continue;  // otherwise the next add meets what is left
        change(a(), "clear");
        expect_footprint(a(), before, "after " + std::to_string(i) + " of " + std::to_string(steps));
        EXPECT_FALSE(fs::exists(pins));
    }
    EXPECT_TRUE(eventually([this] { return objects_.alive() == 0; })) << objects_.alive();
}

// A killed `clear` or `del` must not leave a rule without a way to remove it.
TEST_F(Kill, WhileEverythingIsTakenDownThenClearLeavesNothing)
{
    const auto before = footprint(a());
    const int steps = slow_machine() ? 4 : 6;
    for (int i = 0; i < steps; ++i) {
        change(a(), "add --name x --loss 50%");
        kill_at(i % 2 == 0 ? "clear" : "del x", std::chrono::milliseconds((slow_machine() ? 60 : 10) * i));
        change(a(), "clear");
        expect_footprint(a(), before);
        EXPECT_FALSE(fs::exists(pins));
    }
    EXPECT_TRUE(eventually([this] { return objects_.alive() == 0; })) << objects_.alive();
}

}  // namespace
}  // namespace headwind::test::kill_test
