// SPDX-License-Identifier: MIT
// `headwind verify` on this kernel finds impairments right, and notices those that are broken on purpose.
#include <filesystem>

#include <headwind/testing.h>

#include "net_test.h"

namespace headwind::test::verify_test {
namespace {

using testing::HasSubstr;

class Verify : public NetTest {
protected:
    void SetUp() override
    {
        NetTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) where_.emplace("w");
    }
    void TearDown() override { where_.reset(); }
    const Namespace& where() const { return *where_; }

    static nlohmann::json row_of(const nlohmann::json& report, const std::string& what)
    {
        for (const auto& rule : report.at("rules"))
            for (const auto& row : rule.at("rows"))
                if (row.at("what") == what) return row;
        return nullptr;
    }
    static bool pins_left()
    {
        std::error_code error;
        const std::filesystem::directory_iterator pins("/sys/fs/bpf/headwind", error), end;
        return !error && std::any_of(pins, end, [](const auto& entry) { return entry.is_directory(); });
    }

private:
    std::optional<Namespace> where_;
};

RUNS_IN("Verify.LossIsAsAsked", native, sanitized);
RUNS_IN("Verify.DelayLoss*:Verify.NoticesTheLimitsOfFq", nowhere, linux_6_12);

TEST_F(Verify, LossIsAsAsked)
{
    const auto output = headwind(where(), "verify --loss 10% --json");
    expect_ok(output);
    const auto report = parse_json(output);
    EXPECT_EQ(report["ok"], true);
    const auto row = row_of(report, "loss");
    ASSERT_TRUE(row.is_object());
    EXPECT_NEAR(row["measured"], 0.1, 0.02);
    EXPECT_LE(row["allowed_low"], row["measured"]);
    EXPECT_GE(row["allowed_high"], row["measured"]);
    EXPECT_EQ(row["ok"], true);
    EXPECT_FALSE(pins_left());
}

TEST_F(Verify, OverIPv6)
{
    expect_ok(headwind(where(), "verify --loss 10% --ipv6 --packets 5000"));
}

TEST_F(Verify, NothingPassesAPartition)
{
    const auto output = headwind(where(), "verify --partition");
    expect_ok(output);
    EXPECT_THAT(output.out, HasSubstr("2000 of 2000"));
}

TEST_F(Verify, ItsOwnTrafficOnly)
{
    for (const char* selector : {"--dev lo", "--remote-port 80", "--cgroup /a", "--direction in"}) {
        const auto output = headwind(where(), std::string("verify --loss 10% ") + selector);
        EXPECT_EQ(output.status, 2);
        EXPECT_THAT(output.err, HasSubstr("verify sends its own traffic"));
    }
    EXPECT_EQ(headwind(where(), "verify --loss 10").status, 2);
    EXPECT_EQ(headwind(where(), "verify --pass").status, 2);
}

// A sender that is told of its drops is not on a lossy path.
TEST_F(Verify, NoticesDropsThatAreNotSilent)
{
    const auto output = headwind_without(HW_WORKAROUND_SILENT, where(), "verify --loss 10%");
    EXPECT_EQ(output.status, 1);
    EXPECT_THAT(output.out, HasSubstr("send() failed"));
    EXPECT_FALSE(pins_left());
}

TEST_F(Verify, InterruptedItLeavesNothing)
{
    for (const int signal : {SIGINT, SIGTERM}) {
        Process running(&where(), {headwind_binary(), "verify", "--loss", "10%"});
        ASSERT_TRUE(eventually([] { return pins_left(); }));
        running.signal(signal);
        EXPECT_EQ(running.wait().status, 128 + signal);
        EXPECT_FALSE(pins_left());
    }
}

// A killed verify leaves the pins of a namespace that is gone; the next command removes them.
TEST_F(Verify, KilledItLeavesWhatTheNextCommandRemoves)
{
    Process running(&where(), {headwind_binary(), "verify", "--loss", "10%"});
    ASSERT_TRUE(eventually([] { return pins_left(); }));
    usleep(500'000);
    running.signal(SIGKILL);
    EXPECT_EQ(running.wait().status, 128 + SIGKILL);
    EXPECT_TRUE(eventually([&] {
        expect_ok(headwind(where(), "clear"));
        return !pins_left();
    }));
}

TEST_F(Verify, DelayLossAndRateAreAsAsked)
{
    SKIP_WITHOUT_FQ();
    if (slow_machine()) GTEST_SKIP() << "an emulated machine stalls by milliseconds: GuestVerify has virtual time";
    const auto output = headwind(where(), "verify --delay 100ms --loss 5% --rate 2mbit --json");
    expect_ok(output, output.out);
    const auto report = parse_json(output);
    EXPECT_EQ(row_of(report, "delay")["ok"], true);
    EXPECT_EQ(row_of(report, "rate")["ok"], true);
}

// netdev_max_backlog and fq's limits are made ample; with fq's defaults a long delay loses packets.
TEST_F(Verify, NoticesTheLimitsOfFq)
{
    SKIP_WITHOUT_FQ();
    const auto output = headwind_without(HW_WORKAROUND_FQ, where(), "verify --delay 500ms");
    EXPECT_EQ(output.status, 1);
    EXPECT_THAT(output.out, HasSubstr("NO"));
}

}  // namespace
}  // namespace headwind::test::verify_test
