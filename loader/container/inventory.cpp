// SPDX-License-Identifier: MIT
// Reads the files of runtimes and engines below a host's root, and looks for their containers' cgroups.
#include "container/inventory.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "host/cgroup.h"
#include "util/fd.h"

namespace headwind {
namespace {

namespace fs = std::filesystem;

using ById = std::map<std::string, ContainerState>;
using Reader = Status (*)(std::string_view, ContainerState&);

// The folders that hold a folder for each container, with the runtime's state in it. runc and crun may stand for each
// other.
constexpr const char* runtime_folders[] = {
    "/run/runc",        "/run/runc-*",     "/run/crun", "/run/containerd/runc/*", "/run/docker/runtime-*/*",
    "/run/user/*/runc", "/run/user/*/crun"};
constexpr std::size_t max_state_bytes = 16 << 20;
constexpr const char* docker_folder = "/var/lib/docker/containers";
// The folders of containers/storage (CRI-O and Podman), whose driver (overlay, vfs, …) is in the name.
constexpr const char* storage_folders[] = {"/var/lib/containers/storage/*-containers",
                                           "/run/containers/storage/*-containers",
                                           "/home/*/.local/share/containers/storage/*-containers"};

std::vector<std::string> matches(const std::string& root, const std::string& pattern)
{
    std::string escaped;
    for (const char c : root) {
        if (std::string_view("*?[\\").find(c) != std::string_view::npos) escaped += '\\';
        escaped += c;
    }
    glob_t found{};
    std::vector<std::string> out;
    if (glob((escaped + pattern).c_str(), 0, nullptr, &found) == 0)
        for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i]);
    globfree(&found);
    return out;
}

// Adds what the file tells to `into`; a damaged file adds nothing.
void read_state(const std::string& path, Reader read, ContainerState& into)
{
    ContainerState next = into;
    if (const auto text = read_host_file(path); !text.empty() && read(text, next)) into = std::move(next);
}

// Whether the folder is a user's: a user's own containers (rootless) do not stand for others of the same id.
bool is_of_user(const std::string& folder)
{
    struct stat info {};
    return lstat(folder.c_str(), &info) != 0 || info.st_uid != 0;
}

void add_runtime_states(const std::string& root, ById& all)
{
    for (const char* folders : runtime_folders) {
        for (const auto& folder : matches(root, folders + std::string("/*"))) {
            ContainerState one;
            one.id = fs::path(folder).filename();
            read_state(folder + "/state.json", read_runc_state, one);
            read_state(folder + "/status", read_crun_status, one);
            if (one.bundle.empty()) continue;  // neither file could be read
            read_state(in_root(root, one.bundle) + "/config.json", read_bundle_config, one);
            if (const auto there = all.find(one.id); there != all.end() && is_of_user(folder)) continue;
            all[one.id] = std::move(one);
        }
    }
}

void add_docker_configs(const std::string& root, ById& all)
{
    for (const auto& path : matches(root, docker_folder + std::string("/*/config.v2.json"))) {
        ContainerState& one = all[fs::path(path).parent_path().filename()];
        one.id = fs::path(path).parent_path().filename();
        read_state(path, read_docker_config, one);
    }
}

void add_storage_names(const std::string& root, ById& all)
{
    for (const char* folder : storage_folders) {
        for (const auto& path : matches(root, folder + std::string("/*containers.json"))) {
            const auto listed = read_storage(read_host_file(path));
            if (!listed) continue;
            for (const auto& entry : *listed) {
                auto& one = all[entry.id];
                one.id = entry.id;
                if (one.name.empty() && !one.is_sandbox) one.name = entry.name;
            }
        }
    }
}

bool lives(const std::string& root, const ContainerState& container)
{
    if (container.pid == 0) return false;
    const auto start = start_time_of(read_host_file(fmt::format("{}/proc/{}/stat", root, container.pid)));
    return start != 0 && (container.start_time == 0 || start == container.start_time);
}

// Copies pod names between a sandbox and its containers: all are of one pod, even if only one of them says so. Where
// the engine starts no process for the sandbox (CRI-O), only the containers know that it is one.
void share_pods(ById& all)
{
    const auto share = [](const ContainerState& from, ContainerState& to) {
        if (!to.pod_name.empty()) return;
        to.pod_name = from.pod_name;
        to.pod_namespace = from.pod_namespace;
    };
    for (const auto& [id, one] : all) {
        const auto sandbox = all.find(one.sandbox);
        if (sandbox == all.end() || one.sandbox == id) continue;
        sandbox->second.is_sandbox = true;
        sandbox->second.sandbox = sandbox->second.id;
        sandbox->second.name.clear();
        share(one, sandbox->second);
    }
    for (auto& [id, one] : all)
        if (const auto sandbox = all.find(one.sandbox); sandbox != all.end()) share(sandbox->second, one);
}

std::string cgroup2_folder(const std::string& root)
{
    if (root.empty()) {
        const auto mount = cgroup2_mount();
        return mount ? *mount : std::string();
    }
    const auto hybrid = root + "/sys/fs/cgroup/unified";
    std::error_code error;
    return fs::is_directory(hybrid, error) ? hybrid : root + "/sys/fs/cgroup";
}

// Visits all folders below `folder`. Folders that vanish meanwhile are passed over; a
// std::filesystem::recursive_directory_iterator would end there.
void visit_folders(const fs::path& folder, const std::function<void(const fs::path&)>& visit)
{
    std::error_code error;
    for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
        std::error_code gone;
        if (!entry->is_directory(gone) || entry->is_symlink(gone)) continue;
        visit(entry->path());
        visit_folders(entry->path(), visit);
    }
}

std::ptrdiff_t depth_of(const std::string& path)
{
    return std::count(path.begin(), path.end(), '/');
}

void add_cgroups(const std::string& root, Inventory& inventory)
{
    const auto folder = cgroup2_folder(root);
    if (folder.empty()) return;
    visit_folders(folder, [&](const fs::path& directory) {
        const auto id = container_of_cgroup(directory.filename().string());
        if (id.empty()) return;
        // The engine's own cgroup is the highest with the id: a container may have made more of that name inside.
        const auto path = directory.string().substr(folder.size());
        auto& known = inventory.cgroups.try_emplace(id, path).first->second;
        if (depth_of(path) < depth_of(known)) known = path;
    });
    // Containers with ids of the user's own choice (runc run ID) are found by what the runtime wrote.
    std::error_code error;
    for (const auto& container : inventory.containers)
        if (!container.cgroup.empty() && container.cgroup != "/" && fs::is_directory(folder + container.cgroup, error))
            inventory.cgroups.try_emplace(container.id, container.cgroup);
}

}  // namespace

std::string in_root(const std::string& root, const std::string& path)
{
    constexpr std::string_view old = "/var/run/";
    return root + (path.starts_with(old) ? "/run/" + path.substr(old.size()) : path);
}

std::string read_host_file(const std::string& path)
{
    // Others may have put anything there: a FIFO is not waited for, a device not read.
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    std::string text;
    std::array<char, 65536> some{};
    for (ssize_t length = 0; (length = read(fd.get(), some.data(), some.size())) > 0;) {
        text.append(some.data(), static_cast<std::size_t>(length));
        if (text.size() > max_state_bytes) return {};
    }
    return text;
}

std::vector<int> processes_of(const std::string& root, const std::string& cgroup)
{
    std::vector<int> out;
    const auto add = [&out](const fs::path& directory) {
        std::ifstream file(directory / "cgroup.procs");
        for (int pid = 0; file >> pid;) out.push_back(pid);
    };
    const auto folder = cgroup2_folder(root) + cgroup;
    add(folder);
    visit_folders(folder, add);
    return out;
}

Inventory take_inventory(const std::string& root)
{
    ById all;
    add_runtime_states(root, all);
    add_docker_configs(root, all);
    add_storage_names(root, all);
    share_pods(all);
    Inventory out;
    for (auto& [id, one] : all) {
        if (!lives(root, one)) one.pid = 0;
        out.containers.push_back(std::move(one));
    }
    add_cgroups(root, out);
    for (const auto& [id, path] : out.cgroups) {
        if (all.contains(id)) continue;
        ContainerState one;
        one.id = id;
        out.containers.push_back(std::move(one));
    }
    return out;
}

}  // namespace headwind
