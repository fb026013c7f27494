// SPDX-License-Identifier: MIT
// Preludes give the datapath's programs packets that BPF_PROG_TEST_RUN cannot make: a few instructions that change the
// packet, then tail-call the program.
#pragma once

#include <vector>

#include <linux/bpf.h>

#include "prog_run.h"
#include "util/fd.h"

namespace headwind::prog {

// The bit of the mark that says that tc_index was set.
constexpr std::uint32_t has_tc_index = 1U << 31;

bool needs_prelude(const Arrival& arrival);
// A program that pushes each packet's tstamp to a map of type queue, and lets the packet go on.
std::vector<bpf_insn> stamp_recorder(int queue);
std::vector<bpf_insn> prelude(const Arrival& arrival, int programs, int which);

}  // namespace headwind::prog
