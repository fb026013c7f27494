// SPDX-License-Identifier: MIT
// Tests packets that their sender keeps (pktgen, NC-SI), which are skbs with two owners.
//
// The kernel panics when such an skb is cloned to be redirected, and the other owner reads what is written to it. So it
// is subject to loss and partition as any other packet, and nothing else touches it.
#include "net_test.h"

#include <fstream>
#include <memory>

#include "lane.h"
#include "nic_test.h"
#include "verify/statistics.h"

namespace headwind::test::shared_test {
namespace {

constexpr unsigned count = 2'000;

// The kernel's packet generator, sending UDP from a to port 9 of b.
class Pktgen {
public:
    Pktgen(const Namespace& where, const std::string& device) : where_(where), device_(device)
    {
        write("kpktgend_0", "rem_device_all");
        write("kpktgend_0", "add_device " + device);
        for (const char* setting : {"delay 0", "pkt_size 100", "dst 10.77.0.2", "src_min 10.77.0.1",
                                    "src_max 10.77.0.1", "udp_dst_min 9", "udp_dst_max 9", "dst_mac 02:00:00:00:00:02"})
            write(device, setting);
        write(device, fmt::format("count {}", count));
    }
    Pktgen(const Pktgen&) = delete;
    Pktgen& operator=(const Pktgen&) = delete;
    ~Pktgen() { write("kpktgend_0", "rem_device_all"); }

    void set(const std::string& setting) const { write(device_, setting); }
    bool may(const std::string& setting) const { return try_write(device_, setting); }
    // Sends all packets, and returns when the last one is sent.
    void run() const { write("pgctrl", "start"); }

private:
    bool try_write(const std::string& file, const std::string& text) const
    {
        const Inside inside(where_);
        std::ofstream stream("/proc/thread-self/net/pktgen/" + file);
        return static_cast<bool>(stream << text << "\n" << std::flush);
    }
    void write(const std::string& file, const std::string& text) const
    {
        EXPECT_TRUE(try_write(file, text)) << file << ": " << text;
    }
    const Namespace& where_;
    std::string device_;
};

// The impairments to test: all with --long, and otherwise a few, since all of them take long.
std::vector<std::string> impairments()
{
    const std::string at_once = "--delay 5ms --jitter 3ms --loss 30% --duplicate 50% --corrupt 50% --rate 100mbit";
    if (!takes_long()) return {"--delay 5ms", "--duplicate 100%", "--loss 30% --reject icmp", at_once};
    return {"--delay 5ms",
            "--delay 5ms --jitter 3ms",
            "--delay 5ms --reorder 50%",
            "--rate 100mbit",
            "--duplicate 100%",
            "--corrupt 100%",
            "--partition",
            "--partition --reject icmp",
            "--loss 30%",
            "--loss 30% --reject icmp",
            at_once};
}

class Shared : public PairTest {
protected:
    void SetUp() override
    {
        if (run(nullptr, {"modprobe", "pktgen"}).status != 0) GTEST_SKIP() << "this kernel has no pktgen";
        PairTest::SetUp();
    }
    // The number of packets that arrived: nobody listens at port 9, so the stack counts them.
    std::uint64_t arrived() const { return stack_count(b(), "UdpNoPorts"); }

    // Expects that the rule dropped the share of its packets that the impairment says. Returns the number of drops.
    static std::uint64_t expect_distribution(const Counters& counters, const std::string& impairment)
    {
        const auto lost = counters.loss + counters.partition + counters.reject;
        if (impairment.find("partition") != std::string::npos) {
            EXPECT_EQ(lost, counters.packets);
        } else if (impairment.find("loss") != std::string::npos) {
            EXPECT_GT(statistics::binomial_p_value(lost, counters.packets, 0.3), 1e-6) << lost;
        } else {
            EXPECT_EQ(lost, 0U);
        }
        return lost;
    }
    static void add_rule(const Namespace& where, const std::string& device, const std::string& direction,
                         const std::string& impairment)
    {
        change(where, "add --name all --dev " + device + " --direction " + direction + " --proto udp " + impairment);
    }

    // Expects exact counters for the packets that `send` sends. `shared`: each of them is certainly shared.
    void expect_exact(const Namespace& where, const std::string& device, const std::string& direction,
                      const std::string& impairment, bool shared, const std::function<void()>& send)
    {
        SCOPED_TRACE(impairment + " " + direction);
        add_rule(where, device, direction, impairment);
        const auto before = arrived();
        send();
        const auto counters = counters_of(where, "all", direction);
        EXPECT_EQ(counters.packets, count);
        const auto lost = expect_distribution(counters, impairment);
        if (shared) {
            EXPECT_EQ(counters.shared, count - lost);
            EXPECT_EQ(counters.duplicated + counters.corrupted + counters.delayed, 0U);
            EXPECT_TRUE(eventually([&] { return arrived() - before == count - lost; }))
                << arrived() - before << " of " << count - lost;
        }
        change(where, "del all");
    }
};

RUNS_IN("Shared.*:OneSkb.*", nowhere, linux_6_12 | linux_6_1);
RUNS_IN("OneSkb.*ReceivingEnd", linux_6_12, linux_6_1);
RUNS_IN("Shared.Sent*", linux_6_12, linux_6_1);
RUNS_IN("Shared.Arriving*", linux_6_12, linux_6_1);

TEST_F(Shared, SentThroughTheQdiscIsNotTouched)
{
    const Pktgen sender(a(), "va");
    sender.set("xmit_mode queue_xmit");
    for (const auto& impairment : impairments())
        expect_exact(a(), "va", "out", impairment, true, [&] { sender.run(); });
}

TEST_F(Shared, InjectedAtIngressIsNotTouched)
{
    const Pktgen sender(b(), "vb");
    sender.set("xmit_mode netif_receive");
    for (const auto& impairment : impairments()) expect_exact(b(), "vb", "in", impairment, true, [&] { sender.run(); });
}

// The sender lets go of a packet when it makes the next, so some packets are still shared when they arrive.
TEST_F(Shared, ArrivingThroughAVethIsNotTouchedWhileItIsShared)
{
    const Pktgen sender(a(), "va");
    sender.set("xmit_mode start_xmit");
    for (const auto& impairment : impairments())
        expect_exact(b(), "vb", "in", impairment, false, [&] { sender.run(); });
}

// One skb is sent a hundred times.
class OneSkb : public Shared {
protected:
    void TearDown() override
    {
        nics_.reset();
        Shared::TearDown();
    }
    std::unique_ptr<Nics> nics_;  // veth lets nobody send an skb twice
};

TEST_F(OneSkb, SentAHundredTimesIsDecidedEachTime)
{
    ip(a(), "link add dummy0 type dummy\nlink set dummy0 up");
    const Pktgen sender(a(), "dummy0");
    ASSERT_TRUE(sender.may("clone_skb 100"));
    sender.set("xmit_mode queue_xmit");
    for (const auto& impairment : impairments()) {
        SCOPED_TRACE(impairment);
        add_rule(a(), "dummy0", "out", impairment);
        sender.run();
        const auto counters = counters_of(a(), "all", "out");
        const auto lost = expect_distribution(counters, impairment);
        EXPECT_EQ(counters.packets, count);
        EXPECT_EQ(counters.shared, count - lost);
        change(a(), "del all");
    }
}

TEST_F(OneSkb, SentAHundredTimesMeetsARuleAtTheReceivingEnd)
{
    const auto found = Nics::find();
    if (found.empty()) GTEST_SKIP() << no_nics;
    nics_ = std::make_unique<Nics>(found, a(), b());
    const Pktgen sender(a(), "va");
    ASSERT_TRUE(sender.may("clone_skb 100"));
    sender.set("xmit_mode start_xmit");
    sender.set("delay 20000");  // ns between packets: QEMU's cable loses what comes too fast
    for (const auto& impairment : impairments()) {
        SCOPED_TRACE(impairment);
        add_rule(b(), "vb", "in", impairment);
        Counters counters;
        const auto seen = [&] { return (counters = counters_of(b(), "all", "in")).packets >= count; };
        // Again until enough have come: QEMU's cable loses some, the more the busier the machine is.
        for (int runs = 0; runs < 20 && counters.packets < count; ++runs) {
            sender.run();
            eventually(std::chrono::seconds(2), seen);
        }
        EXPECT_GE(counters.packets, count);
        expect_distribution(counters, impairment);
        change(b(), "del all");
    }
}

}  // namespace
}  // namespace headwind::test::shared_test
