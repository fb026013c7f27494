// SPDX-License-Identifier: MIT
// Makes network namespaces, a veth pair between them, and sockets in them, each on a thread that is in the right one.
#include "verify/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <fstream>
#include <future>
#include <sstream>
#include <vector>

#include "host/netlink.h"

namespace headwind::verify {
namespace {

constexpr const char* receiver_device = "verify1";
constexpr const char *sender4 = "192.0.2.1", *receiver4 = "192.0.2.2";  // addresses for documentation: nowhere else
constexpr const char *sender6 = "2001:db8::1", *receiver6 = "2001:db8::2";
constexpr int buffer_bytes = 256 << 20;

// Runs `work` in the namespace, in a thread of its own: the caller stays where it is.
template <class Work>
auto in_namespace(int netns, Work work) -> decltype(work())
{
    return std::async(std::launch::async,
                      [&]() -> decltype(work()) {
                          if (setns(netns, CLONE_NEWNET) != 0) return fail_errno(errno, "enter a network namespace");
                          return work();
                      })
        .get();
}

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address receiver_address(bool ipv6, std::uint16_t port)
{
    Address out;
    if (ipv6) {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        inet_pton(AF_INET6, receiver6, &v6->sin6_addr);
        out.size = sizeof(*v6);
    } else {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        inet_pton(AF_INET, receiver4, &v4->sin_addr);
        out.size = sizeof(*v4);
    }
    return out;
}

Result<Fd> make_socket(bool ipv6, int type)
{
    Fd out(socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
    if (!out) return fail_errno(errno, "verify: make a socket");
    return out;
}

Status set(const Fd& socket, int level, int option, int value)
{
    if (setsockopt(socket.get(), level, option, &value, sizeof(value)) != 0)
        return fail_errno(errno, "verify: set a socket's options");
    return {};
}

Result<Fd> bound_socket(bool ipv6, int type, std::uint16_t port)
{
    HW_TRY(auto out, make_socket(ipv6, type));
    const auto here = receiver_address(ipv6, port);
    if (bind(out.get(), here.get(), here.size) != 0) return fail_errno(errno, "verify: bind a socket");
    return out;
}

}  // namespace

Result<Fd> make_namespace()
{
    return std::async(std::launch::async,
                      []() -> Result<Fd> {
                          if (unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "make a network namespace");
                          Fd out(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
                          if (!out) return fail_errno(errno, "open a network namespace");
                          return out;
                      })
        .get();
}

Status connect_namespaces(int sender, int receiver, const char* device, bool ipv6)
{
    const std::uint8_t prefix = ipv6 ? 64 : 24;
    auto made = in_namespace(sender, [&]() -> Status {
        HW_CHECK(netlink::create_veth_into(device, receiver_device, receiver));
        return netlink::bring_up(device, ipv6 ? sender6 : sender4, prefix);
    });
    if (!made) return made;
    return in_namespace(receiver,
                        [&] { return netlink::bring_up(receiver_device, ipv6 ? receiver6 : receiver4, prefix); });
}

Result<Fd> sending_socket(bool ipv6, std::uint16_t port)
{
    HW_TRY(auto out, make_socket(ipv6, SOCK_DGRAM));
    HW_CHECK(set(out, SOL_SOCKET, SO_SNDBUFFORCE, buffer_bytes));
    if (ipv6)
        HW_CHECK(set(out, IPPROTO_IPV6, IPV6_RECVERR, 1));
    else
        HW_CHECK(set(out, IPPROTO_IP, IP_RECVERR, 1));  // send() tells of failed sends
    const auto there = receiver_address(ipv6, port);
    if (connect(out.get(), there.get(), there.size) != 0) return fail_errno(errno, "verify: connect a UDP socket");
    return out;
}

Result<Fd> connecting_socket(bool ipv6, std::uint16_t port)
{
    HW_TRY(auto out, make_socket(ipv6, SOCK_STREAM | SOCK_NONBLOCK));
    const auto there = receiver_address(ipv6, port);
    if (connect(out.get(), there.get(), there.size) != 0 && errno != EINPROGRESS)
        return fail_errno(errno, "verify: start a TCP connection");
    return out;
}

Result<Fd> receiving_socket(int netns, bool ipv6, std::uint16_t port)
{
    return in_namespace(netns, [&]() -> Result<Fd> {
        HW_TRY(auto out, bound_socket(ipv6, SOCK_DGRAM, port));
        HW_CHECK(set(out, SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes));
        return out;
    });
}

Result<Fd> listening_socket(int netns, bool ipv6, std::uint16_t port)
{
    return in_namespace(netns, [&]() -> Result<Fd> {
        HW_TRY(auto out, bound_socket(ipv6, SOCK_STREAM, port));
        if (listen(out.get(), 1024) != 0) return fail_errno(errno, "verify: listen");
        return out;
    });
}

Result<std::uint64_t> checksum_errors(int netns, bool ipv6)
{
    return in_namespace(netns, [&]() -> Result<std::uint64_t> {
        if (ipv6) {
            std::ifstream file("/proc/thread-self/net/snmp6");
            std::uint64_t value = 0;
            for (std::string name; file >> name >> value;)
                if (name == "Udp6InCsumErrors") return value;
        } else {
            std::ifstream file("/proc/thread-self/net/snmp");  // a line of names, then one of values
            for (std::string names, values; std::getline(file, names) && std::getline(file, values);) {
                std::istringstream name_words(names), value_words(values);
                for (std::string name, value; name_words >> name && value_words >> value;)
                    if (names.starts_with("Udp: ") && name == "InCsumErrors") return std::stoull(value);
            }
        }
        return fail(ErrorKind::failed, "verify: /proc/net/snmp does not tell of wrong UDP checksums");
    });
}

}  // namespace headwind::verify
