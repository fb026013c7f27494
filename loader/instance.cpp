#include "instance.h"

#include <dirent.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include <bpf/libbpf.h>

#include "hooks.h"
#include "programs.h"

namespace headwind {
namespace {

namespace fs = std::filesystem;

constexpr const char* host_pin = "/sys/fs/bpf/headwind/host";
constexpr MapShape tag_shape{BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(__u32)};
constexpr unsigned tags = 31;  // 5 bits of skb->tc_index, 0 is nobody's

std::string directory_of(const NetnsId& netns)
{
    return fmt::format("{}/{}", pin_root, netns.inode);
}

// To read only, it is a copy: Linux (6.18) maps a map for those who may write to it.
template <class T>
Result<Mapping<T>> open_global(const std::string& path, Access access)
{
    HW_TRY(const auto fd, open_map_pin(path, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(T)}, access));
    const bool copy = access == Access::read;
    void* address = mmap(nullptr, Mapping<T>::bytes(), PROT_READ | PROT_WRITE,
                         copy ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, copy ? -1 : fd.get(), 0);
    if (address == MAP_FAILED) return fail_errno(errno, "map " + path);
    Mapping<T> mapping(address);
    const __u32 zero = 0;
    if (copy && bpf_map_lookup_elem(fd.get(), &zero, address) != 0) return fail_errno(errno, "read " + path);
    return mapping;
}

template <class Key, class Value>
Status open_map(Map<Key, Value>& map, const std::string& path, Access access, bpf_map_type type = BPF_MAP_TYPE_HASH)
{
    HW_TRY(auto fd, open_map_pin(path, {type, sizeof(Key), sizeof(Value)}, access));
    map = Map<Key, Value>(std::move(fd), path);
    return {};
}

// Reads the first word only: its layout is the one thing that every ABI has in common.
Result<std::uint32_t> abi_of(const std::string& control, Access access)
{
    HW_TRY(const auto fd, open_map_pin(control, {BPF_MAP_TYPE_ARRAY, sizeof(__u32), 0}, access));
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(errno, "inspect " + control);
    std::vector<std::uint32_t> value(info.value_size / sizeof(std::uint32_t) + 1);
    const __u32 zero = 0;
    if (bpf_map_lookup_elem(fd.get(), &zero, value.data()) != 0) return fail_errno(errno, "read " + control);
    return value[0];
}

Result<Instance> open_directory(const std::string& directory, Access access)
{
    Instance instance;
    instance.directory = directory;
    const auto at = [&directory](const char* name) { return directory + "/" + name; };
    HW_CHECK(is_safe_directory(at("links"), access));
    HW_CHECK(open_map(instance.entries, at("entries"), access));
    HW_CHECK(open_map(instance.rules, at("rules"), access));
    HW_CHECK(open_map(instance.leases, at("leases"), access));
    HW_CHECK(open_map(instance.stops, at("stops"), access));
    HW_CHECK(open_map(instance.shares, at("shares"), access));
    HW_CHECK(open_map(instance.states, at("states"), access));
    HW_CHECK(open_map(instance.texts, at("texts"), access));
    HW_CHECK(open_map(instance.timelines, at("timelines"), access, BPF_MAP_TYPE_HASH_OF_MAPS));
    const MapShape local{BPF_MAP_TYPE_PERCPU_HASH, sizeof(hw_state_key), sizeof(hw_local)};
    HW_TRY(instance.locals, open_map_pin(at("locals"), local, access));
    HW_TRY(instance.host, open_global<hw_host>(host_pin, access));
    HW_TRY(instance.control, open_global<hw_control>(at("control"), access));
    HW_TRY(instance.held, open_global<hw_held>(at("held"), access));
    if (access == Access::change) HW_CHECK(open_pinned_programs(instance));
    return instance;
}

Result<std::vector<fs::path>> instance_directories()
{
    std::vector<fs::path> out;
    HW_TRY(const bool any, is_safe_directory(pin_root));
    if (!any) return out;
    HW_TRY(const auto entries, entries_of(pin_root));
    std::error_code error;
    for (const auto& entry : entries) {
        const bool numbered = entry.filename().string().find_first_not_of("0123456789") == std::string::npos;
        if (numbered && fs::symlink_status(entry, error).type() == fs::file_type::directory) out.push_back(entry);
    }
    return out;
}

// A tag that no other instance of the host uses, if there is one: packets cross namespaces with their marks.
Result<std::uint16_t> choose_tag()
{
    std::set<std::uint32_t> taken;
    HW_TRY(const auto directories, instance_directories());
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

Status pin(int fd, const std::string& path)
{
    if (bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno(errno, "pin " + path);
    return {};
}

// One host map for all instances: made by the first, reused by the others.
Status share_host_map(bpf_map* map)
{
    HW_TRY(const bool there, is_pinned(host_pin, Access::change));
    return there ? reuse_pin(map, host_pin) : Status{};
}

Status pin_tag(const std::string& directory, std::uint16_t tag)
{
    const Fd fd(bpf_map_create(tag_shape.type, "hw_tag", tag_shape.key_size, tag_shape.value_size, 1, nullptr));
    const __u32 zero = 0, value = tag;
    if (!fd || bpf_map_update_elem(fd.get(), &zero, &value, BPF_ANY) != 0) return fail_errno(errno, "make the tag map");
    return pin(fd.get(), directory + "/tag");
}

Status pin_all(headwind_bpf& skeleton, const std::string& directory)
{
    if (access(host_pin, F_OK) != 0) HW_CHECK(pin(bpf_map__fd(skeleton.maps.hw_host), host_pin));
    for (const auto& [map, name] : pinned_maps(skeleton)) HW_CHECK(pin(bpf_map__fd(map), directory + "/" + name));
    for (const auto& [program, name] : pinned_programs(skeleton))
        HW_CHECK(pin(bpf_program__fd(program), directory + "/" + name));
    return {};
}

Status make_directory(const std::string& path)
{
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "create " + path);
    HW_CHECK(is_safe_directory(path));
    return {};
}

// `control` first: what is left if this is killed is no instance. Symbolic links are removed, not followed.
Status remove_pins(const std::string& directory)
{
    const auto control = directory + "/control";
    if (unlink(control.c_str()) != 0 && errno != ENOENT && errno != EISDIR)
        return fail_errno(errno, "remove " + control);
    std::error_code error;
    fs::remove_all(directory, error);
    if (error) return fail_errno(error.value(), "remove " + directory);
    return {};
}

// A tcx link loses its device when the device goes, and the devices go with their namespace. What cannot be read may
// live.
bool has_living_link(const std::string& links)
{
    const auto safe = is_safe_directory(links);
    const auto entries = safe && *safe ? entries_of(links) : Result<std::vector<fs::path>>();
    return !safe || !entries ||
           std::any_of(entries->begin(), entries->end(), [](const auto& entry) { return is_link_attached(entry); });
}

// Is the network namespace of this instance gone? Without tcx links (clsact, nothing attached) it is alive if a process
// or a mount names its inode.
bool is_dead(const fs::path& directory)
{
    const auto safe = is_safe_directory(directory);
    return safe && *safe && !has_living_link(directory / "links") && is_netns_gone(directory.filename().string());
}

}  // namespace

Status open_pinned_programs(Instance& instance)
{
    const auto& directory = instance.directory;
    HW_TRY(instance.programs.egress, open_program_pin(directory + "/egress"));
    HW_TRY(instance.programs.ingress, open_program_pin(directory + "/ingress"));
    HW_TRY(instance.programs.cut, open_program_pin(directory + "/cut"));
    HW_TRY(instance.programs.pace_out, open_program_pin(directory + "/pace_out"));
    return {};
}

Result<std::uint16_t> read_tag(const std::string& directory)
{
    const auto path = directory + "/tag";
    HW_TRY(const auto fd, open_map_pin(path, tag_shape));
    const __u32 zero = 0;
    __u32 tag = 0;
    if (bpf_map_lookup_elem(fd.get(), &zero, &tag) != 0) return fail_errno(errno, "read " + path);
    return static_cast<std::uint16_t>(tag);
}

Result<std::optional<Instance>> open_instance(Access access)
{
    collect_libbpf_words();
    HW_TRY(const auto netns, current_netns());
    const auto directory = directory_of(netns);
    const auto control = directory + "/control";
    for (const auto& path : {std::string(pin_root), directory}) {
        HW_TRY(const bool there, is_safe_directory(path, access));
        if (!there) return std::nullopt;
    }
    HW_TRY(const bool finished, is_pinned(control, access));
    if (!finished) return std::nullopt;
    HW_TRY(const auto abi, abi_of(control, access));
    if (abi == 0) return std::nullopt;
    if (abi != HW_ABI_VERSION)
        return fail(
            ErrorKind::unsupported,
            "the rules of this namespace were made by another version of headwind (ABI {}, this is {}): run `headwind "
            "clear` of that version. {}",
            abi, HW_ABI_VERSION, removal_by_hand(directory));
    auto instance = open_directory(directory, access);
    if (!instance) {
        HW_TRY(const bool there, is_pinned(control, access));  // else it was removed meanwhile
        return there ? Result<std::optional<Instance>>(pass_error(instance)) : std::nullopt;
    }
    if (instance->control->netns_cookie != netns.cookie)
        return std::nullopt;  // a dead namespace's; the inode came back
    return std::move(*instance);
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
    collect_libbpf_words();
    HW_TRY(const auto netns, current_netns());
    const auto directory = directory_of(netns);
    if (!kernel_has_btf())
        return fail(
            ErrorKind::unsupported,
            "this kernel has no BTF (/sys/kernel/btf/vmlinux): boot one with CONFIG_DEBUG_INFO_BTF, as Debian's");
    HW_CHECK(make_directory(pin_root));

    ProgramConstants constants;
    if (getrandom(&constants.nonce, sizeof(constants.nonce), 0) != sizeof(constants.nonce))
        return fail_errno(errno, "get a random number");
    HW_TRY(constants.tag, choose_tag());
    constants.tcx = kernel_has_tcx();
    HW_TRY(const auto skeleton, open_programs(constants));
    HW_CHECK(share_host_map(skeleton->maps.hw_host));
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
    HW_CHECK(make_directory(directory));
    HW_CHECK(make_directory(directory + "/links"));
    HW_CHECK(pin_tag(directory, constants.tag));
    HW_CHECK(pin_all(*skeleton, directory));
    control.abi = HW_ABI_VERSION;
    return open_directory(directory, Access::change);
}

Status remove_instance_pins()
{
    HW_TRY(const auto netns, current_netns());
    HW_CHECK(remove_pins(directory_of(netns)));
    HW_TRY(const bool others, other_instances_exist());
    if (!others) HW_CHECK(remove_pins(pin_root));
    return {};
}

Result<bool> other_instances_exist()
{
    HW_TRY(const auto netns, current_netns());
    HW_TRY(const auto directories, instance_directories());
    return std::any_of(directories.begin(), directories.end(),
                       [own = directory_of(netns)](const auto& directory) { return directory != own; });
}

void sweep_dead_instances()
{
    const auto directories = instance_directories();
    if (!directories) return;
    for (const auto& directory : *directories)
        if (is_dead(directory)) static_cast<void>(remove_pins(directory));
}

std::vector<std::string> instance_inodes()
{
    const auto directories = instance_directories();
    std::vector<std::string> out;
    if (!directories) return out;
    for (const auto& directory : *directories) out.push_back(directory.filename());
    return out;
}

Result<std::vector<std::string>> instance_netns_paths()
{
    std::vector<std::string> out;
    HW_TRY(const auto directories, instance_directories());
    for (const auto& directory : directories) {
        const auto path = path_of_netns(directory.filename());
        if (!path.empty()) out.push_back(path);
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
    HW_TRY(const bool any, is_safe_directory(pin_root, access));
    if (!any) return std::nullopt;
    HW_TRY(const bool there, is_pinned(host_pin, access));
    if (!there) return std::nullopt;
    HW_TRY(auto mapping, open_global<hw_host>(host_pin, access));
    return mapping;
}

}  // namespace headwind
