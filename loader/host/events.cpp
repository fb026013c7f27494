// SPDX-License-Identifier: MIT
// Opens rtnetlink, inotify and signals, and turns what they deliver into HostEvents::News.
#include "host/events.h"

#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

#include "host/bpffs.h"
#include "host/host.h"

namespace headwind {
namespace {

constexpr unsigned group(unsigned number)
{
    return 1U << (number - 1);
}

Result<Fd> open_netlink()
{
    Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    if (!fd) return fail_errno(errno, "open an rtnetlink socket");
    const int on = 1;
    if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)) != 0)
        return fail_errno(errno,
                          "listen to the devices of other network namespaces (needs root, or CAP_NET_BROADCAST)");
    // The kernel may drop messages that do not fit: then everything may have changed.
    const int room = 1 << 20;
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = group(RTNLGRP_LINK) | group(RTNLGRP_NSID);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return fail_errno(errno, "bind an rtnetlink socket");
    return fd;
}

Result<Fd> open_signals()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0)
        return fail_errno(error, "block signals");
    Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return fail_errno(errno, "wait for signals");
    return fd;
}

// The id of the namespace that a message comes from; this_netns: the socket's own.
int sender_of(msghdr& message)
{
    for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_NETLINK || part->cmsg_type != NETLINK_LISTEN_ALL_NSID) continue;
        int id = 0;
        std::memcpy(&id, CMSG_DATA(part), sizeof(id));
        return id;
    }
    return HostEvents::this_netns;
}

// The ids that a message of RTM_NEWNSID or RTM_DELNSID tells: one.
void add_ids(nlmsghdr* message, std::set<int>& ids)
{
    constexpr unsigned header = NLMSG_ALIGN(sizeof(rtgenmsg));
    auto left = static_cast<unsigned>(NLMSG_PAYLOAD(message, header));
    auto* at = reinterpret_cast<rtattr*>(static_cast<char*>(NLMSG_DATA(message)) + header);
    for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        int id = 0;
        if (at->rta_type != NETNSA_NSID) continue;
        std::memcpy(&id, RTA_DATA(at), sizeof(id));
        ids.insert(id);
    }
}

}  // namespace

Result<HostEvents> HostEvents::open()
{
    HostEvents out;
    HW_TRY(out.netlink_, open_netlink());
    out.inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!out.inotify_) return fail_errno(errno, "open inotify");
    HW_TRY(out.signals_, open_signals());
    return out;
}

void HostEvents::watch(const std::set<std::string>& directories)
{
    const auto mount = find_bpffs();
    const auto path = mount && *mount ? **mount : bpffs_mount;
    bpffs_ = inotify_add_watch(inotify_.get(), path.c_str(), IN_CREATE | IN_DELETE | IN_ONLYDIR);
    // A command that changes an instance closes its lock at the end.
    pins_ = inotify_add_watch(inotify_.get(), (path + "/" + root_name).c_str(),
                              IN_CREATE | IN_DELETE | IN_CLOSE | IN_ONLYDIR | IN_DONT_FOLLOW);
    for (auto place = watches_.begin(); place != watches_.end();) {
        const auto one = place++;
        if (directories.contains(one->first)) continue;
        inotify_rm_watch(inotify_.get(), one->second);
        watches_.erase(one);
    }
    for (const auto& directory : directories) {
        constexpr unsigned mask = IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR;
        const int number = inotify_add_watch(inotify_.get(), directory.c_str(), mask);
        if (number >= 0) watches_[directory] = number;
    }
}

void HostEvents::read_netlink(News& news) const
{
    for (;;) {
        alignas(nlmsghdr) std::array<char, 32'768> buffer{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int)) + 64> control{};
        iovec part{buffer.data(), buffer.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t length = recvmsg(netlink_.get(), &message, 0);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) {
            news.all = news.all || errno == ENOBUFS;
            if (errno == ENOBUFS) continue;
            return;
        }
        auto left = static_cast<unsigned>(length);
        for (auto* one = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(one, left); one = NLMSG_NEXT(one, left)) {
            if (one->nlmsg_type == RTM_NEWLINK || one->nlmsg_type == RTM_DELLINK)
                news.namespaces.insert(sender_of(message));
            // A namespace that ends loses its ids: those that others had for it are of no interest.
            if (one->nlmsg_type == RTM_DELNSID && sender_of(message) == this_netns) add_ids(one, news.namespaces);
        }
    }
}

void HostEvents::read_inotify(News& news)
{
    alignas(inotify_event) std::array<char, 16'384> buffer{};
    for (ssize_t length = 0; (length = read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (const char* at = buffer.data(); at < buffer.data() + length;) {
            inotify_event event{};
            std::memcpy(&event, at, sizeof(event));
            const std::string name = event.len != 0 ? at + sizeof(event) : "";
            at += sizeof(event) + event.len;
            const auto place = std::find_if(watches_.begin(), watches_.end(),
                                            [wd = event.wd](const auto& watch) { return watch.second == wd; });
            if (event.wd == pins_) (event.mask & IN_CLOSE ? news.closed : news.came_or_went).insert(name);
            news.all = news.all || (event.wd == bpffs_ && name == root_name) || (event.mask & IN_Q_OVERFLOW) != 0;
            if (place == watches_.end()) continue;
            news.directories.insert(place->first);
            if (event.mask & IN_IGNORED) watches_.erase(place);  // the directory is gone
        }
    }
}

Result<HostEvents::News> HostEvents::wait(std::chrono::milliseconds limit)
{
    News news;
    std::array<pollfd, 4> sources{pollfd{netlink_.get(), POLLIN, 0}, pollfd{inotify_.get(), POLLIN, 0},
                                  pollfd{signals_.get(), POLLIN, 0}, pollfd{other_, POLLIN, 0}};
    if (poll(sources.data(), sources.size(), static_cast<int>(limit.count())) < 0 && errno != EINTR)
        return fail_errno(errno, "wait for events");
    if (sources[0].revents != 0) read_netlink(news);
    if (sources[1].revents != 0) read_inotify(news);
    signalfd_siginfo signal{};
    news.ending = sources[2].revents != 0 && read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal);
    return news;
}

}  // namespace headwind
