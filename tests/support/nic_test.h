// SPDX-License-Identifier: MIT
// The two virtio-net NICs on one cable of `tools/guest --nics`, in the place of a test's veth pair.
#pragma once

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "net_test.h"

namespace headwind::test {

// Borrows the NICs from the guest's own namespace, and gives them back when destroyed: they are hardware, no test can
// make them.
class Nics {
public:
    // The names of the NICs; empty if this machine has none. Throws where the lane has them (tools/test.d/parts.py) and
    // they are not found.
    static std::vector<std::string> find()
    {
        std::vector<std::string> found;
        std::thread([&found] {
            if (!enter_first_namespace()) return;
            const auto links = netlink::list_links();
            for (const auto& link : links ? *links : std::vector<netlink::Link>())
                if (netlink::driver_of(link.name) == "virtio_net") found.push_back(link.name);
        }).join();
        if (found.size() == 2) return found;
        if (std::getenv("HEADWIND_NICS") != nullptr) throw std::runtime_error("the guest's two NICs are not found");
        return {};
    }

    Nics(const std::vector<std::string>& nics, const Namespace& a, const Namespace& b) : a_(a), b_(b)
    {
        ip(a, "link del va");
        hand_over(nics[0], a, Pair::device_a);
        hand_over(nics[1], b, Pair::device_b);
        set_up(a, Pair::device_a, Pair::a4, Pair::a6, "02:00:00:00:00:01");
        set_up(b, Pair::device_b, Pair::b4, Pair::b6, "02:00:00:00:00:02");
    }
    Nics(const Nics&) = delete;
    Nics& operator=(const Nics&) = delete;
    ~Nics()
    {
        ip(a_, "link set va netns 1 name nic1");
        ip(b_, "link set vb netns 1 name nic2");
    }

private:
    static constexpr const char* first_namespace = "--net=/proc/1/ns/net";
    static bool enter_first_namespace()
    {
        const Fd first(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC));
        return first && setns(first.get(), CLONE_NEWNET) == 0;
    }
    static void hand_over(const std::string& nic, const Namespace& to, const std::string& name)
    {
        const auto moved =
            run(nullptr, {"nsenter", first_namespace, "ip", "link", "set", nic, "netns", to.name(), "name", name});
        ASSERT_EQ(moved.status, 0) << moved.err;
    }
    // Sets a NIC up with the addresses of an end of a veth pair.
    static void set_up(const Namespace& where, const std::string& device, const std::string& v4, const std::string& v6,
                       const std::string& mac)
    {
        ip(where, "link set " + device + " address " + mac + "\naddr add " + v4 + "/24 dev " + device + "\naddr add " +
                      v6 + "/64 dev " + device + " nodad\nlink set " + device + " up");
        wait_until_operational(where, device);
    }

    const Namespace& a_;
    const Namespace& b_;
};

constexpr const char* no_nics = "two virtio-net NICs on one cable: tools/guest --nics has them";

}  // namespace headwind::test
