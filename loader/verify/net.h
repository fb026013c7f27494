// SPDX-License-Identifier: MIT
// Private to measure.cpp: network namespaces without a name, and sockets in them.
#pragma once

#include <cstdint>

#include "host/host.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind::verify {

// A new network namespace, which lives as long as the descriptor is open or a thread is in it.
Result<Fd> make_namespace();
// Makes a veth pair with an address at each end. `device` is the sender's end.
Status connect_namespaces(int sender, int receiver, const char* device, bool ipv6);

// A socket in the calling thread's namespace, connected to the receiver's address.
Result<Fd> sending_socket(bool ipv6, std::uint16_t port);
Result<Fd> connecting_socket(bool ipv6, std::uint16_t port);  // TCP; the connection is not waited for
// A socket in the namespace `netns`, with room for all that is sent.
Result<Fd> receiving_socket(int netns, bool ipv6, std::uint16_t port);
Result<Fd> listening_socket(int netns, bool ipv6, std::uint16_t port);

// The number of UDP packets with a wrong checksum that the namespace's kernel has received so far.
Result<std::uint64_t> checksum_errors(int netns, bool ipv6);

}  // namespace headwind::verify
