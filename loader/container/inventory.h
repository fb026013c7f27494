// What the files below a host's root tell of its containers, put together: for container.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "container/state.h"

namespace headwind {

struct Inventory {
    std::vector<ContainerState> containers;      // by id; pid is 0 if the process no longer lives
    std::map<std::string, std::string> cgroups;  // id -> path below the cgroup2 mount, of containers that have one
};

// What cannot be read or is no JSON is left out: other engines' files must not stand in the way.
Inventory take_inventory(const std::string& root);

// A path of the host's as it is seen here. /var/run is an absolute link to /run, which would lead out of `root`.
std::string in_root(const std::string& root, const std::string& path);

// Of every process in the cgroup or below it.
std::vector<int> processes_of(const std::string& root, const std::string& cgroup);

// The text of a file; empty if it cannot be read.
std::string read_host_file(const std::string& path);

}  // namespace headwind
