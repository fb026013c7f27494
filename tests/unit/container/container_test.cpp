// SPDX-License-Identifier: MIT
// Containers and pods on made-up hosts of every engine, under both cgroup drivers.
#include "container/container.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "container_hosts.h"

namespace headwind::test::container_test {
namespace {

using nlohmann::json;
using namespace container_hosts;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string message(const Result<Found>& result)
{
    return result ? "no error" : result.error().message;
}

// ---- every engine, both drivers ----

class EveryEngine : public testing::TestWithParam<std::tuple<Engine, Driver>> {
protected:
    Made made() const { return {std::get<0>(GetParam()), std::get<1>(GetParam())}; }
    bool has_pods() const { return made().engine == Engine::containerd || made().engine == Engine::crio; }
    void SetUp() override
    {
        if (has_pods()) host.run(made(), {sandbox, "", 100, true});
        host.run(made(), {web, "web", 200});
        host.run(made(), {db, "db", 300});
    }
    void expect_web(const Result<Found>& found) const
    {
        ASSERT_TRUE(found) << found.error().message;
        EXPECT_EQ(found->container.id, web);
        EXPECT_EQ(found->container.name, "web");
        EXPECT_EQ(found->cgroup, host.cgroup_of(made(), web));
        ASSERT_FALSE(found->netns.empty());
        EXPECT_EQ(found->netns.front(), host.path() + (has_pods() ? "/proc/100/ns/net" : "/proc/200/ns/net"));
        EXPECT_EQ(found->container.pod_name, has_pods() ? "shop" : "");
    }
    Host host;
};

TEST_P(EveryEngine, FindsAContainerByIdByItsBeginningAndByName)
{
    expect_web(find_container(host.path(), web));
    expect_web(find_container(host.path(), web.substr(0, 12)));
    expect_web(find_container(host.path(), web.substr(0, 6)));
    expect_web(find_container(host.path(), "web"));
}

TEST_P(EveryEngine, AnUnknownOneIsRefusedWithWhatThereIs)
{
    const auto found = find_container(host.path(), "wbe");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::not_found);
    EXPECT_THAT(found.error().message,
                AllOf(HasSubstr("--container wbe: no such container"), HasSubstr("there are: db (9c8b7a000000)"),
                      HasSubstr("web (3f2a1b4c5d6e)"), Not(HasSubstr("5a5a5a"))));
    EXPECT_THAT(message(find_container(host.path(), web.substr(0, 5))), HasSubstr("no such container"));
}

TEST_P(EveryEngine, OneThatDoesNotRunIsSaidToBeSo)
{
    host.remove("/sys/fs/cgroup" + host.cgroup_of(made(), web));
    EXPECT_THAT(message(find_container(host.path(), "web")),
                AllOf(HasSubstr("--container web: web (3f2a1b4c5d6e)"), HasSubstr("does not run: start it first")));
}

TEST_P(EveryEngine, IsFoundByItsCgroupAloneWithoutAnythingWritten)
{
    for (const auto* folder : {"/run/containerd", "/run/crun", "/run/docker", "/var/lib"}) host.remove(folder);
    host.write("/sys/fs/cgroup" + host.cgroup_of(made(), web) + "/cgroup.procs", "200\n201\n");
    const auto found = find_container(host.path(), web.substr(0, 12));
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->container.id, web);
    EXPECT_EQ(found->cgroup, host.cgroup_of(made(), web));
    EXPECT_THAT(found->netns, ElementsAre(host.path() + "/proc/200/ns/net"));
}

TEST_P(EveryEngine, GarbageInOtherFilesStandsInNobodysWay)
{
    for (const auto* file :
         {"/run/runc/x/state.json", "/run/crun/y/status", "/var/lib/docker/containers/z/config.v2.json",
          "/run/containerd/runc/k8s.io/v/state.json", "/var/lib/containers/storage/vfs-containers/containers.json"}) {
        host.write(file, R"({"pid": "what", "config": 7, )");
    }
    host.write("/run/crun/w/status", R"([1, 2])");
    host.write("/run/runc/u/state.json", R"({"id": 5, "config": {"labels": [1, {"a": 2}]}, "init_process_pid": -1})");
    expect_web(find_container(host.path(), "web"));
}

std::string name_of(const testing::TestParamInfo<std::tuple<Engine, Driver>>& info)
{
    constexpr const char* engines[] = {"Containerd", "CriO", "Docker", "Podman"};
    const bool systemd = std::get<1>(info.param) == Driver::systemd;
    return engines[static_cast<int>(std::get<0>(info.param))] + std::string(systemd ? "Systemd" : "Cgroupfs");
}

INSTANTIATE_TEST_SUITE_P(Container, EveryEngine,
                         testing::Combine(testing::Values(Engine::containerd, Engine::crio, Engine::docker,
                                                          Engine::podman),
                                          testing::Values(Driver::systemd, Driver::cgroupfs)),
                         name_of);

// ---- containers ----

class Containers : public testing::Test {
protected:
    static constexpr Made docker{Engine::docker, Driver::systemd};
    static constexpr Made containerd{Engine::containerd, Driver::systemd};
    Host host;
};

TEST_F(Containers, ABeginningOfTwoIdsIsRefusedWithBoth)
{
    host.run(docker, {id("abcdef01"), "one", 10});
    host.run(docker, {id("abcdef02"), "two", 20});
    const auto found = find_container(host.path(), "abcdef");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::usage);
    EXPECT_THAT(found.error().message, AllOf(HasSubstr("--container abcdef: several are meant"),
                                             HasSubstr("one (abcdef010000)"), HasSubstr("two (abcdef020000)")));
    EXPECT_TRUE(find_container(host.path(), "abcdef01"));
}

TEST_F(Containers, ANameGoesBeforeABeginningOfAnId)
{
    host.run(docker, {id("abcdef01"), "one", 10});
    host.run(docker, {id("77"), "abcdef", 20});
    const auto found = find_container(host.path(), "abcdef");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->container.id, id("77"));
}

TEST_F(Containers, OfTheSameNameTheOneThatRunsIsMeant)
{
    host.run(docker, {id("11"), "web", 10});
    host.run(docker, {id("22"), "web", 20});
    EXPECT_THAT(message(find_container(host.path(), "web")), HasSubstr("several are meant"));
    host.remove("/sys/fs/cgroup" + host.cgroup_of(docker, id("11")));
    const auto found = find_container(host.path(), "web");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->container.id, id("22"));
}

TEST_F(Containers, TheHighestCgroupOfAnIdIsTheEnginesOwn)
{
    host.run(docker, {web, "web", 10});
    host.cgroup(host.cgroup_of(docker, web) + "/docker-" + web + ".scope");
    host.cgroup("/a/b/c/d/e/" + web);
    const auto found = find_container(host.path(), "web");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->cgroup, host.cgroup_of(docker, web));
}

TEST_F(Containers, OnAHybridHostCgroup2IsBelowUnified)
{
    host.run(docker, {web, "web", 10});
    host.remove("/sys/fs/cgroup");
    host.cgroup("/memory/docker/" + web);
    host.cgroup("/unified/docker/" + web);
    const auto found = find_container(host.path(), "web");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->cgroup, "/docker/" + web);
}

TEST_F(Containers, AProcessIdThatWasUsedAgainIsNobodys)
{
    host.run(docker, {web, "web", 10});
    host.process(10, 999);
    host.write("/run/docker/netns/0a1b2c", "");
    const auto found = find_container(host.path(), "web");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_THAT(found->netns, ElementsAre(host.path() + "/run/docker/netns/0a1b2c"));
    host.remove("/run/docker/netns");
    EXPECT_THAT(message(find_container(host.path(), "web")), HasSubstr("its network namespace is not found"));
}

TEST_F(Containers, AnIdOfTheUsersOwnIsFoundByWhatTheRuntimeWrote)
{
    host.process(10, 1010);
    host.cgroup("/tests/my-box");
    host.write("/run/runc/my-box/state.json", runc_state({"my-box", "", 10}, "/tests/my-box", "/b", {}).dump());
    const auto found = find_container(host.path(), "my-box");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->cgroup, "/tests/my-box");
}

// Users may write these files themselves: nothing there is waited for, read without end, or taken for root's.
TEST_F(Containers, WhatAUserPutThereStandsInNobodysWay)
{
    host.run(docker, {web, "web", 10});
    const auto evil = [this](const std::string& name) { return host.path() + "/run/user/1000/runc/" + name; };
    for (const char* name : {"fifo", "device"}) host.write("/run/user/1000/runc/" + std::string(name) + "/x", "");
    ASSERT_EQ(mkfifo((evil("fifo") + "/state.json").c_str(), 0600), 0);
    ASSERT_EQ(symlink("/dev/zero", (evil("device") + "/state.json").c_str()), 0);
    const auto state = runc_state({web, "", 77}, "/user.slice/mine", "/b", {}).dump();
    host.write("/run/user/1000/runc/" + web + "/state.json", state);
    const bool root = geteuid() == 0 && chown(evil(web).c_str(), 1000, 1000) == 0;
    const auto found = find_container(host.path(), "web");
    ASSERT_TRUE(found) << found.error().message;
    if (!root) GTEST_SKIP() << "needs root, to make another user's folder";
    EXPECT_NE(found->cgroup, "/user.slice/mine");
    EXPECT_EQ(found->container.pid, 10);
}

TEST_F(Containers, OnAHostWithoutAny)
{
    host.cgroup("/system.slice");
    EXPECT_THAT(message(find_container(host.path(), "web")), HasSubstr("no container runs on this host"));
    EXPECT_THAT(message(find_container(host.path() + "/nowhere", "web")), HasSubstr("no container runs on this host"));
}

// ---- pods ----

TEST_F(Containers, APodIsItsNetworkNamespaceAndNoCgroup)
{
    host.run(containerd, {sandbox, "", 100, true});
    host.run(containerd, {web, "web", 200});
    const auto found = find_pod(host.path(), "default/shop");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(found->whole_pod);
    EXPECT_EQ(found->cgroup, "");
    EXPECT_EQ(found->netns.front(), host.path() + "/proc/100/ns/net");
}

// A pod whose list of namespaces has no network namespace is in the host's. (One with an entry there, with a path or
// without, has its own.)
TEST_F(Containers, APodOfTheHostsNetworkIsToldApart)
{
    const auto folder = host.runc_folder + "/" + sandbox;
    host.run(containerd, {sandbox, "", 100, true});
    EXPECT_FALSE(find_pod(host.path(), "default/shop")->host_network);
    auto state = json::parse(std::ifstream(host.path() + folder + "/state.json"));
    state["config"]["namespaces"] = {{{"type", "NEWPID"}, {"path", ""}}};
    host.write(folder + "/state.json", state.dump());
    EXPECT_TRUE(find_pod(host.path(), "default/shop")->host_network);
}

TEST_F(Containers, OfAPodOneContainer)
{
    host.run(containerd, {sandbox, "", 100, true});
    host.run(containerd, {web, "web", 200});
    host.run(containerd, {db, "db", 300});
    const auto found = find_pod(host.path(), "default/shop/db");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->container.id, db);
    EXPECT_EQ(found->cgroup, host.cgroup_of(containerd, db));
    EXPECT_THAT(message(find_pod(host.path(), "default/shop/wbe")),
                AllOf(HasSubstr("--pod default/shop/wbe: the pod has no such container"), HasSubstr("web (3f2a")));
}

// The process of a crash-looping container is gone, and its cgroup may be gone too; the sandbox lives on.
TEST_F(Containers, TheNamespaceIsTheSandboxsNotTheCrashingContainers)
{
    host.run(containerd, {sandbox, "", 100, true});
    host.run(containerd, {web, "web", 200});
    host.remove("/proc/200");
    const auto found = find_pod(host.path(), "default/shop/web");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_THAT(found->netns, ElementsAre(host.path() + "/proc/100/ns/net"));
}

// CRI-O starts no process for the sandbox: the bundles of its containers have the path of the namespace.
TEST_F(Containers, ASandboxWithoutAProcessHasItsNamespaceInTheBundles)
{
    const Made crio{Engine::crio, Driver::systemd};
    host.run(crio, {web, "web", 200});
    host.cgroup(host.cgroup_of(crio, sandbox));
    host.write("/run/netns/cni-1", "");
    host.write("/var/lib/containers/storage/overlay-containers/containers.json",
               json::array({{{"id", sandbox}, {"names", {"k8s_POD_shop_default_12-34_0"}}},
                            {{"id", web}, {"names", {"k8s_web_shop_default_12-34_0"}}}})
                   .dump());
    const auto whole = find_pod(host.path(), "default/shop");
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(whole->netns.front(), host.path() + "/run/netns/cni-1");
    const auto one = find_pod(host.path(), "default/shop/web");
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_EQ(one->container.name, "web");
    EXPECT_THAT(message(find_container(host.path(), "none")), Not(HasSubstr("POD")));
}

TEST_F(Containers, APodWithTwoLiveSandboxesIsRefused)
{
    host.run(containerd, {sandbox, "", 100, true});
    const auto other = id("6b6b6b");
    host.process(400, 1400);
    host.write(host.runc_folder + "/" + other + "/state.json",
               runc_state({other, "", 400, true}, "/x", "/b",
                          {{"io.kubernetes.cri.sandbox-id", other},
                           {"io.kubernetes.cri.sandbox-name", "shop"},
                           {"io.kubernetes.cri.sandbox-namespace", "default"},
                           {"io.kubernetes.cri.container-type", "sandbox"}})
                   .dump());
    EXPECT_THAT(message(find_pod(host.path(), "default/shop")), AllOf(HasSubstr("it runs 2 times"), HasSubstr(other)));
    host.remove("/proc/400");
    EXPECT_TRUE(find_pod(host.path(), "default/shop")) << "the other one is left over";
}

TEST_F(Containers, APodIsNamedWithItsNamespace)
{
    host.run(containerd, {sandbox, "", 100, true});
    for (const auto* text : {"shop", "default/", "/shop", "default//web", "a/b/c/d", "", "default/shop/"})
        EXPECT_THAT(message(find_pod(host.path(), text)), HasSubstr("write NAMESPACE/NAME")) << text;
    EXPECT_THAT(message(find_pod(host.path(), "other/shop")),
                AllOf(HasSubstr("no such pod runs on this host"), HasSubstr("there are: default/shop")));
}

// ---- processes ----

TEST_F(Containers, AProcessIsItsCgroup)
{
    host.process(42, 1);
    host.write("/proc/42/cgroup", "4:memory:/other\n0::/user.slice/app.scope\n");
    const auto found = find_process(host.path(), "42");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->process, 42);
    EXPECT_EQ(found->cgroup, "/user.slice/app.scope");
    EXPECT_THAT(found->netns, ElementsAre(host.path() + "/proc/42/ns/net"));
}

TEST_F(Containers, AProcessThatCannotBeToldApartIsRefused)
{
    host.process(42, 1);
    host.write("/proc/42/cgroup", "0::/\n");
    EXPECT_THAT(message(find_process(host.path(), "42")), HasSubstr("in the root of the cgroup2 hierarchy"));
    host.write("/proc/42/cgroup", "0::/../../kubepods/x\n");
    EXPECT_THAT(message(find_process(host.path(), "42")), HasSubstr("cgroup namespace"));
    EXPECT_THAT(message(find_process(host.path(), "43")), HasSubstr("no such process"));
    for (const auto* text : {"0", "-1", "web", "4 2", "99999999999"})
        EXPECT_THAT(message(find_process(host.path(), text)), HasSubstr("write a process id")) << text;
}

}  // namespace
}  // namespace headwind::test::container_test
