// SPDX-License-Identifier: MIT
// Tests rules for the cgroup of the sending socket. Packets of test_run have a socket of the process that runs it.
#include <gtest/gtest.h>

#include <fstream>

#include "host/cgroup.h"
#include "packets.h"
#include "prog_run.h"

namespace headwind::prog::cgroup_test {
namespace {

using packets::usual_packet;

class InCgroup : public testing::Test {
protected:
    void SetUp() override
    {
        const auto own = own_cgroup_path();
        if (!own || !cgroup2_mount()) GTEST_SKIP() << "no cgroup2 here";
        home_ = *cgroup2_mount() + *own;
        auto made = CommandCgroup::create();
        ASSERT_TRUE(made) << made.error().message;
        child_.emplace(std::move(*made));
    }
    void TearDown() override
    {
        if (child_) enter(home_);
    }
    static void enter(const std::string& directory)
    {
        std::ofstream file(directory + "/cgroup.procs");
        file << getpid() << std::flush;
        ASSERT_TRUE(file) << directory;
    }
    void enter_child() { enter(child_->directory()); }
    void leave_child() { enter(home_); }
    std::uint32_t add(const std::string& line, const std::string& cgroup)
    {
        const auto found = find_cgroup(cgroup);
        EXPECT_TRUE(found);
        return datapath.add(line + " --cgroup " + cgroup, {.cgroups = {*found}});
    }
    std::string child() const { return child_->path(); }

    Datapath datapath;

private:
    std::string home_;
    std::optional<CommandCgroup> child_;
};

TEST_F(InCgroup, OnlyItsOwnSocketsAreMatched)
{
    const auto id = add("--partition --direction out", child());
    EXPECT_EQ(datapath.out(usual_packet()), next);
    enter_child();
    EXPECT_EQ(datapath.out(usual_packet()), stolen);
    leave_child();
    EXPECT_EQ(datapath.out(usual_packet()), next);
    EXPECT_EQ(datapath.counters(id).packets, 1U);
}

TEST_F(InCgroup, AncestorsMatchWhatIsBelowThem)
{
    add("--partition --direction out", "/");
    EXPECT_EQ(datapath.out(usual_packet()), stolen);
    enter_child();
    EXPECT_EQ(datapath.out(usual_packet()), stolen);
}

TEST_F(InCgroup, TheDeepestIsTheMostSpecific)
{
    const auto root = add("--partition --direction out", "/");
    const auto below = add("--partition --direction out", child());
    datapath.out(usual_packet());
    enter_child();
    datapath.out(usual_packet());
    EXPECT_EQ(datapath.counters(root).packets, 1U);
    EXPECT_EQ(datapath.counters(below).packets, 1U);
}

TEST_F(InCgroup, TogetherWithOtherSelectors)
{
    const auto id = add("--remote-port 2000 --partition --direction out", child());
    const auto everybody = datapath.add("--remote-port 2000 --pass");
    const auto other_port = add("--remote-port 2001 --partition --direction out", "/");
    enter_child();
    datapath.out(usual_packet());
    leave_child();
    datapath.out(usual_packet());
    EXPECT_EQ(datapath.counters(id).packets, 1U);
    EXPECT_EQ(datapath.counters(everybody).packets, 1U) << "the cgroup looked up for one shape is not seen by another";
    EXPECT_EQ(datapath.counters(other_port).packets, 0U);
}

}  // namespace
}  // namespace headwind::prog::cgroup_test
