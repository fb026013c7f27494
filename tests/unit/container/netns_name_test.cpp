// SPDX-License-Identifier: MIT
// Tests the names of network namespaces, and the flags that lead there.
#include "container/netns_name.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "host/host.h"

namespace headwind::netns_name_test {
namespace {

Subject of(const std::string& container, const std::string& id, const std::string& pod)
{
    return {container, id, pod, 0, false};
}

class NetnsNames : public testing::Test {
protected:
    void TearDown() override { use_host_root(""); }
};

TEST_F(NetnsNames, ByTheSubjectOfARule)
{
    const auto pod = name_netns("/proc/7000000/ns/net", of("web", "0123", "default/shop"));
    EXPECT_EQ(pod.place, "pod default/shop");
    EXPECT_EQ(pod.flags, "--pod default/shop");
    const auto named = name_netns("/run/netns/x", of("web", "0123", ""));
    EXPECT_EQ(named.place, "container web");
    EXPECT_EQ(named.flags, "--container web");
    EXPECT_EQ(name_netns("/run/netns/x", of("", "0123456789abcdef", "")).flags, "--container 0123456789ab");
}

TEST_F(NetnsNames, ByTheWayThatLeadsThere)
{
    const auto named = name_netns("/run/netns/blue", std::nullopt);
    EXPECT_EQ(named.place, "network namespace blue");
    EXPECT_EQ(named.flags, "--netns blue");
    EXPECT_EQ(name_netns("/run/netns/1234", std::nullopt).flags, "--netns /run/netns/1234") << "no process id";
    EXPECT_EQ(name_netns("/run/netns/a b", std::nullopt).flags, "--netns 'a b'");
    EXPECT_EQ(name_netns("/run/docker/netns/0", std::nullopt).flags, "--netns /run/docker/netns/0");
    EXPECT_EQ(name_netns("/proc/7000000/ns/net", std::nullopt).flags, "--netns 7000000");
    EXPECT_EQ(name_netns("/run/netns/blue", of("", "", "")).flags, "--netns blue") << "it may share it";
}

// The namespace of process 1 is the host's: a container that shares it is not all that is in it.
TEST_F(NetnsNames, TheHostsIsNobodysOwn)
{
    if (access("/proc/1/ns/net", F_OK) != 0) GTEST_SKIP() << "process 1's network namespace is out of reach";
    const auto shares = of("proxy", "0123", "kube-system/proxy");
    EXPECT_EQ(owner_of_netns("/proc/1/ns/net", shares), "");
    EXPECT_EQ(name_netns("/proc/1/ns/net", shares).flags, "--netns 1");
    EXPECT_EQ(owner_of_netns("/run/netns/x", shares), "pod kube-system/proxy");
}

TEST_F(NetnsNames, BelowAHostRoot)
{
    use_host_root("/host");
    EXPECT_EQ(name_netns("/host/run/netns/blue", std::nullopt).flags, "--netns /host/run/netns/blue --host-root /host");
    EXPECT_EQ(name_netns("/host/run/netns/blue", of("", "", "default/shop")).flags,
              "--pod default/shop --host-root /host");
}

}  // namespace
}  // namespace headwind::netns_name_test
