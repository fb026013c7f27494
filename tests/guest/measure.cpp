// SPDX-License-Identifier: MIT
// Measures delays and counters for the guest tests, and isolates their process at the start.
#include "measure.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

namespace headwind::test {
namespace {

class Isolation : public testing::Environment {
    void SetUp() override { ASSERT_EQ(isolate(), ""); }
};

// The environment belongs to GoogleTest.
[[maybe_unused]] const auto* const isolation = testing::AddGlobalTestEnvironment(new Isolation);

}  // namespace

Moments moments(const std::vector<std::int64_t>& values)
{
    Moments out;
    out.count = values.size();
    if (values.empty()) return out;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    out.min = *low;
    out.max = *high;
    for (const auto value : values) out.mean += static_cast<double>(value);
    out.mean /= static_cast<double>(values.size());
    for (const auto value : values) out.sd += std::pow(static_cast<double>(value) - out.mean, 2);
    out.sd = std::sqrt(out.sd / static_cast<double>(values.size()));
    return out;
}

std::vector<std::int64_t> delays(const std::vector<Arrival>& arrivals)
{
    std::vector<std::int64_t> out;
    for (const auto& arrival : arrivals) out.push_back(arrival.arrived_ns - arrival.stamp.sent_ns);
    return out;
}

Flow sparse(std::size_t count, unsigned per_second)
{
    Flow flow;
    flow.count = count;
    flow.per_second = per_second;
    return flow;
}

std::vector<Arrival> send_and_receive(const Namespace& from, const Namespace& to_namespace, const Endpoint& to,
                                      const Flow& flow, std::chrono::milliseconds idle)
{
    UdpSink sink(to_namespace, to);
    send_udp(from, to, flow);
    return sink.finish(idle, flow.count);
}

void make_instance(const Namespace& where)
{
    ASSERT_EQ(headwind(where, "add --name there --dev va --proto sctp --delay 1ms").status, 0);
}

void settle()
{
    std::this_thread::sleep_for(std::chrono::seconds(10));
}

bool in_order(const std::vector<Arrival>& arrivals)
{
    std::map<std::uint32_t, std::uint32_t> next;
    return std::all_of(arrivals.begin(), arrivals.end(), [&next](const Arrival& arrival) {
        auto& expected = next[arrival.stamp.sender];
        const bool fits = arrival.stamp.sequence >= expected;
        expected = arrival.stamp.sequence + 1;
        return fits;
    });
}

std::uint64_t received_bytes(const Namespace& where, const std::string& device)
{
    const Inside inside(where);
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string name;
        std::uint64_t bytes = 0;
        if (fields >> name >> bytes && name == device + ":") return bytes;
    }
    ADD_FAILURE() << "no device " << device;
    return 0;
}

Line line_of(const Namespace& where)
{
    const auto stats = parse_json(headwind(where, "stats --json"));
    if (!stats.contains("line")) {
        ADD_FAILURE() << "no line: " << stats;
        return {};
    }
    const auto& line = stats["line"];
    return {line.at("held_packets"), line.at("held_bytes"), line.at("dropped_packets")};
}

}  // namespace headwind::test
