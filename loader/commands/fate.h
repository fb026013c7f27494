// SPDX-License-Identifier: MIT
// What chance decides of a rule's packets, one after the other, as the datapath decides it. Pure.
#pragma once

#include <map>

#include <headwind/sequence.h>

#include "rule/rule.h"

namespace headwind {

struct PacketFate {
    bool lost = false, corrupted = false, duplicated = false, reordered = false;
    std::uint64_t delay = 0, copy_delay = 0;  // ns; of what is not lost, and of its copy
};

class FateSeries {
public:
    // The impairment has a seed and no rate: how long a packet waits for that depends on the others.
    FateSeries(const Impairment& impairment, hw_direction direction);
    PacketFate next();

private:
    struct Timing {
        std::uint64_t delay = 0;
        bool reordered = false;
    };
    Timing timing_of(const hw_fate& fate, std::int32_t score);

    hw_impairment impairment_;
    hw_sequence sequence_;
    std::map<__u32, hw_list_block> list_;
    hw_law law_{};  // only with a jitter
    hw_progress progress_{};
    hw_state state_{};
};

}  // namespace headwind
