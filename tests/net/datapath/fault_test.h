// SPDX-License-Identifier: MIT
// A pair with rules whose parts somebody damages; in the end nothing is left.
#pragma once

#include "agent_test.h"
#include "datapath/attached.h"
#include "datapath/link.h"
#include "foreign_program.h"

namespace headwind::test::fault_test {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

// What somebody does to a part of the line: ip's commands; empty: takes its programs off. {b}: another namespace.
struct LineFault {
    const char *name, *commands, *why;
};
inline constexpr LineFault line_faults[] = {
    {"Headwind0Down", "link set headwind0 down", "headwind0 is down"},
    {"Headwind1Down", "link set headwind1 down", "headwind1 is down"},
    {"Headwind0Deleted", "link del headwind0", "headwind0 is gone"},
    {"Headwind1Moved", "link set headwind1 netns {b}", "headwind1 is gone"},
    {"ProgramsTakenOff", "", "took Headwind's program off headwind0"},
};

class Fault : public Agent {
protected:
    void SetUp() override
    {
        Agent::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) before_ = footprint(a());
    }
    void TearDown() override
    {
        if (!IsSkipped() && !HasFatalFailure()) {
            change(a(), "clear");
            expect_footprint(a(), before_);
            EXPECT_EQ(arrive({.count = 20}), 20U);
        }
        Agent::TearDown();
    }
    void expect_not_effective(const std::string& rule, const std::string& why) const
    {
        const auto all = rule_of(a(), rule);
        EXPECT_EQ(all["state"], "not effective");
        EXPECT_THAT(all["trouble"], HasSubstr(why));
        const auto list = headwind(a(), "list").out;
        EXPECT_THAT(list, HasSubstr("not effective"));
        EXPECT_THAT(list, HasSubstr(why));
    }
    // One of headwind0's two programs.
    void take_program_off_line(const std::string& hook) const
    {
        const Inside inside(a());
        const auto programs = own_programs_here();
        ASSERT_TRUE(programs);
        for (const auto& one : *programs) EXPECT_TRUE(one.device != "headwind0" || one.hook != hook || take_off(one));
    }
    void break_line(const LineFault& fault) const
    {
        if (*fault.commands == 0) return take_programs_off(a(), "headwind0");
        ip(a(), fmt::format(fmt::runtime(fault.commands), fmt::arg("b", b().name())));
        // The bridge learns from a work queue that its port has no carrier (net/core/link_watch.c), and sends till
        // then.
        EXPECT_TRUE(eventually([this] {
            return run(&a(), {"ip", "link", "show", "headwind2"}).out.find("NO-CARRIER") != std::string::npos;
        }));
    }
    std::uint64_t passed_without_line(const std::string& rule) const
    {
        return rule_of(a(), rule)["counters"]["out"]["passed_without_line_packets"];
    }

private:
    std::string before_;
};

}  // namespace headwind::test::fault_test
