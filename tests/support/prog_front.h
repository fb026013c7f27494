// SPDX-License-Identifier: MIT
// The XDP program over the maps of a Datapath, run on packets of our own (BPF_PROG_TEST_RUN, as if they came in on lo).
#pragma once

#include <cstdint>
#include <optional>

#include "packets.h"
#include "prog_run.h"

struct front_bpf;

namespace headwind::prog {

class Front {
public:
    explicit Front(Datapath& datapath, bool fed = true);
    Front(const Front&) = delete;
    Front& operator=(const Front&) = delete;
    ~Front();

    struct Outcome {
        int verdict = 0;                  // XDP_PASS, XDP_DROP
        std::optional<hw_handover> over;  // the metadata; nullopt: none
        packets::Bytes packet;            // as the program left it
        unsigned nanoseconds = 0;         // mean of a run
    };
    Outcome run(const packets::Bytes& packet, unsigned repeat = 1) const;
    int program() const;

private:
    front_bpf* skeleton_;
};

}  // namespace headwind::prog
