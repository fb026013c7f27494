// SPDX-License-Identifier: MIT
// Shared by the net tests, which drive the real binary as a user would, with real traffic between namespaces.
#pragma once

#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include <headwind/abi.h>
#include <headwind/testing.h>

#include "command.h"
#include "host/netlink.h"
#include "lane.h"
#include "namespace.h"
#include "rule/rule.h"
#include "traffic.h"

namespace headwind::test {

// The probability that a statistical test raises a false alarm in one run, if its file has no alpha of its own.
inline constexpr double alpha = 1e-6;
inline constexpr const char* pins = "/sys/fs/bpf/headwind";

class NetTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) GTEST_SKIP() << "needs root";
        ASSERT_EQ(isolate(), "");
        ASSERT_EQ(access(headwind_binary().c_str(), X_OK), 0) << "no " << headwind_binary() << ": set HEADWIND";
    }
};

// Two namespaces, a and b, with a veth pair.
class PairTest : public NetTest {
protected:
    void SetUp() override
    {
        NetTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        make_pair();
    }
    void TearDown() override { pair_.reset(); }

    void make_pair(const PairOptions& options = {})
    {
        pair_.reset();
        pair_.emplace(options);
    }
    const Namespace& a() const { return pair_->a; }
    const Namespace& b() const { return pair_->b; }

    // Gives TCP quick timers, so that a transfer with loss ends soon.
    void quicken_tcp() const
    {
        for (const std::string address : {"10.77.0.0/24", "fd77::/64 metric 256"}) {
            ip(a(), "route replace " + address + " dev va rto_min 3ms quickack 1");
            ip(b(), "route replace " + address + " dev vb rto_min 3ms quickack 1");
        }
    }

    // Sends the flow from a to b, and returns how many packets arrive.
    std::size_t arrive(const Flow& flow = {}, const Endpoint& to = {Pair::b4, 5000}) const
    {
        return deliver(a(), b(), to, flow);
    }

private:
    std::optional<Pair> pair_;
};

inline void expect_ok(const Output& output, const std::string& what = "")
{
    EXPECT_EQ(output.status, 0) << what << "\n" << output.out << output.err;
}

// Runs a command that must succeed.
inline Output change(const Namespace& where, const std::string& arguments)
{
    auto output = headwind(where, arguments);
    expect_ok(output, "headwind " + arguments);
    return output;
}

inline Output change_without(unsigned workarounds, const Namespace& where, const std::string& arguments)
{
    auto output = headwind_without(workarounds, where, arguments);
    expect_ok(output, "headwind_testing " + arguments);
    return output;
}

// The output as a JSON object; if it is none, the test fails. The result is not const: members that are missing read as
// null.
inline nlohmann::json parse_json(const Output& output)
{
    const auto value = nlohmann::json::parse(output.out, nullptr, false);
    EXPECT_TRUE(value.is_object()) << "no JSON: " << output.out << output.err;
    return value.is_object() ? value : nlohmann::json::object();
}

// The rules without their counters, which packets like the kernel's own multicast change.
inline nlohmann::json rules_of(const Namespace& where)
{
    auto all = parse_json(headwind(where, "list --json"))["rules"];
    for (auto& rule : all) rule.erase("counters");
    return all;
}

inline std::vector<std::string> names_of(const Namespace& where)
{
    std::vector<std::string> out;
    for (const auto& rule : rules_of(where)) out.push_back(rule["name"]);
    return out;
}

inline nlohmann::json rule_of(const Namespace& where, const std::string& name)
{
    auto all = parse_json(headwind(where, "stats --json " + name));
    return all["rules"][0];
}

struct Counters {
    std::uint64_t packets = 0, bytes = 0, loss = 0, partition = 0, queue = 0, held = 0, line = 0, delayed = 0;
    std::uint64_t reject = 0, corrupted = 0, duplicated = 0, reordered = 0, shared = 0;
};

inline Counters counters_of(const Namespace& where, const std::string& name, const std::string& direction = "out")
{
    const auto rule = rule_of(where, name);
    if (!rule.contains("counters") || !rule["counters"].contains(direction)) {
        ADD_FAILURE() << "rule " << name << " has no counters " << direction;
        return {};
    }
    const auto& counters = rule["counters"][direction];
    const auto& dropped = counters["dropped_packets"];
    return {counters["packets"],
            counters["bytes"],
            dropped["loss"],
            dropped["partition"],
            dropped["queue"],
            dropped["held"],
            dropped["line"],
            counters["delayed_packets"],
            dropped["reject"],
            counters["corrupted_packets"],
            counters["duplicated_packets"],
            counters["reordered_packets"],
            counters["passed_shared_packets"]};
}

// Expects the footprint within moments: the kernel takes a program off its hook some time after its last pin is gone.
inline void expect_footprint(const Namespace& where, const std::string& expected, const std::string& what = "")
{
    eventually([&] { return footprint(where) == expected; });
    EXPECT_EQ(footprint(where), expected) << what;
}

// The time when the last lost packet was sent, for a flow whose losses end at some moment. 0: all packets arrived.
inline std::int64_t last_lost_ns(const Sent& sent, const std::vector<Arrival>& arrivals)
{
    const auto first = arrivals.empty() ? sent.stamps.size() : arrivals.front().stamp.sequence;
    return first == 0 ? 0 : sent.stamps.at(first - 1);
}

// Tests that run at both ends: packets from a are impaired as they leave a, or as they come to b.
class SidedTest : public PairTest, public testing::WithParamInterface<Direction> {
protected:
    // Runs `headwind add WORDS` at that end, or in a namespace that sends to itself.
    void impair(const std::string& words) { impair(words, GetParam() == Direction::out ? a() : b()); }
    void impair(const std::string& words, const Namespace& where)
    {
        where_ = &where;
        change(where, fmt::format("add {} --direction {}", words, format_direction(GetParam())));
    }
    // The same without some workarounds (hw_workaround bits).
    void impair_without(unsigned workarounds, const std::string& words)
    {
        where_ = GetParam() == Direction::out ? &a() : &b();
        change_without(workarounds, *where_, fmt::format("add {} --direction {}", words, format_direction(GetParam())));
    }
    Counters counters(const std::string& name) const
    {
        return counters_of(*where_, name, std::string(format_direction(GetParam())));
    }
    void clear() const { change(*where_, "clear"); }

private:
    const Namespace* where_ = nullptr;
};

inline std::string side_name(const testing::TestParamInfo<Direction>& info)
{
    return std::string(format_direction(info.param));
}

// `many` natively, and `few` where a packet costs ten times as much.
inline std::size_t scaled(std::size_t many, std::size_t few)
{
    return slow_machine() ? few : many;
}

inline bool has_fq()
{
    static const bool fq = [] {
        const auto found = netlink::kernel_has_fq();
        return found && *found;
    }();
    return fq;
}

}  // namespace headwind::test

#define SKIP_WITHOUT_FQ() \
    if (!::headwind::test::has_fq()) GTEST_SKIP() << "this kernel has no sch_fq: delay and rate are refused"
