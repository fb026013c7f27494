// SPDX-License-Identifier: MIT
// Names of cgroups, and the start times of processes.
#include "container/state.h"

#include <gtest/gtest.h>

namespace headwind::test::state_test {
namespace {

const std::string web = "3f2a1b4c5d6e" + std::string(52, '0');

TEST(ContainerOfCgroup, KnowsTheNamesOfTheEngines)
{
    for (const std::string prefix : {"cri-containerd-", "crio-", "docker-", "libpod-", "nerdctl-", ""}) {
        EXPECT_EQ(container_of_cgroup(prefix + web + ".scope"), web) << prefix;
        EXPECT_EQ(container_of_cgroup(prefix + web), web) << prefix;
    }
}

TEST(ContainerOfCgroup, IsNotFooledByMonitorsAndOthers)
{
    for (const std::string& name : {"libpod-conmon-" + web + ".scope", "crio-conmon-" + web, web + ".slice",
                                    web.substr(1), web + "0", "docker-" + std::string(64, 'G'), std::string("docker-")})
        EXPECT_EQ(container_of_cgroup(name), "") << name;
}

TEST(StartTime, IsCountedFromTheEndOfTheCommandsName)
{
    EXPECT_EQ(start_time_of("7 (x) S 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 12345 99 1"), 12345U);
    EXPECT_EQ(start_time_of("7 (a) b) S 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 12345 99 1"), 12345U);
    EXPECT_EQ(start_time_of(""), 0U);
    EXPECT_EQ(start_time_of("7 (x) S 1 7"), 0U);
}

// An image chooses its labels, so a label may hold any text.
TEST(ContainerState, NamesThatAreNoPlainTextAreNone)
{
    ContainerState state;
    ASSERT_TRUE(read_docker_config(R"({"ID":"ab","Config":{"Labels":{"nerdctl/name":"a\u001b[31mb"}}})", state));
    EXPECT_EQ(state.name, "");
    EXPECT_EQ(state.id, "ab");
    ASSERT_TRUE(read_runc_state(R"({"config":{"labels":["nerdctl/name=a\u0007","bundle=/b"]}})", state));
    EXPECT_EQ(state.name, "");
    EXPECT_EQ(state.bundle, "/b");
    const auto listed = read_storage(R"([{"id":"ab","names":["a\u009bb"]}])");
    ASSERT_TRUE(listed && listed->size() == 1);
    EXPECT_EQ(listed->front().name, "");
}

}  // namespace
}  // namespace headwind::test::state_test
