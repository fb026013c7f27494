// SPDX-License-Identifier: MIT
// Events on the host after which rules may have to be reconciled, as file descriptors tell them: netlink (devices,
// network namespaces), inotify (cgroups, instances, the end of a command that held an instance's lock), signals.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>

#include "util/fd.h"
#include "util/result.h"

namespace headwind {

class HostEvents {
public:
    static constexpr int this_netns = -1;

    // Hears of the devices of the calling thread's network namespace and of all that it has an id for
    // (netlink::give_id_to_netns). Blocks SIGINT and SIGTERM; to be called before any other thread is made.
    static Result<HostEvents> open();

    struct News {
        bool ending = false;                         // SIGINT, SIGTERM
        bool all = false;                            // anything may have changed
        std::set<int> namespaces;                    // ids of those whose devices changed, or that ended
        std::set<std::string> directories;           // of watch(), where something appeared or went
        std::set<std::string> came_or_went, closed;  // names in the pin root
    };
    // Makes wait() end, too, when `fd` becomes readable.
    void heed(int fd) { other_ = fd; }
    // Waits until there is something or `limit` has passed. Returns all that came in.
    Result<News> wait(std::chrono::milliseconds limit);

    // Watches exactly these directories from now on. A directory that does not exist is left out.
    void watch(const std::set<std::string>& directories);

private:
    void read_netlink(News& news) const;
    void read_inotify(News& news);

    Fd netlink_, inotify_, signals_;
    std::map<std::string, int> watches_;  // inotify's numbers
    int bpffs_ = -1, pins_ = -1;          // inotify's numbers of the mount and the pin root
    int other_ = -1;
};

}  // namespace headwind
