// SPDX-License-Identifier: MIT
// Loss and partition hit wire packets at both hooks, and senders notice them as on a real path.
#include "net_test.h"

#include <headwind/testing.h>

namespace headwind::test::loss_test {
namespace {

using testing::HasSubstr;

class Loss : public PairTest {
protected:
    static tcp_info state_after_sending(const TcpPair& connection)
    {
        const std::string data(4000, 'x');
        EXPECT_EQ(send(connection.sender.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
        usleep(300'000);
        return tcp_info_of(connection.sender);
    }
};

RUNS_IN("Loss.*", native, linux_6_1 | sanitized);
RUNS_IN("Loss.TcpRetransmits*", native | linux_6_1, sanitized);

TEST_F(Loss, SendingNeverFails)
{
    const std::size_t count = 5000;
    change(a(), "add --name lossy --loss 50% --proto udp");
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto sent = send_udp(a(), {Pair::b4, 5000}, {.count = count});
    EXPECT_EQ(sent.failed, 0U);
    const auto arrived = sink.finish().size();
    EXPECT_GT(arrived, count * 4 / 10);
    EXPECT_LT(arrived, count * 6 / 10);
    const auto counters = counters_of(a(), "lossy");
    EXPECT_EQ(counters.packets, count);
    EXPECT_EQ(counters.loss, count - arrived);
}

TEST_F(Loss, SendingIntoAPartitionNeverFails)
{
    change(a(), "add --name split --partition --proto udp");
    UdpSink sink(b(), {Pair::b4, 5000});
    const auto sent = send_udp(a(), {Pair::b4, 5000}, {.count = 5000});
    EXPECT_EQ(sent.failed, 0U);
    EXPECT_EQ(sink.finish().size(), 0U);
    EXPECT_EQ(counters_of(a(), "split").partition, 5000U);
}

TEST_F(Loss, WithoutSilentDropsSendingFails)
{
    change_without(HW_WORKAROUND_SILENT, a(), "add --name lossy --loss 50%");
    EXPECT_GT(send_udp(a(), {Pair::b4, 5000}, {.count = 1000}).failed, 300U);
}

TEST_F(Loss, TcpRetransmitsAndHearsOfNoLocalDrop)
{
    quicken_tcp();
    change(a(), "add --name lossy --loss 10% --proto tcp");
    const auto result = transfer_tcp(a(), b(), {Pair::b4, 5001}, scaled(20'000'000, 2'000'000));
    EXPECT_EQ(result.error, "");
    const auto counters = counters_of(a(), "lossy");
    EXPECT_GT(result.retransmits, counters.loss * 9 / 10);
    EXPECT_GT(result.looks, 10U);
    EXPECT_EQ(result.in_cwr, 0U) << "of " << result.looks;
    RecordProperty("retransmits", static_cast<int>(result.retransmits));
    RecordProperty("seconds", std::to_string(result.seconds));
}

TEST_F(Loss, TcpInAPartitionRetransmits)
{
    quicken_tcp();
    const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
    change(a(), "add --name split --partition --proto tcp");
    const auto state = state_after_sending(connection);
    EXPECT_EQ(state.tcpi_ca_state, TCP_CA_Loss);
    EXPECT_GT(state.tcpi_total_retrans, 0U);
}

// A sender that is told of the drop takes it for a full queue of its own, not for a loss on the path.
TEST_F(Loss, WithoutSilentDropsTcpInAPartitionHearsOfThem)
{
    quicken_tcp();
    const auto connection = connect_tcp(a(), b(), {Pair::b4, 5001});
    change_without(HW_WORKAROUND_SILENT, a(), "add --name split --partition --proto tcp");
    const auto state = state_after_sending(connection);
    EXPECT_EQ(state.tcpi_ca_state, TCP_CA_CWR);
    EXPECT_EQ(state.tcpi_total_retrans, 0U);
}

}  // namespace
}  // namespace headwind::test::loss_test
