// SPDX-License-Identifier: MIT
// Readers of what container engines and OCI runtimes write about the containers of a host. Pure: text in, values out.
// Every reader takes what it knows and leaves the rest, since each file tells only a part.
//
// Sources: runc's state.json, crun's status, an OCI bundle's config.json, Docker's config.v2.json, and the list that
// containers/storage (Podman, CRI-O) keeps. Names and pods are annotations: io.kubernetes.cri.* (containerd),
// io.kubernetes.cri-o.* and the pod's labels (CRI-O), the pod's labels (cri-dockerd).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"

namespace headwind {

struct ContainerState {
    std::string id;
    std::string name;                     // as its user knows it; empty: it has none, or nobody wrote it down
    std::string pod_namespace, pod_name;  // in Kubernetes; empty: not told
    std::string sandbox;                  // id of its pod's sandbox (a sandbox: its own); empty: none
    bool is_sandbox = false;
    int pid = 0;                   // its first process; 0: none
    std::uint64_t start_time = 0;  // when `pid` started, clock ticks since boot, as in /proc/PID/stat; 0: not told
    std::string bundle;            // directory of its config.json
    std::string cgroup;            // below the cgroup2 mount, with a leading slash; empty: not told
    std::string netns;             // path of the network namespace it was given; empty: one of its own, or not told
    bool host_network = false;     // it has the host's network namespace instead
    friend bool operator==(const ContainerState&, const ContainerState&) = default;
};

// Errors say what the text is not; the caller names the file.
Status read_runc_state(std::string_view text, ContainerState& into);      // state.json
Status read_crun_status(std::string_view text, ContainerState& into);     // status
Status read_bundle_config(std::string_view text, ContainerState& into);   // config.json
Status read_docker_config(std::string_view text, ContainerState& into);   // config.v2.json
Result<std::vector<ContainerState>> read_storage(std::string_view text);  // containers.json: ids and names

// The id in the name of a cgroup that an engine made for a container: "docker-<id>.scope", "cri-containerd-<id>.scope",
// "crio-<id>", "<id>", …; empty: the name is none of these (nor is that of a container's monitor,
// "libpod-conmon-<id>.scope").
std::string container_of_cgroup(std::string_view name);

// Field 22 of /proc/PID/stat; 0: the text is no such file's.
std::uint64_t start_time_of(std::string_view stat);

// The container as far as it is known, as text: "web (3f2a1b4c5d6e) of pod default/shop".
std::string describe(const ContainerState& container);

}  // namespace headwind
