// SPDX-License-Identifier: MIT
// Finds the maps that programs read the panic switch from, pinned or not, and turns it.
#include "engine/panic_state.h"

#include <atomic>
#include <vector>

#include "datapath/attached.h"
#include "datapath/instance.h"
#include "engine/changed.h"
#include "host/host.h"

namespace headwind {
namespace {

// The maps that the programs at devices read: all are the pinned one, unless pins were lost.
struct Switches {
    std::vector<Mapping<hw_host>> maps;
    Fd first;  // of `maps`
    bool any_program = false;
};

// Adds the maps of the programs in this network namespace.
Status add_switches(Switches& out)
{
    HW_TRY(const auto programs, own_programs_here());
    for (const auto& program : programs) {
        out.any_program = true;
        auto map = map_of_program(program.id, "hw_host", sizeof(hw_host));
        if (!map) continue;
        HW_TRY(auto mapping, map_global<hw_host>(map, "the map that all instances share", Access::change));
        out.maps.push_back(std::move(mapping));
        if (!out.first) out.first = std::move(map);
    }
    return {};
}

Result<Switches> find_switches()
{
    Switches out;
    HW_TRY(const auto paths, netns_paths());
    for (const auto& [inode, path] : paths) {
        const auto netns = open_netns(path);
        if (netns) HW_CHECK(in_netns(netns->get(), [&out] { return add_switches(out); }));  // else it ended meanwhile
    }
    return out;
}

// Turns the switch. True: it was so already.
bool turn(const Mapping<hw_host>& map, bool on)
{
    return (std::atomic_ref(map->panic).exchange(on ? 1 : 0) != 0) == on;
}

}  // namespace

Result<bool> set_panic(bool on)
{
    auto pinned = open_host_map();
    bool changed = pinned && *pinned && !turn(**pinned, on);  // all there is to turn, unless pins were lost
    HW_TRY(const auto switches, find_switches());
    for (const auto& map : switches.maps) changed = !turn(map, on) || changed;
    if (pinned && !*pinned && on) {
        if (switches.any_program && !switches.first)
            return fail(
                ErrorKind::failed,
                "Headwind's programs are at devices, and what turns them off is not to be had: `headwind clear --everywhere --all` takes them off");
        HW_TRY(const auto made, pin_host_map(switches.first));
        changed = !turn(made, on) || changed;
    }
    if (pinned && !on) HW_CHECK(remove_unused_root());
    Changed told;
    if (changed) told.words = on ? "every rule is off" : "the rules have their effect again";
    told.event = on ? "panic" : "panic-over";
    told.everywhere = true;
    tell(told);
    if (pinned) return switches.any_program;
    return fail(pinned.error().kind, "{}{}",
                switches.maps.empty() ? ""
                : on                  ? "every rule is off that was in force, but "
                                      : "panic is over, but ",
                pinned.error().message);
}

Result<bool> is_panic_on()
{
    HW_TRY(const auto host, open_host_map(Access::read));
    return host && std::atomic_ref((*host)->panic).load() != 0;
}

Status refuse_in_panic()
{
    HW_TRY(const bool panic, is_panic_on());
    if (!panic) return {};
    return fail(
        ErrorKind::failed,
        "panic is on: nothing is added, since all of it would begin at once with `headwind panic --off`. End the panic first");
}

}  // namespace headwind
