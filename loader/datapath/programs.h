// The tc programs that this binary brings along, as they are loaded for an instance: with maps of its own, or over
// those of one that is there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <headwind/abi.h>

#include "headwind.skel.h"
#include "util/result.h"

namespace headwind {

struct SkeletonDelete {
    void operator()(headwind_bpf* skeleton) const { headwind_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<headwind_bpf, SkeletonDelete>;

// What an instance's programs are told when they are loaded, and its later ones again.
struct ProgramConstants {
    std::uint16_t tag = 0, nonce = 0;
    bool tcx = false;
};
Result<Skeleton> open_programs(const ProgramConstants& constants);
Status load_programs(headwind_bpf& skeleton);

// unsupported where the kernel is locked down so far that programs may not read its memory: they look there whether a
// packet has other owners (see is_shared() in bpf/headwind.bpf.c). Another failure is not told apart from success.
Status check_lockdown();

// Tells the programs of one build of headwind, XDP's included, from those of another. Never 0.
std::uint64_t own_programs();

// What an instance pins in its directory, by name.
std::vector<std::pair<bpf_map*, const char*>> pinned_maps(headwind_bpf& skeleton);
std::vector<std::pair<bpf_program*, const char*>> pinned_programs(headwind_bpf& skeleton);

// Keeps libbpf from writing to stderr: what it has to say becomes part of our errors.
void collect_libbpf_words();

}  // namespace headwind
