// SPDX-License-Identifier: MIT
// Makes and removes the files of a made-up host.
#include "host_root.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace headwind::test {

namespace fs = std::filesystem;

HostRoot::HostRoot()
{
    std::string pattern = fs::temp_directory_path() / "headwind-host-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("make " + pattern);
    path_ = pattern;
}

HostRoot::~HostRoot()
{
    std::error_code error;
    fs::remove_all(path_, error);
}

void HostRoot::write(const std::string& file, const std::string& text) const
{
    fs::create_directories(fs::path(path_ + file).parent_path());
    std::ofstream(path_ + file) << text;
}

void HostRoot::cgroup(const std::string& below_mount) const
{
    fs::create_directories(path_ + "/sys/fs/cgroup" + below_mount);
}

void HostRoot::process(int pid, std::uint64_t start_time) const
{
    const auto folder = "/proc/" + std::to_string(pid);
    std::string stat = std::to_string(pid) + " (a) name ) S 1";
    for (int field = 5; field < 22; ++field) stat += " 7";
    write(folder + "/stat", stat + " " + std::to_string(start_time) + " 9 9\n");
    write(folder + "/ns/net", "");
}

void HostRoot::remove(const std::string& file) const
{
    fs::remove_all(path_ + file);
}

}  // namespace headwind::test
