// An instance: Headwind's programs and maps in one network namespace, kept alive by pins under
// /sys/fs/bpf/headwind/<netns inode>/. Knows nothing of rules.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <headwind/abi.h>

#include "datapath/control.h"
#include "datapath/instance_pins.h"
#include "datapath/map.h"
#include "datapath/pins.h"
#include "host/host.h"
#include "util/fd.h"
#include "util/result.h"

struct headwind_bpf;

namespace headwind {

// Bytes that held packets of one instance may take, unless --max-held says otherwise.
constexpr std::uint64_t default_max_held = 256ULL << 20;

struct Programs {
    Fd egress, ingress, cut, pace_out;
};

// The rules, as the loader finds them: ruleset/index.h. Stays where it is when the instance is moved.
struct IndexMemory {
    MappedArray<hw_index_entry> entries;
    LazyArray<hw_index_rest> rests;  // at the same places; at least as many
};

// Everything of an instance by file descriptor. Closing it changes nothing: the pins own it.
class Instance {
public:
    PinDirectory root, directory, links;  // pin_root, the namespace's in it, and the latter's "links"
    Programs programs;                    // only with Access::change
    Map<hw_key, hw_entry> entries;
    Map<__u32, hw_rule> rules;
    Map<__u32, hw_lease> leases;
    Map<__u32, hw_stop> stops;
    Map<hw_share_key, hw_share> shares;
    Map<hw_state_key, hw_state> states;
    Fd locals;  // per CPU: see counters.h
    Map<hw_text_key, hw_text> texts;
    Map<__u32, __u32> timelines;         // of maps: see timelines.h
    std::unique_ptr<IndexMemory> index;  // only with Access::change
    Mapping<hw_host> host;
    Control control;
    Mapping<hw_held> held;
};

// The instance of the thread's network namespace; nullopt if there is none. One that a killed command never finished,
// or did not finish removing, is none. Pins of another ABI, and what is not Headwind's, are refused, with what to do.
// Access::read: without the programs, and with copies of what else would be mapped, as they are then.
Result<std::optional<Instance>> open_instance(Access access = Access::change);

// Makes the index larger, if it has not room for that many elements. A kill leaves the old one or the new one. What
// points into the old one leads nowhere then.
Status grow_index(Instance& instance, std::size_t size);

// Loads and pins a new one with room for `max_rules` (at most HW_MAX_RULES). The caller holds the InstanceLock and has
// found none.
Result<Instance> create_instance(std::uint64_t max_held, std::uint32_t max_rules);

// The pinned control map of this network namespace, where the rest of the instance may be gone; nullopt: it is not
// there either, or of another ABI.
std::optional<Control> find_control();

void set_max_held(Instance& instance, std::uint64_t bytes);
// Which programs run: own_programs(), or 0, of several versions.
void note_programs(Instance& instance, std::uint64_t programs);

// The programs as they are pinned now take the place of those that were opened.
Status open_pinned_programs(Instance& instance);

// HW_MARK's tag of the instance that is pinned there.
Result<std::uint16_t> read_tag(const PinDirectory& directory);

// The programs read the kernel's structures at offsets from its BTF (bpf/receiver.h).
bool kernel_has_btf();

// Before the skeleton is loaded: room for that many rules. (240 bytes of kernel memory each, used or not.)
void make_room(headwind_bpf& skeleton, std::uint32_t max_rules);

// Waits until no program still runs that started before the call: what it could see may be used again.
Status grace_period();

}  // namespace headwind
