// SPDX-License-Identifier: MIT
// Corruption: the receiver's stack notices every flipped bit, an application never reads one.
#include "net_test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include <headwind/testing.h>

#include "foreign_program.h"
#include "verify/statistics.h"

namespace headwind::test::corrupt_test {
namespace {

// The content of packet n, or of a stream from its n-th chunk on.
std::vector<char> pattern(std::uint32_t n, std::size_t size)
{
    std::vector<char> out(std::max(size, sizeof(n)));
    std::memcpy(out.data(), &n, sizeof(n));
    for (std::size_t i = sizeof(n); i < out.size(); ++i) out[i] = static_cast<char>(i * 7 + n * 31 + (i >> 8));
    return out;
}

struct Received {
    std::size_t right = 0, wrong = 0;  // packets, by the bytes that the application read
};

// Sends `count` UDP packets of every size up to `longest`, and counts how the application reads them.
Received exchange(const Namespace& from, const Namespace& to_namespace, const Endpoint& to, std::size_t count,
                  std::size_t longest = 1400)
{
    const auto size_of = [longest](std::size_t n) { return sizeof(std::uint32_t) + n * 97 % (longest - 3); };
    const Fd receiver = udp_socket(to_namespace, to), sender = connected_udp(from, to);
    fcntl(receiver.get(), F_SETFL, O_NONBLOCK);  // poll() would count IPv6's wrong checksums as IPv4's
    for (std::size_t n = 0; n < count; ++n) {
        const auto data = pattern(static_cast<std::uint32_t>(n), size_of(n));
        EXPECT_EQ(send(sender.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
        // What was segmented waits in a backlog: nothing slows the sender down. Others of these tests send meanwhile.
        if (n % 20 == 19) wait_for_backlogs();
    }
    Received out;
    std::vector<char> buffer(70'000);
    while (wait_for_packet(receiver.get(), std::chrono::milliseconds(slow_machine() ? 400 : 60))) {
        const ssize_t length = recv(receiver.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (length < 0) continue;  // a wrong checksum is found when the packet is read
        std::uint32_t n = 0;
        std::memcpy(&n, buffer.data(), sizeof(n));
        const bool right = n < count && static_cast<std::size_t>(length) == size_of(n) &&
                           std::equal(buffer.begin(), buffer.begin() + length, pattern(n, size_of(n)).begin());
        ++(right ? out.right : out.wrong);
    }
    return out;
}

// The number of bytes of the stream that arrived before the first wrong one; the sockets stay open.
std::size_t stream(const TcpPair& connection, std::size_t bytes)
{
    constexpr std::size_t chunk = 64 * 1024;
    std::thread sender([&] {
        pollfd waiting{connection.sender.get(), POLLOUT, 0};
        for (std::size_t at = 0; at < bytes;) {
            const auto data = pattern(static_cast<std::uint32_t>(at / chunk), chunk);
            if (poll(&waiting, 1, 30'000) != 1) return;
            const ssize_t length = send(connection.sender.get(), data.data() + at % chunk,
                                        std::min(chunk - at % chunk, bytes - at), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (length > 0) at += static_cast<std::size_t>(length);
        }
    });
    std::vector<char> buffer(chunk);
    std::size_t at = 0;
    for (pollfd waiting{connection.receiver.get(), POLLIN, 0}; at < bytes && poll(&waiting, 1, 30'000) == 1;) {
        const auto expected = pattern(static_cast<std::uint32_t>(at / chunk), chunk);
        const ssize_t length = recv(connection.receiver.get(), buffer.data(), chunk - at % chunk, 0);
        if (length <= 0 || std::memcmp(buffer.data(), expected.data() + at % chunk, static_cast<std::size_t>(length)))
            break;
        at += static_cast<std::size_t>(length);
    }
    shutdown(connection.receiver.get(), SHUT_RDWR);  // ends the sender, too, if it has not sent all
    sender.join();
    return at;
}

void expect_share(const Counters& counters, double probability)
{
    EXPECT_GT(statistics::binomial_p_value(counters.corrupted, counters.packets, probability), alpha)
        << counters.corrupted << " of " << counters.packets;
}

class Corrupt : public SidedTest {
protected:
    // Expects that the receiver's stack sees a wrong checksum for every flip, and the application no wrong byte.
    void expect_noticed(const std::string& address, const std::string& counter, std::size_t count) const
    {
        const auto before = stack_count(b(), counter);
        const auto received = exchange(a(), b(), {address, 5000}, count);
        const auto count_of = counters("bits");
        EXPECT_EQ(received.wrong, 0U);
        EXPECT_EQ(received.right, count - count_of.corrupted);
        EXPECT_EQ(stack_count(b(), counter) - before, count_of.corrupted);
        EXPECT_EQ(count_of.packets, count);
        expect_share(count_of, 0.01);
    }
    void expect_tcp_intact(const std::string& address) const
    {
        quicken_tcp();
        const auto before = stack_count(b(), "TcpInCsumErrors");
        const auto connection = connect_tcp(a(), b(), {address, 5001});
        const int room = 128 << 10;  // no more under way than a backlog takes: a damaged packet must not be lost in it
        EXPECT_EQ(setsockopt(connection.sender.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
        const std::size_t bytes = scaled(30'000'000, 2'000'000);
        EXPECT_EQ(stream(connection, bytes), bytes) << "the stream is right up to here";
        EXPECT_GT(tcp_info_of(connection.sender).tcpi_total_retrans, 0U);
        const auto noticed = [&] { return stack_count(b(), "TcpInCsumErrors") - before; };
        eventually([&] { return noticed() == counters("bits").corrupted; });
        const auto count_of = counters("bits");
        EXPECT_EQ(noticed(), count_of.corrupted);
        expect_share(count_of, 0.01);
    }
};

RUNS_IN("*Corrupt.Udp*", native, linux_6_1);

TEST_P(Corrupt, UdpIsNoticedOverIPv4)
{
    impair("--name bits --corrupt 1% --proto udp");
    expect_noticed(Pair::b4, "UdpInCsumErrors", scaled(20'000, 5'000));
}

TEST_P(Corrupt, UdpIsNoticedOverIPv6)
{
    impair("--name bits --corrupt 1% --proto udp");
    expect_noticed(Pair::b6, "Udp6InCsumErrors", scaled(20'000, 5'000));
}

TEST_P(Corrupt, TcpArrivesIntactOverIPv4)
{
    impair("--name bits --corrupt 1% --proto tcp");
    expect_tcp_intact(Pair::b4);
}

TEST_P(Corrupt, TcpArrivesIntactOverIPv6)
{
    impair("--name bits --corrupt 1% --proto tcp");
    expect_tcp_intact(Pair::b6);
}

TEST_P(Corrupt, EachPacketOfASuperPacketByItself)
{
    const std::size_t count = scaled(30'000, 10'000);
    impair("--name bits --corrupt 20% --proto udp");
    const auto before = stack_count(b(), "UdpInCsumErrors");
    UdpSink sink(b(), {Pair::b4, 5000});
    send_udp(a(), {Pair::b4, 5000}, {.count = count, .size = 1000, .segments = 50});
    const auto arrived = sink.finish();
    const auto count_of = counters("bits");
    EXPECT_EQ(count_of.packets, count);
    EXPECT_EQ(arrived.size(), count - count_of.corrupted);
    EXPECT_EQ(stack_count(b(), "UdpInCsumErrors") - before, count_of.corrupted);
    expect_share(count_of, 0.2);
    std::vector<std::uint64_t> gaps;  // distances from one corrupted packet to the next
    for (std::size_t i = 1; i < arrived.size(); ++i) {
        const auto missing = arrived[i].stamp.sequence - arrived[i - 1].stamp.sequence - 1;
        if (missing != 0) gaps.push_back(missing);
    }
    EXPECT_GT(statistics::geometric_p_value(gaps, 0.8), alpha);
}

TEST_P(Corrupt, AllOfThem)
{
    impair("--name bits --corrupt 100% --proto udp");
    for (const auto& to : {Pair::b4, Pair::b6}) {
        const auto received = exchange(a(), b(), {to, 5000}, 1000);
        EXPECT_EQ(received.right + received.wrong, 0U) << to;
    }
    EXPECT_EQ(counters("bits").corrupted, 2000U);
}

TEST_P(Corrupt, OnLoopbackToo)
{
    const std::size_t count = scaled(10'000, 3'000);
    for (const auto& [to, counter] : {std::pair{"127.0.0.1", "UdpInCsumErrors"}, {"::1", "Udp6InCsumErrors"}}) {
        impair("--name bits --replace --corrupt 5% --proto udp", a());
        const auto before = stack_count(a(), counter);
        const auto received = exchange(a(), a(), {to, 5000}, count);
        const auto count_of = counters("bits");
        EXPECT_EQ(received.wrong, 0U) << to;
        EXPECT_EQ(received.right, count - count_of.corrupted) << to;
        EXPECT_EQ(stack_count(a(), counter) - before, count_of.corrupted) << to;
        expect_share(count_of, 0.05);
    }
}

// Only the first fragments are corrupted, then only the later ones: flips in two fragments of a datagram may cancel out
// in the checksum, as on a real path. Without the workaround a port tells them apart.
TEST_P(Corrupt, OfFragmentsToo)
{
    const std::size_t count = scaled(2'000, 1'000), longest = 2800;  // two fragments
    const auto expect_exact = [&](const std::string& to, const std::string& counter) {
        SCOPED_TRACE(to);
        const auto before = stack_count(b(), counter);
        const auto received = exchange(a(), b(), {to, 5000}, count, longest);
        const auto count_of = counters("bits");
        EXPECT_EQ(received.wrong, 0U);
        EXPECT_EQ(received.right, count - count_of.corrupted);
        EXPECT_EQ(stack_count(b(), counter) - before, count_of.corrupted);
        expect_share(count_of, 0.2);
    };
    for (const auto& [to, counter] : {std::pair{Pair::b4, "UdpInCsumErrors"}, {Pair::b6, "Udp6InCsumErrors"}}) {
        impair_without(HW_WORKAROUND_FRAGMENTS, "--name bits --corrupt 20% --proto udp --port 5000");
        expect_exact(to, counter);
        impair_without(HW_WORKAROUND_FRAGMENTS, "--name bits --replace --corrupt 20% --proto udp");
        impair_without(HW_WORKAROUND_FRAGMENTS, "--name first --pass --proto udp --port 5000");
        expect_exact(to, counter);
        clear();
    }
}

INSTANTIATE_TEST_SUITE_P(Sides, Corrupt, testing::Values(Direction::out, Direction::in), side_name);

// ---- the traps ---------------------------------------------------------------------------------------------------

class CorruptTrap : public PairTest {};

// The checksum of a local packet is left to the device (CHECKSUM_PARTIAL), which would compute it over the flipped bit.
TEST_F(CorruptTrap, WithoutRealChecksumsApplicationsReadWrongBytes)
{
    const std::size_t count = scaled(5'000, 2'000);
    change_without(HW_WORKAROUND_REAL_CSUM, a(), "add --name bits --corrupt 10% --proto udp");
    const auto received = exchange(a(), b(), {Pair::b4, 5000}, count);
    EXPECT_GT(received.wrong, count / 20);
}

// The stack does not verify again what a network card has verified, not even where the packet is forwarded to.
class CorruptVerified : public PairTest {
protected:
    void SetUp() override
    {
        PairTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        far_.emplace(a(), b());
        expect_ok(run(&a(), words("ethtool -K va tx off")));  // else local packets have no real checksum
        verifier_.emplace(ForeignProgram::verifier(b(), Pair::device_b));
    }
    void TearDown() override
    {
        verifier_.reset();
        far_.reset();
        PairTest::TearDown();
    }
    Received exchange_with_far(const std::string& address, std::size_t count) const
    {
        return exchange(a(), far(), {address, 5000}, count);
    }
    const Namespace& far() const { return far_->far; }

private:
    std::optional<Far> far_;
    std::optional<ForeignProgram> verifier_;
};

TEST_F(CorruptVerified, IsNoticedAllTheSame)
{
    const std::size_t count = scaled(10'000, 3'000);
    for (const auto& [to, counter] :
         {std::pair{Far::address4, "UdpInCsumErrors"}, {Far::address6, "Udp6InCsumErrors"}}) {
        change(b(), "add --name bits --replace --corrupt 5% --proto udp --dev vc");
        const auto received = exchange_with_far(to, count);
        const auto counters = counters_of(b(), "bits");
        EXPECT_EQ(received.wrong, 0U) << to;
        EXPECT_EQ(received.right, count - counters.corrupted) << to;
        EXPECT_EQ(stack_count(far(), counter), counters.corrupted) << to;
        expect_share(counters, 0.05);
    }
}

TEST_F(CorruptVerified, IsTrustedWithoutTheWorkaround)
{
    const std::size_t count = scaled(5'000, 2'000);
    for (const auto& to : {Far::address4, Far::address6}) {
        change_without(HW_WORKAROUND_VERIFIED, b(), "add --name bits --replace --corrupt 10% --proto udp --dev vc");
        const auto received = exchange_with_far(to, count);
        EXPECT_GT(received.wrong, count / 20) << to;
        change(b(), "clear");
    }
    EXPECT_EQ(stack_count(far(), "UdpInCsumErrors") + stack_count(far(), "Udp6InCsumErrors"), 0U);
}

}  // namespace
}  // namespace headwind::test::corrupt_test
