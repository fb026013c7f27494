// SPDX-License-Identifier: MIT
// Figures from the samples of a receiver, as members of a JSON object: delay, loss, order, rate.
#pragma once

#include <cstdint>
#include <vector>

struct Sample {
    int64_t sequence;  // not negative
    int64_t sent_ns;
    int64_t received_ns;
    int64_t frame_bytes;  // the Ethernet frame without FCS
};

void print_number(const char* name, int64_t value);  // , "NAME": VALUE

// The figures of `count` packets of which `samples` arrived, in this order.
void print_figures(const std::vector<Sample>& samples, int64_t count);
