#include "datapath/instance.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <span>

#include <bpf/libbpf.h>

#include "datapath/link.h"
#include "datapath/programs.h"
#include "host/backlog.h"

namespace headwind {
namespace {

constexpr MapShape tag_shape{BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(__u32)};
constexpr unsigned tags = 31;  // 5 bits of skb->tc_index, 0 is nobody's
constexpr MapShape netns_shape{BPF_MAP_TYPE_DEVMAP, sizeof(__u32), sizeof(__u32)};
constexpr const char *netns_pin = "netns", *tag_pin = "tag", *control_pin = "control", *links_name = "links",
                     *host_lock_name = "lock", *index_pin = "index", *rest_pin = "index_rest";
constexpr std::uint32_t smallest_index = 64;
// All that an instance pins in its directory, or ever did, in the order in which it is removed: what is left if that is
// cut short is no instance.
constexpr auto pin_names =
    std::to_array<const char*>({control_pin, "egress",    "ingress", "cut",     "pace_out", "held",   "entries",
                                "rules",     "leases",    "stops",   "shares",  "states",   "locals", "crossings",
                                "texts",     "timelines", "hooks",   index_pin, rest_pin,   tag_pin,  netns_pin});

std::string name_of(const NetnsId& netns)
{
    return std::to_string(netns.inode);
}

// Of an instance's lock, beside its directory, which need not be there yet.
std::string lock_name(const std::string& inode)
{
    return "lock-" + inode;
}

bool is_inode(const std::string& name)
{
    return name.find_first_not_of("0123456789") == std::string::npos;
}

template <class T>
Result<Mapping<T>> open_global(const PinDirectory& directory, const std::string& name, Access access)
{
    HW_TRY(const auto fd, open_map_pin(directory, name, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(T)}, access));
    return map_global<T>(fd, directory.path_of(name), access);
}

template <class Key, class Value>
Status open_map(Map<Key, Value>& map, const PinDirectory& directory, const std::string& name, Access access,
                bpf_map_type type = BPF_MAP_TYPE_HASH)
{
    HW_TRY(auto fd, open_map_pin(directory, name, {type, sizeof(Key), sizeof(Value)}, access));
    map = Map<Key, Value>(std::move(fd), directory.path_of(name));
    return {};
}

Status open_index(Instance& instance, const PinDirectory& directory)
{
    const MapShape entries{BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(hw_index_entry)};
    const MapShape rests{BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(hw_index_rest)};
    HW_TRY(const auto index, open_map_pin(directory, index_pin, entries));
    HW_TRY(auto rest, open_map_pin(directory, rest_pin, rests));
    HW_TRY(auto entries_now, MappedArray<hw_index_entry>::map(index, directory.path_of(index_pin)));
    const auto size = entries_now.all().size();
    instance.index = std::make_unique<IndexMemory>(
        IndexMemory{std::move(entries_now), {std::move(rest), directory.path_of(rest_pin), size}});
    return {};
}

// A larger array with the same elements takes the place of one, and of its pin.
template <class T>
Result<Fd> make_larger(std::span<const T> old, std::size_t size, const PinDirectory& directory, const std::string& name)
{
    HW_TRY(auto fd, MappedArray<T>::make(name.c_str(), static_cast<std::uint32_t>(size)));
    HW_TRY(const auto larger, MappedArray<T>::map(fd, name));
    std::copy(old.begin(), old.end(), larger.all().begin());
    const auto fresh = name + fresh_suffix;
    HW_CHECK(directory.remove(fresh));  // of a killed command
    HW_CHECK(pin(directory, fd.get(), fresh));
    HW_CHECK(directory.rename(fresh, name));
    return fd;
}

// Reads the first word only: its layout is the one thing that every ABI has in common.
Result<std::uint32_t> abi_of(const PinDirectory& directory, Access access)
{
    const auto path = directory.path_of(control_pin);
    HW_TRY(const auto fd, open_map_pin(directory, control_pin, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), 0}, access));
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(errno, "inspect " + path);
    std::vector<std::uint32_t> value(info.value_size / sizeof(std::uint32_t) + 1);
    const __u32 zero = 0;
    if (bpf_map_lookup_elem(fd.get(), &zero, value.data()) != 0) return fail_errno(errno, "read " + path);
    return value[0];
}

Result<Instance> open_directory(PinDirectory root, PinDirectory directory, Access access)
{
    Instance instance;
    HW_TRY(auto links, directory.open(links_name, access));
    if (!links)
        return fail(ErrorKind::failed, "{} is not there: somebody removed it. {}", directory.path_of(links_name),
                    way_out);
    HW_CHECK(open_map(instance.entries, directory, "entries", access));
    HW_CHECK(open_map(instance.rules, directory, "rules", access));
    HW_CHECK(open_map(instance.leases, directory, "leases", access));
    HW_CHECK(open_map(instance.stops, directory, "stops", access));
    HW_CHECK(open_map(instance.shares, directory, "shares", access));
    HW_CHECK(open_map(instance.states, directory, "states", access));
    HW_CHECK(open_map(instance.texts, directory, "texts", access));
    HW_CHECK(open_map(instance.timelines, directory, "timelines", access, BPF_MAP_TYPE_HASH_OF_MAPS));
    const MapShape local{BPF_MAP_TYPE_PERCPU_HASH, sizeof(hw_state_key), sizeof(hw_local)};
    HW_TRY(instance.locals, open_map_pin(directory, "locals", local, access));
    HW_TRY(instance.host, open_global<hw_host>(root, host_pin, access));
    HW_TRY(auto control, open_global<hw_control>(directory, control_pin, access));
    instance.control = Control(std::move(control));
    HW_TRY(instance.held, open_global<hw_held>(directory, "held", access));
    if (access == Access::change) {
        HW_CHECK(open_index(instance, directory));
    }
    instance.root = std::move(root);
    instance.directory = std::move(directory);
    instance.links = std::move(*links);
    if (access == Access::change) HW_CHECK(open_pinned_programs(instance));
    return instance;
}

// Without what only bears the name of one.
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

std::string inode_of(const PinDirectory& directory)
{
    return directory.path().substr(directory.path().rfind('/') + 1);
}

// A tag that no other instance of the host uses, if there is one: packets cross namespaces with their marks.
Result<std::uint16_t> choose_tag(const PinDirectory& root)
{
    std::set<std::uint32_t> taken;
    HW_TRY(const auto directories, instance_directories(root));
    for (const auto& directory : directories)
        if (const auto tag = read_tag(directory)) taken.insert(*tag);
    std::uint16_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) random = 0;
    for (unsigned i = 0; i < tags; ++i) {
        const auto tag = static_cast<std::uint16_t>((random + i) % tags + 1);
        if (!taken.contains(tag)) return tag;
    }
    return static_cast<std::uint16_t>(random % tags + 1);
}

Fd make_host_map()
{
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = BPF_F_MMAPABLE;
    return Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hw_host", sizeof(__u32), sizeof(hw_host), 1, &options));
}

// One host map for all instances: made by the first, or in a panic, reused by the others.
Status share_host_map(bpf_map* map, const PinDirectory& root)
{
    HW_TRY(const bool there, root.has(host_pin));
    if (there) return reuse_pin(map, root, host_pin);
    const auto made = make_host_map();
    if (!made || bpf_map__reuse_fd(map, made.get()) != 0)
        return fail_errno(errno, "make the map that all instances share");
    return pin(root, made.get(), host_pin);
}

Status pin_tag(const PinDirectory& directory, std::uint16_t tag)
{
    const Fd fd(bpf_map_create(tag_shape.type, "hw_tag", tag_shape.key_size, tag_shape.value_size, 1, nullptr));
    const __u32 zero = 0, value = tag;
    if (!fd || bpf_map_update_elem(fd.get(), &zero, &value, BPF_ANY) != 0) return fail_errno(errno, "make the tag map");
    return pin(directory, fd.get(), tag_pin);
}

Status pin_all(headwind_bpf& skeleton, const PinDirectory& directory)
{
    for (const auto& [map, name] : pinned_maps(skeleton)) HW_CHECK(pin(directory, bpf_map__fd(map), name));
    for (const auto& [program, name] : pinned_programs(skeleton))
        HW_CHECK(pin(directory, bpf_program__fd(program), name));
    return {};
}

// Of the links in an instance's directory.
Status remove_links(const PinDirectory& directory)
{
    HW_TRY(const auto links, directory.open(links_name));
    if (!links) return {};
    HW_TRY(const auto names, links->names());
    for (const auto& name : names)
        if (is_link_name(name)) HW_CHECK(links->remove(name));
    return directory.remove_directory(links_name);
}

// By name, each: what Headwind did not put there stays, and so does the directory then.
Status remove_pins(const PinDirectory& root, const PinDirectory& directory)
{
    for (const std::string name : pin_names) {
        HW_CHECK(directory.remove(name));
        HW_CHECK(directory.remove(name + fresh_suffix));
    }
    HW_CHECK(remove_links(directory));
    return root.remove_directory(inode_of(directory));
}

// The kernel takes a device out of a devmap when it goes, and lo goes with its network namespace alone: whether that
// still lives is read off the map, whoever holds it (a mount, a process, an open descriptor).
Status pin_netns(const PinDirectory& directory)
{
    const Fd fd(bpf_map_create(netns_shape.type, "hw_netns", netns_shape.key_size, netns_shape.value_size, 1, nullptr));
    const __u32 zero = 0, lo = 1;  // in every namespace
    if (!fd || bpf_map_update_elem(fd.get(), &zero, &lo, BPF_ANY) != 0) return fail_errno(errno, "make the netns map");
    return pin(directory, fd.get(), netns_pin);
}

// A tcx link loses its device when the device goes, and the devices go with their namespace. What cannot be read may
// live.
bool has_living_link(const PinDirectory& directory)
{
    const auto links = directory.open(links_name);
    if (!links) return true;
    if (!*links) return false;
    const auto names = (*links)->names();
    return !names || std::any_of(names->begin(), names->end(),
                                 [&links](const auto& name) { return is_link_attached(**links, name); });
}

// Is the network namespace of this instance gone? Of one that was never finished it is, if no process or mount names
// its inode.
bool is_dead(const PinDirectory& directory)
{
    const __u32 zero = 0;
    __u32 device = 0;
    if (const auto map = open_map_pin(directory, netns_pin, netns_shape))
        return bpf_map_lookup_elem(map->get(), &zero, &device) != 0 && errno == ENOENT;
    return !has_living_link(directory) && is_netns_gone(inode_of(directory));
}

// An instance of this namespace is there, whole or not.
Result<bool> is_finished(const NetnsId& netns, Access access)
{
    HW_TRY(const auto root, open_pin_root(access));
    if (!root) return false;
    HW_TRY(const auto directory, root->open(name_of(netns), access));
    return directory ? directory->has(control_pin, access) : false;
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

Status open_pinned_programs(Instance& instance)
{
    const auto& directory = instance.directory;
    HW_TRY(instance.programs.egress, open_program_pin(directory, "egress"));
    HW_TRY(instance.programs.ingress, open_program_pin(directory, "ingress"));
    HW_TRY(instance.programs.cut, open_program_pin(directory, "cut"));
    HW_TRY(instance.programs.pace_out, open_program_pin(directory, "pace_out"));
    return {};
}

Status grow_index(Instance& instance, std::size_t size)
{
    auto& [entries, rests] = *instance.index;
    auto room = entries.all().size();
    while (room < size) room *= 2;
    if (room == entries.all().size()) return {};
    const auto& directory = instance.directory;
    const MapShape shape{BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(hw_index_rest)};
    HW_TRY(const auto before, open_map_pin(directory, rest_pin, shape));
    HW_TRY(const auto old, MappedArray<hw_index_rest>::map(before, directory.path_of(rest_pin)));
    // First: a kill between the two leaves more rests than entries, never fewer.
    HW_TRY(auto rest, make_larger<hw_index_rest>(old.all(), room, directory, rest_pin));
    HW_TRY(const auto index, make_larger<hw_index_entry>(entries.all(), room, directory, index_pin));
    HW_TRY(entries, MappedArray<hw_index_entry>::map(index, directory.path_of(index_pin)));
    rests = {std::move(rest), directory.path_of(rest_pin), room};
    return {};
}

Result<std::uint16_t> read_tag(const PinDirectory& directory)
{
    HW_TRY(const auto fd, open_map_pin(directory, tag_pin, tag_shape));
    const __u32 zero = 0;
    __u32 tag = 0;
    if (bpf_map_lookup_elem(fd.get(), &zero, &tag) != 0) return fail_errno(errno, "read " + directory.path_of(tag_pin));
    return static_cast<std::uint16_t>(tag);
}

Result<std::optional<Instance>> open_instance(Access access)
{
    HW_TRY(const auto netns, current_netns());
    HW_TRY(auto root, open_pin_root(access));
    if (!root) return std::nullopt;
    HW_TRY(auto directory, root->open(name_of(netns), access));
    if (!directory) return std::nullopt;
    HW_TRY(const bool finished, directory->has(control_pin, access));
    if (!finished) return std::nullopt;
    HW_TRY(const auto abi, abi_of(*directory, access));
    if (abi == 0) return std::nullopt;
    if (abi != HW_ABI_VERSION)
        return fail(
            ErrorKind::unsupported,
            "the rules of this namespace were made by another version of headwind (ABI {}, this is {}): run `headwind "
            "clear` of that version. {}",
            abi, HW_ABI_VERSION, way_out);
    auto instance = open_directory(std::move(*root), std::move(*directory), access);
    if (!instance) {
        HW_TRY(const bool there, is_finished(netns, access));  // else it was removed meanwhile
        return there ? Result<std::optional<Instance>>(pass_error(instance)) : std::nullopt;
    }
    if (instance->control->netns_cookie != netns.cookie)
        return std::nullopt;  // a dead namespace's; the inode came back
    return std::move(*instance);
}

std::optional<Control> find_control()
{
    const auto netns = current_netns();
    const auto root = open_pin_root();
    if (!netns || !root || !*root) return std::nullopt;
    const auto directory = (*root)->open(name_of(*netns));
    if (!directory || !*directory) return std::nullopt;
    auto control = open_global<hw_control>(**directory, control_pin, Access::change);
    if (!control || (*control)->abi != HW_ABI_VERSION || (*control)->netns_cookie != netns->cookie) return std::nullopt;
    return Control(std::move(*control));
}

class SettingsWriter {
public:
    static hw_control& of(Instance& instance) { return instance.control.writable(); }
};

void set_max_held(Instance& instance, std::uint64_t bytes)
{
    std::atomic_ref(SettingsWriter::of(instance).max_held).store(bytes);
}

void note_programs(Instance& instance, std::uint64_t programs)
{
    std::atomic_ref(SettingsWriter::of(instance).programs).store(programs);
}

bool kernel_has_btf()
{
    return access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}

void make_room(headwind_bpf& skeleton, std::uint32_t max_rules)
{
    const auto entries = std::max<std::uint32_t>(HW_MIN_ENTRIES, max_rules * HW_ENTRIES_PER_RULE);
    bpf_map__set_max_entries(skeleton.maps.hw_entries, entries);
    bpf_map__set_max_entries(skeleton.maps.hw_rules, max_rules);
    bpf_map__set_max_entries(skeleton.maps.hw_leases, max_rules);
    bpf_map__set_max_entries(skeleton.maps.hw_stops, max_rules);
    bpf_map__set_max_entries(skeleton.maps.hw_shares, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_states, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_locals, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_texts, max_rules * HW_TEXTS_PER_RULE);
    bpf_map__set_max_entries(skeleton.maps.hw_timelines, max_rules);
}

Result<Instance> create_instance(std::uint64_t max_held, std::uint32_t max_rules)
{
    HW_TRY(const auto netns, current_netns());
    if (!kernel_has_btf())
        return fail(
            ErrorKind::unsupported,
            "this kernel has no BTF (/sys/kernel/btf/vmlinux): boot one with CONFIG_DEBUG_INFO_BTF, as Debian's");
    HW_TRY(auto root, make_pin_root());
    HW_TRY(auto directory, root.make(name_of(netns)));
    HW_TRY(const auto links, directory.make(links_name));
    HW_CHECK(pin_netns(directory));

    ProgramConstants constants;
    if (getrandom(&constants.nonce, sizeof(constants.nonce), 0) != sizeof(constants.nonce))
        return fail_errno(errno, "get a random number");
    constants.tcx = kernel_has_tcx();
    {
        HW_TRY(const auto lock, lock_host());
        HW_TRY(constants.tag, choose_tag(root));
        HW_CHECK(pin_tag(directory, constants.tag));
    }
    HW_TRY(const auto skeleton, open_programs(constants));
    {
        HW_TRY(const auto lock, lock_host());
        HW_CHECK(share_host_map(skeleton->maps.hw_host, root));
    }
    make_room(*skeleton, max_rules);
    HW_CHECK(load_programs(*skeleton));
    auto& control = skeleton->data_control->hw_control;
    control.next_rule = 1;
    control.max_held = max_held;
    if (getrandom(&control.front_nonce, sizeof(control.front_nonce), 0) != sizeof(control.front_nonce))
        return fail_errno(errno, "get a random number");
    control.netns_cookie = netns.cookie;
    control.tcx = constants.tcx ? 1 : 0;
    control.nonce = constants.nonce;
    control.programs = own_programs();
    HW_CHECK(pin_all(*skeleton, directory));
    HW_TRY(const auto index, MappedArray<hw_index_entry>::make("hw_index", smallest_index));
    HW_TRY(const auto rest, MappedArray<hw_index_rest>::make("hw_index_rest", smallest_index));
    HW_CHECK(pin(directory, index.get(), index_pin));
    HW_CHECK(pin(directory, rest.get(), rest_pin));
    control.abi = HW_ABI_VERSION;
    return open_directory(std::move(root), std::move(directory), Access::change);
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
    for (const auto& name : *names) {  // of commands that were killed before they made an instance
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

Status grace_period()
{
    // Updating a map of maps makes the kernel wait for every program that is running (syscall.c,
    // maybe_wait_bpf_programs); membarrier(2) would do too, but not with nohz_full.
    const Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hw_grace", 4, 4, 1, nullptr));
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.inner_map_fd = static_cast<__u32>(inner.get());
    const Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "hw_grace", 4, 4, 1, &options));
    const __u32 zero = 0;
    const int fd = inner.get();
    if (!inner || !outer || bpf_map_update_elem(outer.get(), &zero, &fd, BPF_ANY) != 0)
        return fail_errno(errno, "wait for running programs");
    return {};
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
    const auto in_use = [&root](const std::string& name) {  // by an instance, or one that is being made
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
