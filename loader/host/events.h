// What happens on the host that rules may have to follow, as file descriptors tell it: netlink (devices, network
// namespaces), inotify (cgroups, instances, the end of a command that held the lock of one), signals.
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

    // Hears of the devices of its own network namespace (the calling thread's) and of all that it has an id for
    // (netlink::give_id_to_netns). Blocks SIGINT and SIGTERM: before any other thread is made.
    static Result<HostEvents> open();

    struct News {
        bool ending = false;                         // SIGINT, SIGTERM
        bool all = false;                            // anything may have changed
        std::set<int> namespaces;                    // ids of those whose devices changed
        std::set<std::string> directories;           // of watch(): something appeared there or went
        std::set<std::string> came_or_went, closed;  // names in the pin root
    };
    // wait() ends, too, when this one becomes readable.
    void heed(int fd) { other_ = fd; }
    // Everything that came in until `limit` has passed or there is something.
    Result<News> wait(std::chrono::milliseconds limit);

    // Exactly these directories are watched from now on. One that does not exist is left out.
    void watch(const std::set<std::string>& directories);

private:
    void read_netlink(News& news) const;
    void read_inotify(News& news);

    Fd netlink_, inotify_, signals_;
    std::map<std::string, int> watches_;  // inotify's numbers
    int bpffs_ = -1, pins_ = -1;          // those of our own
    int other_ = -1;
};

}  // namespace headwind
