// SPDX-License-Identifier: MIT
// Names, locks, lists and removes what is pinned for the instances of the host.
#include "datapath/instance_pins.h"

#include <algorithm>
#include <array>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/link.h"
#include "host/backlog.h"

namespace headwind {
namespace {

constexpr MapShape netns_shape{BPF_MAP_TYPE_DEVMAP, sizeof(__u32), sizeof(__u32)};
constexpr const char *netns_pin = "netns", *host_lock_name = "lock";
// All names that an instance pins in its directory, or ever did, in the order of removal: if a removal is cut short,
// the rest is no instance.
constexpr auto pin_names = std::to_array<const char*>(
    {control_pin,      "egress",   "ingress",    "segment",   "cut",          "note_device", "note_pacer",
     look_pin,         "pace_out", "held",       "entries",   "rules",        "leases",      "stops",
     "shares",         "states",   "cpu_states", "locals",    "segment_ctxs", "crossings",   "texts",
     "timelines",      "hooks",    "fragments",  "sequences", "laws",         "lists",       "steerings",
     port_classes_pin, index_pin,  rest_pin,     "tag",       netns_pin});

// The name of an instance's lock, which is beside the instance's directory; the directory need not be there yet.
std::string lock_name(const std::string& inode)
{
    return "lock-" + inode;
}

bool is_inode(const std::string& name)
{
    return name.find_first_not_of("0123456789") == std::string::npos;
}

std::string inode_of(const PinDirectory& directory)
{
    return directory.path().substr(directory.path().rfind('/') + 1);
}

Fd make_host_map()
{
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = BPF_F_MMAPABLE;
    return Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hw_host", sizeof(__u32), sizeof(hw_host), 1, &options));
}

// Removes the pins of the links in an instance's directory.
Status remove_links(const PinDirectory& directory)
{
    HW_TRY(const auto links, directory.open(links_name));
    if (!links) return {};
    HW_TRY(const auto names, links->names());
    for (const auto& name : names)
        if (is_link_name(name)) HW_CHECK(links->remove(name));
    return directory.remove_directory(links_name);
}

// Removes each pin by its name: what Headwind did not put there stays, and so does the directory then.
Status remove_pins(const PinDirectory& root, const PinDirectory& directory)
{
    for (const std::string name : pin_names) {
        HW_CHECK(directory.remove(name));
        HW_CHECK(directory.remove(name + fresh_suffix));
    }
    HW_CHECK(remove_links(directory));
    return root.remove_directory(inode_of(directory));
}

// Whether a link of the instance still has its device: a tcx link loses it when the device goes, and devices go with
// their namespace. A link that cannot be read is taken for alive.
bool has_living_link(const PinDirectory& directory)
{
    const auto links = directory.open(links_name);
    if (!links) return true;
    if (!*links) return false;
    const auto names = (*links)->names();
    return !names || std::any_of(names->begin(), names->end(),
                                 [&links](const auto& name) { return is_link_attached(**links, name); });
}

// Whether the network namespace of this instance is gone. That of an instance that was never finished is gone if no
// link lives and no process or mount names its inode.
bool is_dead(const PinDirectory& directory)
{
    const __u32 zero = 0;
    __u32 device = 0;
    if (const auto map = open_map_pin(directory, netns_pin, netns_shape))
        return bpf_map_lookup_elem(map->get(), &zero, &device) != 0 && errno == ENOENT;
    return !has_living_link(directory) && is_netns_gone(inode_of(directory));
}

void sweep_if_dead(const PinDirectory& root, const std::string& inode)
{
    const auto directory = root.open(inode);
    if (!directory || !*directory || !is_dead(**directory)) return;
    static_cast<void>(root.make(lock_name(inode)));
    const auto lock = PinLock::try_take(root, lock_name(inode));
    if (!lock || !is_dead(**directory)) return;
    static_cast<void>(remove_pins(root, **directory));
    static_cast<void>(root.remove_directory(lock_name(inode)));
}

}  // namespace

std::string name_of(const NetnsId& netns)
{
    return std::to_string(netns.inode);
}

Result<std::vector<PinDirectory>> instance_directories(const PinDirectory& root)
{
    std::vector<PinDirectory> out;
    HW_TRY(const auto names, root.names());
    for (const auto& name : names) {
        if (!is_inode(name)) continue;
        auto directory = root.open(name);
        if (directory && *directory) out.push_back(std::move(**directory));
    }
    return out;
}

Status share_host_map(bpf_map* map, const PinDirectory& root)
{
    HW_TRY(const bool there, root.has(host_pin));
    if (there) return reuse_pin(map, root, host_pin);
    const auto made = make_host_map();
    if (!made || bpf_map__reuse_fd(map, made.get()) != 0)
        return fail_errno(errno, "make the map that all instances share");
    return pin(root, made.get(), host_pin);
}

// The kernel takes a device out of a devmap when the device goes, and lo goes only with its network namespace. So the
// map tells whether the namespace still lives, whoever holds it (a mount, a process, an open descriptor).
Status pin_netns(const PinDirectory& directory)
{
    const Fd fd(bpf_map_create(netns_shape.type, "hw_netns", netns_shape.key_size, netns_shape.value_size, 1, nullptr));
    const __u32 zero = 0, lo = 1;  // its index in every namespace
    if (!fd || bpf_map_update_elem(fd.get(), &zero, &lo, BPF_ANY) != 0) return fail_errno(errno, "make the netns map");
    return pin(directory, fd.get(), netns_pin);
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept
    : lock_(std::exchange(other.lock_, std::nullopt)), inode_(std::move(other.inode_))
{
}

InstanceLock::~InstanceLock()
{
    const auto there = lock_ ? lock_->root().has(inode_) : true;
    if (!there || *there) return;
    static_cast<void>(lock_->root().remove_directory(lock_name(inode_)));
    static_cast<void>(remove_unused_root());
}

Result<InstanceLock> InstanceLock::take()
{
    HW_TRY(const auto netns, current_netns());
    HW_TRY(auto lock, PinLock::take(lock_name(name_of(netns))));
    return InstanceLock(std::move(lock), name_of(netns));
}

bool InstanceLock::is_held()
{
    const auto netns = current_netns();
    return netns && PinLock::is_held(lock_name(name_of(*netns)));
}

std::string inode_of_lock(const std::string& name)
{
    if (name == host_lock_name) return "-";
    return name.starts_with(lock_name("")) ? name.substr(lock_name("").size()) : "";
}

Result<PinLock> lock_host()
{
    return PinLock::take(host_lock_name);
}

Status remove_instance_pins()
{
    HW_TRY(const auto netns, current_netns());
    HW_TRY(const auto root, open_pin_root());
    if (!root) return {};
    HW_TRY(const auto directory, root->open(name_of(netns)));
    if (directory) HW_CHECK(remove_pins(*root, *directory));
    return remove_unused_root();
}

Result<bool> other_instances_exist()
{
    HW_TRY(const auto netns, current_netns());
    HW_TRY(const auto inodes, instance_inodes());
    return std::ranges::any_of(inodes, [own = name_of(netns)](const auto& inode) { return inode != own; });
}

void sweep_dead_instances()
{
    const auto root = open_pin_root();
    if (!root || !*root) return;
    const auto names = (*root)->names();
    if (!names) return;
    for (const auto& name : *names)
        if (is_inode(name)) sweep_if_dead(**root, name);
    for (const auto& name : *names) {  // locks of commands that were killed before they made an instance
        if (!name.starts_with(lock_name(""))) continue;
        const auto there = (*root)->has(inode_of_lock(name));
        if (!there || *there) continue;
        if (const auto lock = PinLock::try_take(**root, name)) static_cast<void>((*root)->remove_directory(name));
    }
}

Result<std::vector<std::string>> instance_inodes()
{
    std::vector<std::string> out;
    HW_TRY(const auto root, open_pin_root());
    if (!root) return out;
    HW_TRY(const auto directories, instance_directories(*root));
    for (const auto& directory : directories) out.push_back(inode_of(directory));
    return out;
}

Result<std::vector<std::string>> instance_netns_paths()
{
    std::vector<std::string> out;
    HW_TRY(const auto root, open_pin_root());
    if (!root) return out;
    HW_TRY(const auto names, root->names());
    HW_TRY(const auto paths, netns_paths());
    for (const auto& name : names) {
        if (!is_inode(name)) continue;
        HW_CHECK(root->open(name));
        if (const auto found = paths.find(name); found != paths.end()) out.push_back(found->second);
    }
    std::sort(out.begin(), out.end());
    return out;
}

Result<std::optional<Mapping<hw_host>>> open_host_map(Access access)
{
    HW_TRY(const auto root, open_pin_root(access));
    if (!root) return std::nullopt;
    HW_TRY(const bool there, root->has(host_pin, access));
    if (!there) return std::nullopt;
    HW_TRY(auto mapping, open_global<hw_host>(*root, host_pin, access));
    return mapping;
}

Result<Mapping<hw_host>> pin_host_map(const Fd& map)
{
    const auto made = map ? Fd() : make_host_map();
    if (!map && !made) return denied_or_failed(errno, "make the map that all instances share", Access::change);
    const auto& shared = map ? map : made;
    HW_TRY(const auto lock, lock_host());
    HW_TRY(const bool there, lock.root().has(host_pin));  // the first instance of the host may have come meanwhile
    if (there) return open_global<hw_host>(lock.root(), host_pin, Access::change);
    HW_CHECK(pin(lock.root(), shared.get(), host_pin));
    return map_global<hw_host>(shared, lock.root().path_of(host_pin), Access::change);
}

Status remove_unused_root()
{
    HW_TRY(const auto there, open_pin_root());
    if (!there) return {};
    HW_TRY(const auto lock, lock_host());
    const auto& root = lock.root();
    HW_TRY(const auto names, root.names());
    const auto in_use = [&root](const std::string& name) {  // by an instance, or by one that is being made
        const auto directory = is_inode(name) || name.starts_with(lock_name("")) ? root.open(name) : std::nullopt;
        return directory && *directory;
    };
    if (std::ranges::any_of(names, in_use)) return {};
    const auto host = open_global<hw_host>(root, host_pin, Access::change);
    if (host) HW_CHECK(restore_backlog(**host));
    if (host && (*host)->panic != 0) return {};
    HW_CHECK(root.remove(host_pin));
    HW_CHECK(root.remove_directory(host_lock_name));
    HW_TRY(const auto left, root.names());
    return left.empty() ? remove_pin_root() : Status{};
}

}  // namespace headwind
