// SPDX-License-Identifier: MIT
// Looks at the rules without the lock, as agents and `list` do, while commands take rules away.
#include <atomic>
#include <fstream>
#include <thread>

#include "agent/pending.h"
#include "engine/engine.h"
#include "net_test.h"

namespace headwind::test::look_test {
namespace {

class Look : public PairTest {
protected:
    // So many that a look takes longer than it takes a command to begin to erase them.
    static constexpr unsigned many = 10'000;

    void add_rules_with_leases() const
    {
        const auto file = testing::TempDir() + "headwind-look";
        std::ofstream lines(file);
        for (unsigned i = 0; i < many; ++i)
            lines << fmt::format("add --name r{} --loss 1% --remote-port {} --lease 1s\n", i, 1000 + i);
        lines.close();
        change(a(), "batch --yes " + file);
        std::filesystem::remove(file);
    }
};

TEST_F(Look, FindsNoRuleHalfRemoved)
{
    change(a(), "add --name other --loss 1% --remote-port 9 --max-rules 16384");
    for (int round = 0; round < 2; ++round) {
        add_rules_with_leases();
        std::this_thread::sleep_for(std::chrono::milliseconds(1'100));
        std::atomic<bool> stop{false};
        std::string first_error;
        unsigned looks = 0;
        std::thread looking([&] {
            const Inside inside(a());
            const auto note = [&](const auto& result) {
                if (!result && first_error.empty()) first_error = result.error().message;
            };
            for (; !stop; ++looks) note(find_pending_work(0, boottime_ns()));
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        change(a(), fmt::format("change other --priority {}", round));
        stop = true;
        looking.join();
        EXPECT_EQ(first_error, "") << "after at most " << looks << " looks";
        EXPECT_EQ(names_of(a()).size(), 1U);
    }
}

// An instance that is made after `list` has seen that there is none, and before it looks for programs without one.
TEST_F(Look, DuringTheFirstAddFindsNoProgramsWithoutRules)
{
    Process list(&a(), words("strace -f -qq -e trace=bpf -e inject=bpf:delay_enter=3s:when=1 " + headwind_binary() +
                             " list --json"));
    ASSERT_TRUE(eventually([&list] { return list.err().find("bpf(") != std::string::npos; })) << list.err();
    change(a(), "add --name first --loss 1%");
    const auto output = list.wait();
    expect_ok(output);
    EXPECT_EQ(parse_json(output)["rules"].size(), 1U);
}

}  // namespace
}  // namespace headwind::test::look_test
