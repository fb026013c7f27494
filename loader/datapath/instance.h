// SPDX-License-Identifier: MIT
// An instance: Headwind's programs and maps in one network namespace, kept alive by pins under
// /sys/fs/bpf/headwind/<netns inode>/. It has the maps of rules, but knows nothing of what a rule means.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <headwind/abi.h>
#include <headwind/index.h>
#include <headwind/sequence.h>

#include "datapath/control.h"
#include "datapath/instance_pins.h"
#include "datapath/map.h"
#include "datapath/pins.h"
#include "host/host.h"
#include "util/fd.h"
#include "util/result.h"

struct headwind_bpf;

namespace headwind {

// The bytes that held packets of one instance may take, unless --max-held says otherwise.
constexpr std::uint64_t default_max_held = 256ULL << 20;

struct Programs {
    Fd egress, ingress, segment, note_device, look, pace_out;
};

// The memory of the index of rules (ruleset/index.h). It stays where it is when the Instance is moved.
struct IndexMemory {
    MappedArray<hw_index_entry> entries;
    LazyArray<hw_index_rest> rests;  // at the same places as the entries; at least as many
};

// All of an instance by file descriptors. Closing them changes nothing: the pins own the objects.
class Instance {
public:
    PinDirectory root, directory, links;  // pin_root; the namespace's directory in it; "links" in the latter
    Programs programs;                    // only with Access::change
    Map<hw_key, hw_entry> entries;
    Map<__u32, hw_rule> rules;
    Map<__u32, hw_lease> leases;
    Map<__u32, hw_stop> stops;
    Map<hw_share_key, hw_share> shares;
    Map<hw_state_key, hw_state> states;
    Fd cpu_states;  // per CPU: see counters.h
    Map<hw_text_key, hw_text> texts;
    Map<__u32, __u32> timelines;  // a map of maps: see timelines.h
    Map<__u32, hw_sequence> sequences;
    Map<__u64, hw_law> laws;
    Map<hw_list_key, hw_list_block> lists;
    std::unique_ptr<IndexMemory> index;  // only with Access::change
    Mapping<hw_host> host;
    Mapping<hw_held> held;
    PortClassMemory port_classes;
    Control control;
};

// How much of an instance is opened. index: only what tells whether rules must move, end or tell something: the index,
// the rules' descriptions, leases and stops, control and, for hooks of clsact, the programs.
enum class Extent { all, index };

// The instance of the calling thread's network namespace; nullopt: there is none. An instance that a killed command did
// not finish making or removing counts as none. Pins of another ABI, and objects that are not Headwind's, are refused
// with what to do. With Access::read neither programs nor index are opened, and what else would be mapped is a copy as
// of this call.
Result<std::optional<Instance>> open_instance(Access access = Access::change, Extent extent = Extent::all);

// Makes the index larger if it has no room for `size` elements. A kill leaves the old index or the new one. Pointers
// into the old one are invalid afterwards.
Status grow_index(Instance& instance, std::size_t size);

// Loads and pins a new instance with room for `max_rules` (at most HW_MAX_RULES). The caller holds the InstanceLock and
// has found no instance.
Result<Instance> create_instance(std::uint64_t max_held, std::uint32_t max_rules);

// The pinned control map of this network namespace, even if the rest of the instance is gone; nullopt: it is not there
// either, or is of another ABI or of a dead namespace.
std::optional<Control> find_control(Access access = Access::change);

void set_max_held(Instance& instance, std::uint64_t bytes);
// Notes which programs run: own_programs(), or 0 for programs of several versions.
void note_programs(Instance& instance, std::uint64_t programs);

// Opens the programs that are pinned now, in place of those that `instance` has open.
Status open_pinned_programs(Instance& instance);

// Whether the kernel has BTF: the programs read its structures at offsets from there (bpf/kernel.h).
bool kernel_has_btf();

// Sizes the maps for `max_rules` rules; to be called before the skeleton is loaded. A rule takes 240 bytes of kernel
// memory, used or not.
void make_room(headwind_bpf& skeleton, std::uint32_t max_rules);

// Waits until no program that started before the call still runs: what such a program could see may then be used again.
Status grace_period();

}  // namespace headwind
