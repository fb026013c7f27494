// SPDX-License-Identifier: MIT
// The pins of all instances of the host: one directory for each, locks, and the map that they share.
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

// The name in pin_root of the map that all instances share.
constexpr const char* host_pin = "host";
// The name of the control map in an instance's directory. An instance is made once the map's `abi` is written, and
// removing it begins with this pin: without either there is no instance.
constexpr const char* control_pin = "control";
constexpr const char* look_pin = "look";  // the program headwind_look
constexpr const char *links_name = "links", *index_pin = "index", *rest_pin = "index_rest",
                     *port_classes_pin = "port_classes";
// The suffix of a pin's name for a new object that is about to take its place.
constexpr const char* fresh_suffix = "-new";

template <class T>
Result<Mapping<T>> open_global(const PinDirectory& directory, const std::string& name, Access access)
{
    HW_TRY(const auto fd, open_map_pin(directory, name, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(T)}, access));
    return map_global<T>(fd, directory.path_of(name), access);
}

// The name of the directory of this namespace's instance: the namespace's inode number.
std::string name_of(const NetnsId& netns);
// The directories of all instances. Anything that only bears the name of one is left out.
Result<std::vector<PinDirectory>> instance_directories(const PinDirectory& root);

// The lock of a command that changes the rules of the calling thread's network namespace; commands in other namespaces
// go on. It is given back when the value is destroyed or the process dies. The destructor also removes what was made
// for it, if there is no instance.
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
// The inode of the network namespace whose InstanceLock bears this name in the pin root; "-": the name is that of the
// host's lock; empty: it is no lock's.
std::string inode_of_lock(const std::string& name);
// The lock for what exists once per host (the map that all instances share, netdev_max_backlog). It is held
// for milliseconds, and taken after an InstanceLock, never before.
Result<PinLock> lock_host();

// Unpins all of this network namespace's instance and removes its directory, also if a killed command left only a part.
// Hooks and line must be gone. With the last instance of the host, what all shared is removed, too, when the
// InstanceLock is given back.
Status remove_instance_pins();

// Removes the directories of instances whose network namespace no longer exists: the kernel has removed their devices,
// but not their pins.
void sweep_dead_instances();

// Whether the host has any instance directory other than the current namespace's.
Result<bool> other_instances_exist();

// The names of the directories in instance_directories(): inode numbers of network namespaces, some of them gone.
Result<std::vector<std::string>> instance_inodes();

// Paths by which the namespaces of all instances can be entered. Namespaces without one (no process, no mount) are
// missing. Anything that only bears the name of an instance's directory is refused.
Result<std::vector<std::string>> instance_netns_paths();

// Pins a map by which others can tell whether the network namespace of the instance lives.
Status pin_netns(const PinDirectory& directory);

// The map that all instances share (abi.h, hw_host); nullopt: there is no instance on this host, and no panic.
Result<std::optional<Mapping<hw_host>>> open_host_map(Access access = Access::change);
// Pins the host map for instances to come: `map` or, if it is empty, a new one.
Result<Mapping<hw_host>> pin_host_map(const Fd& map);
// Restores netdev_max_backlog and removes the pin root if there is no instance. In a panic the pin root stays, since
// the panic holds for instances to come.
Status remove_unused_root();
// Makes `map` the host map, which all instances share: the first instance makes it, or a panic does; the others reuse
// it.
Status share_host_map(bpf_map* map, const PinDirectory& root);

}  // namespace headwind
