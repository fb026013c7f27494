// SPDX-License-Identifier: MIT
// Rules for cgroups that have processes.
#include "net_test.h"

#include "host/cgroup.h"

namespace headwind::test::cgroup_test {
namespace {

using testing::HasSubstr;

constexpr std::size_t packets = 20;

class Cgroups : public PairTest {
protected:
    // The number of packets from a process in the cgroup that arrive.
    std::size_t arrive_from(const TestCgroup& cgroup) const
    {
        UdpSink sink(b(), {Pair::b4, 5000});
        const std::string script = "echo $$ > " + cgroup.directory() +
                                   "/cgroup.procs; exec 3>/dev/udp/10.77.0.2/5000; for i in {1.." +
                                   std::to_string(packets) + "}; do echo $i >&3; done";
        expect_ok(run(&a(), {"bash", "-c", script}));
        return sink.finish(std::chrono::milliseconds(100), packets).size();
    }
};

TEST_F(Cgroups, MatchesTheCgroupAndWhatIsBelowIt)
{
    const TestCgroup top("top"), other("other"), inner(std::string("top/inner")), deepest("top/inner/deepest");
    change(a(), "add --for ever --name split --partition --cgroup " + inner.path());
    EXPECT_EQ(arrive_from(inner), 0U);
    EXPECT_EQ(arrive_from(deepest), 0U);
    EXPECT_EQ(arrive_from(top), packets);
    EXPECT_EQ(arrive_from(other), packets);
    EXPECT_EQ(arrive({.count = packets}), packets);
    EXPECT_EQ(counters_of(a(), "split").partition, 2 * packets);
}

// The mount may be anywhere (/sys/fs/cgroup/unified on hybrid hosts), so a cgroup may also be named by its path in the
// file system.
TEST_F(Cgroups, IsNamedByItsPathInTheFileSystemToo)
{
    const TestCgroup top("top");
    change(a(), "add --for ever --name split --partition --cgroup " + top.directory());
    EXPECT_EQ(arrive_from(top), 0U);
    EXPECT_THAT(headwind(a(), "list").out, HasSubstr(top.path() + " "));
}

TEST_F(Cgroups, EveryLevelIsToldApart)
{
    const TestCgroup top("top"), inner("top/inner");
    change(a(), "add --for ever --name split --partition --cgroup " + top.path());
    change(a(), "add --name spare --pass --cgroup " + inner.path());
    EXPECT_EQ(arrive_from(top), 0U);
    EXPECT_EQ(arrive_from(inner), packets);
}

TEST_F(Cgroups, WithAPortOnlyThatPortOfThatCgroup)
{
    const TestCgroup top("top"), other("other");
    change(a(), "add --for ever --name split --partition --remote-port 5000 --cgroup " + top.path());
    EXPECT_EQ(arrive_from(top), 0U);
    EXPECT_EQ(arrive_from(other), packets);
    change(a(), "add --for ever --name split --replace --partition --remote-port 5001 --cgroup " + top.path());
    EXPECT_EQ(arrive_from(top), packets);
}

TEST_F(Cgroups, AnUnknownOneIsRefused)
{
    const auto before = footprint(a());
    const auto output = headwind(a(), "add --for ever --name split --partition --cgroup /no/such/cgroup");
    EXPECT_EQ(output.status, 3);
    EXPECT_THAT(output.err, HasSubstr("--cgroup /no/such/cgroup: no such cgroup"));
    expect_footprint(a(), before);
}

}  // namespace
}  // namespace headwind::test::cgroup_test
