// SPDX-License-Identifier: MIT
// Tests that what the line holds is known and bounded, whatever becomes of it.
#include "net_test.h"

namespace headwind::test::held_test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t max_held = 1'000'000, packet = 1'000;

class Held : public PairTest {
protected:
    void SetUp() override
    {
        SKIP_WITHOUT_FQ();
        PairTest::SetUp();
    }

    static unsigned rounds() { return takes_long() ? 10 : 2; }

    std::size_t held_bytes() const { return parse_json(headwind(a(), "list --json"))["line"]["held_bytes"]; }

    void add(unsigned without, const std::string& words) const
    {
        change_without(without, a(),
                       fmt::format("add --name x --dev va --proto udp --max-held {}b {}", max_held, words));
    }

    // Sends packets of half of max_held at once, which are not received.
    void send_half() const
    {
        send_udp(a(), {Pair::b4, 6000}, {.count = max_held / 2 / (packet + HW_HELD_OVERHEAD), .size = packet});
    }

    void expect_all_pass() const
    {
        EXPECT_TRUE(eventually([this] { return held_bytes() == 0; }));
        EXPECT_EQ(arrive({.count = 100, .size = packet}), 100U);
    }
};

RUNS_IN("Held.*", linux_6_12, linux_6_1);
RUNS_IN("Held.SuperPackets*", nowhere, linux_6_12 | linux_6_1);

TEST_F(Held, WhatIsLostWithTheDeviceIsNotHeld)
{
    add(0, "--delay 60s");
    for (unsigned round = 0; round < rounds(); ++round) {
        send_half();
        EXPECT_GT(held_bytes(), max_held / 3);
        ip(a(), "link set headwind1 down\nlink set headwind1 up");
        EXPECT_EQ(held_bytes(), 0U);
    }
    change(a(), "change x --delay 1ms");
    expect_all_pass();
}

TEST_F(Held, SuperPacketsThatAreCutOnTheWay)
{
    ip(a(), "link set va gso_max_size 200000 gro_max_size 200000");
    ip(b(), "link set vb gso_max_size 200000 gro_max_size 200000");
    change(a(), "add --name x --dev va --proto tcp --delay 20ms");
    for (unsigned round = 0; round < rounds(); ++round)
        EXPECT_EQ(transfer_tcp(a(), b(), {Pair::b6, 5000}, 20'000'000).error, "");
    EXPECT_TRUE(eventually([this] { return held_bytes() == 0; }));
    change(a(), "clear");
    add(0, "--delay 10s");
    for (int i = 0; i < 4; ++i) send_half();
    EXPECT_LE(held_bytes(), max_held * 11 / 10);
    EXPECT_GT(held_bytes(), max_held * 8 / 10);
}

TEST_F(Held, AChangeUnderAFlood)
{
    add(0, "--delay 4s");
    for (unsigned round = 0; round < rounds(); ++round) {
        std::atomic<bool> stop{false};
        std::thread flood([&] {
            send_udp(a(), {Pair::b4, 6000}, {.count = 1'000'000, .size = packet, .per_second = 10'000, .stop = &stop});
        });
        EXPECT_TRUE(eventually([this] { return held_bytes() > max_held * 8 / 10; }));
        change(a(), "change x --delay 1ms");
        EXPECT_LE(held_bytes(), max_held * 11 / 10);
        stop = true;
        flood.join();
        expect_all_pass();
        change(a(), "change x --delay 4s");
    }
}

}  // namespace
}  // namespace headwind::test::held_test
