// SPDX-License-Identifier: MIT
// Finds Headwind's programs at devices, and removes all that goes with them.
#include "line/reclaim.h"

#include <set>

#include <headwind/abi.h>

#include "datapath/instance.h"
#include "datapath/map.h"
#include "host/backlog.h"
#include "host/devices.h"
#include "host/host.h"
#include "line/line.h"

namespace headwind {
namespace {

bool is_on_line(const AttachedProgram& program)
{
    return is_line_name(program.device);
}

// The globals of this name that the programs use. Programs hold their instance's maps even if its pins are gone. A map
// of another size is another version's, and left out.
template <class T>
std::vector<Mapping<T>> globals_of(const std::vector<AttachedProgram>& programs, const char* name)
{
    std::vector<Mapping<T>> out;
    for (const auto& program : programs) {
        const auto map = map_of_program(program.id, name, sizeof(T));
        auto global = map ? map_global<T>(map, name, Access::change) : fail_errno(ENOENT, name);
        if (global) out.push_back(std::move(*global));
    }
    return out;
}

// Removes each clsact that the instance made and nobody else uses.
Status remove_own_clsact(const hw_control& control)
{
    for (const auto& device : control.devices) {
        if (device.ifindex == 0 || !(device.flags & HW_DEVICE_CLSACT)) continue;
        const auto filters = netlink::count_clsact_filters(static_cast<int>(device.ifindex));
        if (filters && *filters == 0) HW_CHECK(netlink::delete_clsact(static_cast<int>(device.ifindex)));
    }
    return {};
}

}  // namespace

Status check_no_programs()
{
    const auto programs = own_programs_here();
    if (!programs && programs.error().kind == ErrorKind::permission) return {};
    if (!programs) return tl::unexpected(programs.error());
    if (programs->empty()) return {};
    return fail(
        ErrorKind::failed,
        "programs without rules: Headwind's are on {}, and what they do cannot be seen, since what was pinned for them is gone. `headwind clear --all` takes them off",
        describe(*programs));
}

Result<std::vector<std::string>> namespaces_in_use(bool despite_pins)
{
    auto known = instance_netns_paths();
    if (!known && !despite_pins) return known;
    const auto inodes = instance_inodes();
    if (known && inodes && count_loaded_instances() <= inodes->size()) return known;
    std::set<std::string> out;
    if (known) out.insert(known->begin(), known->end());
    HW_TRY(const auto paths, netns_paths());
    for (const auto& [inode, path] : paths) {
        const auto netns = open_netns(path);
        if (!netns) continue;  // it ended meanwhile
        HW_CHECK(in_netns(netns->get(), [&, &here = path]() -> Status {
            HW_TRY(const auto programs, own_programs_here());
            if (!programs.empty()) out.insert(here);
            return {};
        }));
    }
    return std::vector<std::string>(out.begin(), out.end());
}

Result<Reclaimed> reclaim(std::chrono::nanoseconds limit, const std::function<void(std::uint32_t left)>& progress)
{
    Reclaimed out;
    HW_TRY(out.programs, own_programs_here());
    std::vector<Control> controls;
    for (auto& memory : globals_of<hw_control>(out.programs, ".data.control")) controls.emplace_back(std::move(memory));
    if (auto pinned = find_control()) controls.push_back(std::move(*pinned));
    const auto hosts = globals_of<hw_host>(out.programs, "hw_host");
    // The line's own programs come last: they send home what the line holds.
    for (const bool of_line : {false, true}) {
        for (const auto& program : out.programs)
            if (is_on_line(program) == of_line) HW_CHECK(take_off(program));
        if (!of_line) {
            HW_TRY(out.packets_lost, drain_and_remove_line(limit, progress));
        }
    }
    for (const auto& control : controls) {
        if (control->abi != HW_ABI_VERSION) continue;
        HW_CHECK(remove_own_clsact(*control));
        HW_CHECK(restore_sysctls(control));
    }
    const auto lock = lock_host();
    const auto others = other_instances_exist();
    for (const auto& host : hosts)
        if (others && !*others) HW_CHECK(restore_backlog(*host));
    return out;
}

}  // namespace headwind
