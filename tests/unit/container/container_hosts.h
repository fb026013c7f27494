// SPDX-License-Identifier: MIT
// A made-up host with the files that every engine writes about its containers.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "host_root.h"

namespace headwind::test::container_hosts {

using nlohmann::json;

// A container id: 64 digits that start with `beginning`.
inline std::string id(const std::string& beginning)
{
    return beginning + std::string(64 - beginning.size(), '0');
}

inline const std::string web = id("3f2a1b4c5d6e"), db = id("9c8b7a"), sandbox = id("5a5a5a");

enum class Engine { containerd, crio, docker, podman };
enum class Driver { systemd, cgroupfs };

struct Made {
    Engine engine;
    Driver driver;
};

struct Container {
    std::string id, name;
    int pid = 0;
    bool is_sandbox = false;
};

inline json runc_state(const Container& one, const std::string& cgroup, const std::string& bundle,
                       const json& annotations, const std::string& netns = "")
{
    json labels = json::array({"bundle=" + bundle});
    for (const auto& [key, value] : annotations.items()) labels.push_back(key + "=" + value.get<std::string>());
    return {{"id", one.id},
            {"init_process_pid", one.pid},
            {"init_process_start", 1000 + one.pid},
            {"cgroup_paths", {{"", "/sys/fs/cgroup" + cgroup}}},
            {"config", {{"labels", labels}, {"namespaces", {{{"type", "NEWNET"}, {"path", netns}}}}}}};
}

inline json crun_status(const Container& one, const std::string& cgroup, const std::string& bundle)
{
    return {{"pid", one.pid}, {"process-start-time", 1000 + one.pid}, {"cgroup-path", cgroup}, {"bundle", bundle},
            {"rootfs", "/x"}, {"external_descriptors", {"/dev/null"}}};
}

inline json bundle_config(const json& annotations, const std::string& netns)
{
    return {{"annotations", annotations}, {"linux", {{"namespaces", {{{"type", "network"}, {"path", netns}}}}}}};
}

class Host : public HostRoot {
public:
    std::string pod_cgroup(Driver driver) const
    {
        return driver == Driver::systemd ? "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice"
                                         : "/kubepods/burstable/pod12-34";
    }

    std::string cgroup_of(const Made& made, const std::string& container) const
    {
        const bool systemd = made.driver == Driver::systemd;
        const std::string scope = systemd ? ".scope" : "";
        switch (made.engine) {
            case Engine::containerd:
                return pod_cgroup(made.driver) + (systemd ? "/cri-containerd-" : "/") + container + scope;
            case Engine::crio: return pod_cgroup(made.driver) + "/crio-" + container + scope;
            case Engine::docker: return (systemd ? "/system.slice/docker-" : "/docker/") + container + scope;
            case Engine::podman:
                return (systemd ? "/machine.slice/libpod-" : "/libpod_parent/libpod-") + container + scope;
        }
        return {};
    }

    void run(const Made& made, const Container& one)
    {
        const auto group = cgroup_of(made, one.id);
        cgroup(group);
        if (one.pid != 0) process(one.pid, 1000 + static_cast<std::uint64_t>(one.pid));
        switch (made.engine) {
            case Engine::containerd: return run_containerd(one, group);
            case Engine::crio: return run_crio(made, one, group);
            case Engine::docker: return run_docker(one, group);
            case Engine::podman: return run_podman(made, one, group);
        }
    }

    std::string runc_folder = "/run/containerd/runc/k8s.io";

private:
    void run_containerd(const Container& one, const std::string& group) const
    {
        json annotations{{"io.kubernetes.cri.sandbox-id", sandbox},
                         {"io.kubernetes.cri.sandbox-name", "shop"},
                         {"io.kubernetes.cri.sandbox-namespace", "default"},
                         {"io.kubernetes.cri.container-type", one.is_sandbox ? "sandbox" : "container"}};
        if (!one.is_sandbox) annotations["io.kubernetes.cri.container-name"] = one.name;
        const auto netns = one.is_sandbox ? "/var/run/netns/cni-1" : "/proc/100/ns/net";
        const auto bundle = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + one.id;
        write(runc_folder + "/" + one.id + "/state.json", runc_state(one, group, bundle, annotations, netns).dump());
    }

    void run_crio(const Made& made, const Container& one, const std::string& group) const
    {
        cgroup(pod_cgroup(made.driver) + "/crio-conmon-" + one.id + (made.driver == Driver::systemd ? ".scope" : ""));
        const json annotations{{"io.kubernetes.cri-o.SandboxID", sandbox},
                               {"io.kubernetes.cri-o.ContainerType", one.is_sandbox ? "sandbox" : "container"},
                               {"io.kubernetes.cri-o.Name", "k8s_" + one.name + "_shop_default_12-34_0"},
                               {"io.kubernetes.container.name", one.is_sandbox ? "POD" : one.name},
                               {"io.kubernetes.pod.name", "shop"},
                               {"io.kubernetes.pod.namespace", "default"}};
        const auto bundle = "/var/run/containers/storage/overlay-containers/" + one.id + "/userdata";
        write("/run" + bundle.substr(8) + "/config.json", bundle_config(annotations, "/var/run/netns/cni-1").dump());
        write("/run/crun/" + one.id + "/status", crun_status(one, group, bundle).dump());
    }

    void run_docker(const Container& one, const std::string& group) const
    {
        const auto bundle = "/run/containerd/io.containerd.runtime.v2.task/moby/" + one.id;
        write("/run/docker/runtime-runc/moby/" + one.id + "/state.json",
              runc_state(one, group, bundle, json::object()).dump());
        write("/var/lib/docker/containers/" + one.id + "/config.v2.json",
              json{{"ID", one.id},
                   {"Name", "/" + one.name},
                   {"State", {{"Running", true}, {"Pid", one.pid}}},
                   {"NetworkSettings", {{"SandboxKey", "/var/run/docker/netns/0a1b2c"}}}}
                  .dump());
    }

    void run_podman(const Made& made, const Container& one, const std::string& group)
    {
        if (made.driver == Driver::systemd) cgroup(group + "/container");
        cgroup("/machine.slice/libpod-conmon-" + one.id + ".scope");
        const auto bundle = "/var/lib/containers/storage/overlay-containers/" + one.id + "/userdata";
        const json annotations{{"io.container.manager", "libpod"}, {"io.podman.annotations.init", "FALSE"}};
        write(bundle + "/config.json", bundle_config(annotations, "/run/netns/netns-77").dump());
        write("/run/crun/" + one.id + "/status", crun_status(one, group + "/container", bundle).dump());
        listed_.push_back({{"id", one.id}, {"names", {one.name}}, {"metadata", "{}"}});
        write("/var/lib/containers/storage/overlay-containers/containers.json", listed_.dump());
    }

    json listed_ = json::array();
};

}  // namespace headwind::test::container_hosts
