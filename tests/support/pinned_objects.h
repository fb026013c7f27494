// SPDX-License-Identifier: MIT
// The kernel objects of Headwind's that were ever pinned, to find out whether they are gone.
#pragma once

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "net_test.h"
#include "util/fd.h"

namespace headwind::test {

// The ids of all kernel objects that were ever pinned.
struct PinnedObjects {
    std::set<__u32> programs, maps, links;

    void collect()
    {
        std::error_code error;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(pins, error)) {
            const Fd fd(bpf_obj_get(entry.path().c_str()));
            if (fd) add(fd.get());
        }
    }

    std::size_t alive() const
    {
        return count(programs, bpf_prog_get_fd_by_id) + count(maps, bpf_map_get_fd_by_id) +
               count(links, bpf_link_get_fd_by_id);
    }

private:
    // Adds the object of a descriptor, whose link in /proc tells its kind.
    void add(int fd)
    {
        std::error_code error;
        const auto kind = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error).string();
        if (kind.find("bpf-prog") != std::string::npos) {
            if (const auto id = id_of<bpf_prog_info>(fd)) programs.insert(id);
        } else if (kind.find("bpf-map") != std::string::npos) {
            if (const auto id = id_of<bpf_map_info>(fd)) maps.insert(id);
        } else if (const auto id = id_of<bpf_link_info>(fd)) {
            links.insert(id);
        }
    }

    template <class Info>
    static __u32 id_of(int fd)
    {
        Info info{};
        __u32 size = sizeof(info);
        return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
    }

    static std::size_t count(const std::set<__u32>& ids, int (*open)(__u32))
    {
        return static_cast<std::size_t>(
            std::count_if(ids.begin(), ids.end(), [open](__u32 id) { return static_cast<bool>(Fd(open(id))); }));
    }
};

}  // namespace headwind::test
