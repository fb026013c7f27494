// SPDX-License-Identifier: MIT
// A tap device, opened as a hypervisor does: what is written to it comes in, what is sent through it is read.
#pragma once

#include <array>

#include "namespace.h"
#include "util/fd.h"

namespace headwind::test {

struct Tap {
    Fd fd;
    std::array<unsigned char, 6> address{};  // of tap0
};

// `offloads`: a virtio_net_hdr stands before each frame. Throws std::runtime_error.
Tap open_tap(const Namespace& where, bool offloads);

}  // namespace headwind::test
