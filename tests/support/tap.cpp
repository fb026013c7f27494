// SPDX-License-Identifier: MIT
// Opens tap0.
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace headwind::test {

Tap open_tap(const Namespace& where, bool offloads)
{
    const Inside inside(where);
    Tap tap;
    tap.fd = Fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    std::strcpy(request.ifr_name, "tap0");
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (offloads ? IFF_VNET_HDR : 0));
    require(ioctl(tap.fd.get(), TUNSETIFF, &request) == 0, std::string("open tap0: ") + std::strerror(errno));
    const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    require(ioctl(any.get(), SIOCGIFHWADDR, &request) == 0, "tap0 has no address");
    std::memcpy(tap.address.data(), request.ifr_hwaddr.sa_data, tap.address.size());
    return tap;
}

}  // namespace headwind::test
