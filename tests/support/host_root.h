// SPDX-License-Identifier: MIT
// A made-up host in a temporary directory, with files as engines and runtimes would write them.
#pragma once

#include <cstdint>
#include <string>

namespace headwind::test {

class HostRoot {
public:
    HostRoot();
    HostRoot(const HostRoot&) = delete;
    HostRoot& operator=(const HostRoot&) = delete;
    ~HostRoot();

    const std::string& path() const { return path_; }
    void write(const std::string& file, const std::string& text) const;
    void cgroup(const std::string& below_mount) const;
    void process(int pid, std::uint64_t start_time) const;  // with a network namespace
    void remove(const std::string& file) const;             // with all that is in it

private:
    std::string path_;
};

}  // namespace headwind::test
