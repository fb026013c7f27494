// SPDX-License-Identifier: MIT
// The tc programs that this binary brings along, and how they are loaded for an instance: with maps of their own, or
// over those of an instance that is there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <headwind/abi.h>
#include <headwind/testing.h>

#include "headwind.skel.h"
#include "util/result.h"

namespace headwind {

struct SkeletonDelete {
    void operator()(headwind_bpf* skeleton) const { headwind_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<headwind_bpf, SkeletonDelete>;

// The constants that an instance's programs are loaded with. Its later programs get the same.
struct ProgramConstants {
    std::uint16_t nonce = 0;
    bool tcx = false;
};
Result<Skeleton> open_programs(const ProgramConstants& constants);
Status load_programs(headwind_bpf& skeleton);

// Fails with ErrorKind::unsupported where the kernel is locked down so far that programs may not read its memory, in
// which they look whether a packet has other owners (is_shared() in bpf/bound.h). Another failure is not told apart
// from success.
Status check_lockdown();

// A hash that tells the programs of this build of headwind, XDP's included, from those of another. Never 0.
std::uint64_t own_programs();

// The maps and programs that an instance pins in its directory, by name.
std::vector<std::pair<bpf_map*, const char*>> pinned_maps(headwind_bpf& skeleton);
std::vector<std::pair<bpf_program*, const char*>> pinned_programs(headwind_bpf& skeleton);

// Keeps libbpf from writing to stderr: its messages become part of our errors.
void collect_libbpf_words();

}  // namespace headwind
