// The pins of all instances of the host: a directory each, locks, and the map that they share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <headwind/abi.h>

#include "datapath/map.h"
#include "datapath/pins.h"
#include "host/host.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// What all instances share is pinned in pin_root by this name.
constexpr const char* host_pin = "host";
// In an instance's directory. The last that is made, and the first that goes: without it there is no instance.
constexpr const char* control_pin = "control";
constexpr const char *tag_pin = "tag", *links_name = "links", *index_pin = "index", *rest_pin = "index_rest";
// Of a pin, while a new object takes its place.
constexpr const char* fresh_suffix = "-new";

template <class T>
Result<Mapping<T>> open_global(const PinDirectory& directory, const std::string& name, Access access)
{
    HW_TRY(const auto fd, open_map_pin(directory, name, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(T)}, access));
    return map_global<T>(fd, directory.path_of(name), access);
}

// Of the directory of this namespace's instance: its inode number.
std::string name_of(const NetnsId& netns);
// Without what only bears the name of one.
Result<std::vector<PinDirectory>> instance_directories(const PinDirectory& root);

// What a command holds that changes the rules of a network namespace: of the calling thread's. Other namespaces' go on.
// Given back when the value is destroyed, together with what was made for it if there is no instance, or when the
// process dies.
class InstanceLock {
public:
    // Waits as PinLock::take() does.
    static Result<InstanceLock> take();
    static bool is_held();
    InstanceLock(InstanceLock&& other) noexcept;
    InstanceLock& operator=(InstanceLock&&) = delete;
    ~InstanceLock();

private:
    InstanceLock(PinLock lock, std::string inode) : lock_(std::move(lock)), inode_(std::move(inode)) {}
    std::optional<PinLock> lock_;
    std::string inode_;
};
// Whose InstanceLock a name in the pin root is, by the inode of its network namespace; "-": the host's; empty: it is
// none.
std::string inode_of_lock(const std::string& name);
// For what is one per host (the map that all instances share, their tags, netdev_max_backlog): held for milliseconds,
// and taken after an InstanceLock, never before.
Result<PinLock> lock_host();

// Unpins everything and removes the directory. Hooks and line must be gone. Also for what a killed command left. With
// the last instance of the host, what they shared goes, too, when the InstanceLock is given back.
Status remove_instance_pins();

// Directories of instances whose network namespace no longer exists: the kernel removed their devices, the pins are
// left. Removes them.
void sweep_dead_instances();

// True if there is any instance directory on the host, other than the current namespace's.
Result<bool> other_instances_exist();

// The names of the instances' directories, without what only bears the name of one: inode numbers of network
// namespaces, some of them gone.
Result<std::vector<std::string>> instance_inodes();

// Paths by which the namespaces of all instances can be entered; those that have none (no process, no mount) are
// missing. What only bears the name of an instance's directory is refused.
Result<std::vector<std::string>> instance_netns_paths();

// So that others can tell whether the network namespace of the instance lives.
Status pin_netns(const PinDirectory& directory);

// The map that all instances share (abi.h, hw_host); nullopt: there is no instance on this host, and no panic.
Result<std::optional<Mapping<hw_host>>> open_host_map(Access access = Access::change);
// Pins it: `map` or, if that is none, a new one, for instances to come.
Result<Mapping<hw_host>> pin_host_map(const Fd& map);
// If there is no instance: netdev_max_backlog as it was, and the pin root removed, unless panic is on, which holds for
// those to come.
Status remove_unused_root();
// One host map for all instances: made by the first, or in a panic, reused by the others.
Status share_host_map(bpf_map* map, const PinDirectory& root);

}  // namespace headwind
