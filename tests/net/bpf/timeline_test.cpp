// SPDX-License-Identifier: MIT
// --trace and --ramp with commands: they survive changes and moves of the rule, and leave nothing behind.
#include "net_test.h"

#include <filesystem>
#include <fstream>

#include <bpf/bpf.h>

namespace headwind::test::timeline_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Timelines : public PairTest {
protected:
    void TearDown() override
    {
        std::filesystem::remove(trace_);
        PairTest::TearDown();
    }
    // A trace of two steps: all packets pass, then none.
    std::string trace() const
    {
        std::ofstream(trace_) << "time,loss\n0s,0%\n1500ms,100%\n";
        return trace_;
    }
    std::size_t timelines() const
    {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator(pins)) {
            const Fd map(bpf_obj_get((entry.path() / "timelines").c_str()));
            __u32 key = 0;
            const __u32* last = nullptr;
            for (__u32 next = 0; map && bpf_map_get_next_key(map.get(), last, &next) == 0; last = &key, ++count)
                key = next;
        }
        return count;
    }
    nlohmann::json timeline(const std::string& name) const { return rule_of(a(), name)["timeline"]; }
    bool all_lost() const
    {
        return eventually([this] { return arrive({.count = 20}) == 0; });
    }

    std::string trace_ = testing::TempDir() + "headwind-trace-" + std::to_string(getpid()) + ".csv";
};

TEST_F(Timelines, AChangeKeepsTheTraceAndWhereItIs)
{
    change(a(), "add --name t --dev va --proto udp --trace " + trace());
    std::filesystem::remove(trace_);  // a change does not read the file again
    EXPECT_TRUE(all_lost());
    const auto before = timeline("t");
    EXPECT_EQ(before["steps"], 2);
    change(a(), "change t --corrupt 0.00001% --remote-port 5000");
    EXPECT_EQ(arrive({.count = 20}), 0U) << "it does not start again";
    EXPECT_EQ(timeline("t"), before);
    change(a(), "change t --remote-port any");
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(timelines(), 1U);
    EXPECT_THAT(headwind(a(), "list").out, AllOf(HasSubstr("corrupt 0.00001%"), HasSubstr("loss 0% to 100%")));
    change(a(), "change t --trace " + trace());
    EXPECT_EQ(arrive({.count = 20}), 20U) << "this one begins";
    EXPECT_TRUE(all_lost());
    change(a(), "change t --trace off");
    EXPECT_EQ(arrive({.count = 20}), 20U);
    EXPECT_EQ(timelines(), 0U);
}

TEST_F(Timelines, GoWithTheirRuleToAnotherDevice)
{
    change(a(), "add --name t --dev va,late* --proto udp --trace " + trace());
    change(a(), "add --name r --dev va --proto tcp --ramp loss=0%..1%,over=1h --repeat");
    EXPECT_TRUE(all_lost());
    ip(a(), "link add late0 type veth peer name other0");
    ip(a(), "link set late0 up");
    change(a(), "change r --loss off --duplicate 1%");  // any change reconciles the devices
    EXPECT_EQ(rule_of(a(), "t")["attached_to"].size(), 2U);
    EXPECT_EQ(arrive({.count = 20}), 0U);
    EXPECT_EQ(timelines(), 2U);
    change(a(), "del t");
    EXPECT_EQ(timelines(), 1U);
    change(a(), "clear");
}

TEST_F(Timelines, WhatIsRefusedChangesNothing)
{
    change(a(), "add --name t --dev va --proto udp --trace " + trace());
    const auto before = timeline("t");
    std::ofstream(trace_) << "time,loss\n0s,0%\n1s,100\n";
    const auto output = headwind(a(), "change t --trace " + trace_);
    EXPECT_EQ(output.status, 2);
    EXPECT_THAT(output.err, HasSubstr(trace_ + ":3: loss 100: needs '%'"));
    EXPECT_EQ(headwind(a(), "add --name u --trace /nowhere.csv").status, 3);
    EXPECT_EQ(timeline("t"), before);
    EXPECT_EQ(timelines(), 1U);
}

}  // namespace
}  // namespace headwind::test::timeline_test
