#include "instance.h"

#include <dirent.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include <bpf/libbpf.h>

#include "cures.h"
#include "headwind.skel.h"
#include "hooks.h"
#include "laws.h"

namespace headwind {
namespace {

namespace fs = std::filesystem;

constexpr const char* host_pin = "/sys/fs/bpf/headwind/host";
constexpr unsigned tags = 31;  // 5 bits of skb->tc_index, 0 is nobody's

struct SkeletonDelete {
    void operator()(headwind_bpf* skeleton) const { headwind_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<headwind_bpf, SkeletonDelete>;

std::string directory_of(const NetnsId& netns)
{
    return fmt::format("{}/{}", pin_root, netns.inode);
}

// libbpf speaks only when something fails; its last words become part of our error.
std::string& libbpf_words()
{
    static std::string words;
    return words;
}

int keep_libbpf_words(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level != LIBBPF_WARN) return 0;
    std::array<char, 1024> line{};
    vsnprintf(line.data(), line.size(), format, arguments);
    if (libbpf_words().size() < 8192) libbpf_words() += line.data();
    return 0;
}

tl::unexpected<Error> fail_libbpf(int error, const std::string& what)
{
    auto failure = fail_errno(error, what);
    if (error == EPERM) {
        failure.value().message += " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)";
    } else if (!libbpf_words().empty()) {
        failure.value().message += "\n" + libbpf_words();
    }
    return failure;
}

Result<Fd> open_pin(const std::string& path)
{
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(errno, "open " + path);
    return fd;
}

template <class T>
Result<Mapping<T>> map_global(const Fd& fd, const std::string& path)
{
    void* address = mmap(nullptr, Mapping<T>::bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) return fail_errno(errno, "map " + path);
    return Mapping<T>(address);
}

template <class Key, class Value>
Status open_map(Map<Key, Value>& map, const std::string& path)
{
    HW_TRY(auto fd, open_pin(path));
    map = Map<Key, Value>(std::move(fd), path);
    return {};
}

// Reads the first word only: its layout is the one thing that every ABI has in common.
Result<std::uint32_t> abi_of(const std::string& control)
{
    HW_TRY(const auto fd, open_pin(control));
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno(errno, "inspect " + control);
    std::vector<std::uint32_t> value(info.value_size / sizeof(std::uint32_t) + 1);
    const __u32 zero = 0;
    if (bpf_map_lookup_elem(fd.get(), &zero, value.data()) != 0) return fail_errno(errno, "read " + control);
    if (value[0] == HW_ABI_VERSION && info.value_size != sizeof(hw_control)) return 0xffffffffU;
    return value[0];
}

Result<Instance> open_directory(const std::string& directory)
{
    Instance instance;
    instance.directory = directory;
    const auto at = [&directory](const char* name) { return directory + "/" + name; };
    HW_CHECK(open_map(instance.entries, at("entries")));
    HW_CHECK(open_map(instance.rules, at("rules")));
    HW_CHECK(open_map(instance.leases, at("leases")));
    HW_CHECK(open_map(instance.states, at("states")));
    HW_CHECK(open_map(instance.texts, at("texts")));
    HW_TRY(const auto host, open_pin(host_pin));
    HW_TRY(instance.host, map_global<hw_host>(host, host_pin));
    HW_TRY(instance.locals, open_pin(at("locals")));
    HW_TRY(instance.programs.egress, open_pin(at("egress")));
    HW_TRY(instance.programs.ingress, open_pin(at("ingress")));
    HW_TRY(instance.programs.cut, open_pin(at("cut")));
    HW_TRY(instance.programs.pace_out, open_pin(at("pace_out")));
    HW_TRY(const auto control, open_pin(at("control")));
    HW_TRY(instance.control, map_global<hw_control>(control, at("control")));
    HW_TRY(const auto held, open_pin(at("held")));
    HW_TRY(instance.held, map_global<hw_held>(held, at("held")));
    return instance;
}

// A tag that no other instance of the host uses, if there is one: packets cross namespaces with their marks.
std::uint16_t choose_tag()
{
    std::set<std::uint32_t> taken;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(pin_root, error)) {
        const Fd fd(bpf_obj_get((entry.path() / "tag").c_str()));
        const __u32 zero = 0;
        __u32 tag = 0;
        if (fd && bpf_map_lookup_elem(fd.get(), &zero, &tag) == 0) taken.insert(tag);
    }
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
    const Fd existing(bpf_obj_get(host_pin));
    if (!existing) return {};
    if (bpf_map__reuse_fd(map, existing.get()) != 0) return fail_errno(errno, "reuse " + std::string(host_pin));
    return {};
}

Status pin_tag(const std::string& directory, std::uint16_t tag)
{
    const Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hw_tag", sizeof(__u32), sizeof(__u32), 1, nullptr));
    const __u32 zero = 0, value = tag;
    if (!fd || bpf_map_update_elem(fd.get(), &zero, &value, BPF_ANY) != 0) return fail_errno(errno, "make the tag map");
    return pin(fd.get(), directory + "/tag");
}

Status pin_all(const headwind_bpf& skeleton, const std::string& directory)
{
    if (access(host_pin, F_OK) != 0) HW_CHECK(pin(bpf_map__fd(skeleton.maps.hw_host), host_pin));
    const std::pair<const bpf_map*, const char*> maps[] = {
        {skeleton.maps.data_control, "control"}, {skeleton.maps.data_held, "held"},
        {skeleton.maps.hw_entries, "entries"},   {skeleton.maps.hw_rules, "rules"},
        {skeleton.maps.hw_leases, "leases"},     {skeleton.maps.hw_states, "states"},
        {skeleton.maps.hw_locals, "locals"},     {skeleton.maps.hw_texts, "texts"},
    };
    for (const auto& [map, name] : maps) HW_CHECK(pin(bpf_map__fd(map), directory + "/" + name));
    const std::pair<const bpf_program*, const char*> programs[] = {
        {skeleton.progs.egress, "egress"},
        {skeleton.progs.ingress, "ingress"},
        {skeleton.progs.cut, "cut"},
        {skeleton.progs.pace_out, "pace_out"},
    };
    for (const auto& [program, name] : programs) HW_CHECK(pin(bpf_program__fd(program), directory + "/" + name));
    return {};
}

Status make_directory(const std::string& path)
{
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "create " + path);
    return {};
}

// Pins directly in the directory, and its only subdirectory, links/.
Status remove_pins(const std::string& directory)
{
    std::error_code error;
    fs::remove_all(directory, error);
    if (error) return fail_errno(error.value(), "remove " + directory);
    return {};
}

// A tcx link loses its device when the device goes, and the devices go with their namespace.
bool has_living_link(const fs::path& directory)
{
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory / "links", error))
        if (is_link_attached(entry.path())) return true;
    return false;
}

// Is the network namespace of this instance gone? Without tcx links (clsact, nothing attached) it is alive if a process
// or a mount names its inode.
bool is_dead(const fs::path& directory)
{
    return !has_living_link(directory) && path_of_netns(directory.filename().string()).empty();
}

}  // namespace

Result<std::optional<Instance>> open_instance()
{
    libbpf_set_print(keep_libbpf_words);
    HW_TRY(const auto netns, current_netns());
    const auto directory = directory_of(netns);
    if (access((directory + "/control").c_str(), F_OK) != 0) {
        if (errno == EACCES) return fail(ErrorKind::permission, "{} cannot be read: run as root", pin_root);
        return std::nullopt;
    }
    HW_TRY(const auto abi, abi_of(directory + "/control"));
    if (abi == 0) return std::nullopt;
    if (abi != HW_ABI_VERSION)
        return fail(
            ErrorKind::unsupported,
            "the rules of this namespace were made by another version of headwind (ABI {}, this is {}): run `headwind "
            "clear` of that version; without it, as root: rm -r {} && ip link del headwind0; ip link del headwind2",
            abi, HW_ABI_VERSION, directory);
    HW_TRY(auto instance, open_directory(directory));
    if (instance.control->netns_cookie != netns.cookie) return std::nullopt;  // a dead namespace's; the inode came back
    return instance;
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
    bpf_map__set_max_entries(skeleton.maps.hw_states, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_locals, max_rules * HW_DIRECTIONS);
    bpf_map__set_max_entries(skeleton.maps.hw_texts, max_rules * HW_TEXTS_PER_RULE);
}

Result<Instance> create_instance(std::uint64_t max_held, std::uint32_t max_rules)
{
    libbpf_set_print(keep_libbpf_words);
    HW_TRY(const auto netns, current_netns());
    const auto directory = directory_of(netns);
    if (!kernel_has_btf())
        return fail(
            ErrorKind::unsupported,
            "this kernel has no BTF (/sys/kernel/btf/vmlinux): boot one with CONFIG_DEBUG_INFO_BTF, as Debian's");
    HW_CHECK(make_directory(pin_root));

    const Skeleton skeleton(headwind_bpf__open());
    if (!skeleton) return fail_libbpf(errno, "open the BPF object");
    HW_CHECK(share_host_map(skeleton->maps.hw_host));
    std::uint16_t nonce = 0;
    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce)) return fail_errno(errno, "get a random number");
    const auto tag = choose_tag();
    const bool tcx = kernel_has_tcx();
    skeleton->rodata->hw_nonce = nonce;
    skeleton->rodata->hw_tag = tag;
    skeleton->rodata->hw_tcx = tcx ? 1 : 0;
    skeleton->rodata->hw_without = cures_taken_out();
    std::ranges::copy(normal_samples(), skeleton->rodata->hw_normal);
    make_room(*skeleton, max_rules);
    if (const int error = headwind_bpf__load(skeleton.get()); error != 0)
        return fail_libbpf(-error, "load the BPF programs");
    auto& control = skeleton->data_control->hw_control;
    control.next_rule = 1;
    control.max_held = max_held;
    if (getrandom(&control.front_nonce, sizeof(control.front_nonce), 0) != sizeof(control.front_nonce))
        return fail_errno(errno, "get a random number");
    control.netns_cookie = netns.cookie;
    control.tcx = tcx ? 1 : 0;
    HW_CHECK(make_directory(directory));
    HW_CHECK(make_directory(directory + "/links"));
    HW_CHECK(pin_tag(directory, tag));
    HW_CHECK(pin_all(*skeleton, directory));
    control.abi = HW_ABI_VERSION;
    return open_directory(directory);
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
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(pin_root, error))
        if (entry.is_directory(error) && entry.path() != directory_of(netns)) return true;
    return false;
}

void sweep_dead_instances()
{
    std::error_code error;
    std::vector<fs::path> dead;
    for (const auto& entry : fs::directory_iterator(pin_root, error))
        if (entry.is_directory(error) && is_dead(entry.path())) dead.push_back(entry.path());
    for (const auto& directory : dead) static_cast<void>(remove_pins(directory.string()));
}

std::vector<std::string> instance_inodes()
{
    std::error_code error;
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(pin_root, error))
        if (entry.is_directory(error)) out.push_back(entry.path().filename());
    return out;
}

std::vector<std::string> instance_netns_paths()
{
    std::vector<std::string> out;
    for (const auto& inode : instance_inodes()) {
        const auto path = path_of_netns(inode);
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

Result<std::optional<Mapping<hw_host>>> open_host_map()
{
    const Fd fd(bpf_obj_get(host_pin));
    if (!fd && errno == ENOENT) return std::nullopt;
    if (!fd) return fail_errno(errno, "open " + std::string(host_pin));
    HW_TRY(auto mapping, map_global<hw_host>(fd, host_pin));
    return mapping;
}

}  // namespace headwind
