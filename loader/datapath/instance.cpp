// SPDX-License-Identifier: MIT
// Makes and opens instances, enlarges their index, and writes their settings.
#include "datapath/instance.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <span>

#include <bpf/libbpf.h>

#include <headwind/index.h>

#include "datapath/link.h"
#include "datapath/programs.h"
#include "host/backlog.h"

namespace headwind {
namespace {

constexpr std::uint32_t smallest_index = 64;
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

// Makes a larger array with the elements of `old`, and puts its pin in the place of the old one's.
template <class T>
Result<Fd> make_larger(std::span<const T> old, std::size_t size, const PinDirectory& directory, const std::string& name)
{
    HW_TRY(auto fd, MappedArray<T>::make(name.c_str(), static_cast<std::uint32_t>(size)));
    HW_TRY(const auto larger, MappedArray<T>::map(fd, name));
    std::copy(old.begin(), old.end(), larger.all().begin());
    const auto fresh = name + fresh_suffix;
    HW_CHECK(directory.remove(fresh));  // left by a killed command
    HW_CHECK(pin(directory, fd.get(), fresh));
    HW_CHECK(directory.rename(fresh, name));
    return fd;
}

// The ABI version of the pinned control map. Only the first word counts: its layout is the one thing that every ABI has
// in common.
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

// What Extent::index leaves out.
Status open_the_rest(Instance& instance, const PinDirectory& root, const PinDirectory& directory, Access access)
{
    HW_CHECK(open_map(instance.entries, directory, "entries", access));
    HW_CHECK(open_map(instance.rules, directory, "rules", access));
    HW_CHECK(open_map(instance.shares, directory, "shares", access));
    HW_CHECK(open_map(instance.states, directory, "states", access));
    HW_CHECK(open_map(instance.timelines, directory, "timelines", access, BPF_MAP_TYPE_HASH_OF_MAPS));
    HW_CHECK(open_map(instance.sequences, directory, "sequences", access));
    HW_CHECK(open_map(instance.laws, directory, "laws", access));
    HW_CHECK(open_map(instance.lists, directory, "lists", access));
    const MapShape cpu_state{BPF_MAP_TYPE_PERCPU_HASH, sizeof(hw_state_key), sizeof(hw_cpu_state)};
    HW_TRY(instance.cpu_states, open_map_pin(directory, "cpu_states", cpu_state, access));
    HW_TRY(instance.host, open_global<hw_host>(root, host_pin, access));
    HW_TRY(instance.held, open_global<hw_held>(directory, "held", access));
    HW_TRY(auto port_classes, open_global<hw_port_classes>(directory, port_classes_pin, access));
    instance.port_classes = PortClassMemory(std::move(port_classes));
    return {};
}

Result<Instance> open_directory(PinDirectory root, PinDirectory directory, Access access, Extent extent)
{
    Instance instance;
    HW_TRY(auto links, directory.open(links_name, access));
    if (!links)
        return fail(ErrorKind::failed, "{} is not there: somebody removed it. {}", directory.path_of(links_name),
                    way_out);
    HW_CHECK(open_map(instance.leases, directory, "leases", access));
    HW_CHECK(open_map(instance.stops, directory, "stops", access));
    HW_CHECK(open_map(instance.texts, directory, "texts", access));
    HW_TRY(auto control, open_global<hw_control>(directory, control_pin, access));
    instance.control = Control(std::move(control));
    if (access == Access::change) HW_CHECK(open_index(instance, directory));
    if (extent == Extent::all) HW_CHECK(open_the_rest(instance, root, directory, access));
    instance.root = std::move(root);
    instance.directory = std::move(directory);
    instance.links = std::move(*links);
    const bool programs = extent == Extent::all || instance.control->tcx == 0;
    if (access == Access::change && programs) HW_CHECK(open_pinned_programs(instance));
    return instance;
}

Status pin_all(headwind_bpf& skeleton, const PinDirectory& directory)
{
    for (const auto& [map, name] : pinned_maps(skeleton)) HW_CHECK(pin(directory, bpf_map__fd(map), name));
    for (const auto& [program, name] : pinned_programs(skeleton))
        HW_CHECK(pin(directory, bpf_program__fd(program), name));
    return {};
}

// Whether this namespace's instance has its control map, whatever else of it is missing.
Result<bool> is_finished(const NetnsId& netns, Access access)
{
    HW_TRY(const auto root, open_pin_root(access));
    if (!root) return false;
    HW_TRY(const auto directory, root->open(name_of(netns), access));
    return directory ? directory->has(control_pin, access) : false;
}

}  // namespace

Status open_pinned_programs(Instance& instance)
{
    const auto& directory = instance.directory;
    HW_TRY(instance.programs.egress, open_program_pin(directory, "egress"));
    HW_TRY(instance.programs.ingress, open_program_pin(directory, "ingress"));
    HW_TRY(instance.programs.segment, open_program_pin(directory, "segment"));
    HW_TRY(instance.programs.note_device, open_program_pin(directory, "note_device"));
    HW_TRY(instance.programs.look, open_program_pin(directory, look_pin));
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
    HW_TRY(auto before, open_map_pin(directory, rest_pin, shape));
    HW_TRY(const auto old, MappedArray<hw_index_rest>::map(before, directory.path_of(rest_pin)));
    // The rests come first: a kill between the two leaves more rests than entries, never fewer.
    Fd rest = std::move(before);
    if (old.all().size() < room) {
        HW_TRY(rest, make_larger<hw_index_rest>(old.all(), room, directory, rest_pin));
    }
    HW_TRY(const auto index, make_larger<hw_index_entry>(entries.all(), room, directory, index_pin));
    HW_TRY(entries, MappedArray<hw_index_entry>::map(index, directory.path_of(index_pin)));
    rests = {std::move(rest), directory.path_of(rest_pin), room};
    return {};
}

Result<std::optional<Instance>> open_instance(Access access, Extent extent)
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
            "the rules of this namespace were made by another version of headwind (ABI {}, this is {}): run `headwind clear` of that version. {}",
            abi, HW_ABI_VERSION, way_out);
    auto instance = open_directory(std::move(*root), std::move(*directory), access, extent);
    if (!instance) {
        HW_TRY(const bool there, is_finished(netns, access));  // if not, it was removed meanwhile
        return there ? Result<std::optional<Instance>>(pass_error(instance)) : std::nullopt;
    }
    if (instance->control->netns_cookie != netns.cookie)
        return std::nullopt;  // a dead namespace's, whose inode number came back
    return std::move(*instance);
}

std::optional<Control> find_control(Access access)
{
    const auto netns = current_netns();
    const auto root = open_pin_root(access);
    if (!netns || !root || !*root) return std::nullopt;
    const auto directory = (*root)->open(name_of(*netns), access);
    if (!directory || !*directory) return std::nullopt;
    auto control = open_global<hw_control>(**directory, control_pin, access);
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
    bpf_map__set_max_entries(skeleton.maps.hw_cpu_states, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_texts, max_rules * HW_TEXTS_PER_RULE);
    bpf_map__set_max_entries(skeleton.maps.hw_timelines, max_rules);
    bpf_map__set_max_entries(skeleton.maps.hw_sequences, max_rules);
    bpf_map__set_max_entries(skeleton.maps.hw_laws, max_rules);
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
    if (getrandom(&control.xdp_nonce, sizeof(control.xdp_nonce), 0) != sizeof(control.xdp_nonce))
        return fail_errno(errno, "get a random number");
    if (getrandom(&control.secret, sizeof(control.secret), 0) != sizeof(control.secret))
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
    return open_directory(std::move(root), std::move(directory), Access::change, Extent::all);
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

}  // namespace headwind
