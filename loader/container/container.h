// Containers and pods of this host, found without a daemon: in the files of OCI runtimes and engines, in the cgroup2
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
    ContainerState container;  // of a whole pod: its sandbox, as far as it is known; of a process: empty
    bool whole_pod = false;
    bool host_network = false;       // it has no network namespace of its own but the host's
    int process = 0;                 // found by its id; else 0
    std::string cgroup;              // below the cgroup2 mount, with a leading slash; empty: of a whole pod
    std::vector<std::string> netns;  // paths of its network namespace, the most lasting first; `root` is in them
};

// ID, at least 6 digits of an id, or name. Errors name --container and list what `text` may have meant, or what runs.
Result<Found> find_container(const std::string& root, const std::string& text);

// NAMESPACE/NAME, or NAMESPACE/NAME/CONTAINER. Errors name --pod.
Result<Found> find_pod(const std::string& root, const std::string& text);

// A process of the host's process ids. Its cgroup is meant, with all that is in it. Errors name --pid.
Result<Found> find_process(const std::string& root, const std::string& text);

}  // namespace headwind
