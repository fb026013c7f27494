// SPDX-License-Identifier: MIT
// Real pods: containers of runc in a network namespace that the CNI plugins "bridge" and "host-local" set up.
//
// Their root is busybox and the host's /usr, read-only; their annotations are those that containerd writes. Nothing
// outlives them.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "command.h"
#include "namespace.h"

namespace headwind::test {

// The path on the host of the program that containers run.
std::string container_probe();
std::string repository_file(const std::string& path);  // the full path of a file like "tools/demo"

// A host of pods: a namespace with the bridge, and a /run/runc of its own.
class Node {
public:
    static constexpr const char* address4 = "10.88.0.1";
    static constexpr const char* address6 = "fd88::1";

    // The reason why pods cannot be run here; empty: they can.
    static std::string missing();
    Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node();

    const Namespace& host() const { return host_; }
    const std::filesystem::path& folder() const { return folder_; }  // temporary

private:
    std::filesystem::path folder_;
    Namespace host_{"node"};
};

class Pod {
public:
    static constexpr unsigned port = 7000;  // the first container's server; the next one has the next port

    // Starts the pod's sandbox, in namespace "default".
    Pod(const Node& node, const std::string& name);
    Pod(const Pod&) = delete;
    Pod& operator=(const Pod&) = delete;
    ~Pod();

    void start(const std::string& container);  // with a UDP server that answers; after a stop, with another id
    void stop(const std::string& container);
    const std::string& id(const std::string& container) const { return containers_.at(container).id; }
    unsigned port_of(const std::string& container) const { return containers_.at(container).port; }
    int pid_of(const std::string& container) const;
    const Namespace& netns() const { return netns_; }
    const std::string& address4() const { return address4_; }
    const std::string& address6() const { return address6_; }

    // The number of answers to `count` requests of a process in the container, one after the other. `all_at_once` is
    // for requests that are not expected to be answered.
    std::size_t ask(const std::string& container, const std::string& address, unsigned to_port, std::size_t count,
                    bool all_at_once = false) const;
    // Starts a process in the container that asks until SIGTERM, and then prints a line for each request: when it was
    // sent and answered (CLOCK_MONOTONIC, ns).
    std::unique_ptr<Process> watch(const std::string& container, const std::string& address, unsigned to_port) const;

private:
    struct Container {
        std::string id;
        unsigned port = 0;
    };

    void plug(const std::string& command);  // a command of CNI: ADD, DEL
    void run(const std::string& id, const std::string& container, const Arguments& command);
    void remove(const std::string& id) const;

    const Node& node_;
    std::string name_;
    Namespace netns_;
    std::string sandbox_, address4_, address6_;
    std::map<std::string, Container> containers_;
};

}  // namespace headwind::test
