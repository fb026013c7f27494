// SPDX-License-Identifier: MIT
// The XDP program over the maps of a Datapath, run on packets of our own (BPF_PROG_TEST_RUN, as if they came in on lo).
#pragma once

#include <cstdint>
#include <optional>

#include "packets.h"
#include "prog_run.h"

struct xdp_bpf;

namespace headwind::prog {

class XdpProgram {
public:
    explicit XdpProgram(Datapath& datapath, bool fed = true);
    XdpProgram(const XdpProgram&) = delete;
    XdpProgram& operator=(const XdpProgram&) = delete;
    ~XdpProgram();

    struct Outcome {
        int verdict = 0;                  // XDP_PASS, XDP_DROP
        std::optional<hw_xdp_meta> over;  // the metadata; nullopt: none
        packets::Bytes packet;            // as the program left it
        unsigned nanoseconds = 0;         // mean of a run
    };
    Outcome run(const packets::Bytes& packet, unsigned repeat = 1) const;
    int program() const;

private:
    xdp_bpf* skeleton_;
};

}  // namespace headwind::prog
