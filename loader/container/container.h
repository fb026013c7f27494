// SPDX-License-Identifier: MIT
// Finds the containers and pods of this host without a daemon: in the files of OCI runtimes and engines, in the cgroup2
// hierarchy and in /proc. Changes nothing and enters nothing.
//
// `root` is where the host's file system is seen: "" on the host, "/host" in a container that has it mounted there
// (--host-root). /proc, /run, /sys/fs/cgroup and /var/lib are read below it.
#pragma once

#include <string>
#include <vector>

#include "container/state.h"
#include "util/result.h"

namespace headwind {

// One container, a whole pod or a process that lives.
struct Found {
    ContainerState container;  // for a whole pod: its sandbox, as far as it is known; for a process: empty
    bool whole_pod = false;
    bool host_network = false;       // it has the host's network namespace, none of its own
    int process = 0;                 // a process that was found by its id; else 0
    std::string cgroup;              // below the cgroup2 mount, with a leading slash; empty: a whole pod
    std::vector<std::string> netns;  // paths of its network namespace, the most lasting first; they begin with `root`
};

// `text`: an id, at least 6 digits of one, or a name. Errors name --container and list what `text` may have meant, or
// what runs.
Result<Found> find_container(const std::string& root, const std::string& text);

// `text`: NAMESPACE/NAME, or NAMESPACE/NAME/CONTAINER. Errors name --pod.
Result<Found> find_pod(const std::string& root, const std::string& text);

// `text`: a process id of the host's. The process stands for its cgroup, with all that is in it. Errors name --pid.
Result<Found> find_process(const std::string& root, const std::string& text);

}  // namespace headwind
