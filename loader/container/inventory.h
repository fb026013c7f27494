// SPDX-License-Identifier: MIT
// The containers of a host, put together from what the files below its root tell: for container.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "container/state.h"

namespace headwind {

struct Inventory {
    std::vector<ContainerState> containers;      // one for each id; pid is 0 if the process no longer lives
    std::map<std::string, std::string> cgroups;  // id -> path below the cgroup2 mount, for containers that have one
};

// Files that cannot be read or are no JSON are left out: other engines' files must not stand in the way.
Inventory take_inventory(const std::string& root);

// A path of the host's as it is seen here. /var/run is an absolute link to /run, which would lead out of `root`.
std::string in_root(const std::string& root, const std::string& path);

// The ids of all processes in the cgroup or below it.
std::vector<int> processes_of(const std::string& root, const std::string& cgroup);

// The text of a file; empty if it cannot be read.
std::string read_host_file(const std::string& path);

}  // namespace headwind
