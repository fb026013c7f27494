// SPDX-License-Identifier: MIT
// headwind in a container of its own, which sees the host's file system in a folder (--host-root).
#include "pod_test.h"

#include <fstream>

namespace headwind::test::node_pod_test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A node pod has the host's root at /host, and at /sys/fs/bpf the host's bpffs or, by mistake, one of its own.
class NodePods : public Pods {
protected:
    // Runs headwind with mounts of its own, without restrictions.
    Output in_mounts(bool own_bpffs, const std::string& arguments) const
    {
        const auto root = (node().folder() / "host").string();
        const std::string script = "set -e; mkdir -p " + root + "; mount --rbind / " + root + "; " +
                                   (own_bpffs ? "mount -t bpf none /sys/fs/bpf; " : "") + "exec " + headwind_binary() +
                                   " " + arguments;
        return run(&host(), {"unshare", "--mount", "bash", "-c", script}, {"HEADWIND_HOST_ROOT=" + root + "/"});
    }
};

RUNS_IN("ManifestPod.DelaysWhereTheKernelCan", nowhere, linux_6_12);

TEST_F(NodePods, ABpffsThatIsNotTheHostsIsRefused)
{
    for (const std::string command :
         {"list", "add --for ever --name cut --container web --loss 1%", "clear --pod default/shop"}) {
        const auto refused = in_mounts(true, command);
        EXPECT_EQ(refused.status, 5) << command;
        EXPECT_THAT(refused.err, AllOf(HasSubstr("--host-root "), HasSubstr("would die with this container"),
                                       HasSubstr("hostPath volume"), HasSubstr("mountPropagation: Bidirectional")));
    }
    EXPECT_EQ(headwind(host(), "list --host-root /nowhere").status, 2);
    EXPECT_EQ(headwind(host(), "list --host-root /").out, "no rules\n");
}

TEST_F(NodePods, TheHostsContainersAreFoundBelowItsRoot)
{
    EXPECT_EQ(in_mounts(false, "list --container web").out, "no rules\n");
    EXPECT_EQ(in_mounts(false, "list --pid " + std::to_string(shop().pid_of("web"))).out, "no rules\n");
    EXPECT_THAT(in_mounts(false, "list --pod default/none").err, HasSubstr("there are: default/back, default/shop"));
}

// The manifest as JSON: the DaemonSet's only container.
json manifest_container()
{
    const std::string manifest = repository_file("tools/image/node-pod.yaml");
    const auto output = run(
        nullptr, {"python3", "-c",
                  "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))", manifest});
    expect_ok(output, "read the manifest");
    const auto documents = json::parse(output.out, nullptr, false);
    for (const auto& document : documents)
        if (document.value("kind", "") == "DaemonSet") return document["spec"]["template"]["spec"]["containers"][0];
    return {};
}

// The pod that Kubernetes makes of the manifest, as far as runc does it: capabilities, namespaces, mounts, a /proc/sys
// that cannot be written. (No seccomp and no AppArmor.)
class ManifestPod : public NodePods {
protected:
    void SetUp() override
    {
        NodePods::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        const auto container = manifest_container();
        ASSERT_TRUE(container.is_object());
        const auto& security = container["securityContext"];
        ASSERT_EQ(security["privileged"], false);
        ASSERT_EQ(security["capabilities"]["drop"], json::array({"ALL"}));
        for (const auto& name : security["capabilities"]["add"])
            capabilities_.push_back("CAP_" + name.get<std::string>());
        start(capabilities_);
    }
    void TearDown() override
    {
        stop();
        NodePods::TearDown();
    }

    Output in_pod(const std::string& arguments) const { return run(nullptr, command_in_pod(arguments)); }
    Arguments command_in_pod(const std::string& arguments) const
    {
        return words("runc exec --env HEADWIND_HOST_ROOT=/host " + id + " /headwind " + arguments);
    }

    const std::vector<std::string>& capabilities() const { return capabilities_; }
    void stop() const { run(nullptr, {"runc", "delete", "--force", id}); }

    void start(const std::vector<std::string>& capabilities)
    {
        const auto bundle = node().folder() / "node-pod";
        std::filesystem::create_directories(bundle);
        std::ofstream(node().folder() / "rootfs/headwind").flush();
        std::filesystem::create_directories(node().folder() / "rootfs/host");
        // The tests' BPF file system stands for the host's, so process 1 is made to see it.
        std::ofstream(bundle / "mountinfo") << std::ifstream("/proc/self/mountinfo").rdbuf();
        std::ofstream(bundle / "config.json") << spec(bundle, capabilities);
        expect_ok(
            run(nullptr, {"sh", "-c",
                          "runc run --detach --bundle " + bundle.string() + " " + id + " </dev/null >/dev/null 2>" +
                              bundle.string() + "/err || { cat " + bundle.string() + "/err; exit 1; }"}),
            "runc run");
    }

private:
    const std::string id = "headwind-node-pod-" + std::to_string(unique_number());

    json spec(const std::filesystem::path& bundle, const std::vector<std::string>& capabilities) const
    {
        const auto mount = [](const char* to, const char* type, const std::string& from, const json& options) {
            return json{{"destination", to}, {"type", type}, {"source", from}, {"options", options}};
        };
        json sets;
        for (const char* set : {"bounding", "effective", "permitted"}) sets[set] = capabilities;
        return json{
            {"ociVersion", "1.0.2"},
            {"process",
             {{"args", {"/bin/busybox", "sleep", "100000"}},
              {"cwd", "/"},
              {"env", {"PATH=/bin:/usr/bin"}},
              {"user", {{"uid", 0}, {"gid", 0}}},
              {"capabilities", sets},
              {"noNewPrivileges", true}}},
            {"root", {{"path", (node().folder() / "rootfs").string()}, {"readonly", true}}},
            {"mounts",
             {mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
              mount("/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}),
              mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
              mount("/sys/fs/bpf", "none", "/sys/fs/bpf", {"rbind", "rslave"}),
              mount("/usr", "none", "/usr", {"rbind", "ro"}),
              mount("/headwind", "none", headwind_binary(), {"bind", "ro"}),
              mount("/host", "none", "/", {"rbind", "rslave", "ro"}),
              mount("/host/proc/1/mountinfo", "none", (bundle / "mountinfo").string(), {"bind"})}},
            {"linux",
             {{"cgroupsPath", "/" + id},
              {"namespaces", {{{"type", "network"}, {"path", host().path()}}, {{"type", "ipc"}}, {{"type", "mount"}}}},
              {"maskedPaths", {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}},
              {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
    }

    std::vector<std::string> capabilities_;
};

TEST_F(ManifestPod, ImpairsOneContainerOfAnotherPodAtBothSides)
{
    for (const std::string at : {"pod", "host --direction out"}) {
        expect_ok(in_pod("add --for ever --name cut --pod default/shop/web --loss 100% --at " + at), at);
        expect_cut("web");
        expect_spared("db");
        expect_ok(in_pod(at == "pod" ? "del cut --pod default/shop" : "del cut"), at);
        expect_spared("web");
    }
    EXPECT_THAT(instances(), IsEmpty());
}

TEST_F(ManifestPod, ImpairsAProcessAndTakesEverythingBack)
{
    const auto before = footprint(shop().netns());
    expect_ok(in_pod("add --for ever --name cut --partition --pid " + std::to_string(shop().pid_of("web"))));
    expect_cut("web");
    expect_spared("db");
    expect_ok(in_pod("clear --container web"));
    expect_footprint(shop().netns(), before);
}

TEST_F(ManifestPod, NeedsEachOfItsCapabilities)
{
    EXPECT_THAT(capabilities(), Not(IsEmpty()));
    const auto add = "add --for ever --name cut --loss 1% --pid " + std::to_string(shop().pid_of("web"));
    for (const auto& one : capabilities()) {
        auto others = capabilities();
        std::erase(others, one);
        stop();
        start(others);
        EXPECT_NE(in_pod(one == "CAP_NET_BROADCAST" ? "agent" : add).status, 0) << "without " << one;
        EXPECT_THAT(instances(), IsEmpty()) << "without " << one;
    }
}

TEST_F(ManifestPod, RunsTheAgent)
{
    ASSERT_EQ(manifest_container()["args"], json::array({"agent"}));
    Process agent(nullptr, command_in_pod("agent --json"));
    const auto says = [&agent](const char* what) {
        return eventually([&] { return agent.out().find(what) != std::string::npos; });
    };
    EXPECT_TRUE(says("\"serving\"")) << agent.err();
    expect_ok(in_pod("add --for ever --name cut --container web --partition"));
    expect_cut("web", 2);
    shop().stop("web");
    EXPECT_TRUE(says("\"removed\"")) << agent.out() << agent.err();
    EXPECT_TRUE(eventually([] { return instances().empty(); }));
    agent.signal(SIGTERM);
    EXPECT_EQ(agent.wait().status, 0) << agent.err();
}

TEST_F(ManifestPod, DelaysWhereTheKernelCan)
{
    SKIP_WITHOUT_FQ();
    expect_ok(in_pod("add --for ever --name late --container web --delay 1ms"));
    expect_spared("web", 5);
    EXPECT_GT(rule_of(shop().netns(), "late")["counters"]["out"]["delayed_packets"], 0);
    expect_ok(in_pod("clear --container web"));
    expect_ok(in_pod("add --for ever --name late --container web --at host --direction both --delay 1ms"));
    expect_spared("web", 5);
    expect_spared("db", 5);
    for (const std::string direction : {"out", "in"})
        EXPECT_EQ(counters_of(host(), "late", direction).delayed, 20U) << direction;
}

}  // namespace
}  // namespace headwind::test::node_pod_test
